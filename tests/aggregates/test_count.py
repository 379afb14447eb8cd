from __future__ import annotations

import pytest

from streamgauge.aggregates import Count
from streamgauge.aggregates.base import Op, Primitive
from streamgauge.errors import DeclarationError
from streamgauge.testing.laws import Trial


def test_all_events_are_counted_also_those_without_a_value() -> None:
    assert Trial(Count()).presented([1, None, None]) == {"": 3}
    assert Trial(Count()).presented([]) == {"": 0}


def test_a_condition_becomes_that_of_the_primitive() -> None:
    assert Count("answer IS NOT NULL").primitives() == (Primitive(Op.COUNT, where="answer IS NOT NULL"),)
    assert Count("a OR b", where="c OR d").primitives() == (Primitive(Op.COUNT, where="(a OR b) AND (c OR d)"),)
    assert Count(where=" c ").primitives() == (Primitive(Op.COUNT, where="c"),)


def test_a_star_is_all_events() -> None:
    assert Count("*").primitives() == Count().primitives()
    assert Count("*").formula() == "count()"


def test_formula() -> None:
    assert Count().formula() == "count()"
    assert Count("a > 1", where="b").formula() == "count(a > 1) FILTER (WHERE b)"


@pytest.mark.parametrize("arguments", [("a", "b"), ("",), (" ",), (None,), (True,), (Count(),)], ids=str)
def test_bad_arguments_are_refused(arguments: tuple[object, ...]) -> None:
    with pytest.raises(DeclarationError, match="count"):
        Count(*arguments)  # type: ignore[arg-type]
