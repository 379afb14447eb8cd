"""From the cells of a statistic to rows that every format writes."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from streamgauge.aggregates.base import Aggregate, Output, Value
from streamgauge.bound import BoundMeasure, BoundStatistic
from streamgauge.errors import DeclarationError, UsageError, nearest
from streamgauge.expression import SqlType
from streamgauge.output.cells import CellColumns, Columns, ShownMeasure
from streamgauge.output.rollup import RollUp, batch_of, counted, rolled
from streamgauge.store.base import CellBatch, Cells
from streamgauge.windows import Length, check_zone, parse_length

Row = dict[str, Value]
"""One cell, flat: columns by name, in the order of ``Presenter.columns``."""

Record = tuple[Value, ...]
"""The same without the names."""

Ordering = tuple[Callable[[Record], Any], bool]
"""What to sort by, and whether descending."""

ROWS = 4096
"""Rows that are presented at once."""

T = TypeVar("T")

_KEY_TYPES = {SqlType.BIGINT: "int", SqlType.DOUBLE: "float", SqlType.BOOLEAN: "bool"}
_ANY_TYPES = {**_KEY_TYPES, SqlType.VARCHAR: "text"}
_UNITS = frozenset(("ns", "us", "ms", "s", "minutes", "hours", "bytes"))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the rows. ``type``: int, float, text, map (text to int), list, any, time (ISO 8601 text) or bool.

    ``format`` is how a table shows it: text, time, bool, or the ``format`` of a measure's Output. ``unit`` is empty
    where there is none to name. Values of every type may be null.
    """

    name: str
    type: str
    format: str = "text"
    unit: str = ""
    help: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    """Which cells of a statistic are wanted, and how.

    ``every``: a window length of the statistic; None is the first that it declares. ``by``: the keys to keep, in
    this order; the states of all others are merged (a roll-up); ``()`` is one row per window, None keeps all keys.
    Windows with ``start_ms <= start < stop_ms``. ``order``: a column, or ``-column`` for descending, nulls last; None
    is start, then key. ``limit``: so many rows at most. ``tz`` says only how times are written.
    """

    every: str | None = None
    by: tuple[str, ...] | None = None
    start_ms: int | None = None
    stop_ms: int | None = None
    order: str | None = None
    limit: int | None = None
    tz: str = "UTC"


