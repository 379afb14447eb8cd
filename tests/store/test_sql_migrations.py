"""A store of an older schema is brought to the present one, wholly or not at all; a newer one is left alone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text

from streamgauge.errors import StoreError
from streamgauge.event import DeadLetter
from streamgauge.store import open_store
from streamgauge.store.base import IdChunk, KeptLetter, LaneState, ReaderState, TallyKey, Version
from streamgauge.store.sql import SqlStore
from streamgauge.store.sql_schema import SCHEMA_VERSION
from tests.store.making import dumped, full_commit
from tests.store.schema1 import make_schema_1

CALLS = Version("calls", "c0ffee", {"every": ["6m"]})


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """What the database says, asked without our code."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        result = connection.execute(text(statement))
        rows = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows


def shape(url: str) -> dict[str, Any]:
    """The tables, their columns (in any order), and their primary keys."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    asked = inspect(engine)
    tables = {}
    for name in asked.get_table_names():
        columns = {c["name"]: (str(c["type"]), c["nullable"], str(c["default"])) for c in asked.get_columns(name)}
        tables[name] = columns, asked.get_pk_constraint(name)["constrained_columns"]
    engine.dispose()
    return tables


def schema_of(url: str) -> str:
    return str(query(url, "SELECT value FROM meta WHERE name = 'schema'")[0][0])


def test_everything_of_an_older_store_is_still_there(store_url: str) -> None:
    make_schema_1(store_url)
    with open_store(store_url) as store:
        lane = LaneState(0, "a\udc80\0.jsonl", "sum:17", 120, 4, "ms", "ndjson", {"newest": 7})
        assert store.load_reader("report") == ReaderState("report", 10, 2, {"watermark": 5}, (CALLS,), (lane,))
        letter = DeadLetter(3, "a\udc80.jsonl", 4, 99, "not JSON", "", 7, b"{\0\xff", 3)
        assert list(store.dead_letters("report")) == [letter]
        assert store.letter("report", 3) == KeptLetter(
            3, "a\udc80.jsonl", 4, 99, "not JSON", "", 7, b"{\0\xff", 3, source="a\udc80.jsonl"
        )
        assert list(store.ids("report")) == [IdChunk(0, b"a" * 16)]
        assert store.tallies("report") == {TallyKey("a", "not JSON", 0): 1}
        assert [row for batch in store.cells("c0ffee", "6m") for row in batch] == [(0, "[]", 4, 1, 3, {"pdd": 1}, [4])]
        store.commit(full_commit(20))
        assert store.counters("report")["events"] == 8


def test_a_migrated_store_looks_as_one_made_today(store_url: str, tmp_path: Path) -> None:
    make_schema_1(store_url)
    open_store(store_url).close()
    migrated = shape(store_url)
    if store_url.startswith("sqlite"):
        fresh = f"sqlite:///{tmp_path / 'fresh.db'}"
    else:
        query(store_url, "DROP SCHEMA public CASCADE")
        query(store_url, "CREATE SCHEMA public")
        fresh = store_url
    open_store(fresh).close()
    assert migrated == shape(fresh)


def test_its_dump_is_that_of_a_store_made_today(store_url: str) -> None:
    make_schema_1(store_url)
    with open_store(store_url) as store, open_store() as fresh:
        changes = full_commit()
        changes.reader = "live"
        store.commit(changes)
        fresh.commit(changes)
        mine = {line for line in dumped(store).splitlines() if '"live"' in line}
        assert mine == {line for line in dumped(fresh).splitlines() if '"live"' in line}
        assert json.loads(next(line for line in mine if line.startswith('{"lane"')))["lane"]["coverage"] == [
            [0, 5],
            [9, 12],
        ]


KILLED = """
import os, signal, sys
from streamgauge.store.sql import SqlStore

def kill(step):
    if step == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

SqlStore.open(sys.argv[1], step=kill)
"""


@pytest.mark.parametrize("step", ["migrating", "migrated"])
def test_a_migration_killed_has_not_been_and_is_made_again(store_url: str, step: str) -> None:
    make_schema_1(store_url)
    before = shape(store_url)
    done = subprocess.run([sys.executable, "-c", KILLED, store_url, step], check=False)
    assert done.returncode == -signal.SIGKILL
    assert shape(store_url) == before
    assert schema_of(store_url) == "1"
    with open_store(store_url) as store:
        assert store.counters("report") == {"events": 4}
    assert schema_of(store_url) == str(SCHEMA_VERSION)


def test_making_tables_killed_has_not_been_and_is_done_again(store_url: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, store_url, "created"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert shape(store_url) == {}
    open_store(store_url).close()
    assert schema_of(store_url) == str(SCHEMA_VERSION)


def test_who_only_reads_never_migrates(store_url: str) -> None:
    make_schema_1(store_url)
    with pytest.raises(StoreError, match=r"older streamgauge \(schema 1, this one reads 2\); `streamgauge run`"):
        SqlStore.open_read_only(store_url)
    assert schema_of(store_url) == "1"


def test_a_store_from_the_future_is_refused_with_both_versions(store_url: str) -> None:
    open_store(store_url).close()
    query(store_url, "UPDATE meta SET value = '7' WHERE name = 'schema'")
    for opening in (SqlStore.open, SqlStore.open_read_only):
        with pytest.raises(StoreError, match=r"newer streamgauge \(schema 7, this one knows 2\); upgrade"):
            opening(store_url)
    assert schema_of(store_url) == "7"


IMPORTED = """
import sys
from streamgauge.store import open_store
from streamgauge.store.base import Commit
with open_store(sys.argv[1]) as store:
    store.commit(Commit("report", 1))
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"alembic", "psycopg", "mako"}))
print("sqlalchemy.dialects.postgresql" in sys.modules)
"""


def test_alembic_is_imported_only_to_migrate_and_a_file_needs_no_driver_of_a_server(tmp_path: Path) -> None:
    def imported() -> list[str]:
        command = [sys.executable, "-c", IMPORTED, str(tmp_path / "s.db")]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

    make_schema_1(f"sqlite:///{tmp_path / 's.db'}")
    assert imported() == ["alembic mako", "True"]
    assert imported() == ["", "False"]


def test_the_last_migration_is_the_present_schema() -> None:
    from streamgauge.store import migrations

    assert sorted(migrations._MIGRATIONS) == list(range(2, SCHEMA_VERSION + 1))
