"""The moment at which a share fell is found, and is the most likely of all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from streamgauge.demonstration.change import Fall, find_fall

COUNTS = st.lists(
    st.integers(0, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=0, max_size=30
)


def likelihood(counts: list[tuple[int, int]]) -> float:
    """By scipy, of the share that makes them most likely; but for a term that is the same for all cuts."""
    share = sum(k for _, k in counts) / max(1, sum(n for n, _ in counts))
    return float(sum(binom.logpmf(k, n, share) for n, k in counts))


def falls(counts: list[tuple[int, int]]) -> dict[int, float]:
    """How likely each cut is that leaves a smaller share behind it."""
    found = {}
    for at in range(1, len(counts)):
        left, right = counts[:at], counts[at:]
        of, had, rest_of, rest_had = (sum(c[n] for c in part) for part in (left, right) for n in (0, 1))
        if of and rest_of and had * rest_of > rest_had * of:
            found[at] = likelihood(left) + likelihood(right)
    return found


@given(COUNTS)
def test_fall_is_the_most_likely_of_all_cuts(counts: list[tuple[int, int]]) -> None:
    found, known = find_fall(counts), falls(counts)
    if found is None:
        assert not known
        return
    assert known[found.at] == pytest.approx(max(known.values()), abs=1e-6)
    assert found.gain == pytest.approx(known[found.at] - likelihood(counts), abs=1e-6)
    assert found.before > found.after


@pytest.mark.parametrize("at", [1, 7, 120, 239])
def test_planted_fall_is_found_where_it_is(at: int) -> None:
    rng = np.random.default_rng(at)
    counts = [(200, int(rng.binomial(200, 0.5 if n < at else 0.1))) for n in range(240)]
    found = find_fall(counts)
    assert found is not None
    assert found.at == at
    assert (found.before, found.after) == (pytest.approx(0.5, abs=0.05), pytest.approx(0.1, abs=0.05))


@pytest.mark.parametrize(
    "counts", [[], [(9, 3)], [(9, 3), (9, 3)], [(9, 3), (9, 4)], [(0, 0), (9, 3)], [(9, 3), (0, 0)]]
)
def test_no_fall(counts: list[tuple[int, int]]) -> None:
    assert find_fall(counts) is None


def test_windows_without_calls_belong_to_neither_side() -> None:
    found = find_fall([(10, 9), (0, 0), (10, 1)])
    assert isinstance(found, Fall)
    assert (found.before, found.after) == (0.9, 0.1)
