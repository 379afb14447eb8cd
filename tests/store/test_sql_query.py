"""Reading a store that others write: bounded, interrupted in time, and never written."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from streamgauge.clock import SystemClock
from streamgauge.errors import StoreError
from streamgauge.event import MAX_TIME_MS, MIN_TIME_MS, NEVER, DeadLetter
from streamgauge.store import open_store
from streamgauge.store.base import (
    CellChange,
    Commit,
    LaneState,
    LetterFilter,
    RawCell,
    TallyKey,
    Version,
    key_id,
    key_text,
    pack_blob,
)
from streamgauge.store.sql_query import SqlReadings
from tests.servers.postgres import Postgres, postgres  # noqa: F401

KEYS = [key_text((k,)) for k in ("a", "b", "c%_", "\u00e9", None)]
HOUR = 3_600_000


def changes(hours: int = 5, keys: list[str] = KEYS, position: int = 7) -> Commit:
    """Cells of every key in every hour; the events of a cell name it."""
    cells: list[RawCell] = []
    for hour in range(hours):
        for n, text in enumerate(keys):
            wrong = pack_blob({"f": 1}) if n == 1 else None
            cells.append((hour * HOUR, key_id(text), hour * 10 + n, 0, None, wrong, pack_blob([hour, str(2**70), n])))
    return Commit(
        "live",
        position,
        blocks=3,
        book={"lanes": {"watermark": 5}},
        versions=[Version("s", "v1")],
        lanes=[LaneState(0, "one", coverage=((0, 9), (20, 30)))],
        cells=[CellChange("v1", "1h", [sorted(cells, key=lambda c: (c[0], c[1]))])],
        keys=sorted((key_id(text), text) for text in keys),
        dead_letters=[DeadLetter(n, "one", n, 0, "not JSON" if n % 2 else "no time", data=b"x") for n in range(4)],
        counters={"events": 9},
        tallies={
            TallyKey("one", "not JSON", 60_000): 2,
            TallyKey("two", "not JSON"): 3,
            TallyKey("one", "duplicate", 0): 1,
        },
    )


@contextmanager
def readings(where: str | Path, commit: Commit | None = None) -> Iterator[SqlReadings]:
    with open_store(where) as store:
        store.commit(commit or changes())
    found = SqlReadings.open(where, SystemClock())
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlReadings]:
    """The same cells in each database."""
    if request.param == "sqlite":
        with readings(tmp_path / "s.db") as found:
            yield found
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.database() as url, readings(url) as found:
        yield found


def places(batch: Any) -> list[tuple[int, str]]:
    return list(zip(batch.starts, batch.keys, strict=True))


def test_cells_come_by_start_then_key_from_a_place_on(opened: SqlReadings) -> None:
    every = [(hour * HOUR, text) for hour in range(5) for text in sorted(KEYS)]
    backwards = [(hour * HOUR, text) for hour in reversed(range(5)) for text in sorted(KEYS)]
    with opened.within(10) as reads:
        assert places(reads.cells("v1", "1h", (), 100)) == every
        assert places(reads.cells("v1", "1h", (), 3, after=every[3])) == every[4:7]
        assert places(reads.cells("v1", "1h", (), 3, after=backwards[6], descending=True)) == backwards[7:10]
        assert places(reads.cells("v1", "1h", (), 100, HOUR, 3 * HOUR)) == every[5:15]
        assert len(reads.cells("v1", "6m", (), 100)) == len(reads.cells("v2", "1h", (), 100)) == 0


def test_cells_have_the_states_that_are_asked_for(opened: SqlReadings) -> None:
    from streamgauge.aggregates.states import Add, Sum

    with opened.within(10) as reads:
        found = reads.cells("v1", "1h", [(2, Add()), (1, Sum())], 2, HOUR)
    assert (list(found.events), found.late, found.revisions) == (
        [10 + KEYS.index(k) for k in found.keys],
        (0, 0),
        (None, None),
    )
    assert [list(column) for column in found.states] == [[KEYS.index(k) for k in found.keys], [2**70, 2**70]]
    with opened.within(10) as reads:
        (wrong,) = reads.cells("v1", "1h", (), 1, ids=[key_id(KEYS[1])]).wrong
    assert wrong == {"f": 1}


def test_keys_by_id_and_by_what_is_in_their_text(opened: SqlReadings) -> None:
    with opened.within(10) as reads:
        assert {k for _, k in places(reads.cells("v1", "1h", (), 99, ids=[key_id(KEYS[0]), b"none"]))} == {KEYS[0]}
        assert {k for _, k in places(reads.cells("v1", "1h", (), 99, containing=[['"a"', "null"]]))} == {
            KEYS[0],
            KEYS[4],
        }
        assert {k for _, k in places(reads.cells("v1", "1h", (), 99, containing=[["%_"]]))} == {KEYS[2]}
        assert reads.known([key_id(KEYS[3]), b"none"]) == {key_id(KEYS[3]): KEYS[3]}


def test_keys_and_the_newest_cell_of_each(opened: SqlReadings) -> None:
    with opened.within(10) as reads:
        assert reads.keys("v1", "1h", 99, stop=2 * HOUR) == [(text, HOUR) for text in sorted(KEYS)]
        assert reads.keys("v1", "1h", 2, after=sorted(KEYS)[1]) == [(text, 4 * HOUR) for text in sorted(KEYS)[2:4]]
        assert places(reads.latest("v1", "1h", (), 3)) == [(4 * HOUR, text) for text in sorted(KEYS)[:3]]
        assert len(reads.latest("v1", "1h", (), 9, since=5 * HOUR)) == 0


def test_the_nearest_window_with_a_cell(opened: SqlReadings) -> None:
    with opened.within(10) as reads:
        assert (reads.next_start("v1", "1h", MIN_TIME_MS), reads.next_start("v1", "1h", 1)) == (0, HOUR)
        assert reads.next_start("v1", "1h", MAX_TIME_MS, descending=True) == 4 * HOUR
        assert reads.next_start("v1", "1h", 4 * HOUR + 1) is None
        assert reads.count("v1", "1h") == 25


def test_what_the_reader_says(opened: SqlReadings) -> None:
    with opened.within(10) as reads:
        assert reads.standing("live") == (7, 3, {"lanes": {"watermark": 5}})
        assert reads.standing("nobody") == (0, 0, {})
        assert [(lane.name, lane.coverage) for lane in reads.lanes("live")] == [("one", ((0, 9), (20, 30)))]
        assert reads.counters("live") == {"events": 9}


def test_tallies_of_a_range_and_those_of_no_known_minute(opened: SqlReadings) -> None:
    with opened.within(10) as reads:
        assert reads.tallies("live") == {("not JSON", True): 2, ("not JSON", False): 3, ("duplicate", True): 1}
        assert reads.tallies("live", 60_001, 60_002) == {("not JSON", True): 2, ("not JSON", False): 3}
        assert reads.tallies("live", 120_000) == {("not JSON", False): 3}
    assert NEVER < MIN_TIME_MS


def test_dead_letters_by_position(opened: SqlReadings) -> None:
    with opened.within(10) as reads:
        assert [letter.position for letter in reads.find_letters("live", after=0, limit=2)] == [1, 2]
        assert [x.position for x in reads.find_letters("live", LetterFilter(reason="no time"))] == [0, 2]
        assert [x.position for x in reads.find_letters("live", LetterFilter(source="two"))] == []
        found = reads.letter("live", 3)
        assert found is not None
        assert (found.data, found.source, found.state) == (b"x", "one", "new")
        assert reads.letter("live", 9) is None


def test_one_read_sees_one_state_while_another_program_writes(tmp_path: Path) -> None:
    where = tmp_path / "s.db"
    with open_store(where) as store:
        store.commit(changes(hours=1))
        found = SqlReadings.open(where, SystemClock())
        with found.within(10) as reads:
            before = reads.standing("live")
            store.commit(changes(hours=2, position=8))
            assert (reads.standing("live"), len(reads.cells("v1", "1h", (), 99))) == (before, 5)
        with found.within(10) as reads:
            assert (reads.standing("live")[0], len(reads.cells("v1", "1h", (), 99))) == (8, 10)
        found.close()


@pytest.mark.parametrize("sql", ["DELETE FROM cell", "CREATE TABLE t (x)", "INSERT INTO meta VALUES ('a', 'b')"])
def test_nothing_can_be_written(tmp_path: Path, sql: str) -> None:
    with readings(tmp_path / "s.db") as found, pytest.raises(StoreError, match="readonly"), found.within(10) as reads:
        reads._connection.exec_driver_sql(sql)


def test_nothing_can_be_written_in_postgresql(postgres: Postgres) -> None:  # noqa: F811
    refused = pytest.raises(StoreError, match="read-only")
    with postgres.database() as url, readings(url) as found, refused, found.within(10) as reads:
        reads._connection.exec_driver_sql("DELETE FROM cell")


def test_the_database_is_interrupted_when_the_time_is_up(tmp_path: Path) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    with readings(tmp_path / "s.db") as found:
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=r"stopped after 0\.2 s"), found.within(0.2) as reads:
            reads._connection.exec_driver_sql(endless)
        assert 0.15 < time.monotonic() - began < 2
        with found.within(10) as reads:  # the connection is good for the next
            assert reads.count("v1", "1h") == 25


def test_postgresql_is_interrupted_when_the_time_is_up(postgres: Postgres) -> None:  # noqa: F811
    with postgres.database() as url, readings(url) as found:
        began = time.monotonic()
        with pytest.raises(TimeoutError), found.within(0.2) as reads:
            reads._connection.exec_driver_sql("SELECT pg_sleep(20)")
        assert time.monotonic() - began < 5
        with found.within(10) as reads:
            assert reads.count("v1", "1h") == 25


def test_nothing_more_is_asked_when_the_time_is_up(tmp_path: Path) -> None:
    with readings(tmp_path / "s.db") as found, found.within(0.01) as reads:
        time.sleep(0.02)
        with pytest.raises(TimeoutError, match="the time is up"):
            reads.count("v1", "1h")


def test_a_limit_stops_reading_early(tmp_path: Path) -> None:
    """The work is that of the rows asked for, not of the rows there are."""
    r = random.Random(1)
    keys = sorted(key_text((f"k{r.random()}",)) for _ in range(40))
    with readings(tmp_path / "s.db", changes(2000, keys)) as found, found.within(10) as reads:
        raw = reads._connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)

        def steps(limit: int) -> int:
            count = 0

            def step() -> int:
                nonlocal count
                count += 1
                return 0

            raw.set_progress_handler(step, 100)
            assert len(reads.cells("v1", "1h", (), limit)) == limit
            return count

        assert steps(10) * 100 < steps(40_000)


def test_many_threads_read_at_once(tmp_path: Path) -> None:
    with readings(tmp_path / "s.db") as found:
        counts: list[int] = []

        def read() -> None:
            for _ in range(20):
                with found.within(10) as reads:
                    counts.append(reads.count("v1", "1h"))

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counts == [25] * 160


def test_what_is_no_store_is_said(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as raw:
        raw.execute("CREATE TABLE meta (name, value)")
    raw.close()
    text = tmp_path / "text.db"
    text.write_text("no database" * 100)
    for path, problem in (
        (tmp_path / "none.db", "there is no store"),
        (tmp_path, "there is no store"),
        (foreign, "is no streamgauge store"),
        (text, "file is not a database"),
        ("mysql://x/y", "mysql is not supported"),
        ("sqlite://", "names no file"),
    ):
        with pytest.raises(StoreError, match=problem):
            SqlReadings.open(path, SystemClock())


@pytest.mark.parametrize(("schema", "problem"), [("999", "newer streamgauge"), ("0", "older streamgauge")])
def test_a_store_of_another_version_is_refused(tmp_path: Path, schema: str, problem: str) -> None:
    where = tmp_path / "s.db"
    with open_store(where) as store:
        store.commit(changes())
    with sqlite3.connect(where) as raw:
        raw.execute("UPDATE meta SET value = ? WHERE name = 'schema'", (schema,))
    raw.close()
    with pytest.raises(StoreError, match=problem):
        SqlReadings.open(where, SystemClock())


def test_a_path_with_every_odd_character(tmp_path: Path) -> None:
    folder = tmp_path / "a ?b#c%20d"
    folder.mkdir()
    with readings(folder / "s&t.db") as found, found.within(10) as reads:
        assert reads.count("v1", "1h") == 25
