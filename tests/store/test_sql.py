"""The SQL store in each database: one transaction or nothing, and everything survives."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from streamgauge.event import NEVER, DeadLetter
from streamgauge.store import open_store
from streamgauge.store.base import (
    CellChange,
    Commit,
    IdChunk,
    LaneState,
    RawCell,
    ReaderState,
    StoredCell,
    TallyKey,
    Version,
    key_id,
    key_text,
    pack_blob,
)
from tests.store.making import CALLS, TEXTS, change, dumped, full_commit, raw


def test_an_unknown_reader_stands_at_the_beginning(store_url: str) -> None:
    with open_store(store_url) as store:
        assert store.load_reader("report") == ReaderState("report")
        assert store.last_start("c0ffee", "6m") == NEVER
        assert store.extent("c0ffee", "6m") is None


def test_everything_committed_is_there_after_a_restart(store_url: str) -> None:
    given = full_commit()
    with open_store(store_url) as store:
        store.commit(given)
        before = dumped(store)
    with open_store(store_url) as store:
        assert dumped(store) == before
        expected = ReaderState("report", 10, 2, {"watermark": 5}, (CALLS,), tuple(given.lanes))
        assert store.load_reader("report") == expected
        assert list(store.dead_letters("report")) == given.dead_letters
        assert list(store.ids("report")) == given.ids
        assert store.counters("report") == given.counters
        assert store.tallies("report") == given.tallies
        rows = [row for batch in store.cells(CALLS.hash, "6m") for row in batch]
        assert [row.key for row in rows] == sorted(TEXTS)
        assert store.extent(CALLS.hash, "6m") == (0, 0, len(TEXTS), 1, len(TEXTS))
        assert store.window_keys(CALLS.hash, "6m", [0, 5]) == {0: len(TEXTS) - 2}


def test_counters_and_tallies_are_added_and_the_rest_is_replaced(store_url: str) -> None:
    with open_store(store_url) as store:
        store.commit(full_commit())
        again = full_commit(20)
        again.cells, again.dead_letters = [change(raw(0, TEXTS[2], 9))], []
        again.lanes = [replace(again.lanes[0], cursor=500)]
        store.commit(again)
        assert store.counters("report") == {"events": 8, "wrong.pdd": 2}
        assert store.tallies("report") == {TallyKey("a", "not JSON"): 2}
        state = store.load_reader("report")
        assert (state.position, state.lanes[0].cursor) == (20, 500)
        wanted = [(0, key_id(TEXTS[2])), (0, key_id("[1]")), (7, key_id(TEXTS[2]))]
        assert list(store.load_cells(CALLS.hash, "6m", wanted)) == [
            StoredCell(0, key_id(TEXTS[2]), 9, 0, None, {}, [9])
        ]


def test_readers_do_not_see_one_another(store_url: str) -> None:
    with open_store(store_url) as store:
        store.commit(full_commit())
        other = Commit("other", 1, versions=[Version("legs", "beef")], counters={"events": 1})
        store.commit(other)
        assert store.counters("other") == {"events": 1}
        assert store.load_reader("report").versions == (CALLS,)
        assert list(store.dead_letters("other")) == []


def test_many_cells_are_found_by_key_over_several_questions(store_url: str) -> None:
    cells = [raw(start, key_text([key]), start + 1) for start in range(30) for key in range(30)]
    with open_store(store_url) as store:
        store.commit(Commit("report", 1, versions=[CALLS], cells=[change(*cells)]))
        wanted = [(cell[0], cell[1]) for cell in reversed(cells)]
        found = {(cell.start, cell.key_id): cell.events for cell in store.load_cells(CALLS.hash, "6m", wanted)}
        assert found == {(cell[0], cell[1]): cell[2] for cell in cells}
        assert list(store.load_cells(CALLS.hash, "1h", wanted)) == []
        assert store.last_start(CALLS.hash, "6m") == 29


class PulledPlugError(Exception):
    pass


def unplugged() -> Iterator[list[RawCell]]:
    yield [raw(0, TEXTS[0], 99)]
    raise PulledPlugError


def test_an_exception_in_the_middle_of_a_commit_leaves_nothing_of_it(store_url: str) -> None:
    with open_store(store_url) as store:
        store.commit(full_commit())
        before = dumped(store)
        torn = full_commit(20)
        torn.keys = [(key_id('["new"]'), '["new"]')]
        torn.cells = [CellChange(CALLS.hash, "6m", unplugged())]
        torn.versions = [CALLS, Version("new", "1234")]
        with pytest.raises(PulledPlugError):
            store.commit(torn)
        assert dumped(store) == before
        store.commit(full_commit(20))
        assert store.load_reader("report").position == 20


KILLED = """
import os, signal, sys
from streamgauge.store import open_store
from streamgauge.store.base import CellChange, Commit, Version, key_id, pack_blob

def row(events):
    return (0, key_id("[]"), events, 0, None, None, pack_blob([]))

def torn():
    yield [row(2)]
    os.kill(os.getpid(), signal.SIGKILL)

