"""Dead letters in SQL: bounded, filtered, read page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from streamgauge.event import DeadLetter
from streamgauge.store.base import (
    MAX_DEAD_LETTER_BYTES,
    MAX_DEAD_LETTERS,
    NEW,
    REPLAYED,
    Commit,
    KeptLetter,
    LetterFilter,
)
from streamgauge.store.sql_bulk import streamed
from streamgauge.store.sql_schema import DEAD_LETTER, READER, upsert

_PLAIN = ("position", "lane", "line", "offset", "reason", "detail", "column", "data", "length")
_KEPT = (*_PLAIN, "source", "received_ms", "state")


def read_letters(connection: Connection, reader: str) -> Iterator[DeadLetter]:
    """All of a reader, in order of position."""
    with streamed(connection, _select(_PLAIN, reader), 256) as found:
        for row in found:
            yield DeadLetter(*row)


def find_letters(connection: Connection, reader: str, wanted: LetterFilter, after: int, limit: int) -> list[KeptLetter]:
    """See Store.find_letters."""
    query = _select(_KEPT, reader).where(DEAD_LETTER.c.position > after, *_conditions(wanted)).limit(max(limit, 0))
    return [KeptLetter(*row) for row in connection.execute(query)]


def one_letter(connection: Connection, reader: str, position: int) -> KeptLetter | None:
    """See Store.letter."""
    row = connection.execute(_select(_KEPT, reader).where(DEAD_LETTER.c.position == position)).one_or_none()
    return None if row is None else KeptLetter(*row)


def write_letters(connection: Connection, changes: Commit) -> tuple[int, int]:
    """Write those that find room, and mark what was replayed; how many are kept then, and their bytes.

    Which are kept never depends on where commits fall: they are the first that fit, each where those before it left
    room for it, or the longest run of newest ones that fits.
    """
    name = changes.reader
    query = select(READER.c.letters, READER.c.letter_bytes).where(READER.c.name == name)
    count, size = connection.execute(query).one_or_none() or (0, 0)
    rows = []
    for letter in changes.dead_letters:
        if changes.newest_letters or (count < MAX_DEAD_LETTERS and size + len(letter.data) <= MAX_DEAD_LETTER_BYTES):
            count, size = count + 1, size + len(letter.data)
            rows.append(_row(name, letter))
    if rows:
        connection.execute(upsert(DEAD_LETTER, connection.dialect), rows)
    if changes.replayed:
        _mark(connection, name, changes.replayed)
    if changes.newest_letters and (count > MAX_DEAD_LETTERS or size > MAX_DEAD_LETTER_BYTES):
        return _make_room(connection, name, count, size)
    return count, size


def _select(names: Sequence[str], reader: str) -> Any:
    c = DEAD_LETTER.c
    return select(*(c[name] for name in names)).where(c.reader == reader).order_by(c.position)


def _conditions(wanted: LetterFilter) -> Iterator[ColumnElement[bool]]:
    c = DEAD_LETTER.c
    for column, value in ((c.reason, wanted.reason), (c.source, wanted.source), (c.state, wanted.state)):
        if value is not None:
            yield column == value
    if wanted.from_ms is not None:
        yield c.received_ms >= wanted.from_ms
    if wanted.to_ms is not None:
        yield c.received_ms < wanted.to_ms


def _row(reader: str, letter: DeadLetter) -> dict[str, Any]:
    row = {"reader": reader, **{name: getattr(letter, name) for name in _PLAIN}}
    if isinstance(letter, KeptLetter):
        return {**row, "source": letter.source, "received_ms": letter.received_ms, "state": letter.state}
    return {**row, "source": letter.lane, "received_ms": 0, "state": NEW}


def _mark(connection: Connection, reader: str, positions: Sequence[int]) -> None:
    c = DEAD_LETTER.c
    for begin in range(0, len(positions), 500):
        asked = c.position.in_(list(positions[begin : begin + 500]))
        connection.execute(update(DEAD_LETTER).where(c.reader == reader, asked).values(state=REPLAYED))


def _make_room(connection: Connection, reader: str, count: int, size: int) -> tuple[int, int]:
    """Delete the oldest until the rest fits."""
    c, before = DEAD_LETTER.c, -1
    query = select(c.position, func.length(c.data)).where(c.reader == reader).order_by(c.position)
    for position, length in connection.execute(query).all():
        if count <= MAX_DEAD_LETTERS and size <= MAX_DEAD_LETTER_BYTES:
            break
        count, size, before = count - 1, size - length, position
    connection.execute(delete(DEAD_LETTER).where(c.reader == reader, c.position <= before))
    return count, size
