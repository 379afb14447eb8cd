"""Opening a database: where it is, who else has it, whether it is ours, and errors that say what to do."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from streamgauge.errors import StoreError
from streamgauge.store.sql_schema import FORMAT, META, METADATA, SCHEMA_VERSION

_KEPT: tuple[str, ...] = ("synchronous=FULL", "busy_timeout=5000", "cache_size=-32768")
_TEMPORARY = ("journal_mode=PERSIST", "synchronous=OFF", "cache_size=-32768")
_ADVISORY_LOCK = 0x73747265616D  # "stream", the number that PostgreSQL's writers of one database agree on

_HINTS = (
    ("file is not a database", "it is no streamgauge store; give another path"),
    ("malformed", "the file is damaged; restore it, or give another path to start afresh"),
    ("readonly", "it cannot be written; check the permissions of the file and its folder"),
    ("unable to open", "check that the folder exists and can be written"),
    ("disk is full", "the disk is full; free some room and run again: nothing of the last commit was written"),
    ("no space left", "the disk is full; free some room and run again: nothing of the last commit was written"),
    ("disk i/o error", "the disk failed, or is full; nothing of the last commit was written"),
    ("locked", "another program is using it; wait until it has ended"),
    ("connection refused", "check that the server runs and that host and port are right"),
    ("password", "check user and password"),
    ("does not exist", "create it first, or check the name"),
)


def refuse(where: str, problem: str, hint: str) -> NoReturn:
    """Raise a StoreError that finishes its sentence."""
    raise StoreError(f"store {where}: {problem}; {hint}")


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Errors of the database become StoreErrors with a hint."""
    try:
        yield
    except DBAPIError as error:
        problem = " ".join(str(error.orig).split())
        hints = (hint for mark, hint in _HINTS if mark in problem.lower())
        refuse(where, problem, next(hints, "see the database's own message"))


