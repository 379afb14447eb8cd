"""The SQL store: one transaction or nothing, everything survives, and who may open it."""

from __future__ import annotations

import io
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from streamgauge.errors import StoreError
from streamgauge.event import NEVER, DeadLetter
from streamgauge.store import base, open_store
from streamgauge.store.base import (
    ALL_TEXT,
    OTHER_TEXT,
    CellChange,
    Commit,
    IdChunk,
    LaneState,
    RawCell,
    ReaderState,
    Store,
    StoredCell,
    TallyKey,
    Version,
    key_id,
    key_text,
    pack_blob,
)

CALLS = Version("calls", "c0ffee", {"every": ["6m"]})
KEYS = (None, "null", "all", "", "\0", "🐟\ud800", "x" * 10_000)
TEXTS = (ALL_TEXT, OTHER_TEXT, *(key_text([key]) for key in KEYS))


def raw(start: int, text: str, events: int = 1) -> RawCell:
    return start, key_id(text), events, 0, None, None, pack_blob([events])


def change(*cells: RawCell, every: str = "6m") -> CellChange:
    return CellChange(CALLS.hash, every, [sorted(cells)])


def full_commit(position: int = 10) -> Commit:
    """Something of everything."""
    return Commit(
        reader="report",
        position=position,
        blocks=2,
        book={"watermark": 5},
        versions=[CALLS],
        lanes=[LaneState(0, "a\udc80\0.jsonl", "sum:17", 120, 4, "ms", "ndjson", {"newest": 7})],
        cells=[change(*(raw(0, text) for text in TEXTS))],
        keys=[(key_id(text), text) for text in TEXTS],
        dead_letters=[DeadLetter(3, "a", 4, 99, "not JSON", "a \0 and \ud800", 7, b"{\0\xff", 3)],
        ids=[IdChunk(0, b"a" * 16), IdChunk(1, b"b" * 32)],
        counters={"events": 4, "wrong.pdd": 1},
        tallies={TallyKey("a", "not JSON"): 1},
    )


def dumped(store: Store) -> str:
    out = io.StringIO()
    store.dump(out)
    return out.getvalue()


def test_an_unknown_reader_stands_at_the_beginning() -> None:
    with open_store() as store:
        assert store.load_reader("report") == ReaderState("report")
        assert store.last_start("c0ffee", "6m") == NEVER
        assert store.extent("c0ffee", "6m") is None


def test_everything_committed_is_there_after_a_restart(tmp_path: Path) -> None:
    path, given = tmp_path / "s.db", full_commit()
    with open_store(path) as store:
        store.commit(given)
        before = dumped(store)
    with open_store(f"sqlite:///{path}") as store:
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


def test_counters_and_tallies_are_added_and_the_rest_is_replaced() -> None:
    with open_store() as store:
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


def test_readers_do_not_see_one_another() -> None:
    with open_store() as store:
        store.commit(full_commit())
        other = Commit("other", 1, versions=[Version("legs", "beef")], counters={"events": 1})
        store.commit(other)
        assert store.counters("other") == {"events": 1}
        assert store.load_reader("report").versions == (CALLS,)
        assert list(store.dead_letters("other")) == []


def test_many_cells_are_found_by_key_over_several_questions() -> None:
    cells = [raw(start, key_text([key]), start + 1) for start in range(30) for key in range(30)]
    with open_store() as store:
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


def test_an_exception_in_the_middle_of_a_commit_leaves_nothing_of_it() -> None:
    with open_store() as store:
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


def test_a_killed_process_leaves_its_last_commit_and_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    with open_store(path) as store:
        assert store.load_reader("report").position == 1
        assert [row.events for batch in store.cells("c0ffee", "6m") for row in batch] == [1]


def test_the_dump_has_neither_surrogate_numbers_nor_the_stores_own_name(tmp_path: Path) -> None:
    versions = [CALLS, Version("legs", "beef")]
    texts = []
    for order in (versions, versions[::-1]):
        with open_store() as store:
            store.commit(Commit("report", 1, versions=order, cells=[change(raw(0, "[]"))], keys=[(key_id("[]"), "[]")]))
            texts.append(dumped(store))
    assert texts[0] == texts[1]
    cell = {"hash": "c0ffee", "every": "6m", "start": 0, "text": "[]", "events": 1, "late": 0, "revision": None}
    assert json.loads(texts[0].splitlines()[-1]) == {"cell": {**cell, "wrong": None, "states": [1]}}


def test_the_dump_says_bytes_and_maps_with_numbers_for_keys() -> None:
    states = pack_blob([b"\xff", {1: 2}, {"a": [b"\0"]}, str(2**100)])
    with open_store() as store:
        cell = (0, key_id("[]"), 1, 1, 5, pack_blob({"pdd": 3}), states)
        store.commit(Commit("report", 1, versions=[CALLS], cells=[change(cell)], keys=[(key_id("[]"), "[]")]))
        row = json.loads(dumped(store).splitlines()[-1])["cell"]
    assert row["states"] == [{"hex": "ff"}, [[1, 2]], {"a": [{"hex": "00"}]}, str(2**100)]
    assert (row["late"], row["revision"], row["wrong"]) == (1, 5, {"pdd": 3})


def letters(count: int, size: int, first: int = 0) -> list[DeadLetter]:
    return [DeadLetter(first + i, "a", i, 0, "not JSON", data=b"x" * size, length=size) for i in range(count)]


