"""Merged columns are exact, whatever the size of the numbers and the grouping."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.aggregates.states import ArgMax, Counts, Max, Min, Sum, Tally
from streamgauge.partial import SubRows
from streamgauge.store.columns import AddColumn, ExtremeColumn, Groups, ObjectColumn, Vector, column_of

EDGE = st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63), 2**62, 2**32])
CELLS = st.integers(0, 3)
WIDE = EDGE | st.integers(-(2**130), 2**130)


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_a_vector_keeps_its_values_when_it_grows_and_shrinks() -> None:
    vector = Vector()
    vector.extend(100, np.arange(100))
    vector.keep(np.arange(100) % 2 == 1)
    vector.extend(1, 7)
    assert vector.values.tolist() == [*range(1, 100, 2), 7]


def test_groups_are_the_distinct_codes_and_know_their_rows() -> None:
    groups = Groups(ints(5, 3, 5, 9))
    assert groups.codes.tolist() == [3, 5, 9]
    assert groups.of_rows().tolist() == [1, 0, 1, 2]
    assert groups.reduce(np.maximum, ints(1, 2, 3, 4)).tolist() == [2, 3, 4]


@given(st.lists(st.lists(st.tuples(st.integers(0, 3), EDGE), min_size=1, max_size=6), max_size=6))
def test_sums_of_64_bit_parts_are_exact(parts: list[list[tuple[int, int]]]) -> None:
    column, expected = AddColumn(Sum()), [0] * 4
    column.extend(4)
    for part in parts:
        groups = Groups(ints(*(cell for cell, _ in part)))
        column.merge(groups.codes, ints(*(value for _, value in part)), groups)
        for cell, value in part:
            expected[cell] += value
    assert [Sum().unpack(value) for value in column.packed(np.arange(4))] == expected


@given(
    st.lists(st.tuples(st.integers(0, 3), WIDE), min_size=1), st.lists(st.tuples(st.integers(0, 3), EDGE), min_size=1)
)
def test_wide_and_narrow_parts_meet_in_either_order(wide: list[tuple[int, int]], narrow: list[tuple[int, int]]) -> None:
    for parts in ((wide, narrow), (narrow, wide)):
        column = AddColumn(Sum())
        column.extend(4)
        for part in parts:
            groups = Groups(ints(*(cell for cell, _ in part)))
            column.merge(groups.codes, [value for _, value in part], groups)
        expected = [sum(value for cell, value in wide + narrow if cell == i) for i in range(4)]
        packed = column.packed(np.arange(4))
        assert [Sum().unpack(value) for value in packed] == expected
        again = AddColumn(Sum())
        again.extend(4)
        again.put(np.arange(4), packed)
        assert again.packed(np.arange(4)) == packed


@pytest.mark.parametrize(("state", "least"), [(Min(), True), (Max(), False)])
def test_the_extreme_of_nothing_is_none_and_of_the_extreme_int_is_that(state: Min | Max, least: bool) -> None:
    edge = 2**63 - 1 if least else -(2**63)
    column = column_of(state)
    assert isinstance(column, ExtremeColumn)
    column.extend(3)
    groups = Groups(ints(0, 1, 1))
    column.merge(groups.codes, (ints(5, edge, 5), np.array([False, True, False])), groups)
    assert column.packed(np.arange(3)) == [None, edge, None]
    column.merge(groups.codes, (ints(1, 2, 3), np.array([True, True, True])), groups)
    assert column.packed(np.arange(3)) == [1, 2 if least else 3, None]


def test_sub_rows_of_one_cell_are_loaded_together() -> None:
    column = ObjectColumn(Tally(limit=1))
    column.extend(2)
    groups = Groups(ints(1, 0, 1))
    sub = SubRows(ints(0, 1, 2), ["later", "x", "first"], ints(2, 1, 3), ints(9, 5, 4))
    column.merge(ints(0, 1), sub, groups)
    assert column.packed(ints(0, 1)) == [[["x"], [1], 0], [["first"], [3], 2]]


def test_sub_rows_without_any_change_nothing() -> None:
    column = ObjectColumn(Counts())
    column.extend(1)
    column.merge(ints(0), SubRows(ints(), ints(), ints(), ints()), Groups(ints(4)))
    assert column.packed(ints(0)) == [[]]


def test_rows_without_a_value_leave_the_latest_as_it_was() -> None:
    column = ObjectColumn(ArgMax())
    column.extend(2)
    groups = Groups(ints(0, 0, 1))
    column.merge(ints(0, 1), [(5, 1, "old"), (5, 2, "new"), None], groups)
    assert column.packed(ints(0, 1)) == [[5, 2, "new"], None]
    column.keep(np.array([True, False]))
    assert column.packed(ints(0)) == [[5, 2, "new"]]
