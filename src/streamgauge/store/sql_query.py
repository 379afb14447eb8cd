"""Reading a store that others write: bounded in rows and in time, never writing.

A read is one transaction that sees one state of the store. It has a limit of time, at which the database itself is
interrupted (SQLite by its progress handler, PostgreSQL by ``statement_timeout``) and TimeoutError is raised. Every
list has a limit of rows, which is part of the SQL.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    create_engine,
    event,
    func,
    inspect,
    literal_column,
    or_,
    select,
)
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from streamgauge.aggregates.base import State
from streamgauge.clock import Clock
from streamgauge.event import NEVER
from streamgauge.store.base import (
    ALL_LETTERS,
    CellBatch,
    KeptLetter,
    LaneState,
    LetterFilter,
    key_id,
    unpack_blob,
)
from streamgauge.store.sql_errors import refuse, shown, translated
from streamgauge.store.sql_schema import (
    CELL,
    COUNTER,
    DEAD_LETTER,
    FORMAT,
    KEY,
    LANE,
    META,
    READER,
    SCHEMA_VERSION,
    TALLY,
    VERSION,
    lookup,
)

_STEPS = 2000  # of SQLite's machine between two looks at the clock: about a tenth of a millisecond
_C, _K = CELL.c, KEY.c
_CELL = (_C.start, _K.text, _C.events, _C.late, _C.revision, _C.wrong, _C.states)
_NO_WRONG: Mapping[str, int] = {}
_ASK = 200  # cells asked for by their places in one statement
_NOWHERE = (NEVER, b"")
_LETTER = tuple(KeptLetter.__dataclass_fields__)

Place = tuple[int, str]
"""Where a cell stands in the order of cells: its window's start, and its key's text."""


Wanted = tuple[int, State]
"""A state, and its place among the statistic's primitives."""


@cache
def _lookup_of(dialect: Dialect) -> str:
    return lookup(dialect, _ASK)


class SqlReadings:
    """Read-only connections to one store. Safe to use from many threads."""

    def __init__(self, engine: Engine, where: str, clock: Clock) -> None:
        self._engine, self._where, self._clock = engine, where, clock
        self._numbers: dict[str, int] = {}

    @classmethod
    def open(cls, where: str | Path, clock: Clock, connections: int = 4) -> Self:
        """Open the store at a path, ``sqlite:///path`` or ``postgresql://``, which must be there.

        Raises StoreError where there is none, or one that this program does not know.
        """
        engine, name = _engine(where, connections)
        readings = cls(engine, name, clock)
        try:
            with readings.within(10.0) as reads:
                reads.check_format()
        except BaseException:
            engine.dispose()
            raise
        return readings

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    @contextmanager
    def within(self, limit_s: float) -> Iterator[SqlReads]:
        """One transaction, at most ``limit_s`` seconds long: after that, whatever is asked raises TimeoutError.

        Raises StoreError where the operator must act, StoreUnavailable where the same may succeed later.
        """
        deadline = self._clock.monotonic_s() + limit_s
        with translated(self._where), self._engine.connect() as connection:
            reads = SqlReads(connection, self._where, self._clock, deadline, self._numbers)
            undo = _limited(connection, reads.left_s)
            try:
                yield reads
            except DBAPIError as error:
                if _interrupted(error) or reads.left_s() <= 0:
                    raise TimeoutError(f"store {self._where}: stopped after {limit_s:g} s") from None
                raise
            finally:
                undo()


