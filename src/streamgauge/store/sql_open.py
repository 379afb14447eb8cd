"""Opening a database: where it is, whether it is ours, of which schema, and the connections to it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes
from uuid import uuid4

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from streamgauge.step import Step, no_step
from streamgauge.store.sql_errors import refuse, shown, translated
from streamgauge.store.sql_lock import lock_file, own_name
from streamgauge.store.sql_schema import FORMAT, META, METADATA, SCHEMA_VERSION
from streamgauge.store.sql_writer import WRITES, Writer

__all__ = ["STEPS", "Opened", "Step", "refuse", "translated"]

STEPS = ("created", "migrating", "migrated")
"""Where a test may kill: ``step`` is called with each of these as it goes by, before its transaction is committed."""

_KEPT = ("synchronous=FULL", "busy_timeout=5000", "cache_size=-32768", "journal_size_limit=67108864")
_TEMPORARY = ("journal_mode=PERSIST", "synchronous=OFF", "cache_size=-32768")
_READ_ONLY = ("query_only=ON", "busy_timeout=5000", "cache_size=-32768")

# Libpq's own: what is asked of a network that may go away without a word. What the URL says comes first.
_CONNECT = {"connect_timeout": "10", "keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3"}
_CONNECT["tcp_user_timeout"] = "30000"


class Opened:
    """A database with its tables: ours alone to write, or with ``read_only`` one that is never made or changed.

    ``engine`` is for reading; ``writer`` is the one connection that writes. ``close`` gives everything back. Raises
    StoreError, and StoreUnavailable where it may be opened later.
    """

    def __init__(self, where: str | Path | None, read_only: bool = False, step: Step = no_step) -> None:
        self._undo: list[Callable[[], object]] = []
        self.where, self.read_only = "(temporary)", read_only
        self._writer: Writer | None = None
        try:
            self.engine = self._open(where, step)
        except BaseException:
            self.close()
            raise

    @property
    def writer(self) -> Writer:
        """The connection that writes. Raises StoreError where the store was opened for reading."""
        if self._writer is None:
            refuse(self.where, "was opened for reading only", "nothing can be written to it here")
        return self._writer

    def close(self) -> None:
        """Undo what opening did, last thing first."""
        while self._undo:
            self._undo.pop()()

    def _open(self, where: str | Path | None, step: Step) -> Engine:
        url = self._place(where)
        pragmas = _READ_ONLY if self.read_only else _TEMPORARY if where is None else _KEPT
        name = f"streamgauge {own_name()}"[:50] + f" #{uuid4().hex[:8]}"
        engine = _sqlite(url, pragmas) if url.drivername == "sqlite" else _postgresql(url, name)
        self._undo.append(engine.dispose)
        with translated(self.where):
            if self.read_only:
                with engine.connect() as connection:
                    _check(connection, self.where)
            else:
                self._writer = Writer(engine, self.where, name)
                self._undo.append(self._writer.close)
                with self._writer.begin() as connection:
                    _prepare(connection, self.where, step)
                if pragmas is _KEPT and engine.dialect.name == "sqlite":
                    _write_ahead(engine)
        return _for_reading(engine)

    def _place(self, where: str | Path | None) -> URL:
        """Where the database is; of a file, that it may be used, and is locked where it is to be written."""
        url = _url(where)
        if where is None:
            folder = tempfile.TemporaryDirectory(prefix="streamgauge-")
            self._undo.append(folder.cleanup)
            return url.set(database=str(Path(folder.name) / "store.db"))
        self.where = str(url.database) if url.drivername == "sqlite" else shown(url)
        if url.drivername == "sqlite" and self.read_only:
            _check_readable(Path(self.where))
        elif url.drivername == "sqlite":
            self._undo.append(lock_file(self.where))
        return url


def _url(where: str | Path | None) -> URL:
    if where is None or "://" not in str(where):
        return URL.create("sqlite", database=None if where is None else str(where))
    try:
        url = make_url(str(where))
    except (ArgumentError, ValueError):
        url = None
    if url is None:
        refuse(shown(where), "is no URL", "give a path, sqlite:///path or postgresql+psycopg://user@host/database")
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "postgresql+psycopg"):
        refuse(shown(url), f"{url.drivername} is not supported", "use sqlite or postgresql+psycopg")
    if url.drivername == "sqlite" and not url.database:
        refuse(shown(where), "names no file", "write sqlite:///store.db, or sqlite:////absolute/path/store.db")
    return url


def _sqlite(url: URL, pragmas: tuple[str, ...]) -> Engine:
    if pragmas is _READ_ONLY:
        name = quote_from_bytes(os.fsencode(os.path.abspath(str(url.database))))
        url = url.set(database=f"file:{name}", query={"mode": "ro", "uri": "true"})
    engine = create_engine(url, hide_parameters=True)
    event.listen(engine, "connect", _sqlite_settings(pragmas))
    # sqlite3 would begin late and commit on its own; transactions are ours.
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _begin_sqlite(connection: Connection) -> None:
    # A writer that read first could find at its first write that somebody else had written.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITES) else "BEGIN")


def _sqlite_settings(pragmas: tuple[str, ...]) -> Callable[[Any, Any], None]:
    def settle(raw: Any, _: Any) -> None:
        raw.isolation_level = None
        for pragma in pragmas:
            raw.execute(f"PRAGMA {pragma}")

    return settle


def _postgresql(url: URL, name: str) -> Engine:
    given = {
        "application_name": name,
        **{option: value for option, value in _CONNECT.items() if option not in url.query},
    }
    try:
        # Parameters by place, so that tuples can be given as they are. A connection is tried before it is used, since
        # the server may have been started again.
        return create_engine(url, paramstyle="format", pool_pre_ping=True, hide_parameters=True, connect_args=given)
    except (ImportError, NoSuchModuleError):
        refuse(shown(url), "psycopg is not installed", "pip install 'streamgauge[postgresql]'")


def _for_reading(engine: Engine) -> Engine:
    """What reads sees one moment of the store for as long as its transaction lasts, as SQLite has it anyway."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _write_ahead(engine: Engine) -> None:
    # Kept in the file, hence only once it is known to be ours; and not possible within a transaction.
    raw = engine.raw_connection()
    try:
        raw.cursor().execute("PRAGMA journal_mode=WAL")
    finally:
        raw.close()


