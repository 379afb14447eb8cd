from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from streamgauge.store.sql import SqlStore
from tests.exactly_once.trial import Trial, dump, finish, sending, settle, trial
from tests.store.schema1 import make_schema_1


@pytest.mark.parametrize("step", ["migrating", "migrated"])
def test_killed_while_an_old_store_is_brought_up_to_date(step: str, tmp_path: Path) -> None:
    with trial(tmp_path / "run") as one, sending(one) as threads:
        _old_store(one)
        for _ in range(2):
            assert not one.start(step)
            one.wait_dead()
            assert _schema(one) == "1", "half a migration was committed"
        one.start()
        settle(one, threads)
        one.kill()
        assert _schema(one) == "2"
        with SqlStore.open(one.store) as store:
            ours = _rows_of_report(dump(store))
        make_schema_1(f"sqlite:///{tmp_path / 'other.db'}")
        with SqlStore.open(tmp_path / "other.db") as store:
            assert ours == _rows_of_report(dump(store))
        assert len(ours) > 5


def test_killed_after_a_migration_it_goes_on(tmp_path: Path) -> None:
    with trial(tmp_path / "run") as one, sending(one) as threads:
        one.start("before_commit", 3)
        one.wait_dead()
        _make_old(one)
        assert not one.start("migrated")
        one.wait_dead()
        one.start("committed", 2)
        one.wait_dead()
        finish(one, threads)


def _old_store(one: Trial) -> None:
    one.store.parent.mkdir()
    make_schema_1(f"sqlite:///{one.store}")


def _make_old(one: Trial) -> None:
    """The store as schema 1 would have it. What it did not know yet is lost, and found again in the log."""
    with closing(sqlite3.connect(one.store)) as connection, connection:
        for column in ("source", "received_ms", "state"):
            connection.execute(f"ALTER TABLE dead_letter DROP COLUMN {column}")
        connection.execute("ALTER TABLE lane DROP COLUMN coverage")
        connection.execute("UPDATE meta SET value = '1' WHERE name = 'schema'")


def _schema(one: Trial) -> str:
    with closing(sqlite3.connect(one.store)) as connection:
        [[found]] = connection.execute("SELECT value FROM meta WHERE name = 'schema'")
    return str(found)


def _rows_of_report(text: str) -> list[str]:
    """The rows of a reader that took no part, and cells and versions of its."""
    rows = [(line, next(iter(json.loads(line).items()))) for line in text.splitlines()]
    return [line for line, (_, row) in rows if row.get("reader", row.get("name")) == "report" or _is_old(row)]


def _is_old(row: dict[str, object]) -> bool:
    return row.get("hash") == "c0ffee"