class SqlReads:
    """What can be asked within one transaction. For one thread. Versions are named by their hash."""

    def __init__(
        self, connection: Connection, where: str, clock: Clock, deadline: float, numbers: dict[str, int]
    ) -> None:
        self._connection, self._where, self._clock = connection, where, clock
        self._deadline, self._numbers = deadline, numbers

    def left_s(self) -> float:
        """Seconds until the time is up; not above 0 when it is."""
        return self._deadline - self._clock.monotonic_s()

    def check(self) -> None:
        """Raise TimeoutError if the time is up."""
        if self.left_s() <= 0:
            raise TimeoutError(f"store {self._where}: the time is up")

    def check_format(self) -> None:
        """Raise StoreError where this is no store, or one of another version."""
        tables = set(inspect(self._connection).get_table_names())
        found = dict(self._rows(select(META.c.name, META.c.value))) if "meta" in tables else {}
        if found.get("format") != FORMAT:
            refuse(self._where, "is no streamgauge store", "give the store that run or report writes")
        schema = int(found["schema"])
        if schema > SCHEMA_VERSION:
            problem = f"was written by a newer streamgauge (schema {schema}, this one knows {SCHEMA_VERSION})"
            refuse(self._where, problem, "upgrade streamgauge, or use another store")
        if schema < SCHEMA_VERSION:
            problem = f"was written by an older streamgauge (schema {schema}, this one reads {SCHEMA_VERSION})"
            refuse(self._where, problem, "start the program that writes it once: it upgrades the store")

    def standing(self, reader: str) -> tuple[int, int, Mapping[str, Any]]:
        """Where a reader stands: the next position, the ordinal of the next block, its book. Quick."""
        c = READER.c
        row = next(self._rows(select(c.position, c.blocks, c.book).where(c.name == reader)), None)
        return (0, 0, {}) if row is None else (row[0], row[1], json.loads(row[2]))

    def lanes(self, reader: str) -> list[LaneState]:
        """The lanes that a reader has read, by number."""
        names = [name for name in LaneState.__dataclass_fields__ if name in LANE.c]
        query = select(*(LANE.c[name] for name in names)).where(LANE.c.reader == reader).order_by(LANE.c.number)
        return [_lane(dict(zip(names, row, strict=True))) for row in self._rows(query)]

    def counters(self, reader: str) -> dict[str, int]:
        """All counters of a reader, by name."""
        return dict(sorted(self._rows(select(COUNTER.c.name, COUNTER.c.value).where(COUNTER.c.reader == reader))))

    def tallies(self, reader: str, start: int | None = None, stop: int | None = None) -> dict[tuple[str, bool], int]:
        """Dead letters by reason, and duplicates, over all lanes: those of the minutes of ``[start, stop)``.

        The second of a key is False for those whose minute is not known; they are counted whatever the range is.
        """
        c = TALLY.c
        # A parameter would be another one in GROUP BY.
        known = c.minute_ms != literal_column(str(NEVER))
        inside = [c.minute_ms >= start // 60_000 * 60_000] if start is not None else []
        inside += [c.minute_ms < stop] if stop is not None else []
        query = select(c.reason, known, func.sum(c.value)).where(c.reader == reader, or_(~known, *_both(inside)))
        return {(reason, bool(of)): int(n) for reason, of, n in self._rows(query.group_by(c.reason, known))}

    def cells(
        self,
        version: str,
        every: str,
        states: Sequence[Wanted],
        limit: int,
        start: int | None = None,
        stop: int | None = None,
        after: Place | None = None,
        descending: bool = False,
        ids: Sequence[bytes] | None = None,
        containing: Sequence[Sequence[str]] = (),
    ) -> CellBatch:
        """At most ``limit`` cells with ``start <= window start < stop``, by start, then by ascending key text.

        ``states`` are those wanted, with their places among the statistic's primitives. ``after`` is the place of the
        last one that is already known. ``ids``: only these keys. ``containing``: only keys whose text has one of the
        texts of each group in it.
        """
        query = select(*_CELL).join(KEY, _K.id == _C.key).where(*self._range(version, every, start, stop))
        if after is not None:
            reached = _C.start <= after[0] if descending else _C.start >= after[0]
            query = query.where(reached, or_(_C.start != after[0], _K.text > after[1]))
        query = query.where(*_of_keys(_C.key, ids, containing))
        order = _C.start.desc() if descending else _C.start
        return _batch(self._raw(query.order_by(order, _K.text).limit(limit)), states)

    def latest(
        self,
        version: str,
        every: str,
        states: Sequence[Wanted],
        limit: int,
        since: int | None = None,
        after: str | None = None,
        ids: Sequence[bytes] | None = None,
        containing: Sequence[Sequence[str]] = (),
    ) -> CellBatch:
        """The newest cell of each key among the windows that start at ``since`` or later, by key text."""
        # In two steps: joined in one, SQLite may read all cells for each key.
        newest = self.keys(version, every, limit, since, None, after, ids, containing)
        rows: list[Any] = []
        for begin in range(0, len(newest), _ASK):
            wanted = {(start, key_id(text)): text for text, start in newest[begin : begin + _ASK]}
            pairs = [*wanted, *[_NOWHERE] * (_ASK - len(wanted))]
            asked = (*chain.from_iterable(pairs), self._number(version), every)
            found = self._connection.exec_driver_sql(self._lookup, asked)
            rows += ((row[0], wanted[row[0], bytes(row[1])], *row[2:]) for row in found)
        return _batch(sorted(rows, key=itemgetter(1)), states)

    def keys(
        self,
        version: str,
        every: str,
        limit: int,
        start: int | None = None,
        stop: int | None = None,
        after: str | None = None,
        ids: Sequence[bytes] | None = None,
        containing: Sequence[Sequence[str]] = (),
    ) -> list[tuple[str, int]]:
        """The texts of the keys that have a cell in the range, with the start of the last window of each, by text."""
        n = self._newest(version, every, start, stop, ids).subquery("newest")
        query = select(_K.text, n.c.start).select_from(n).join(KEY, _K.id == n.c.key)
        query = query.where(*_of_keys(n.c.key, None, containing))
        if after is not None:
            query = query.where(_K.text > after)
        return [(row[0], row[1]) for row in self._rows(query.order_by(_K.text).limit(limit))]

    def known(self, ids: Sequence[bytes]) -> dict[bytes, str]:
        """The texts of those of the keys that the store knows."""
        return {bytes(row[0]): row[1] for row in self._rows(select(_K.id, _K.text).where(_K.id.in_(ids)))}

    def next_start(self, version: str, every: str, at: int, descending: bool = False) -> int | None:
        """The first window start from ``at`` on (or the last one up to it) that has a cell. Quick."""
        inside = _C.start <= at if descending else _C.start >= at
        order = _C.start.desc() if descending else _C.start
        query = select(_C.start).where(*self._range(version, every, None, None), inside)
        row = next(self._rows(query.order_by(order).limit(1)), None)
        return None if row is None else int(row[0])

    def count(self, version: str, every: str) -> int:
        """How many cells there are. Reads all of them."""
        query = select(func.count()).select_from(CELL).where(*self._range(version, every, None, None))
        return int(next(self._rows(query))[0])

    def find_letters(
        self, reader: str, wanted: LetterFilter = ALL_LETTERS, after: int = -1, limit: int = 100
    ) -> list[KeptLetter]:
        """Dead letters past the position ``after`` that the filter wants, by position, at most ``limit``."""
        c = DEAD_LETTER.c
        same = {"reason": wanted.reason, "state": wanted.state}
        where = [c[name] == value for name, value in same.items() if value is not None]
        if wanted.source is not None:
            where.append(or_(c.source == wanted.source, (c.source == "") & (c.lane == wanted.source)))
        where += [c.received_ms >= wanted.from_ms] if wanted.from_ms is not None else []
        where += [c.received_ms < wanted.to_ms] if wanted.to_ms is not None else []
        return self._letters(select().where(c.reader == reader, c.position > after, *where).limit(limit))

    def letter(self, reader: str, position: int) -> KeptLetter | None:
        """One dead letter, or None where there is none (any more)."""
        c = DEAD_LETTER.c
        return next(iter(self._letters(select().where(c.reader == reader, c.position == position))), None)

    def _letters(self, query: Select[Any]) -> list[KeptLetter]:
        query = query.add_columns(*(DEAD_LETTER.c[name] for name in _LETTER)).order_by(DEAD_LETTER.c.position)
        found = (dict(zip(_LETTER, row, strict=True)) for row in self._rows(query))
        return [
            KeptLetter(**{**row, "data": bytes(row["data"]), "source": row["source"] or row["lane"]}) for row in found
        ]

    def _newest(
        self, version: str, every: str, start: int | None, stop: int | None, ids: Sequence[bytes] | None
    ) -> Select[Any]:
        query = select(_C.key, func.max(_C.start).label("start")).where(*self._range(version, every, start, stop))
        return query.where(*_of_keys(_C.key, ids, ())).group_by(_C.key)

    def _range(self, version: str, every: str, start: int | None, stop: int | None) -> list[ColumnElement[bool]]:
        found = [_C.version == self._number(version), _C.every == every]
        found += [_C.start >= start] if start is not None else []
        return found + ([_C.start < stop] if stop is not None else [])

    def _number(self, version: str) -> int:
        if version not in self._numbers:
            self._numbers.update((row[0], row[1]) for row in self._rows(select(VERSION.c.hash, VERSION.c.id)))
        return self._numbers.get(version, -1)

    def _rows(self, query: Select[Any]) -> Iterator[Any]:
        self.check()
        return iter(self._connection.execute(query).all())

    def _raw(self, query: Select[Any]) -> Sequence[Any]:
        """Rows as the driver gives them, for columns whose values are the same then."""
        self.check()
        result = self._connection.execute(query)
        try:
            return result.cursor.fetchall() if result.cursor is not None else []
        finally:
            result.close()

    @property
    def _lookup(self) -> str:
        return _lookup_of(self._connection.dialect)


def _both(conditions: Sequence[ColumnElement[bool]]) -> list[ColumnElement[bool]]:
    """All of them as one, or what is always true."""
    joined = TALLY.c.minute_ms >= NEVER
    for condition in conditions:
        joined = joined & condition
    return [joined]


def _of_keys(
    key: ColumnElement[Any], ids: Sequence[bytes] | None, containing: Sequence[Sequence[str]]
) -> list[ColumnElement[bool]]:
    found = [] if ids is None else [key.in_(list(ids))]
    return found + [or_(*(_K.text.contains(text, autoescape=True) for text in group)) for group in containing]


def _batch(rows: Sequence[Any], wanted: Sequence[Wanted]) -> CellBatch:
    """Rows of _CELL, column by column."""
    if not rows:
        return CellBatch((), (), (), (), (), (), [() for _ in wanted])
    starts, keys, events, late, revisions, wrong, states = zip(*rows, strict=True)
    # The blobs, behind the head of an array of 32-bit length, are one document: read far faster than one by one.
    packed = unpack_blob(b"".join((b"\xdd", len(rows).to_bytes(4, "big"), *states)))
    columns = list(zip(*packed, strict=True)) if wanted else []
    counts = [unpack_blob(w) if w else _NO_WRONG for w in wrong] if any(wrong) else ()
    found = [_unpacked(state, columns[place]) for place, state in wanted]
    return CellBatch(starts, keys, events, late, revisions, counts, found)


def _unpacked(state: State, column: Sequence[Any]) -> Sequence[Any]:
    return column if type(state).unpack is State.unpack else list(map(state.unpack, column))


def _lane(row: Mapping[str, Any]) -> LaneState:
    coverage = tuple((start, stop) for start, stop in json.loads(row["coverage"]))
    return LaneState(**{**row, "mark": json.loads(row["mark"]), "coverage": coverage})


def _engine(where: str | Path, connections: int) -> tuple[Engine, str]:
    url = _url(where)
    name = shown(url) if url.drivername != "sqlite" else str(url.database)
    options: dict[str, Any] = {"pool_size": connections, "max_overflow": 0, "pool_timeout": 10}
    try:
        if url.drivername == "sqlite":
            return _sqlite(name, options), name
        options |= {"paramstyle": "format", "pool_pre_ping": True, "isolation_level": "REPEATABLE READ"}
        engine = create_engine(url, **options)
    except (ImportError, NoSuchModuleError):
        refuse(name, "psycopg is not installed", "pip install 'streamgauge[postgresql]'")
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("SET TRANSACTION READ ONLY"))
    return engine, name


