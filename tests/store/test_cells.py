"""Cells: what is in the store depends on the partials alone, and equals a plain dict of dicts."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.aggregates.states import Add, ArgMin, Counts, Min, Sum
from streamgauge.partial import Partial, SubRows
from streamgauge.store import open_store
from streamgauge.store.base import ALL_TEXT, OTHER_TEXT, CellRow, Commit, Store, Version, key_id, key_text
from streamgauge.store.cells import CellCache, unpack_states
from streamgauge.store.keys import ALL

STATES = (Add(), Sum(), Min(), ArgMin(), Counts())
VERSION = Version("calls", "c0ffee")
EVERY = "6m"


@dataclass(frozen=True)
class Event:
    """One event of a made-up log; its place there is its position."""

    start: int
    key: str | None
    value: int | None
    late: bool = False


@dataclass
class Cell:
    """What a cell should hold, reckoned one event at a time."""

    events: int = 0
    late: int = 0
    revision: int | None = None
    wrong: dict[str, int] = field(default_factory=dict)
    count: int = 0
    total: int = 0
    least: int | None = None
    first: tuple[int, int, int] | None = None
    by: dict[int, int] = field(default_factory=dict)

    def add(self, position: int, event: Event) -> None:
        self.events += 1
        if event.late:
            self.late, self.revision = self.late + 1, position
        if event.value is None:
            self.wrong["value"] = self.wrong.get("value", 0) + 1
            return
        value = event.value
        self.count, self.total = self.count + 1, self.total + value
        self.least = value if self.least is None else min(self.least, value)
        self.first = min(self.first or (0, position, value), (0, position, value))
        self.by[value % 3] = self.by.get(value % 3, 0) + 1

    def row(self, start: int, key: str) -> tuple[Any, ...]:
        states = [self.count, self.total, self.least, self.first, self.by]
        return start, key, self.events, self.late, self.revision, self.wrong, states


def oracle(events: Iterable[Event], max_keys: int, totals: bool) -> list[tuple[Any, ...]]:
    cells: dict[tuple[int, str], Cell] = {}
    admitted: dict[int, set[str]] = {}
    for position, event in enumerate(events):
        key, window = key_text([event.key]), admitted.setdefault(event.start, set())
        if max_keys and key not in window and len(window) == max_keys:
            key = OTHER_TEXT
        else:
            window.add(key)
        for name in (key, ALL_TEXT) if totals else (key,):
            cells.setdefault((event.start, name), Cell()).add(position, event)
    return [cell.row(start, key) for (start, key), cell in sorted(cells.items())]


def partial(cache: CellCache, first: int, events: list[Event], total: bool = False) -> Partial:
    """One row per event: the worst that an engine may do."""
    n, values = len(events), [e.value for e in events]
    positions = np.arange(first, first + n)
    valid = np.array([v is not None for v in values], dtype=np.bool_)
    late = np.array([e.late for e in events], dtype=np.int64)
    some = [i for i, v in enumerate(values) if v is not None]
    rows = [None if v is None else (0, first + i, v) for i, v in enumerate(values)]
    sub = SubRows(
        np.array(some, dtype=np.int64),
        np.array([(values[i] or 0) % 3 for i in some], dtype=np.int64),
        np.ones(len(some), dtype=np.int64),
        positions[some],
    )
    numbers = [v or 0 for v in values]
    keys = np.full(n, ALL) if total else cache.keys.numbers([[e.key for e in events]], n)
    return Partial(
        starts=np.array([e.start for e in events], dtype=np.int64),
        keys=keys,
        events=np.ones(n, dtype=np.int64),
        first_position=positions,
        columns=[valid.astype(np.int64), numbers, (np.array(numbers, dtype=np.int64), valid), rows, sub],
        late=late if late.any() else None,
        revision=np.where(late > 0, positions, -1) if late.any() else None,
        wrong={"value": (~valid).astype(np.int64)},
    )


def commit(store: Store, cache: CellCache, position: int) -> None:
    changes, keys = cache.changes()
    store.commit(Commit("report", position, versions=[VERSION], cells=changes, keys=keys))
    cache.committed()


def dumped(store: Store) -> str:
    out = io.StringIO()
    store.dump(out)
    return out.getvalue()


def stored(store: Store) -> list[tuple[Any, ...]]:
    rows = [row for batch in store.cells(VERSION.hash, EVERY) for row in batch]
    return [(*row[:6], unpack_states(STATES, row.states)) for row in rows]


def run(
    path: Path | None,
    events: list[Event],
    cuts: list[tuple[int, str]],
    max_keys: int = 0,
    limit: int = 500,
    totals: bool = False,
) -> tuple[list[tuple[Any, ...]], str]:
    """Merge the events in slices that end at ``cuts``; a cut may commit, or commit and reopen the store."""
    store, done = open_store(path), 0
    cache = CellCache(store, limit=limit)
    cache.table(VERSION.hash, EVERY, STATES, max_keys)
    for cut, what in [*cuts, (len(events), "commit")]:
        part = events[done:cut]
        cache.merge(VERSION.hash, EVERY, partial(cache, done, part))
        if totals:
            cache.merge(VERSION.hash, EVERY, partial(cache, done, part, total=True))
        done = max(cut, done)
        if what != "slice":
            commit(store, cache, done)
        if what == "reopen":
            store.close()
            store = open_store(path)
            cache = CellCache(store, limit=limit)
            cache.table(VERSION.hash, EVERY, STATES, max_keys)
    with store:
        return stored(store), dumped(store)


KEYS = st.sampled_from(["a", "b", "c", "d", "null", "all", "other", "", "\0", None])
VALUES = st.none() | st.sampled_from([0, 1, -5, 2**63 - 1, -(2**63)])
EVENTS = st.lists(
    st.builds(Event, st.sampled_from([-20, -10, 0, 10, 20, 30]), KEYS, VALUES, st.booleans()), max_size=40
)
CUTS = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["slice", "commit", "reopen"])), max_size=6)


@settings(max_examples=60)
@given(EVENTS, CUTS, st.integers(0, 4), st.sampled_from([0, 1, 3, 10, 500]), st.booleans())
def test_any_slices_commits_evictions_and_restarts_give_the_oracles_cells(
    events: list[Event], cuts: list[tuple[int, str]], max_keys: int, limit: int, totals: bool
) -> None:
    cuts = sorted((min(at, len(events)), what) for at, what in cuts)
    with TemporaryDirectory() as folder:
        rows, dump = run(Path(folder, "cut.db"), events, cuts, max_keys, limit, totals)
    _, plain = run(None, events, [], max_keys, totals=totals)
    assert rows == oracle(events, max_keys, totals)
    assert dump == plain


def one(start: int, key: str | None, value: int = 1) -> Event:
    return Event(start, key, value)


@pytest.mark.parametrize("limit", [20, 60, 200])
@pytest.mark.parametrize("max_keys", [0, 20])
def test_windows_let_go_in_part_and_keys_forgotten_are_read_back(limit: int, max_keys: int) -> None:
    random = np.random.default_rng(7)
    starts, keys = random.integers(0, 6, 800), random.integers(0, 60, 800)
    events = [one(start, f"key-{key}", key) for start, key in zip(starts.tolist(), keys.tolist(), strict=True)]
    rows, _ = run(None, events, [(at, "commit") for at in range(20, 800, 20)], max_keys, limit)
    assert rows == oracle(events, max_keys, totals=False)


def test_a_key_let_go_and_stored_before_a_restart_is_still_admitted(tmp_path: Path) -> None:
    events = [one(0, "a"), one(0, "b"), one(0, "c"), one(0, "a")]
    rows, _ = run(tmp_path / "s.db", events, [(2, "reopen"), (3, "commit")], max_keys=2, limit=0)
    assert [(row[1], row[2]) for row in rows] == [(OTHER_TEXT, 1), ('["a"]', 2), ('["b"]', 1)]


def test_keys_of_one_event_are_admitted_in_an_order_that_no_batch_decides() -> None:
    texts = sorted((key_text([k]) for k in ("a", "b", "c")), key=key_id)
    for order in (["a", "b", "c"], ["c", "b", "a"]):
        with open_store() as store:
            cache = CellCache(store)
            table = cache.table(VERSION.hash, EVERY, STATES, 2)
            listed = partial(cache, 0, [one(0, key) for key in order])
            listed.first_position = np.zeros(3, dtype=np.int64)
            table.merge(listed)
            commit(store, cache, 1)
            assert [row[1] for row in stored(store)] == [OTHER_TEXT, *sorted(texts[:2])]


def test_memory_keeps_no_more_cells_than_the_limit_after_a_commit() -> None:
    with open_store() as store:
        cache = CellCache(store, limit=100)
        table = cache.table(VERSION.hash, EVERY, STATES)
        for batch in range(20):
            cache.merge(
                VERSION.hash, EVERY, partial(cache, batch * 50, [one(batch, f"{batch}-{i}") for i in range(50)])
            )
            commit(store, cache, batch)
            assert len(table) <= 100
            assert len(cache.keys) <= 102
        assert len(stored(store)) == 1000


def test_the_window_in_use_is_the_last_to_be_let_go() -> None:
    with open_store() as store:
        cache = CellCache(store, limit=20)
        month, minute = (cache.table(VERSION.hash, every, (Add(),)) for every in ("1mo", "1m"))
        for batch in range(40):
            for every, start in (("1mo", -1000), ("1m", batch)):
                row = partial(cache, batch, [one(start, "a")])
                row.columns = row.columns[:1]
                cache.merge(VERSION.hash, every, row)
            commit(store, cache, batch)
            assert len(month) == 1
        assert len(minute) < 20


def test_changed_counts_what_a_commit_would_write() -> None:
    with open_store() as store:
        cache = CellCache(store)
        cache.table(VERSION.hash, EVERY, STATES)
        cache.merge(VERSION.hash, EVERY, partial(cache, 0, [one(0, "a"), one(0, "a"), one(6, "a")]))
        assert cache.changed == 2
        commit(store, cache, 1)
        assert cache.changed == 0
        assert cache.changes()[1] == []


def test_a_commit_that_failed_can_be_made_again() -> None:
    with open_store() as store:
        cache = CellCache(store)
        cache.table(VERSION.hash, EVERY, STATES)
        cache.merge(VERSION.hash, EVERY, partial(cache, 0, [one(0, "a")]))
        changes, keys = cache.changes()
        with pytest.raises(ValueError, match="which no commit has named"):
            store.commit(Commit("report", 1, cells=changes, keys=keys))
        commit(store, cache, 1)
        assert [row[:3] for row in stored(store)] == [(0, '["a"]', 1)]


def test_rows_come_by_window_then_key_text_and_only_from_the_range_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    run(path, [one(start, key) for start in (10, -10, 0) for key in ("b", "é", "a")], [])
    with open_store(path) as store:
        batches: list[list[CellRow]] = list(store.cells(VERSION.hash, EVERY, -10, 10))
        expected = [(start, key) for start in (-10, 0) for key in ('["\\u00e9"]', '["a"]', '["b"]')]
        assert [row[:2] for batch in batches for row in batch] == expected
        assert list(store.cells(VERSION.hash, "1h")) == []
        assert list(store.cells("unknown", EVERY)) == []
