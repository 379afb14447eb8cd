from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.aggregates import Count, Latest, Mean, Quantiles, Quotient, Sum, Tally
from streamgauge.errors import DeclarationError

NUMBERS = st.one_of(st.integers(-(2**80), 2**80), st.floats(-1e30, 1e30))


@given(NUMBERS, NUMBERS.filter(lambda x: abs(x) > 1e-12))
def test_it_is_the_exact_quotient_rounded_once(a: float, b: float) -> None:
    assert Quotient("a", "b").present_ratio(a, b) == {"": float(Fraction(a) / Fraction(b))}


def test_it_may_pass_one_and_be_negative() -> None:
    assert Quotient("a", "b").present_ratio(3, 2) == {"": 1.5}
    assert Quotient("a", "b").present_ratio(-3.5, 2) == {"": -1.75}


def test_integers_beyond_a_double_are_divided_exactly() -> None:
    assert Quotient("a", "b").present_ratio(3 * (2**80 + 1), 2**80 + 1) == {"": 3.0}


@pytest.mark.parametrize(("a", "b"), [(0, 0), (1, 0), (1, 0.0), (None, 1), (1, None)])
def test_over_nothing_it_is_null(a: float | None, b: float | None) -> None:
    assert Quotient("a", "b").present_ratio(a, b) == {"": None}


def test_what_no_double_can_hold_is_null() -> None:
    assert Quotient("a", "b").present_ratio(1, 5e-324) == {"": None}


def test_any_number_will_do() -> None:
    assert Quotient(Sum("a"), Mean("b")).formula() == "quotient(sum(a), mean(b))"


@pytest.mark.parametrize("operand", [Tally("x"), Quantiles("x", 0.5), Latest("x"), Quotient("a", "b")], ids=str)
def test_what_has_no_number_is_refused(operand: object) -> None:
    with pytest.raises(DeclarationError, match=r"has no single number|is itself a ratio"):
        Quotient(operand, Count())  # type: ignore[arg-type]
