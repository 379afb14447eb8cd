"""A temporary store says what a database would say, and becomes one when cells are committed."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from streamgauge.event import DeadLetter
from streamgauge.store import base, open_store, sql_letters
from streamgauge.store.base import CellChange, Commit, IdChunk, Store, TallyKey, Version, key_id, pack_blob
from streamgauge.store.temporary import TemporaryStore

CALLS = Version("calls", "ab" * 16)


def letters(first: int, sizes: list[int]) -> list[DeadLetter]:
    return [DeadLetter(first + i, "a", i, 0, "not JSON", data=b"x" * n, length=n) for i, n in enumerate(sizes)]


def plain(position: int, sizes: list[int]) -> Commit:
    return Commit(
        "report",
        position,
        versions=[CALLS],
        dead_letters=letters(position, sizes),
        ids=[IdChunk(position, b"i" * 16)],
        counters={"events": 3, "late:calls:6m": 0},
        tallies={TallyKey("b", "duplicate"): 1, TallyKey("a", "not JSON"): len(sizes)},
    )


def with_cells(position: int) -> Commit:
    cell = (0, key_id('["k"]'), 1, 0, None, None, pack_blob([position]))
    change = CellChange(CALLS.hash, "6m", [[cell]])
    return Commit("report", position, versions=[CALLS], cells=[change], keys=[(key_id('["k"]'), '["k"]')])


def said(store: Store) -> tuple[object, ...]:
    return (
        store.counters("report"),
        store.tallies("report"),
        list(store.dead_letters("report")),
        list(store.ids("report")),
        list(store.cells(CALLS.hash, "6m")),
        store.extent(CALLS.hash, "6m"),
        store.last_start(CALLS.hash, "6m"),
        store.window_keys(CALLS.hash, "6m", [0]),
        store.counters("another"),
    )


def dumped(store: Store) -> str:
    out = io.StringIO()
    store.dump(out)
    return out.getvalue()


@pytest.mark.parametrize("spills", [False, True])
def test_it_says_what_a_database_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spills: bool) -> None:
    for module in (base, sql_letters):
        monkeypatch.setattr(module, "MAX_DEAD_LETTERS", 4)
        monkeypatch.setattr(module, "MAX_DEAD_LETTER_BYTES", 10)
    commits = [plain(1, [4, 4]), plain(10, [3, 1]), *([with_cells(20)] if spills else []), plain(30, [3, 1, 1])]
    with open_store() as temporary, open_store(tmp_path / "s.db") as database:
        assert isinstance(temporary, TemporaryStore)
        for commit in commits:
            temporary.commit(commit)
            database.commit(commit)
            assert said(temporary) == said(database)
        assert dumped(temporary) == dumped(database) != ""


def test_a_report_whose_cells_fit_into_memory_opens_no_database(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"topic": "t", "time": 1700000000000}\n{\n')
    code = (
        "import sys, streamgauge\n"
        "with streamgauge.report(sys.argv[1]) as r:\n"
        "    assert r.rows('volume')[0]['count'] == 1 and len(list(r.dead_letters())) == 1\n"
        "assert 'sqlalchemy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
