"""A page of cells: read, merged, presented, filtered and cut, never more of it at once than a page needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

from streamgauge.aggregates.base import Value
from streamgauge.output.cells import CellColumns, Columns
from streamgauge.output.present import Column
from streamgauge.serve.base import Reads
from streamgauge.serve.paging import Cursor
from streamgauge.serve.pieces import SIZE, Coverage, Piece, Row, pieces
from streamgauge.serve.problems import Problem
from streamgauge.serve.query import CellQuery

MOST_SCANNED = 100_000
"""Rows that one request looks at. A page that is not full by then ends, and its cursor goes on from there."""


Held = tuple[Any, Row]
"""A row and what it is ordered by."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of a page, some at a time, as columns in the order of ``columns``; ``next`` is None at the end."""

    columns: tuple[Column, ...]
    batches: Sequence[Columns]
    rows: int
    next: Cursor | None

    def within(self, start_ms: int | None, stop_ms: int | None) -> Page:
        """The same, the next page being of this range, whatever the time is by then."""
        return self if self.next is None else replace(self, next=replace(self.next, range_ms=(start_ms, stop_ms)))


class Presented:
    """Presents pieces as the query wants them."""

    def __init__(self, query: CellQuery, watermark: int) -> None:
        self._query = query
        self._made = CellColumns(query.narrow, query.shown, query.row_length, query.key_names, query.zone, watermark)
        names = [column.name for column in query.columns]
        self._places = {name: n for n, name in enumerate(names)}
        self._measures = range(names.index("events"), names.index("late"))
        self.fields = [self._places[name] for name in query.fields]

    def columns(self, piece: Piece) -> Columns:
        """All columns of the piece; what nobody knows is null."""
        columns = self._made.of(piece.batch)
        if piece.coverage is None:
            return columns
        if piece.nothing is not None and any(piece.nothing):
            for n in self._measures:
                columns[n] = [None if none else v for v, none in zip(columns[n], piece.nothing, strict=True)]
        return [*columns, piece.coverage]

    def chosen(self, columns: Columns) -> list[bool] | None:
        """Which rows meet all conditions; None where there is no condition."""
        found: list[bool] | None = None
        for condition in self._query.filters:
            meets = condition.meets(columns[self._places[condition.column]])
            found = meets if found is None else [a and b for a, b in zip(found, meets, strict=True)]
        return found

    def values(self, columns: Columns, name: str) -> Sequence[Value]:
        """One column."""
        return columns[self._places[name]]


def read_page(reads: Reads, query: CellQuery, watermark: int, coverage: Coverage | None = None) -> Page:
    """The page that the query's cursor points at. Raises Problem for what is too much, and TimeoutError."""
    if query.order:
        return _by_column(reads, query, watermark, coverage)
    return page_of(pieces(reads, query, watermark, coverage), query, watermark, reads)


def page_of(found: Iterable[Piece], query: CellQuery, watermark: int, reads: Reads) -> Page:
    """The first rows of the pieces, which come in the order of the page."""
    presented, batches, taken, scanned = Presented(query, watermark), list[Columns](), 0, 0
    limit_s, last, more = reads.left_s(), query.cursor, False
    for piece in found:
        columns = presented.columns(piece)
        mask = presented.chosen(columns)
        rows = list(range(len(piece))) if mask is None else list(compress(range(len(piece)), mask))
        room = query.limit - taken
        if len(rows) > room:
            more = True
            # The page is full: it ends with its last row, or before what was only looked at.
            last = _after(piece, rows[room - 1], last) if room else last
            rows = rows[:room]
        batches += _kept(columns, presented.fields, rows, len(piece))
        taken, scanned = taken + len(rows), scanned + len(piece)
        if more:
            break
        last = _after(piece, len(piece) - 1, last)
        if scanned >= MOST_SCANNED or reads.left_s() < limit_s / 2:
            more = True
            break
    return Page(_fields(query), batches, taken, last if more else None)


def _fields(query: CellQuery) -> tuple[Column, ...]:
    by_name = {column.name: column for column in query.columns}
    return tuple(by_name[name] for name in query.fields)


def _after(piece: Piece, row: int, cursor: Cursor) -> Cursor:
    return replace(cursor, start_ms=piece.starts[row], key=piece.batch.keys[row])


def _kept(columns: Columns, fields: Sequence[int], rows: Sequence[int], size: int) -> list[Columns]:
    if not rows:
        return []
    if len(rows) == size:
        return [[columns[n] for n in fields]]
    return [[[columns[n][row] for row in rows] for n in fields]]


def _by_column(reads: Reads, query: CellQuery, watermark: int, coverage: Coverage | None) -> Page:
    """The page of a query that is ordered by a column: all rows are looked at, and as many are held as it takes."""
    wanted = query.cursor.offset + query.limit + 1
    narrow = query.only_for_order()
    looked, held, scanned = Presented(narrow, watermark), list[Held](), 0
    places = [place for place, _ in query.wanted]
    few = [places.index(place) for place, _ in narrow.wanted]
    for piece in pieces(reads, replace(query, cursor=Cursor()), watermark, coverage):
        scanned += len(piece)
        if scanned > MOST_SCANNED:
            problem = f"the range has more than {MOST_SCANNED} rows to be put in order by {query.order}"
            raise Problem("too-large", f"order: {problem}; narrow start and stop, or name keys", "order")
        columns = looked.columns(piece.with_states(few))
        mask = looked.chosen(columns)
        values = looked.values(columns, query.order)
        found = zip(values, piece.rows(), strict=True)
        held += found if mask is None else compress(found, mask)
        held = _first(held, query.descending, wanted) if len(held) > 2 * wanted else held
    rows = [row for _, row in _first(held, query.descending, wanted)[query.cursor.offset :]]
    page = _presented(rows[: query.limit], query, watermark)
    more = len(rows) > query.limit
    return replace(page, next=replace(query.cursor, offset=query.cursor.offset + query.limit) if more else None)


def _first(held: list[Held], descending: bool, count: int) -> list[Held]:
    """The first in order; nulls come last either way, and equals stay in the order of time and key."""

    def key(row: Held) -> tuple[bool, bool, Any]:
        value = row[0]
        return (value is None) is not descending, isinstance(value, str), 0 if value is None else value

    return sorted(held, key=key, reverse=descending)[:count]


def _presented(rows: Sequence[Row], query: CellQuery, watermark: int) -> Page:
    presented = Presented(query, watermark)
    pieces_ = [Piece.of(rows[begin : begin + SIZE]) for begin in range(0, len(rows), SIZE)]
    batches = [[columns[n] for n in presented.fields] for columns in map(presented.columns, pieces_)]
    return Page(_fields(query), batches, len(rows), None)
