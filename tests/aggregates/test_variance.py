from __future__ import annotations

import statistics
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.aggregates import Variance
from streamgauge.testing.laws import Trial

INTS = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(INTS, min_size=2), st.sampled_from([0, 6]))
def test_it_is_the_exact_sample_variance_rounded_once(values: list[int], scale: int) -> None:
    exact = statistics.variance([Fraction(v, 10**scale) for v in values])
    assert Trial(Variance("x"), scale).presented(values) == {"": float(exact)}


@given(st.lists(st.integers(-1000, 1000), min_size=2))
def test_it_agrees_with_numpy(values: list[int]) -> None:
    assert Trial(Variance("x")).presented(values)[""] == pytest.approx(np.var(values, ddof=1))


def test_it_is_of_a_sample_and_not_of_a_population() -> None:
    assert Trial(Variance("x")).presented([1, 3]) == {"": 2.0}


def test_a_small_spread_on_a_great_mean_survives() -> None:
    values = [10**18 + d for d in (0, 1, 2)]
    naive = sum(float(v) ** 2 for v in values) / 3 - (sum(map(float, values)) / 3) ** 2
    assert naive != 1.0
    assert Trial(Variance("x")).presented(values) == {"": 1.0}


def test_squares_of_the_ends_of_64_bits() -> None:
    values = [-(2**63), 2**63 - 1]
    assert Trial(Variance("x")).presented(values) == {"": float(Fraction((2**64 - 1) ** 2, 2))}


def test_below_two_values_it_is_null() -> None:
    assert Trial(Variance("x")).presented([]) == {"": None}
    assert Trial(Variance("x")).presented([5, None]) == {"": None}
    assert Trial(Variance("x")).presented([5, None, 5]) == {"": 0.0}
