"""Cells in the order of a page, as they are stored, or merged over keys and windows, or with those that are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import NamedTuple, TypeVar

from streamgauge.aggregates.base import State
from streamgauge.event import MAX_TIME_MS, MIN_TIME_MS, NEVER
from streamgauge.output.rollup import NO_KEY, Cell, batch_of, cells_of, rolled
from streamgauge.serve.base import Interval, Reads
from streamgauge.serve.problems import Problem
from streamgauge.serve.query import CellQuery, Range
from streamgauge.store.base import OTHER_TEXT, CellBatch

T = TypeVar("T")

SIZE = 1024
"""Cells of a piece, and of one reading of the store."""

BLOCK = 64
"""Windows that are put together at once."""

MOST_AT_ONCE = 100_000
"""Cells that the windows put together at once may have."""

MOST_KEYS = 1000
"""Keys of a query with gaps."""

COVERED, GAP, UNKNOWN, OPEN = "covered", "gap", "unknown", "open"

Coverage = Callable[[int, int], Sequence[Interval] | None]
"""When the statistic was covered, ascending, at least within a range; None: nobody knows."""


class Row(NamedTuple):
    """One cell at a window, and what is known of that; see Piece. ``coverage`` is empty where it is not asked for."""

    start: int
    cell: Cell
    coverage: str = ""
    nothing: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """Some cells; ``starts`` are those of the windows that they stand at, which a rolling row only ends with.

    ``coverage``: of each window; ``nothing``: rows that stand for no cell and of which nobody knows what was.
    """

    batch: CellBatch
    starts: Sequence[int]
    coverage: Sequence[str] | None = None
    nothing: Sequence[bool] | None = None

    def __len__(self) -> int:
        return len(self.starts)

    def with_states(self, states: Sequence[int]) -> Piece:
        """The same with some of its states."""
        return replace(self, batch=replace(self.batch, states=[self.batch.states[n] for n in states]))

    def rows(self) -> list[Row]:
        """Its cells, one by one."""
        coverage = [""] * len(self) if self.coverage is None else self.coverage
        nothing = [False] * len(self) if self.nothing is None else self.nothing
        return list(map(Row, self.starts, cells_of(self.batch), coverage, nothing))

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Piece:
        """These rows; there must be one. All have a coverage, or none."""
        batch, starts = batch_of([row.cell for row in rows]), [row.start for row in rows]
        if not rows[0].coverage:
            return cls(batch, starts)
        return cls(batch, starts, [row.coverage for row in rows], [row.nothing for row in rows])


def pieces(reads: Reads, query: CellQuery, watermark: int, coverage: Coverage | None) -> Iterator[Piece]:
    """The cells of a query past its cursor, in order. Reads no further ahead than it is asked."""
    place = query.cursor.place
    if query.gaps or query.rolling > 1:
        whole = _Whole(reads, query, watermark - query.statistic.delay_ms - query.statistic.lateness_ms, coverage)
        size = min(query.limit + 1, SIZE)
        yield from _past(map(Piece.of, _chunks(whole.rows(), size)), place)
    elif query.roll_up is not None:
        cells = rolled(stored(reads, query, _from_window(query, place)), query.states, query.roll_up)
        yield from _past(map(Piece.of, _chunks((Row(cell.start, cell) for cell in cells), SIZE)), place)
    else:
        size = min(query.limit + 1, SIZE) if not query.filters and not query.order else SIZE
        yield from map(_plain, stored(reads, query, query.range, place, size))


def stored(
    reads: Reads, query: CellQuery, wanted: Range, after: tuple[int, str] | None = None, size: int = SIZE
) -> Iterator[CellBatch]:
    """The cells as they are stored, those of other keys left out."""
    keys = query.keys
    ids, containing = keys.ids, keys.containing
    exact = not keys or ids is not None
    while True:
        batch = reads.cells(
            query.statistic.version,
            query.length.text,
            query.wanted,
            size,
            wanted.start_ms,
            wanted.stop_ms,
            after,
            query.descending,
            ids,
            containing,
        )
        kept = batch if exact else picked(batch, [n for n, key in enumerate(batch.keys) if keys.matches(key)])
        if len(kept):
            yield kept
        if len(batch) < size:
            return
        after, size = (batch.starts[-1], batch.keys[-1]), SIZE
        reads.check()


def picked(batch: CellBatch, rows: Sequence[int]) -> CellBatch:
    """Some of the cells, by their places."""
    if len(rows) == len(batch):
        return batch

    def some(column: Sequence[T]) -> list[T]:
        return [column[n] for n in rows] if column else []

    return CellBatch(
        some(batch.starts),
        some(batch.keys),
        some(batch.events),
        some(batch.late),
        some(batch.revisions),
        some(batch.wrong),
        [some(column) for column in batch.states],
    )


def _plain(batch: CellBatch) -> Piece:
    return Piece(batch, batch.starts)


def _from_window(query: CellQuery, place: tuple[int, str] | None) -> Range:
    """The range from the window of a place on."""
    if place is None:
        return query.range
    if query.descending:
        return replace(query.range, stop_ms=place[0] + 1)
    return replace(query.range, start_ms=place[0])


def _past(found: Iterable[Piece], place: tuple[int, str] | None) -> Iterator[Piece]:
    """What lies past a place, whose window comes first."""
    for piece in found:
        known = 0
        while place is not None and known < len(piece):
            if piece.starts[known] != place[0] or piece.batch.keys[known] > place[1]:
                place = None
            else:
                known += 1
        if known == 0:
            yield piece
        elif known < len(piece):
            yield _cut(piece, known)


def _cut(piece: Piece, begin: int) -> Piece:
    coverage = None if piece.coverage is None else piece.coverage[begin:]
    nothing = None if piece.nothing is None else piece.nothing[begin:]
    return Piece(piece.batch.part(begin, len(piece)), piece.starts[begin:], coverage, nothing)


def _chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk


class _Whole:
    """Windows put together whole, a block at a time: for rows that are merged from several, or that are missing."""

    def __init__(self, reads: Reads, query: CellQuery, reached: int, coverage: Coverage | None) -> None:
        self.reads, self.query, self.reached, self.coverage = reads, query, reached, coverage
        self.windows, self.length = query.statistic.windows, query.length
        self.states: list[State] = query.states
        self.back_ms = (query.rolling - 1) * query.length.nominal_ms
        self.keys: list[str] = []

    def rows(self) -> Iterator[Row]:
        """All rows from the window of the cursor on."""
        bounds = self._bounds()
        if bounds is None:
            return
        if self.query.gaps:
            self.keys = self._known_keys()
        for block in self._blocks(*bounds):
            cells = self._cells(block)
            if not cells and not self.query.gaps:
                continue
            yield from self._with_gaps(block, cells) if self.query.gaps else self._merged(block, cells)

    def _bounds(self) -> tuple[int, int] | None:
        """The starts of the first and the last window, the cursor's window at one end of them."""
        version, every, asked = self.query.statistic.version, self.length.text, self.query.range
        first = self.reads.next_start(version, every, MIN_TIME_MS)
        last = self.reads.next_start(version, every, MAX_TIME_MS, descending=True)
        if first is None or last is None:
            return None
        top = self._top(last, asked.stop_ms)
        low = first if asked.start_ms is None else asked.start_ms
        low = low if self.query.gaps else max(low, first)
        top = top if asked.stop_ms is None else min(top, asked.stop_ms - 1)
        place = self.query.cursor.place
        if place is not None:
            low, top = (low, min(top, place[0])) if self.query.descending else (max(low, place[0]), top)
        return (low, top) if low <= top else None

    def _top(self, last: int, stop_ms: int | None) -> int:
        """Up to when there can be rows: what is stored, and what is known to have passed since."""
        if self.reached >= MAX_TIME_MS:
            passed = last if stop_ms is None else stop_ms - 1
        else:
            passed = self._last_final() if self.reached > MIN_TIME_MS else NEVER
        if self.query.rolling > 1:
            passed = min(passed, last + self.back_ms) if stop_ms is not None else last
        return max(last, passed)

    def _last_final(self) -> int:
        """The start of the last window that the watermark has passed."""
        current = self.windows.start(self.length, self.reached)
        return self.windows.start(self.length, max(current - 1, MIN_TIME_MS))

    def _blocks(self, low: int, top: int) -> Iterator[list[int]]:
        """The starts of consecutive windows, each block ascending; blocks in the order of the query."""
        while low <= top:
            self.reads.check()
            span_ms = BLOCK * self.length.nominal_ms
            begin, end = (max(low, top - span_ms), top) if self.query.descending else (low, min(top, low + span_ms))
            block = [start for start in self.windows.span(self.length, begin, end + 1) if start >= begin]
            if block:
                yield block
            if self.query.descending:
                top = self._skip(begin - 1)
            else:
                low = self._skip(end + 1)

    def _skip(self, to: int) -> int:
        """Where to go on: at ``to``, or past the windows that can have no rows."""
        if self.query.gaps:
            return to
        version, every = self.query.statistic.version, self.length.text
        if self.query.descending:
            near = self.reads.next_start(version, every, to, descending=True)
            return NEVER if near is None else min(to, near + self.back_ms)
        near = self.reads.next_start(version, every, to - self.back_ms)
        return MAX_TIME_MS if near is None else max(to, near)

    def _cells(self, block: Sequence[int]) -> dict[int, dict[str, Cell]]:
        """The cells that the rows of a block are made of, by window and key; Problem where there are too many."""
        wanted = Range(block[0] - self.back_ms, block[-1] + 1)
        query = replace(self.query, descending=False)
        batches = stored(self.reads, query, wanted)
        to = query.roll_up
        cells = chain.from_iterable(map(cells_of, batches)) if to is None else rolled(batches, self.states, to)
        found: dict[int, dict[str, Cell]] = {}
        for count, cell in enumerate(cells):
            if count >= MOST_AT_ONCE:
                problem = f"{len(block)} windows have more than {MOST_AT_ONCE} cells"
                raise Problem("too-large", f"{problem}, which cannot be put together at once; name keys, or roll up")
            found.setdefault(cell.start, {})[cell.key] = cell
        return found

    def _merged(self, block: Sequence[int], cells: dict[int, dict[str, Cell]]) -> Iterator[Row]:
        step = self.length.nominal_ms
        for start in reversed(block) if self.query.descending else block:
            first = start - self.back_ms
            parts = [cells[at] for at in range(first, start + 1, step) if at in cells]
            keys = sorted(set(chain.from_iterable(parts)))
            for key in keys:
                self.reads.check()
                yield Row(start, self._sum(first, key, [part[key] for part in parts if key in part]))

    def _sum(self, start: int, key: str, parts: Sequence[Cell]) -> Cell:
        total = self._zero(start, key)
        for part in parts:
            total.add(part, self.states)
        return total

    def _zero(self, start: int, key: str) -> Cell:
        return Cell(start, key, 0, 0, None, {}, [state.zero() for state in self.states])

    def _known_keys(self) -> list[str]:
        """The keys that have a cell in the range, and those that are named in full and known to the store."""
        query, keys, asked = self.query, self.query.keys, self.query.range
        ids, version, every = keys.ids, query.statistic.version, self.length.text
        most, containing = MOST_KEYS + 1, keys.containing
        found = self.reads.keys(version, every, most, asked.start_ms, asked.stop_ms, None, ids, containing)
        if len(found) > MOST_KEYS:
            raise Problem("too-large", f"gaps: the range has more than {MOST_KEYS} keys; name some, or roll up", "gaps")
        texts = {text for text, _ in found if keys.matches(text)}
        texts |= set(self.reads.known(ids).values()) if ids else set()
        texts |= set() if query.statistic.by else {NO_KEY}
        to = query.roll_up
        kept = texts if to is None else {key for text in texts if (key := to.key(text)) is not None}
        return sorted(kept - {OTHER_TEXT})

    def _with_gaps(self, block: Sequence[int], cells: dict[int, dict[str, Cell]]) -> Iterator[Row]:
        stops = [self.windows.stop(self.length, start) for start in block]
        covered = self.coverage(block[0], stops[-1]) if self.coverage is not None else None
        windows = list(zip(block, stops, strict=True))
        for start, stop in reversed(windows) if self.query.descending else windows:
            final, there = stop <= self.reached, cells.get(start, {})
            state = _coverage(start, stop, covered) if final else OPEN
            keys = sorted({*there, *self.keys}) if final else sorted(there)
            for key in keys:
                cell = there[key] if key in there else self._zero(start, key)
                yield Row(start, cell, state, key not in there and state != COVERED)


def _coverage(start: int, stop: int, covered: Sequence[Interval] | None) -> str:
    if covered is None:
        return UNKNOWN
    return COVERED if any(a <= start and stop <= b for a, b in covered) else GAP