class Presenter:
    """Presents the cells of one statistic. Reads the store each time that rows are asked for.

    ``watermark`` is that of the statistic's reader: it decides which windows are final. Every method that takes a
    query raises UsageError, before it reads anything, where the query cannot be answered.
    """

    def __init__(self, statistic: BoundStatistic, store: Cells, watermark: int) -> None:
        self.statistic, self.watermark = statistic, watermark
        self.shown = tuple(self._shown(m) for m in statistic.measures if not m.name.startswith("_"))
        self._store = store
        aggregates = (m.measure for m in statistic.measures if isinstance(m.measure, Aggregate))
        self._states = [state for aggregate in aggregates for state in aggregate.states()]

    def length(self, query: Query) -> Length:
        """The window length that is asked for."""
        lengths = self.statistic.lengths
        if query.every is None:
            return lengths[0]
        known = f"{self.statistic.spec.what} has {', '.join(x.text for x in lengths)}"
        try:
            wanted = parse_length(query.every)
        except DeclarationError as e:
            raise UsageError(f"{e}; {known}") from e
        for length in lengths:
            if (length.nominal_ms, length.calendar) == (wanted.nominal_ms, wanted.calendar):
                return length
        raise UsageError(f"every: no windows of {query.every}; {known}")

    def keys(self, query: Query) -> dict[str, SqlType]:
        """The keys of the rows, with their types, in order. A list's key is one of its elements."""
        declared = {name: expression.type for name, expression in self.statistic.by}
        if query.by is None:
            return declared
        what = self.statistic.spec.what
        for name in query.by:
            if name not in declared:
                hint = nearest(name, declared) or f"known: {', '.join(declared) or 'none'}"
                raise UsageError(f"by: {what} has no key {name!r}; {hint}")
            if query.by.count(name) > 1:
                raise UsageError(f"by: key {name!r} is named twice")
        self._check_lists(declared, query.by)
        return {name: declared[name] for name in query.by}

    def columns(self, query: Query) -> list[Column]:
        """The columns of the rows, in order."""
        keys = [
            Column(name, _KEY_TYPES.get(kind, "text"), "bool" if kind is SqlType.BOOLEAN else "text", "", "key")
            for name, kind in self.keys(query).items()
        ]
        self._check(query)
        found = [*_BEFORE, *keys, Column("events", "int", "count", "", "events of the cell")]
        for shown in self.shown:
            found.extend(self._columns_of(shown))
        return [*found, *_AFTER]

    def rows(self, query: Query) -> Iterator[Row]:
        """One row per cell, as a dictionary; see ``batches``."""
        names = [column.name for column in self.columns(query)]
        batches = self.batches(query)
        return (dict(zip(names, record, strict=True)) for columns in batches for record in zip(*columns, strict=True))

    def batches(self, query: Query) -> Iterator[Columns]:
        """The rows as columns, in the order of ``columns``, at most ``ROWS`` at a time.

        Streams in the order of the store (start, then the key's canonical text), no further ahead than the store
        reads. With ``order`` all rows are held, or as many as ``limit`` says; in a roll-up those of one window.
        """
        columns = self.columns(query)
        keys, zone = tuple(self.keys(query)), ZoneInfo(query.tz)
        made = CellColumns(self.statistic, self.shown, self.length(query), keys, zone, self.watermark)
        if query.order is None:
            return map(made.of, _first(self._cells(query), query.limit))
        return _ordered(map(made.of, self._cells(query)), _ordering(query.order, columns), query.limit)

    def count(self, query: Query) -> int:
        """How many rows there are, whatever the limit. Reads all of them, but presents none."""
        self.columns(query)
        to, length = self._roll_up(query), self.length(query).text
        if to is None and query.start_ms is None and query.stop_ms is None:
            extent = self._store.extent(self.statistic.version, length)
            return 0 if extent is None else extent.cells
        return counted(self._read(query), to)

    def _shown(self, bound: BoundMeasure) -> ShownMeasure:
        outputs = tuple(self._typed(bound, o) for o in bound.measure.outputs_for(bound.scales))
        columns = tuple(bound.name + o.suffix for o in outputs)
        has_n = outputs[0].format == "percent" and any(o.suffix == "_n" for o in outputs)
        low = bound.name + "_low" if has_n and self.statistic.spec.min_n is not None else ""
        return ShownMeasure(bound.name, bound.measure, outputs, columns, low)

    def _typed(self, bound: BoundMeasure, output: Output) -> Output:
        """``any`` becomes the type of the measure's argument, which a statistic knows."""
        argument = self.statistic.primitives[bound.first].argument if output.type == "any" else None
        return output if argument is None else replace(output, type=_ANY_TYPES.get(argument.type, "any"))

    def _columns_of(self, shown: ShownMeasure) -> Iterator[Column]:
        for name, output in zip(shown.columns, shown.outputs, strict=True):
            plain_number = output.format == "number" and output.type in ("int", "float")
            unit = shown.name.rpartition("_")[2] if plain_number else ""
            yield Column(name, output.type, output.format, unit if unit in _UNITS else "", output.help)
        if shown.low:
            yield Column(shown.low, "bool", "bool", "", f"n is below {self.statistic.spec.min_n}")

    def _check(self, query: Query) -> None:
        self.length(query)
        if query.limit is not None and query.limit < 0:
            raise UsageError(f"limit: {query.limit} rows cannot be shown; write 0 or more")
        try:
            check_zone(query.tz, "tz")
        except DeclarationError as e:
            raise UsageError(str(e)) from e

    def _check_lists(self, declared: Mapping[str, SqlType], kept: tuple[str, ...]) -> None:
        lost = [name for name, kind in declared.items() if kind is SqlType.LIST and name not in kept]
        if not lost or (not kept and self.statistic.spec.totals):
            return
        what, others = self.statistic.spec.what, ", ".join(name for name in declared if name in (*kept, *lost))
        raise UsageError(
            f"by: key {lost[0]!r} of {what} is a list: an event counts under each of its elements, so that adding "
            f"them up would count it more than once; keep it (--by {others}), or declare totals = true"
        )

    def _roll_up(self, query: Query) -> RollUp | None:
        declared = [name for name, _ in self.statistic.by]
        if query.by is None or list(query.by) == declared:
            return None
        return RollUp(tuple(declared.index(name) for name in query.by), self.statistic.spec.totals)

    def _read(self, query: Query) -> Iterator[CellBatch]:
        every = self.length(query).text
        return self._store.batches(self.statistic.version, every, self._states, query.start_ms, query.stop_ms)

    def _cells(self, query: Query) -> Iterator[CellBatch]:
        to, batches = self._roll_up(query), self._read(query)
        if to is not None:
            return map(batch_of, _chunks(rolled(batches, self._states, to)))
        return (batch.part(n, n + ROWS) for batch in batches for n in range(0, len(batch), ROWS))


