from __future__ import annotations

import pytest

from streamgauge.errors import DeclarationError
from streamgauge.expression import SqlType
from streamgauge.shape import ENVELOPE, Producer, Shape, ShapeField, check_topic

A, B, ANY = (Producer(name, family=family) for name, family in (("a", "x"), ("b", "y"), ("any", "")))


def shape(family: str = "") -> Shape:
    return Shape("call", {"carrier": ShapeField(SqlType.VARCHAR)}, (A, B, ANY), family)


def test_all_producers_fill_a_shape_without_family() -> None:
    assert shape().active() == (A, B, ANY)


def test_a_family_leaves_its_producers_and_those_without_one_in_order() -> None:
    assert shape("y").active() == (B, ANY)


def test_columns_are_the_envelope_and_the_fields() -> None:
    assert shape().columns() == {**ENVELOPE, "carrier": SqlType.VARCHAR}


@pytest.mark.parametrize("pattern", ["*", "cdr.*", "org.fedoraproject.*.bodhi.update", "a/b:c@d-e_f"])
def test_a_topic_pattern(pattern: str) -> None:
    assert check_topic(pattern, "statistic 'x'") == pattern


@pytest.mark.parametrize("pattern", ["", "cdr.#", "a b", "^cdr", "a%", "x'; DROP", "ü", "a\n"])
def test_no_topic_pattern(pattern: str) -> None:
    with pytest.raises(DeclarationError, match=r"not a topic pattern; letters, digits"):
        check_topic(pattern, "statistic 'x'")
