from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.aggregates import Histogram
from streamgauge.errors import DeclarationError
from streamgauge.testing.laws import Trial


@given(st.lists(st.integers(-50, 150)))
def test_it_agrees_with_numpy(values: list[int]) -> None:
    edges = [-10, 0, 6, 60]
    expected, _ = np.histogram(values, bins=[-1000, *edges, 1000])
    presented = Trial(Histogram("x", *edges)).presented(values)
    assert list(presented[""].values()) == expected.tolist()  # type: ignore[union-attr]


def test_a_bin_holds_its_lower_edge_and_not_its_upper() -> None:
    presented = Trial(Histogram("x", 10, 20)).presented([9, 10, 19, 20])
    assert presented == {"": {"<10": 1, "10..20": 2, ">=20": 1}}


def test_an_edge_between_two_scaled_integers_lies_between_them() -> None:
    assert Trial(Histogram("x", 0.5)).presented([0, 1]) == {"": {"<0.5": 1, ">=0.5": 1}}
    assert Trial(Histogram("x", 0.5), 6).presented([499_999, 500_000]) == {"": {"<0.5": 1, ">=0.5": 1}}


def test_empty_bins_are_shown() -> None:
    assert Trial(Histogram("x", 1, 2)).presented([None]) == {"": {"<1": 0, "1..2": 0, ">=2": 0}}


def test_labels_are_plain_decimals() -> None:
    made = Histogram("x", -1.50, Decimal("1E+3"), 1e4)
    assert made.labels() == ("<-1.5", "-1.5..1000", "1000..10000", ">=10000")
    assert made.primitives()[0].edges == ("-1.5", "1000", "10000")
    assert made.formula() == "histogram(x, -1.5, 1000, 10000)"


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ((), r"write histogram\(x, edge, ...\)"),
        ((20, 10), "'10': edges of histogram must ascend; write them from the least to the greatest, not 20, 10"),
        ((10, 10.0), "must ascend"),
        ((float("inf"),), "out of range"),
        ((2**63,), "outside 64 bits"),
        ((10**400,), "out of range"),
        ((Decimal("1e-1000000"),), "out of range"),
        (("10",), "an edge of histogram must be a number"),
        ((Decimal("1.0000000000000000001"),), "more than 18 decimals"),
    ],
    ids=["none", "descending", "equal", "infinite", "wide", "huge", "tiny", "text", "fine"],
)
def test_bad_edges_are_refused(edges: tuple[float, ...], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        Histogram("x", *edges)