def _check_readable(path: Path) -> None:
    if not path.is_file():
        refuse(
            str(path), "there is no such file", "check the path; `streamgauge run` makes a store where there is none"
        )
    if not os.access(path, os.R_OK):
        refuse(str(path), "it cannot be read", "check its permissions")


def _prepare(connection: Connection, where: str, step: Step) -> None:
    """Make the tables, or bring them to this program's schema, or refuse what is not ours."""
    if not inspect(connection).get_table_names():
        METADATA.create_all(connection)
        rows = {"format": FORMAT, "schema": str(SCHEMA_VERSION), "store": uuid4().hex}
        connection.execute(insert(META), [{"name": name, "value": value} for name, value in rows.items()])
        step("created")
        return
    found = _schema(connection, where)
    if found < SCHEMA_VERSION:
        from streamgauge.store.migrations import migrate  # late: Alembic is needed once in a store's life

        migrate(connection, found, step)


def _check(connection: Connection, where: str) -> None:
    found = _schema(connection, where)
    if found < SCHEMA_VERSION:
        problem = f"was written by an older streamgauge (schema {found}, this one reads {SCHEMA_VERSION})"
        refuse(where, problem, "`streamgauge run` with this version brings it up to date")


def _schema(connection: Connection, where: str) -> int:
    """The version of the tables that are there. Raises StoreError where they are not ours, or newer than we are."""
    found = _meta(connection) if inspect(connection).has_table("meta") else {}
    version = found.get("schema", "")
    if found.get("format") != FORMAT or not version.isdecimal():
        refuse(where, "is a database of something else", "give a path or a database of its own")
    if int(version) > SCHEMA_VERSION:
        problem = f"was written by a newer streamgauge (schema {version}, this one knows {SCHEMA_VERSION})"
        refuse(where, problem, "upgrade streamgauge, or use another store")
    return int(version)


def _meta(connection: Connection) -> dict[str, str]:
    if {c["name"] for c in inspect(connection).get_columns("meta")} != {"name", "value"}:
        return {}
    return {row[0]: row[1] for row in connection.execute(select(META.c.name, META.c.value))}