@pytest.mark.parametrize("cut", [0, 1, 3, 5, 6])
def test_the_first_dead_letters_are_kept_wherever_commits_fall(monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    from streamgauge.store import sql

    monkeypatch.setattr(sql, "MAX_DEAD_LETTERS", 4)
    monkeypatch.setattr(sql, "MAX_DEAD_LETTER_BYTES", 10)
    given = [*letters(2, 4), *letters(1, 3, 2), *letters(3, 1, 3)]
    with open_store() as store:
        for part in (given[:cut], given[cut:]):
            store.commit(Commit("report", 1, dead_letters=part))
        assert [letter.position for letter in store.dead_letters("report")] == [0, 1, 3, 4]


def test_the_bounds_of_dead_letters_are_those_documented() -> None:
    assert (base.MAX_DEAD_LETTERS, base.MAX_DEAD_LETTER_BYTES) == (10_000, 64 * 2**20)


def test_forgotten_ids_are_gone() -> None:
    with open_store() as store:
        store.commit(full_commit())
        store.commit(Commit("report", 11, ids=[IdChunk(2, b"c" * 16)], forget_blocks=1))
        assert list(store.ids("report")) == [IdChunk(1, b"b" * 32), IdChunk(2, b"c" * 16)]


def test_reading_goes_on_while_commits_are_made(tmp_path: Path) -> None:
    cells = [raw(start, "[]") for start in range(9000)]
    with open_store(tmp_path / "s.db") as store:
        store.commit(Commit("report", 1, versions=[CALLS], cells=[change(*cells)], keys=[(key_id("[]"), "[]")]))
        seen = 0
        for batch in store.cells(CALLS.hash, "6m"):
            store.commit(Commit("report", seen))
            seen += len(batch)
        assert seen == 9000


def test_a_temporary_store_is_deleted_when_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = open_store()
    store.commit(full_commit())
    assert list(tmp_path.iterdir())
    store.close()
    store.close()
    assert not list(tmp_path.iterdir())


def test_a_closed_store_leaves_one_file(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db") as store:
        store.commit(full_commit())
    assert [path.name for path in tmp_path.iterdir()] == ["s.db"]


def test_a_second_writer_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    program = "import sys; from streamgauge.store import open_store; open_store(sys.argv[1])"
    with open_store(path):
        with pytest.raises(StoreError, match="another streamgauge is writing it; wait"):
            open_store(path)
        second = subprocess.run([sys.executable, "-c", program, str(path)], check=False, capture_output=True, text=True)
        assert "StoreError" in second.stderr
    open_store(path).close()


def test_a_lock_file_left_behind_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "s.db.lock").touch()
    open_store(tmp_path / "s.db").close()


def _text_file(path: Path) -> None:
    path.write_text("not a database at all, but long enough to be one\n" * 100)


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE meta (id INTEGER, name TEXT)")
    connection.close()


def _newer(path: Path) -> None:
    open_store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '2' WHERE name = 'schema'")
    connection.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_text_file, "no streamgauge store; give another path"),
        (_foreign, "is a database of something else; give a path"),
        (_newer, "written by a newer streamgauge .schema 2, this one knows 1.; upgrade"),
        (Path.mkdir, "is a folder; name a file in it"),
    ],
)
def test_what_is_no_store_of_ours_is_refused_untouched(tmp_path: Path, make: object, message: str) -> None:
    path = tmp_path / "s.db"
    make(path)  # type: ignore[operator]
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StoreError, match=message):
        open_store(path)
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert not (tmp_path / "s.db.lock").exists()


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("/no/such/folder/s.db", "there is no folder /no/such/folder; make it first"),
        ("mysql://host/x", "mysql is not supported; use sqlite or postgresql"),
        ("sqlite://", "names no file; write sqlite:///store.db"),
        ("://", "is no URL; give a path"),
    ],
)
def test_a_place_that_cannot_hold_a_store_is_refused(where: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        open_store(where)


def test_a_full_disk_says_so_and_loses_only_that_commit(tmp_path: Path) -> None:
    from streamgauge.store.sql import SqlStore

    with SqlStore.open(tmp_path / "s.db") as store:
        store.commit(full_commit())
        before = dumped(store)
        with store._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 40")
        big = full_commit(20)
        big.dead_letters = letters(100, 10_000, 50)
        with pytest.raises(StoreError, match="full; free some room"):
            store.commit(big)
        assert dumped(store) == before


AS_ANOTHER_USER = """
import os, sys
from streamgauge.errors import StoreError
from streamgauge.store.sql_open import Opened

if os.geteuid() == 0:
    os.setuid(65534)
try:
    Opened(sys.argv[1])
except StoreError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("mode", "folder_mode", "message"),
    [(0o444, 0o755, "cannot be written; check its permissions"), (0o666, 0o555, "folder of a store must be writable")],
)
def test_a_store_that_may_not_be_written_is_refused(mode: int, folder_mode: int, message: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "s.db")
        open_store(path).close()
        path.chmod(mode)
        Path(folder).chmod(folder_mode)
        # Root may write anything, so it is tried as another user.
        command = [sys.executable, "-c", AS_ANOTHER_USER, str(path)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        Path(folder).chmod(0o755)
    assert message in done.stdout, done.stderr
