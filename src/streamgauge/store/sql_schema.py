"""The tables, and the statements that depend on a dialect."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    column,
    select,
    values,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from streamgauge.store.base import NEW

SCHEMA_VERSION = 2
"""What this program writes; store/migrations brings older ones here."""

FORMAT = "streamgauge"

# Every text is stored in ASCII, and its order must be that of bytes in every database.
_Ascii = Text().with_variant(Text(collation="C"), "postgresql")


class EscapedText(TypeDecorator[str]):
    """Any str, lone surrogates and NUL too, as printable ASCII: plain names stay as they are."""

    impl = _Ascii
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """As it is stored."""
        return None if value is None else value.encode("unicode_escape").decode("ascii")

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """As it was given."""
        return None if value is None else value.encode("ascii").decode("unicode_escape")


METADATA = MetaData()


def _table(name: str, *columns: Column[Any], with_rowid: bool = False) -> Table:
    return Table(name, METADATA, *columns, sqlite_with_rowid=with_rowid)


def _key(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, primary_key=True, autoincrement=False)


def _column(name: str, kind: Any, optional: bool = False, given: str | None = None) -> Column[Any]:
    """``given`` is what rows have that were there before the column was."""
    return Column(name, kind, nullable=optional, server_default=given)


META = _table("meta", _key("name", _Ascii), _column("value", _Ascii))

VERSION = _table(
    "version", _key("id", Integer), _column("name", EscapedText), _column("hash", _Ascii), _column("definition", _Ascii)
)

READER = _table(
    "reader",
    _key("name", EscapedText),
    _column("position", BigInteger),
    _column("blocks", BigInteger),
    _column("book", _Ascii),
    _column("letters", BigInteger),
    _column("letter_bytes", BigInteger),
)

READER_VERSION = _table("reader_version", _key("reader", EscapedText), _key("version", Integer))

LANE = _table(
    "lane",
    _key("reader", EscapedText),
    _key("number", BigInteger),
    _column("name", EscapedText),
    _column("identity", EscapedText),
    _column("cursor", BigInteger),
    _column("line", BigInteger),
    _column("time_unit", EscapedText),
    _column("form", EscapedText),
    _column("mark", _Ascii),
    _column("coverage", _Ascii, given="[]"),
)

KEY = _table("key", _key("id", LargeBinary), _column("text", _Ascii))

CELL = _table(
    "cell",
    _key("version", Integer),
    _key("every", _Ascii),
    _key("start", BigInteger),
    _key("key", LargeBinary),
    _column("events", BigInteger),
    _column("late", BigInteger),
    _column("revision", BigInteger, optional=True),
    _column("wrong", LargeBinary, optional=True),
    _column("states", LargeBinary),
)

SEEN_ID = _table(
    "seen_id", _key("reader", EscapedText), _key("block", BigInteger), _column("ids", LargeBinary), with_rowid=True
)

DEAD_LETTER = _table(
    "dead_letter",
    _key("reader", EscapedText),
    _key("position", BigInteger),
    _column("lane", EscapedText),
    _column("line", BigInteger),
    _column("offset", BigInteger),
    _column("reason", EscapedText),
    _column("detail", EscapedText),
    _column("column", BigInteger),
    _column("data", LargeBinary),
    _column("length", BigInteger),
    _column("source", EscapedText, given=""),
    _column("received_ms", BigInteger, given="0"),
    _column("state", EscapedText, given=NEW),
    with_rowid=True,
)

TALLY = _table(
    "tally",
    _key("reader", EscapedText),
    _key("lane", EscapedText),
    _key("reason", EscapedText),
    _key("minute_ms", BigInteger),
    _column("value", BigInteger),
)

COUNTER = _table("counter", _key("reader", EscapedText), _key("name", EscapedText), _column("value", BigInteger))


def upsert(
    table: Table,
    dialect: Dialect,
    adding: Sequence[str] = (),
    ignore: bool = False,
    source: Table | None = None,
) -> Any:
    """Insert, or on the same primary key: replace the rest, add to the columns ``adding``, or leave it (``ignore``).

    The rows are given when it is executed, or are those of ``source``, a table with the same columns.
    """
    statement = import_module(f"sqlalchemy.dialects.{dialect.name}").insert(table)
    if source is not None:
        statement = statement.from_select([c.name for c in table.c], select(source))
    keys = [c.name for c in table.primary_key]
    if ignore:
        return statement.on_conflict_do_nothing(index_elements=keys)
    new = statement.excluded
    values = {c.name: (c + new[c.name] if c.name in adding else new[c.name]) for c in table.c if c.name not in keys}
    if not values:
        return statement.on_conflict_do_nothing(index_elements=keys)
    return statement.on_conflict_do_update(index_elements=keys, set_=values)


def lookup(dialect: Dialect, pairs: int) -> str:
    """The cells of one version and length at so many (start, key): parameters are these pairs, version, every.

    A join, since SQLite answers ``(start, key) IN (VALUES ...)`` by reading every cell.
    """
    columns = column("start", BigInteger), column("key", LargeBinary)
    rows = [(bindparam(f"s{i}", type_=BigInteger), bindparam(f"k{i}", type_=LargeBinary)) for i in range(pairs)]
    wanted = values(*columns, name="wanted").data(rows).cte("wanted")
    c = CELL.c
    query = select(c.start, c.key, c.events, c.late, c.revision, c.wrong, c.states)
    query = query.join_from(wanted, CELL, (c.start == wanted.c.start) & (c.key == wanted.c.key))
    query = query.where(c.version == bindparam("version"), c.every == bindparam("every"))
    compiled = query.compile(dialect=dialect)
    expected = [f"{name}{i}" for i in range(pairs) for name in "sk"] + ["version", "every"]
    return _in_order(compiled, expected)


def driver_sql(statement: Any, dialect: Dialect) -> str:
    """A statement for ``exec_driver_sql`` with tuples in the order of the columns: 3 times faster than dicts."""
    return _in_order(statement.compile(dialect=dialect), [c.name for c in statement.table.columns])


def _in_order(compiled: Any, expected: Sequence[str]) -> str:
    if list(compiled.positiontup or ()) != list(expected):
        raise RuntimeError(f"parameters come as {compiled.positiontup}, not as {expected}: {compiled}")
    return str(compiled)
