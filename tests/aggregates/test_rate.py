from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.aggregates import Rate
from streamgauge.aggregates.base import Context, Op
from streamgauge.errors import DeclarationError
from streamgauge.testing.laws import Trial


@given(st.integers(0, 2**62), st.floats(0.001, 1e7), st.floats(0.001, 1e7))
def test_it_is_the_exact_quotient_rounded_once(n: int, window_s: float, covered_s: float) -> None:
    presented = Rate().present([n], Context(window_s, covered_s))
    assert presented == {"": float(n / Fraction(covered_s)), "_window": float(n / Fraction(window_s))}


def test_an_open_window_is_measured_by_what_is_covered() -> None:
    assert Rate().present([30], Context(60, 15)) == {"": 2.0, "_window": 0.5}


def test_a_final_window_has_one_rate() -> None:
    assert Rate().present([30], Context(60, 60)) == {"": 0.5, "_window": 0.5}


@pytest.mark.parametrize("covered_s", [None, 0])
def test_where_nothing_is_covered_the_rate_is_null(covered_s: float | None) -> None:
    assert Rate().present([30], Context(60, covered_s)) == {"": None, "_window": 0.5}


def test_a_rate_of_a_number_is_that_of_its_sum() -> None:
    assert Rate("bytes").primitives()[0].op is Op.SUM
    assert Trial(Rate("bytes")).presented([None, 600, 600]) == {"": 20.0, "_window": 20.0}
    assert Trial(Rate("bytes"), 6).presented([3_000_000]) == {"": 0.05, "_window": 0.05}
    assert Trial(Rate("bytes")).presented([2**63 - 1] * 60) == {"": 2.0**63, "_window": 2.0**63}


def test_nothing_comes_at_rate_zero() -> None:
    assert Trial(Rate()).presented([]) == {"": 0.0, "_window": 0.0}


def test_formula_and_arguments() -> None:
    assert Rate(where="a").formula() == "rate() FILTER (WHERE a)"
    assert Rate("b").formula() == "rate(b)"
    with pytest.raises(DeclarationError, match=r"rate takes 0 to 1 arguments, not 2; write rate\(\) or rate\(x\)"):
        Rate("a", "b")