_BEFORE = (
    Column("statistic", "text", "text", "", "name of the statistic"),
    Column("every", "text", "text", "", "length of the window"),
    Column("window_by", "text", "text", "", "field that chooses the window; time: that of the event"),
    Column("start", "time", "time", "", "start of the window, ISO 8601"),
    Column("stop", "time", "time", "", "end of the window, which is not part of it, ISO 8601"),
    Column("start_ms", "int", "number", "ms", "start, ms since 1970 UTC"),
    Column("stop_ms", "int", "number", "ms", "end, ms since 1970 UTC"),
    Column("row", "text", "text", "", "key; all: every event of the window; other: the keys past max_keys"),
)
_AFTER = (
    Column("late", "int", "count", "", "events that came when the window was final"),
    Column("revision", "int", "number", "", "position of the last late event; null where none was late"),
    Column("wrong_types", "map", "map", "", "events whose field had the wrong type, by field; null where none had"),
    Column("state", "text", "text", "", "final, or provisional until the watermark has passed the window"),
)


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """``ROWS`` at a time."""
    iterator = iter(items)
    while chunk := list(islice(iterator, ROWS)):
        yield chunk


def _first(batches: Iterable[CellBatch], limit: int | None) -> Iterator[CellBatch]:
    """As many cells as the limit says; no batch is read beyond it."""
    if limit is None:
        yield from batches
        return
    iterator = iter(batches)
    while limit and (batch := next(iterator, None)) is not None:
        yield batch.part(0, limit)
        limit -= min(limit, len(batch))


def _ordered(batches: Iterable[Columns], order: Ordering, limit: int | None) -> Iterator[Columns]:
    key, descending = order
    records = chain.from_iterable(zip(*columns, strict=True) for columns in batches)
    if limit is None:
        found = sorted(records, key=key, reverse=descending)
    else:
        found = (heapq.nlargest if descending else heapq.nsmallest)(limit, records, key=key)
    for chunk in _chunks(found):
        yield list(zip(*chunk, strict=True))


def _ordering(order: str, columns: Sequence[Column]) -> Ordering:
    """The sort key of a column, and whether to sort by it descending. Nulls come last either way."""
    name, descending = order.removeprefix("-"), order.startswith("-")
    known = {c.name: c for c in columns}
    if name not in known:
        hint = nearest(name, known) or f"known: {', '.join(known)}"
        raise UsageError(f"order: there is no column {name!r}; {hint}")
    if known[name].type in ("map", "list"):
        problem = f"column {name!r} holds a {known[name].type}, which has no order"
        raise UsageError(f"order: {problem}; name a number or a text")
    # The texts of times do not sort where the zone's offset changes.
    place = list(known).index({"start": "start_ms", "stop": "stop_ms"}.get(name, name))

    def key(record: Record) -> tuple[bool, bool, Any]:
        value = record[place]
        return (value is None) is not descending, isinstance(value, str), 0 if value is None else value

    return key, descending
