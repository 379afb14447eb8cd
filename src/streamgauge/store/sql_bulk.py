"""Many rows at once, in the fastest simple way of each database: SQLite takes tuples, PostgreSQL a COPY."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    CursorResult,
    Executable,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from streamgauge.store.sql_schema import driver_sql, upsert

Rows = Sequence[Sequence[Any]]


@contextmanager
def streamed(connection: Connection, query: Executable, size: int) -> Iterator[CursorResult[*tuple[Any, ...]]]:
    """The rows of a query, so many at a time in memory."""
    found: CursorResult[*tuple[Any, ...]] = connection.execute(query, execution_options={"yield_per": size})
    try:
        yield found
    finally:
        # Where its connection breaks, SQLAlchemy forgets the server's cursor without closing our end of it.
        cursor = found.cursor
        if cursor is not None:
            with contextlib.suppress(Exception):
                cursor.close()


class BulkUpsert:
    """Inserts rows, given in the order of the table's columns; on the same key replaces, or with ``ignore`` leaves.

    No two rows of one call may have the same key.
    """

    def __init__(self, table: Table, dialect: Dialect, ignore: bool = False) -> None:
        if dialect.name == "postgresql":
            self.write = _Copy(table, dialect, ignore).write
        else:
            self._statement = driver_sql(upsert(table, dialect, ignore=ignore), dialect)
            self.write = self._write_tuples

    def _write_tuples(self, connection: Connection, chunks: Iterable[Rows]) -> None:
        for rows in chunks:
            if rows:
                connection.exec_driver_sql(self._statement, list(rows))


class _Copy:
    """Rows go to a temporary table by COPY, twice as fast as any INSERT, and from there into the table."""

    def __init__(self, table: Table, dialect: Dialect, ignore: bool) -> None:
        columns = [Column(column.name, column.type) for column in table.columns]
        kind: dict[str, Any] = {"prefixes": ["TEMPORARY"], "postgresql_on_commit": "DELETE ROWS"}
        self._staged = Table(f"staged_{table.name}", MetaData(), *columns, **kind)
        self._upsert = upsert(table, dialect, ignore=ignore, source=self._staged)
        self._types = [_binary_type(column) for column in columns]

    def write(self, connection: Connection, chunks: Iterable[Rows]) -> None:
        """Write chunks of rows within the connection's transaction."""
        connection.execute(CreateTable(self._staged, if_not_exists=True))
        driver = connection.dialect.loaded_dbapi
        statement = f"COPY {self._staged.name} FROM STDIN (FORMAT BINARY)"
        raw: Any = connection.connection.driver_connection
        try:
            with raw.cursor().copy(statement) as copy:
                copy.set_types(self._types)
                for rows in chunks:
                    for row in rows:
                        copy.write_row(row)
        except driver.Error as error:
            raise DBAPIError(statement, None, error) from error
        connection.execute(self._upsert)
        connection.execute(text(f"TRUNCATE {self._staged.name}"))


def _binary_type(column: Column[Any]) -> str:
    kinds = ((BigInteger, "int8"), (Integer, "int4"), (LargeBinary, "bytea"))
    return next((name for kind, name in kinds if isinstance(column.type, kind)), "text")