store = open_store(sys.argv[1])
calls, keys = [Version("calls", "c0ffee")], [(key_id("[]"), "[]")]
store.commit(Commit("report", 1, versions=calls, keys=keys, cells=[CellChange("c0ffee", "6m", [[row(1)]])]))
store.commit(Commit("report", 2, versions=calls, cells=[CellChange("c0ffee", "6m", torn())]))
"""


def test_a_killed_process_leaves_its_last_commit_and_no_lock(store_url: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, store_url], check=False)
    assert done.returncode == -signal.SIGKILL
    with open_store(store_url) as store:
        assert store.load_reader("report").position == 1
        assert [row.events for batch in store.cells("c0ffee", "6m") for row in batch] == [1]


def test_the_dump_has_neither_surrogate_numbers_nor_the_stores_own_name(store_url: str) -> None:
    versions = [CALLS, Version("legs", "beef")]
    texts = []
    for where, order in ((None, versions), (store_url, versions[::-1])):
        with open_store(where) as store:
            store.commit(Commit("report", 1, versions=order, cells=[change(raw(0, "[]"))], keys=[(key_id("[]"), "[]")]))
            texts.append(dumped(store))
    assert texts[0] == texts[1]
    cell = {"hash": "c0ffee", "every": "6m", "start": 0, "text": "[]", "events": 1, "late": 0, "revision": None}
    assert json.loads(texts[0].splitlines()[-1]) == {"cell": {**cell, "wrong": None, "states": [1]}}


# In an order of their own by any collation that is not of bytes.
NAMES = ("b", "B", "a", "A", "_", "-", "ab", "a b", "Z", "é", "\ud800", "\0", "10", "9", "")


def mixed_commit() -> Commit:
    """Every text of a store takes every one of the names."""
    versions = [Version(name, f"{number:02x}") for number, name in enumerate(NAMES)]
    texts = [key_text([name]) for name in NAMES]
    return Commit(
        "report",
        100,
        versions=versions,
        lanes=[LaneState(number, name, name, form=name) for number, name in enumerate(NAMES)],
        cells=[CellChange(version.hash, "6m", [sorted(raw(0, text) for text in texts)]) for version in versions],
        keys=[(key_id(text), text) for text in texts],
        dead_letters=[DeadLetter(number, name, 1, 0, name, name) for number, name in enumerate(NAMES)],
        counters=dict.fromkeys(NAMES, 1),
        tallies={TallyKey(name, reason): 1 for name in NAMES for reason in NAMES},
    )


def test_every_database_gives_the_same_dump_to_the_byte(store_url: str) -> None:
    with open_store() as temporary, open_store(store_url) as store:
        for name in NAMES:
            changes = mixed_commit()
            changes.reader = name
            temporary.commit(changes)
            store.commit(changes)
        assert dumped(store) == dumped(temporary)
        assert store.tallies("a") == temporary.tallies("a")
        assert list(store.cells("00", "6m")) == list(temporary.cells("00", "6m"))


def test_the_dump_says_bytes_and_maps_with_numbers_for_keys(store_url: str) -> None:
    states = pack_blob([b"\xff", {1: 2}, {"a": [b"\0"]}, str(2**100)])
    with open_store(store_url) as store:
        cell = (0, key_id("[]"), 1, 1, 5, pack_blob({"pdd": 3}), states)
        store.commit(Commit("report", 1, versions=[CALLS], cells=[change(cell)], keys=[(key_id("[]"), "[]")]))
        row = json.loads(dumped(store).splitlines()[-1])["cell"]
    assert row["states"] == [{"hex": "ff"}, [[1, 2]], {"a": [{"hex": "00"}]}, str(2**100)]
    assert (row["late"], row["revision"], row["wrong"]) == (1, 5, {"pdd": 3})


def test_forgotten_ids_are_gone(store_url: str) -> None:
    with open_store(store_url) as store:
        store.commit(full_commit())
        store.commit(Commit("report", 11, ids=[IdChunk(2, b"c" * 16)], forget_blocks=1))
        assert list(store.ids("report")) == [IdChunk(1, b"b" * 32), IdChunk(2, b"c" * 16)]


def test_reading_goes_on_while_commits_are_made(store_url: str) -> None:
    cells = [raw(start, "[]") for start in range(9000)]
    with open_store(store_url) as store:
        store.commit(Commit("report", 1, versions=[CALLS], cells=[change(*cells)], keys=[(key_id("[]"), "[]")]))
        seen = 0
        for batch in store.cells(CALLS.hash, "6m"):
            store.commit(Commit("report", seen))
            seen += len(batch)
        assert seen == 9000


def test_commits_and_reads_may_come_from_any_thread(store_url: str) -> None:
    with open_store(store_url) as store, ThreadPoolExecutor(4) as pool:
        list(pool.map(store.commit, [Commit(f"reader-{n}", n, counters={"events": n}) for n in range(12)]))
        found = list(pool.map(lambda n: store.counters(f"reader-{n}"), range(12)))
        assert found == [{"events": n} for n in range(12)]


def test_a_temporary_store_is_deleted_when_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = open_store()
    store.commit(full_commit())
    assert list(tmp_path.iterdir())
    store.close()
    store.close()
    assert not list(tmp_path.iterdir())
