"""The store in SQL: SQLite on this machine, PostgreSQL where several processes read it."""

from __future__ import annotations

import json
from collections.abc import Container, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Connection, Table, delete, func, insert, select

from streamgauge.event import NEVER, DeadLetter
from streamgauge.store.base import (
    ALL_LETTERS,
    ALL_TEXT,
    OTHER_TEXT,
    CellChange,
    CellRow,
    Commit,
    Extent,
    IdChunk,
    KeptLetter,
    LaneState,
    LetterFilter,
    ReaderState,
    Store,
    StoredCell,
    TallyKey,
    Version,
    key_id,
    unpack_blob,
)
from streamgauge.store.sql_bulk import BulkUpsert, streamed
from streamgauge.store.sql_dump import write_dump
from streamgauge.store.sql_errors import refuse, translated
from streamgauge.store.sql_letters import find_letters, one_letter, read_letters, write_letters
from streamgauge.store.sql_open import Opened, Step
from streamgauge.store.sql_schema import (
    CELL,
    COUNTER,
    KEY,
    LANE,
    READER,
    READER_VERSION,
    SEEN_ID,
    TALLY,
    VERSION,
    lookup,
    upsert,
)

_READ = 4096  # cells in one batch read
_ASK = 200  # (start, key id) pairs in one question
_NOWHERE = (NEVER, b"")
_FOLDED = [key_id(ALL_TEXT), key_id(OTHER_TEXT)]


class SqlStore(Store):
    """A Store over SQLAlchemy Core. A temporary one (no path) is one file, deleted when closed."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._engine = opened.engine
        self._numbers: dict[str, int] = {}

    @cached_property
    def _lookup(self) -> str:
        return lookup(self._engine.dialect, _ASK)

    @cached_property
    def _upsert_cells(self) -> BulkUpsert:
        return BulkUpsert(CELL, self._engine.dialect)

    @cached_property
    def _insert_keys(self) -> BulkUpsert:
        return BulkUpsert(KEY, self._engine.dialect, ignore=True)

    @classmethod
    def open(cls, where: str | Path | None = None, step: Step | None = None) -> SqlStore:
        """Open, or make, the store at a path, ``sqlite:///path`` or ``postgresql://``; None is temporary.

        An older one is brought to the present schema. Nobody else may write it until it is closed; many may read it.
        ``step``: see sql_open.Step. Raises StoreError, and StoreUnavailable where it may be opened later.
        """
        return cls(Opened(where) if step is None else Opened(where, step=step))

    @classmethod
    def open_read_only(cls, where: str | Path) -> SqlStore:
        """Open a store that is there, which may be written by another process meanwhile; nothing is made or changed.

        Raises StoreError where there is none, or one of another schema; ``commit`` raises it always.
        """
        return cls(Opened(where, read_only=True))

    def close(self) -> None:
        self._opened.close()

    def commit(self, changes: Commit) -> None:
        """Write all of it in one transaction, or nothing.

        1. The reader's versions get their numbers.
        2. New keys, then changed cells, each sorted by its primary key.
        3. Cells that are no longer kept are deleted, all of them.
        4. Lanes, ids, dead letters, tallies, counters.
        5. The reader's position, the commit's own mark, and the commit itself.

        See Store.commit for what is raised, and what may be done then.
        """
        with translated(self._opened.where), self._opened.writer.commit(_identity(changes)) as connection:
            if connection is None:  # it was made already, when its connection broke
                return
            numbers = self._number_versions(connection, changes)
            self._write_cells(connection, numbers, changes)
            self._expire(connection, numbers, changes)
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
            with streamed(connection, query.order_by(c.start, KEY.c.text), _READ) as found:
                for rows in found.partitions():
                    yield [CellRow(r[0], r[1], r[2], r[3], r[4], *_unpacked(r[5], r[6])) for r in rows]

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
        with self._reading() as connection:
            yield from read_letters(connection, reader)

    def find_letters(
        self, reader: str, wanted: LetterFilter = ALL_LETTERS, after: int = -1, limit: int = 100
    ) -> list[KeptLetter]:
        with self._reading() as connection:
            return find_letters(connection, reader, wanted, after, limit)

    def letter(self, reader: str, position: int) -> KeptLetter | None:
        with self._reading() as connection:
            return one_letter(connection, reader, position)

    def forget_keys(self, spared: Container[bytes] = (), limit: int = 100_000) -> int:
        unused = select(KEY.c.id).except_(select(CELL.c.key))
        with translated(self._opened.where), self._opened.writer.begin() as connection:
            with streamed(connection, unused, _READ) as found:
                ids = list(islice((row[0] for row in found if row[0] not in spared), limit))
            for begin in range(0, len(ids), _ASK):
                connection.execute(delete(KEY).where(KEY.c.id.in_(ids[begin : begin + _ASK])))
        return len(ids)

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

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection of its own, so that a reader in the middle of its rows and a commit do not meet."""
        with translated(self._opened.where), self._engine.connect() as connection:
            try:
                yield connection
            except (ValueError, TypeError, KeyError) as error:  # of JSON, msgpack or a text that cannot be decoded
                problem = f"holds what cannot be read ({error})"
                refuse(self._opened.where, problem, "it is damaged; restore it from a backup")

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
            self._insert_keys.write(connection, [changes.keys])
        for change in changes.cells:
            if change.version not in numbers:
                raise ValueError(f"cells of version {change.version}, which no commit has named")
            self._upsert_cells.write(connection, _prefixed(change, numbers[change.version]))

    def _expire(self, connection: Connection, numbers: Mapping[str, int], changes: Commit) -> None:
        c = CELL.c
        for old in changes.expire:
            if old.version in numbers:
                named = (c.version == numbers[old.version]) & (c.every == old.every)
                connection.execute(delete(CELL).where(named, c.start < old.before_ms))

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
        letters, size = write_letters(connection, changes)
        row = {"name": name, "position": changes.position, "blocks": changes.blocks, "book": _json(changes.book)}
        _put(connection, READER, [{**row, "letters": letters, "letter_bytes": size}])


def _identity(changes: Commit) -> Hashable:
    """What tells one commit from another, when it is given again."""
    counts = tuple(sorted(changes.counters.items()))
    done = (tuple(changes.replayed), tuple(changes.expire), len(changes.dead_letters))
    return changes.reader, changes.position, changes.blocks, counts, done


def _json(value: Mapping[str, Any] | Sequence[Any]) -> str:
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
    fields = {str(name): value for name, value in row.items() if name not in ("reader", "mark", "coverage")}
    coverage = tuple((start, end) for start, end in json.loads(row["coverage"]))
    return LaneState(**fields, mark=json.loads(row["mark"]), coverage=coverage)


def _lane_row(reader: str, lane: LaneState) -> dict[str, Any]:
    names = ("number", "name", "identity", "cursor", "line", "time_unit", "form")
    plain = {name: getattr(lane, name) for name in names}
    return {"reader": reader, **plain, "mark": _json(lane.mark), "coverage": _json(lane.coverage)}


def _prefixed(change: CellChange, number: int) -> Iterator[list[tuple[Any, ...]]]:
    every = change.every
    for rows in change.chunks:
        if rows:
            yield [(number, every, *row) for row in rows]


def _put(connection: Connection, table: Table, rows: Iterable[dict[str, Any]], adding: Sequence[str] = ()) -> None:
    listed = list(rows)
    if listed:
        connection.execute(upsert(table, connection.dialect, adding), listed)
