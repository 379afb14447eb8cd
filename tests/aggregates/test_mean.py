from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.aggregates import Mean
from streamgauge.testing.laws import Trial

INTS = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(INTS, min_size=1), st.sampled_from([0, 6]))
def test_it_is_the_exact_mean_rounded_once(values: list[int], scale: int) -> None:
    exact = Fraction(sum(values), len(values) * 10**scale)
    assert Trial(Mean("x"), scale).presented(values) == {"": float(exact)}


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1))
def test_it_agrees_with_numpy(values: list[int]) -> None:
    assert Trial(Mean("x")).presented(values)[""] == pytest.approx(np.mean(values))


def test_great_values_that_cancel_leave_the_small_one() -> None:
    assert Trial(Mean("x"), 6).presented([2**62, 1, -(2**62)]) == {"": float(Fraction(1, 3_000_000))}


def test_null_is_not_counted() -> None:
    assert Trial(Mean("x")).presented([None, 4, None, 8]) == {"": 6.0}
    assert Trial(Mean("x")).presented([None]) == {"": None}