class Opened:
    """A database that is ours alone to write, with its tables; ``close`` gives everything back."""

    def __init__(self, where: str | Path | None) -> None:
        self._undo: list[Callable[[], object]] = []
        self.where = "(temporary)"
        try:
            self.engine = self._open(where)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Undo what opening did, last thing first."""
        while self._undo:
            self._undo.pop()()

    def _open(self, where: str | Path | None) -> Engine:
        url, pragmas = _url(where), _KEPT
        self.where = url.render_as_string(hide_password=True)
        if where is None:
            folder = tempfile.TemporaryDirectory(prefix="streamgauge-")
            self._undo.append(folder.cleanup)
            url, pragmas, self.where = url.set(database=str(Path(folder.name) / "store.db")), _TEMPORARY, "(temporary)"
        elif url.drivername == "sqlite":
            self.where = str(url.database)
            self._undo.append(_lock_file(str(url.database)))
        engine = _engine(url, pragmas)
        self._undo.append(engine.dispose)
        with translated(self.where):
            if engine.dialect.name == "postgresql":
                self._undo.append(_lock_server(engine, self.where))
            with engine.begin() as connection:
                _prepare(connection, self.where)
            if pragmas is _KEPT and engine.dialect.name == "sqlite":
                _write_ahead(engine)
        return engine


def _url(where: str | Path | None) -> URL:
    if where is None or "://" not in str(where):
        return URL.create("sqlite", database=None if where is None else str(where))
    try:
        url = make_url(str(where))
    except ArgumentError:
        refuse(str(where), "is no URL", "give a path, sqlite:///path or postgresql+psycopg://user@host/database")
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "postgresql+psycopg"):
        refuse(url.render_as_string(), f"{url.drivername} is not supported", "use sqlite or postgresql+psycopg")
    if url.drivername == "sqlite" and not url.database:
        refuse(str(where), "names no file", "write sqlite:///store.db, or sqlite:////absolute/path/store.db")
    return url


def _engine(url: URL, pragmas: tuple[str, ...]) -> Engine:
    try:
        # Parameters by place, so that tuples can be given as they are.
        options: dict[str, Any] = {} if url.drivername == "sqlite" else {"paramstyle": "format"}
        engine = create_engine(url, **options)
    except (ImportError, NoSuchModuleError):
        refuse(url.render_as_string(), "psycopg is not installed", "pip install 'streamgauge[postgresql]'")
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite_settings(pragmas))
        # sqlite3 would begin late and commit on its own; transactions are ours.
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


def _sqlite_settings(pragmas: tuple[str, ...]) -> Callable[[Any, Any], None]:
    def settle(raw: Any, _: Any) -> None:
        raw.isolation_level = None
        for pragma in pragmas:
            raw.execute(f"PRAGMA {pragma}")

    return settle


def _write_ahead(engine: Engine) -> None:
    # Kept in the file, hence only once it is known to be ours; and not possible within a transaction.
    raw = engine.raw_connection()
    try:
        raw.cursor().execute("PRAGMA journal_mode=WAL")
    finally:
        raw.close()


def _prepare(connection: Connection, where: str) -> None:
    tables = set(inspect(connection).get_table_names())
    if not tables:
        METADATA.create_all(connection)
        rows = {"format": FORMAT, "schema": str(SCHEMA_VERSION), "store": uuid4().hex}
        connection.execute(insert(META), [{"name": name, "value": value} for name, value in rows.items()])
        return
    found = _meta(connection) if "meta" in tables else {}
    if found.get("format") != FORMAT:
        refuse(where, "is a database of something else", "give a path or a database of its own")
    if int(found["schema"]) > SCHEMA_VERSION:
        problem = f"was written by a newer streamgauge (schema {found['schema']}, this one knows {SCHEMA_VERSION})"
        refuse(where, problem, "upgrade streamgauge, or use another store")


def _meta(connection: Connection) -> dict[str, str]:
    if {c["name"] for c in inspect(connection).get_columns("meta")} != {"name", "value"}:
        return {}
    return {row[0]: row[1] for row in connection.execute(select(META.c.name, META.c.value))}


def _lock_server(engine: Engine, where: str) -> Callable[[], object]:
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    if not connection.scalar(text("SELECT pg_try_advisory_lock(:number)"), {"number": _ADVISORY_LOCK}):
        connection.close()
        refuse(where, "another streamgauge is writing it", "wait until it has ended, or use another store")
    return connection.close


def _lock_file(path: str) -> Callable[[], object]:
    """Hold ``path.lock``, so that a second process is told at once. The lock dies with the process."""
    _check_place(Path(path))
    lock = path + ".lock"
    while True:
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            refuse(path, f"{lock}: {error.strerror}", "the folder of a store must be writable")
        if not _try_lock(handle):
            os.close(handle)
            refuse(path, "another streamgauge is writing it", "wait until it has ended, or use another store")
        if _same_file(handle, lock):
            return lambda: _unlock(handle, lock)
        os.close(handle)  # its last owner removed it between our open and our lock


def _check_place(path: Path) -> None:
    try:
        path.parent.stat()
        with contextlib.suppress(FileNotFoundError):
            path.stat()
    except FileNotFoundError:
        pass  # said below
    except (OSError, ValueError) as error:
        refuse(str(path)[:80], getattr(error, "strerror", None) or str(error), "check the path")
    if path.is_dir():
        refuse(str(path), "is a folder", f"name a file in it, such as {path / 'store.db'}")
    if not path.parent.is_dir():
        refuse(str(path), f"there is no folder {path.parent}", "make it first, or check the path")
    if path.exists() and not os.access(path, os.W_OK):
        refuse(str(path), "it cannot be written", "check its permissions")


def _try_lock(handle: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows, where SQLite's own locks are all there is
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same_file(handle: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _unlock(handle: int, path: str) -> None:
    if os.name == "posix":
        Path(path).unlink(missing_ok=True)
    os.close(handle)
