"""The one connection that writes: it holds the server's lock, and knows which of its commits were made."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import NoReturn
from uuid import uuid4

from sqlalchemy import Connection, Engine, select, text

from streamgauge.store.sql_errors import refuse
from streamgauge.store.sql_lock import lock_server
from streamgauge.store.sql_schema import META, upsert

WRITES = "streamgauge_writes"
"""The execution option of the connection that writes."""

_COMMIT = "commit"

# The server's own settings of this session: a commit is on its disk when it says so, and a client that is gone is
# noticed, so that its lock is free for the next.
_SETTINGS = text(
    "SELECT set_config(s.name, w.value, false) FROM pg_settings s JOIN (VALUES ('tcp_keepalives_idle', '10'),"
    " ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'), ('synchronous_commit', 'on')) w (name, value)"
    " ON s.name = w.name WHERE s.name <> 'synchronous_commit' OR s.setting = 'off'"
)


class Writer:
    """Transactions, one after another, each with a mark in the store, from any thread.

    A connection may break while a commit is being made. Then its mark tells, at the next one, whether it was.
    """

    def __init__(self, engine: Engine, where: str, name: str) -> None:
        self._engine, self._where, self._name = engine, where, name
        self._lock = RLock()
        self._connection: Connection | None = None
        self._pid: int | None = None
        self._known: str | None = None
        self._doubtful: tuple[str, Hashable] | None = None

    def close(self) -> None:
        """Give the connection and its lock back."""
        with self._lock:
            self._drop()

    def connect(self) -> Connection:
        """The connection, made again where it was lost. Raises StoreError where somebody else writes by now."""
        if self._connection is None:
            connection = self._engine.connect().execution_options(**{WRITES: True})
            try:
                if connection.dialect.name == "postgresql":
                    connection.execute(_SETTINGS)
                    self._pid = lock_server(connection, self._where, self._name, self._pid)
                    connection.commit()
            except BaseException:
                connection.invalidate()
                connection.close()
                raise
            self._connection = connection
        return self._connection

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction without a mark, for making and changing tables."""
        with self._lock, self._kept() as connection, connection.begin():
            yield connection

    @contextmanager
    def commit(self, what: Hashable) -> Iterator[Connection | None]:
        """A transaction with a mark. None where the last one, of which nobody knew, was made, and was this very one.

        Raises StoreError where it was made, and ``what`` is another, or where somebody else has written meanwhile.
        """
        with self._lock, self._kept() as connection, connection.begin() as transaction:
            if self._was_made(connection, what):
                yield None
                return
            yield connection
            mark = uuid4().hex
            connection.execute(upsert(META, connection.dialect), {"name": _COMMIT, "value": mark})
            self._doubtful = (mark, what)
            transaction.commit()
            self._known, self._doubtful = mark, None

    @contextmanager
    def _kept(self) -> Iterator[Connection]:
        """The connection. After any error it is given up, and the next call makes another: its state is not trusted."""
        connection = self.connect()
        try:
            yield connection
        except BaseException:
            self._drop()
            raise

    def _was_made(self, connection: Connection, what: Hashable) -> bool:
        stored = connection.scalar(select(META.c.value).where(META.c.name == _COMMIT))
        doubtful, self._doubtful = self._doubtful, None
        if doubtful is not None and stored == doubtful[0]:
            self._known = stored
            if doubtful[1] == what:
                return True
            self._refuse("the last commit was made although its connection broke, and this is another")
        if self._known is not None and stored != self._known:
            self._refuse("another streamgauge wrote it while this one was not connected")
        self._known = stored
        return False

    def _refuse(self, problem: str) -> NoReturn:
        refuse(self._where, problem, "start again from the stored position")

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # Not back to the pool: the lock goes with the connection.
            with contextlib.suppress(Exception):
                connection.invalidate()
            with contextlib.suppress(Exception):
                connection.close()
