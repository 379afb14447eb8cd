from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from streamgauge.aggregates import First
from streamgauge.aggregates.base import Kind
from streamgauge.testing.laws import Row, Trial, rows

TRIAL = Trial(First("x"))


@given(rows(Kind.ANY))
def test_it_is_the_first_value_by_time_then_position(given_rows: list[Row]) -> None:
    there = [row for row in given_rows if row[2] is not None]
    expected = min(there)[2] if len({row[:2] for row in there}) == len(there) and there else None
    assert TRIAL.present(TRIAL.fold([given_rows])) == {"": expected}


def test_time_goes_before_position() -> None:
    assert TRIAL.present(TRIAL.fold([[(2, 0, "later")], [(1, 1, "earlier")]])) == {"": "earlier"}


def test_of_the_same_time_position_decides() -> None:
    assert TRIAL.present(TRIAL.fold([[(1, 7, "earlier"), (1, 8, "later")]])) == {"": "earlier"}


def test_null_is_ignored() -> None:
    assert TRIAL.presented([None, "only", None]) == {"": "only"}
    assert TRIAL.presented([None]) == {"": None}


@pytest.mark.parametrize("value", [0, False, "", 1.5, -(2**63), "x"], ids=repr)
def test_a_value_is_kept_as_it_is(value: Any) -> None:
    kept = TRIAL.present(TRIAL.unpack(TRIAL.pack(TRIAL.load([(0, 0, value)]))))[""]
    assert (kept, type(kept)) == (value, type(value))
