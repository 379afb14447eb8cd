"""A store as schema 1 had it, made from frozen text and not by this program: what an upgrade finds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import psycopg

from streamgauge.store.base import key_id, pack_blob

SQLITE = """
CREATE TABLE cell (version INTEGER NOT NULL, every TEXT NOT NULL, start BIGINT NOT NULL, "key" BLOB NOT NULL, events
    BIGINT NOT NULL, late BIGINT NOT NULL, revision BIGINT, wrong BLOB, states BLOB NOT NULL, PRIMARY KEY (version,
    every, start, "key")) WITHOUT ROWID;
CREATE TABLE counter (reader TEXT NOT NULL, name TEXT NOT NULL, value BIGINT NOT NULL, PRIMARY KEY (reader, name))
    WITHOUT ROWID;
CREATE TABLE dead_letter (reader TEXT NOT NULL, position BIGINT NOT NULL, lane TEXT NOT NULL, line BIGINT NOT NULL,
    "offset" BIGINT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, "column" BIGINT NOT NULL, data BLOB NOT
    NULL, length BIGINT NOT NULL, PRIMARY KEY (reader, position));
CREATE TABLE "key" (id BLOB NOT NULL, text TEXT NOT NULL, PRIMARY KEY (id)) WITHOUT ROWID;
CREATE TABLE lane (reader TEXT NOT NULL, number BIGINT NOT NULL, name TEXT NOT NULL, identity TEXT NOT NULL, cursor
    BIGINT NOT NULL, line BIGINT NOT NULL, time_unit TEXT NOT NULL, form TEXT NOT NULL, mark TEXT NOT NULL, PRIMARY
    KEY (reader, number)) WITHOUT ROWID;
CREATE TABLE meta (name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (name)) WITHOUT ROWID;
CREATE TABLE reader (name TEXT NOT NULL, position BIGINT NOT NULL, blocks BIGINT NOT NULL, book TEXT NOT NULL, letters
    BIGINT NOT NULL, letter_bytes BIGINT NOT NULL, PRIMARY KEY (name)) WITHOUT ROWID;
CREATE TABLE reader_version (reader TEXT NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (reader, version)) WITHOUT
    ROWID;
CREATE TABLE seen_id (reader TEXT NOT NULL, block BIGINT NOT NULL, ids BLOB NOT NULL, PRIMARY KEY (reader, block));
CREATE TABLE tally (reader TEXT NOT NULL, lane TEXT NOT NULL, reason TEXT NOT NULL, minute_ms BIGINT NOT NULL, value
    BIGINT NOT NULL, PRIMARY KEY (reader, lane, reason, minute_ms)) WITHOUT ROWID;
CREATE TABLE version (id INTEGER NOT NULL, name TEXT NOT NULL, hash TEXT NOT NULL, definition TEXT NOT NULL, PRIMARY
    KEY (id)) WITHOUT ROWID;
"""

POSTGRESQL = """
CREATE TABLE cell (version INTEGER NOT NULL, every TEXT COLLATE "C" NOT NULL, start BIGINT NOT NULL, key BYTEA NOT
    NULL, events BIGINT NOT NULL, late BIGINT NOT NULL, revision BIGINT, wrong BYTEA, states BYTEA NOT NULL, PRIMARY
    KEY (version, every, start, key));
CREATE TABLE counter (reader TEXT NOT NULL, name TEXT NOT NULL, value BIGINT NOT NULL, PRIMARY KEY (reader, name));
CREATE TABLE dead_letter (reader TEXT NOT NULL, position BIGINT NOT NULL, lane TEXT NOT NULL, line BIGINT NOT NULL,
    "offset" BIGINT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, "column" BIGINT NOT NULL, data BYTEA NOT
    NULL, length BIGINT NOT NULL, PRIMARY KEY (reader, position));
CREATE TABLE key (id BYTEA NOT NULL, text TEXT COLLATE "C" NOT NULL, PRIMARY KEY (id));
CREATE TABLE lane (reader TEXT NOT NULL, number BIGINT NOT NULL, name TEXT NOT NULL, identity TEXT NOT NULL, cursor
    BIGINT NOT NULL, line BIGINT NOT NULL, time_unit TEXT NOT NULL, form TEXT NOT NULL, mark TEXT NOT NULL, PRIMARY
    KEY (reader, number));
CREATE TABLE meta (name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (name));
CREATE TABLE reader (name TEXT NOT NULL, position BIGINT NOT NULL, blocks BIGINT NOT NULL, book TEXT NOT NULL, letters
    BIGINT NOT NULL, letter_bytes BIGINT NOT NULL, PRIMARY KEY (name));
CREATE TABLE reader_version (reader TEXT NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (reader, version));
CREATE TABLE seen_id (reader TEXT NOT NULL, block BIGINT NOT NULL, ids BYTEA NOT NULL, PRIMARY KEY (reader, block));
CREATE TABLE tally (reader TEXT NOT NULL, lane TEXT NOT NULL, reason TEXT NOT NULL, minute_ms BIGINT NOT NULL, value
    BIGINT NOT NULL, PRIMARY KEY (reader, lane, reason, minute_ms));
CREATE TABLE version (id INTEGER NOT NULL, name TEXT NOT NULL, hash TEXT NOT NULL, definition TEXT NOT NULL, PRIMARY
    KEY (id));
"""

# Lane names as schema 1 escaped them: a lone surrogate and NUL.
ROWS: dict[str, list[tuple[Any, ...]]] = {
    "meta": [("format", "streamgauge"), ("schema", "1"), ("store", "0" * 32)],
    "version": [(1, "calls", "c0ffee", '{"every":["6m"]}')],
    "reader": [("report", 10, 2, '{"watermark":5}', 1, 3)],
    "reader_version": [("report", 1)],
    "lane": [("report", 0, "a\\udc80\\x00.jsonl", "sum:17", 120, 4, "ms", "ndjson", '{"newest":7}')],
    "key": [(key_id("[]"), "[]")],
    "cell": [(1, "6m", 0, key_id("[]"), 4, 1, 3, pack_blob({"pdd": 1}), pack_blob([4]))],
    "seen_id": [("report", 0, b"a" * 16)],
    "dead_letter": [("report", 3, "a\\udc80.jsonl", 4, 99, "not JSON", "", 7, b"{\0\xff", 3)],
    "tally": [("report", "a", "not JSON", 0, 1)],
    "counter": [("report", "events", 4)],
}


def make_schema_1(url: str) -> None:
    """Make a store of schema 1, with something of everything, in an empty database."""
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
            connection.executescript(SQLITE)
            connection.execute("PRAGMA journal_mode=WAL")
            _fill(connection.executemany, "?")
    else:
        with psycopg.connect(url) as server:
            server.execute(POSTGRESQL.encode())
            _fill(server.cursor().executemany, "%s")


def _fill(executemany: Any, mark: str) -> None:
    for table, rows in ROWS.items():
        executemany(f"INSERT INTO {table} VALUES ({', '.join([mark] * len(rows[0]))})", rows)
