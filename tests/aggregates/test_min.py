from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamgauge.aggregates import Min
from streamgauge.testing.laws import Trial


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_it_is_the_least(values: list[int]) -> None:
    assert Trial(Min("x")).presented(values) == {"": min(values)}


def test_the_ends_of_64_bits_are_values_and_no_marks() -> None:
    for end in (2**63 - 1, -(2**63)):
        assert Trial(Min("x")).presented([None, end, None]) == {"": end}


def test_zero_is_not_nothing() -> None:
    assert Trial(Min("x")).presented([None, 0]) == {"": 0}
    assert Trial(Min("x")).presented([None, None]) == {"": None}


def test_a_decimal_is_unscaled() -> None:
    assert Trial(Min("x"), 6).presented([1]) == {"": 1e-06}
    assert Trial(Min("x"), 6).presented([-1_500_000]) == {"": -1.5}
