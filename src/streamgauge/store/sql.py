"""The store in SQL: SQLite on this machine, PostgreSQL where several processes read it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Connection, Table, delete, func, insert, select

from streamgauge.event import NEVER, DeadLetter
from streamgauge.store.base import (
    ALL_TEXT,
    MAX_DEAD_LETTER_BYTES,
    MAX_DEAD_LETTERS,
    OTHER_TEXT,
    CellChange,
    CellRow,
    Commit,
    Extent,
    IdChunk,
    LaneState,
    ReaderState,
    Store,
    StoredCell,
    TallyKey,
    Version,
    key_id,
    unpack_blob,
)
from streamgauge.store.sql_dump import write_dump
from streamgauge.store.sql_open import Opened, translated
from streamgauge.store.sql_schema import (
    CELL,
    COUNTER,
    DEAD_LETTER,
    KEY,
    LANE,
    READER,
    READER_VERSION,
    SEEN_ID,
    TALLY,
    VERSION,
    driver_sql,
    lookup,
    upsert,
)

_READ = 4096  # cells in one batch read
_ASK = 200  # (start, key id) pairs in one question
_NOWHERE = (NEVER, b"")
_FOLDED = [key_id(ALL_TEXT), key_id(OTHER_TEXT)]
_LETTER = ("position", "lane", "line", "offset", "reason", "detail", "column", "data", "length")


class SqlStore(Store):
    """A Store over SQLAlchemy Core. A temporary one (no path) is one file, deleted when closed."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._engine = opened.engine
        dialect = self._engine.dialect
        self._upsert_cell = driver_sql(upsert(CELL, dialect), dialect)
        self._insert_key = driver_sql(upsert(KEY, dialect, ignore=True), dialect)
        self._numbers: dict[str, int] = {}

    @cached_property
    def _lookup(self) -> str:
        return lookup(self._engine.dialect, _ASK)

    @classmethod
    def open(cls, where: str | Path | None = None) -> SqlStore:
        """Open, or make, the store at a path, ``sqlite:///path`` or ``postgresql+psycopg://``; None is temporary."""
        return cls(Opened(where))

    def close(self) -> None:
        self._opened.close()

    def commit(self, changes: Commit) -> None:
        """Write all of it in one transaction, or nothing.

        1. The reader's versions get their numbers.
        2. New keys, then changed cells, each sorted by its primary key.
        3. Lanes, ids, dead letters, tallies, counters.
        4. The reader's position, and the commit itself.
        """
        with translated(self._opened.where), self._engine.begin() as connection:
            numbers = self._number_versions(connection, changes)
            self._write_cells(connection, numbers, changes)
            self._write_reader(connection, changes)
        self._numbers = numbers

    def load_reader(self, name: str) -> ReaderState:
        with self._reading() as connection:
            row = connection.execute(select(READER).where(READER.c.name == name)).one_or_none()
            if row is None:
                return ReaderState(name)
            lanes = connection.execute(select(LANE).where(LANE.c.reader == name).order_by(LANE.c.number)).mappings()
            return ReaderState(
                name,
                row.position,
                row.blocks,
                json.loads(row.book),
                tuple(_versions(connection, name)),
                tuple(_lane(lane) for lane in lanes),
            )

    def cells(
        self, version: str, every: str, start: int | None = None, stop: int | None = None
    ) -> Iterator[list[CellRow]]:
        with self._reading() as connection:
            c = CELL.c
            columns = (c.start, KEY.c.text, c.events, c.late, c.revision, c.wrong, c.states)
            query = select(*columns).join(KEY, KEY.c.id == c.key).where(self._is(connection, version, every))
            if start is not None:
                query = query.where(c.start >= start)
            if stop is not None:
                query = query.where(c.start < stop)
            found = connection.execution_options(yield_per=_READ).execute(query.order_by(c.start, KEY.c.text))
            for rows in found.partitions():
                yield [CellRow(*row[:5], *_unpacked(row[5], row[6])) for row in rows]

    def load_cells(self, version: str, every: str, wanted: Sequence[tuple[int, bytes]]) -> Iterator[StoredCell]:
        ordered = sorted(wanted)
        with self._reading() as connection:
            which = (self._number(connection, version), every)
            for begin in range(0, len(ordered), _ASK):
                part = ordered[begin : begin + _ASK]
                # One statement for any number of pairs: the last ones ask for what cannot be there.
                asked = (*chain.from_iterable(part), *_NOWHERE * (_ASK - len(part)), *which)
                for row in connection.exec_driver_sql(self._lookup, asked):
                    wrong, states = _unpacked(row[5], row[6])
                    yield StoredCell(row[0], row[1], row[2], row[3], row[4], wrong, states)

    def window_keys(self, version: str, every: str, starts: Sequence[int]) -> dict[int, int]:
        found: dict[int, int] = {}
        with self._reading() as connection:
            named = self._is(connection, version, every) & CELL.c.key.not_in(_FOLDED)
            for begin in range(0, len(starts), _ASK):
                asked = CELL.c.start.in_(list(starts[begin : begin + _ASK]))
                query = select(CELL.c.start, func.count()).where(named, asked).group_by(CELL.c.start)
                found.update((start, count) for start, count in connection.execute(query))
        return found

    def last_start(self, version: str, every: str) -> int:
        with self._reading() as connection:
            last = connection.scalar(select(func.max(CELL.c.start)).where(self._is(connection, version, every)))
        return NEVER if last is None else int(last)

    def extent(self, version: str, every: str) -> Extent | None:
        c = CELL.c
        counts = (func.count(), func.count(c.start.distinct()), func.count(c.key.distinct()))
        with self._reading() as connection:
            query = select(func.min(c.start), func.max(c.start), *counts).where(self._is(connection, version, every))
            row = connection.execute(query).one()
        return Extent(*row) if row[2] else None

    def ids(self, reader: str) -> Iterator[IdChunk]:
        with self._reading() as connection:
            query = select(SEEN_ID.c.block, SEEN_ID.c.ids).where(SEEN_ID.c.reader == reader).order_by(SEEN_ID.c.block)
            for block, ids in connection.execute(query):
                yield IdChunk(block, bytes(ids))

    def dead_letters(self, reader: str) -> Iterator[DeadLetter]:
        c = DEAD_LETTER.c
        with self._reading() as connection:
            query = select(*(c[name] for name in _LETTER)).where(c.reader == reader).order_by(c.position)
            for row in connection.execution_options(yield_per=256).execute(query):
                yield DeadLetter(*row)

    def counters(self, reader: str) -> dict[str, int]:
        with self._reading() as connection:
            query = select(COUNTER.c.name, COUNTER.c.value).where(COUNTER.c.reader == reader)
            return dict(sorted((name, value) for name, value in connection.execute(query)))

    def tallies(self, reader: str) -> dict[TallyKey, int]:
        c = TALLY.c
        with self._reading() as connection:
            rows = connection.execute(select(c.lane, c.reason, c.minute_ms, c.value).where(c.reader == reader))
            return dict(sorted((TallyKey(*row[:3]), row[3]) for row in rows))

    def dump(self, out: TextIO) -> None:
        with self._reading() as connection:
            write_dump(connection, out)

    def _reading(self) -> _Reading:
        return _Reading(self._opened)

    def _is(self, connection: Connection, version: str, every: str) -> Any:
        return (CELL.c.version == self._number(connection, version)) & (CELL.c.every == every)

    def _number(self, connection: Connection, version: str) -> int:
        if version not in self._numbers:
            self._numbers = _numbers(connection)
        return self._numbers.get(version, -1)

    def _number_versions(self, connection: Connection, changes: Commit) -> dict[str, int]:
        numbers = _numbers(connection)
        for version in changes.versions:
            if version.hash not in numbers:
                numbers[version.hash] = len(numbers) + 1
                row = {"name": version.name, "hash": version.hash, "definition": _json(version.definition)}
                connection.execute(insert(VERSION), {"id": numbers[version.hash], **row})
            known = {"reader": changes.reader, "version": numbers[version.hash]}
            connection.execute(upsert(READER_VERSION, connection.dialect, ignore=True), known)
        return numbers

    def _write_cells(self, connection: Connection, numbers: Mapping[str, int], changes: Commit) -> None:
        if changes.keys:
            connection.exec_driver_sql(self._insert_key, list(changes.keys))
        for change in changes.cells:
            if change.version not in numbers:
                raise ValueError(f"cells of version {change.version}, which no commit has named")
            for rows in _prefixed(change, numbers[change.version]):
                connection.exec_driver_sql(self._upsert_cell, rows)

    def _write_reader(self, connection: Connection, changes: Commit) -> None:
        name = changes.reader
        _put(connection, LANE, (_lane_row(name, lane) for lane in changes.lanes))
        _put(connection, SEEN_ID, ({"reader": name, "block": chunk.block, "ids": chunk.ids} for chunk in changes.ids))
        if changes.forget_blocks:
            old = (SEEN_ID.c.reader == name) & (SEEN_ID.c.block < changes.forget_blocks)
            connection.execute(delete(SEEN_ID).where(old))
        tallies = ({"reader": name, **key._asdict(), "value": n} for key, n in changes.tallies.items())
        _put(connection, TALLY, tallies, adding=("value",))
        counters = ({"reader": name, "name": counter, "value": n} for counter, n in changes.counters.items())
        _put(connection, COUNTER, counters, adding=("value",))
        letters, size = _write_letters(connection, name, changes.dead_letters)
        row = {"name": name, "position": changes.position, "blocks": changes.blocks, "book": _json(changes.book)}
        _put(connection, READER, [{**row, "letters": letters, "letter_bytes": size}])


