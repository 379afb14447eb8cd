"""One writer: who holds a store is asked of the operating system, or of the server, and named to whoever comes second.

A file's lock is on ``FILE.lock`` beside it, and dies with its process. A server's lock belongs to the very connection
that writes: who loses the one loses the other, so that nothing can be written by two.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from streamgauge.store.sql_errors import refuse

_NUMBER = 0x73747265616D
""""stream" in ASCII: the advisory lock that PostgreSQL's writers of one database agree on."""

_WAIT_S = 5
"""How long a server may take to notice that the last writer was killed: its last statement must end."""

_HOLDER = text(
    "SELECT a.pid, a.application_name, host(a.client_addr) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
    " WHERE l.locktype = 'advisory' AND l.granted AND (l.classid::bigint << 32) + l.objid::bigint = :number"
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_END_OURS = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = :pid AND application_name = :name")


def own_name() -> str:
    """How this process is named to others."""
    return f"{os.getpid()} on {platform.node() or 'this machine'}"


def _refuse_second(where: str, holder: str) -> None:
    refuse(where, f"another streamgauge{holder} is writing it", "wait until it has ended, or use another store")


def lock_server(connection: Connection, where: str, name: str, old_pid: int | None = None) -> int:
    """Take the lock for as long as the connection lives; the server's process id of it.

    ``name`` is the application name of this program's connections, which no other program has; ``old_pid`` that of an
    earlier connection of ours, which the server may think alive: it is ended first. Raises StoreError.
    """
    if old_pid is not None:
        connection.execute(_END_OURS, {"pid": old_pid, "name": name})
    connection.execute(text(f"SET lock_timeout = '{_WAIT_S}s'"))
    try:
        connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": _NUMBER})
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", "") != "55P03":  # lock_not_available
            raise
        connection.rollback()
        _refuse_second(where, _holder(connection))
    connection.execute(text("RESET lock_timeout"))
    return int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)


def _holder(connection: Connection) -> str:
    row = connection.execute(_HOLDER, {"number": _NUMBER}).first()
    if row is None:
        return ""
    parts = (row[1], f"from {row[2]}" if row[2] else "", f"server process {row[0]}")
    return f" ({', '.join(part for part in parts if part)})"


def lock_file(path: str) -> Callable[[], object]:
    """Hold the lock of a file, whatever link leads to it; what gives it back. Raises StoreError."""
    _check_place(Path(path))
    lock = os.path.realpath(path) + ".lock"
    while True:
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            refuse(path, f"{lock}: {error.strerror}", "the folder of a store must be writable")
        if not _try_lock(handle):
            holder = os.pread(handle, 200, 0).decode(errors="replace").strip()
            os.close(handle)
            _refuse_second(path, f" (process {holder})" if holder else "")
        if _same_file(handle, lock):
            _sign(handle)
            return lambda: _unlock(handle, lock)
        os.close(handle)  # its last owner removed it between our open and our lock


def _sign(handle: int) -> None:
    # On a full disk there is no name, and a lock all the same.
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{own_name()}\n".encode(), 0)


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
