from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.aggregates import Stddev
from streamgauge.aggregates.declared import root
from streamgauge.testing.laws import Trial


def nearest_root(value: Fraction) -> float:
    """The double nearest to the root, by sixty digits of decimal arithmetic."""
    with localcontext(prec=120):
        return float((Decimal(value.numerator) / Decimal(value.denominator)).sqrt())


@given(st.fractions(min_value=0))
def test_a_root_is_rounded_correctly(value: Fraction) -> None:
    assert root(value) == nearest_root(value)


@given(st.integers(0, 2**130), st.integers(1, 2**130))
def test_a_root_of_great_integers_is_rounded_correctly(numerator: int, denominator: int) -> None:
    assert root(Fraction(numerator, denominator)) == nearest_root(Fraction(numerator, denominator))


@given(st.integers(2**52, 2**53 - 1), st.sampled_from([-1, 1]))
def test_a_root_beside_the_middle_of_two_doubles_goes_to_its_own_side(mantissa: int, side: int) -> None:
    middle = Fraction(2 * mantissa + 1, 2)
    assert root(middle**2 + Fraction(side, 10**30)) == float(mantissa if side < 0 else mantissa + 1)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2))
def test_it_agrees_with_numpy(values: list[int]) -> None:
    if max(values) - min(values) > 2**20:
        expected = np.std(np.array(values, dtype=np.longdouble), ddof=1)
        assert Trial(Stddev("x")).presented(values)[""] == pytest.approx(float(expected), rel=1e-9)


def test_below_two_values_it_is_null() -> None:
    assert Trial(Stddev("x")).presented([5]) == {"": None}


def test_it_is_in_the_unit_of_its_argument() -> None:
    assert Trial(Stddev("x"), 6).presented([1_000_000, 3_000_000]) == {"": math.sqrt(2)}