class _Reading:
    """A connection of its own for reading, so that a reader in the middle of its rows and a commit do not meet."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._translated = translated(opened.where)

    def __enter__(self) -> Connection:
        self._translated.__enter__()
        self._connection = self._opened.engine.connect()
        return self._connection

    def __exit__(self, *error: Any) -> None:
        self._connection.close()
        self._translated.__exit__(*error)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _unpacked(wrong: bytes | None, states: bytes) -> tuple[dict[str, int], list[Any]]:
    return (unpack_blob(wrong) if wrong else {}), unpack_blob(states)


def _numbers(connection: Connection) -> dict[str, int]:
    return {row[0]: row[1] for row in connection.execute(select(VERSION.c.hash, VERSION.c.id))}


def _versions(connection: Connection, reader: str) -> Iterator[Version]:
    own = select(READER_VERSION.c.version).where(READER_VERSION.c.reader == reader)
    for row in connection.execute(select(VERSION).where(VERSION.c.id.in_(own)).order_by(VERSION.c.id)):
        yield Version(row.name, row.hash, json.loads(row.definition))


def _lane(row: Mapping[Any, Any]) -> LaneState:
    fields = {str(name): value for name, value in row.items() if name not in ("reader", "mark")}
    return LaneState(**fields, mark=json.loads(row["mark"]))


def _lane_row(reader: str, lane: LaneState) -> dict[str, Any]:
    names = ("number", "name", "identity", "cursor", "line", "time_unit", "form")
    return {"reader": reader, **{name: getattr(lane, name) for name in names}, "mark": _json(lane.mark)}


def _prefixed(change: CellChange, number: int) -> Iterator[list[tuple[Any, ...]]]:
    every = change.every
    for rows in change.chunks:
        if rows:
            yield [(number, every, *row) for row in rows]


def _put(connection: Connection, table: Table, rows: Iterable[dict[str, Any]], adding: Sequence[str] = ()) -> None:
    listed = list(rows)
    if listed:
        connection.execute(upsert(table, connection.dialect, adding), listed)


def _write_letters(connection: Connection, reader: str, letters: Sequence[DeadLetter]) -> tuple[int, int]:
    """Keep the letters that still have room; in log order, so that which are kept never depends on batches."""
    query = select(READER.c.letters, READER.c.letter_bytes).where(READER.c.name == reader)
    count, size = connection.execute(query).one_or_none() or (0, 0)
    rows = []
    for letter in letters:
        if count < MAX_DEAD_LETTERS and size + len(letter.data) <= MAX_DEAD_LETTER_BYTES:
            count, size = count + 1, size + len(letter.data)
            rows.append({"reader": reader, **{name: getattr(letter, name) for name in _LETTER}})
    _put(connection, DEAD_LETTER, rows)
    return count, size