def _sqlite(path: str, options: Mapping[str, Any]) -> Engine:
    if not Path(path).is_file():
        refuse(path, "there is no store", "start run or report with this store first, or check the path")
    url = URL.create("sqlite", database=f"file:{quote(path)}", query={"mode": "ro", "uri": "true"})
    engine = create_engine(url, **options)

    def settle(raw: sqlite3.Connection, _: Any) -> None:
        raw.isolation_level = None
        raw.execute("PRAGMA query_only=1")
        raw.execute("PRAGMA busy_timeout=1000")
        raw.execute("PRAGMA cache_size=-16384")

    event.listen(engine, "connect", settle)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


def _url(where: str | Path) -> URL:
    text = str(where)
    if "://" not in text:
        return URL.create("sqlite", database=text)
    url = None
    with suppress(ArgumentError, ValueError):
        url = make_url(text)
    if url is None:
        refuse(shown(text), "is no URL", "give a path, sqlite:///path or postgresql://user@host/database")
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "postgresql+psycopg"):
        refuse(shown(url), f"{url.drivername} is not supported", "use sqlite or postgresql")
    if url.drivername == "sqlite" and not url.database:
        refuse(shown(text), "names no file", "write sqlite:///store.db, or sqlite:////absolute/path/store.db")
    return url


def _limited(connection: Connection, left_s: Any) -> Any:
    """Have the database itself stop when the time is up; what is returned undoes that."""
    raw = connection.connection.driver_connection
    if isinstance(raw, sqlite3.Connection):
        raw.set_progress_handler(lambda: left_s() <= 0, _STEPS)
        return lambda: raw.set_progress_handler(None, 0)
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {max(1, int(left_s() * 1000))}")
    return lambda: None


def _interrupted(error: DBAPIError) -> bool:
    text = str(error.orig)
    return text == "interrupted" or "statement timeout" in text
