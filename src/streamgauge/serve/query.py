"""What a request for cells asks for, understood and checked against the statistic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast
from zoneinfo import ZoneInfo

from streamgauge.aggregates.base import Aggregate, Ratio, State
from streamgauge.bound import BoundStatistic
from streamgauge.errors import DeclarationError, UsageError
from streamgauge.event import NEVER
from streamgauge.expression import SqlType
from streamgauge.output.cells import ShownMeasure
from streamgauge.output.present import Column, Presenter, Query
from streamgauge.output.rollup import RollUp
from streamgauge.serve.filters import Filter, filters_of
from streamgauge.serve.keyfilter import KeyFilter, key_filter
from streamgauge.serve.paging import Cursor
from streamgauge.serve.parameters import Given
from streamgauge.serve.problems import bad, nearest_of, unknown
from streamgauge.serve.times import moment_ms
from streamgauge.store.base import Cells
from streamgauge.windows import Length, check_zone, parse_duration_ms

MOST_ROLLING = 1000
"""Windows that one row of a rolling query may be merged from."""

COVERAGE = Column("coverage", "text", "text", "", "covered, gap (nobody knows what was then), or unknown")


@dataclass(frozen=True, slots=True)
class Range:
    """Windows with ``start_ms <= start < stop_ms``; None is unbounded."""

    start_ms: int | None = None
    stop_ms: int | None = None


@dataclass(frozen=True)
class CellQuery:
    """Which cells of a statistic, merged how, and what of them.

    ``rolling``: windows in each row, 1 where it does not roll. ``by``: keys to keep, None for all. ``shown`` are the
    measures that must be presented, ``columns`` what ``CellColumns`` makes of them (and ``coverage`` with gaps),
    ``fields`` those that are answered, in order. ``order`` is empty for that of time, else a column.
    """

    statistic: BoundStatistic
    length: Length
    range: Range
    zone: ZoneInfo
    keys: KeyFilter
    by: tuple[str, ...] | None
    rolling: int
    gaps: bool
    filters: tuple[Filter, ...]
    order: str
    descending: bool
    limit: int
    cursor: Cursor
    shown: tuple[ShownMeasure, ...]
    columns: tuple[Column, ...]
    fields: tuple[str, ...]

    @property
    def key_names(self) -> tuple[str, ...]:
        """The keys of the rows."""
        return tuple(name for name, _ in self.statistic.by) if self.by is None else self.by

    @cached_property
    def narrow(self) -> BoundStatistic:
        """The statistic with those measures alone that are presented, or that these are made of."""
        return self._needed[0]

    @cached_property
    def wanted(self) -> list[tuple[int, State]]:
        """The states of these measures, with their places in a stored cell."""
        return list(zip(self._needed[1], self.states, strict=True))

    @cached_property
    def states(self) -> list[State]:
        """The states of these measures."""
        return states_of(self.narrow)

    @cached_property
    def _needed(self) -> tuple[BoundStatistic, list[int]]:
        return needing(self.statistic, [shown.name for shown in self.shown])

    @property
    def roll_up(self) -> RollUp | None:
        """How keys are merged; None where they are not."""
        declared = [name for name, _ in self.statistic.by]
        if self.by is None or list(self.by) == declared:
            return None
        return RollUp(tuple(map(declared.index, self.by)), self.statistic.spec.totals and not self.keys)

    def only_for_order(self) -> CellQuery:
        """The same, with no more measures than its order and its conditions need."""
        return replace(self, fields=()).narrowed()

    def narrowed(self) -> CellQuery:
        """The same with only the measures that are answered, ordered by or filtered."""
        needed = {*self.fields, self.order, *(f.column for f in self.filters)}
        shown = tuple(m for m in self.shown if needed.intersection((*m.columns, *((m.low,) if m.low else ()))))
        dropped = {name for m in self.shown if m not in shown for name in (*m.columns, m.low)}
        return replace(self, shown=shown, columns=tuple(c for c in self.columns if c.name not in dropped))

    @property
    def row_length(self) -> Length:
        """The length of what one row covers."""
        if self.rolling == 1:
            return self.length
        ms = self.length.nominal_ms * self.rolling
        return replace(self.length, text=_text_of(ms), unit="s", count=ms // 1000, calendar=False, nominal_ms=ms)


def states_of(statistic: BoundStatistic) -> list[State]:
    """The states of its cells, in the order of its primitives."""
    aggregates = (m.measure for m in statistic.measures if isinstance(m.measure, Aggregate))
    return [state for aggregate in aggregates for state in aggregate.states()]


def needing(statistic: BoundStatistic, names: Sequence[str]) -> tuple[BoundStatistic, list[int]]:
    """The statistic with those measures that these names need, and the places that its states have in a stored cell."""
    needed = set(names)
    for bound in statistic.measures:
        if bound.name in names and isinstance(bound.measure, Ratio):
            needed |= {str(bound.measure.numerator), str(bound.measure.denominator)}
    measures, places = [], list[int]()
    for bound in statistic.measures:
        if bound.name in needed:
            measures.append(replace(bound, first=len(places)))
            places += range(bound.first, bound.first + bound.count)
    primitives = tuple(statistic.primitives[place] for place in places)
    return replace(statistic, measures=tuple(measures), primitives=primitives), places


def presenter_of(statistic: BoundStatistic) -> Presenter:
    """What knows the columns of a statistic. It is asked for no rows, so it needs no store."""
    return Presenter(statistic, cast("Cells", None), NEVER)


def length_of(statistic: BoundStatistic, given: Given, default: Length | None = None) -> Length:
    """The window length that ``every`` names. Raises Problem."""
    try:
        every = given.text("every") if given.has("every") else None
        return default if every is None and default else presenter_of(statistic).length(Query(every=every))
    except UsageError as e:
        known = [length.text for length in statistic.lengths]
        text = str(e) if str(e).startswith("every") else f"every: {e}"
        raise bad("every", text[:500], nearest_of(given.text("every"), known)) from e


def zone_of(given: Given) -> ZoneInfo:
    """The zone that ``tz`` names. Raises Problem."""
    try:
        return ZoneInfo(check_zone(given.text("tz", "UTC")[:200], "tz"))
    except DeclarationError as e:
        hint = e.mistakes[0].hint.removeprefix("did you mean ").removesuffix("?")
        raise bad("tz", str(e), hint if " " not in hint else "") from e


def range_of(given: Given, zone: ZoneInfo, now_ms: int) -> Range:
    """The range that ``start`` and ``stop`` give. Raises Problem."""
    start, stop = (
        moment_ms(given.text(name), name, zone, now_ms) if given.text(name) else None for name in ("start", "stop")
    )
    if start is not None and stop is not None and start >= stop:
        raise bad("start", f"start: {given.text('start')!r} is not before stop, {given.text('stop')!r}")
    return Range(start, stop)


def cell_query(statistic: BoundStatistic, given: Given, now_ms: int, cursor: Cursor, default_limit: int) -> CellQuery:
    """What the parameters ask for. Raises Problem."""
    length, zone, by = length_of(statistic, given), zone_of(given), _by(statistic, given)
    others = given.others()
    keys = key_filter(statistic, [(n, v) for n, v in others if n.startswith("key.")])
    _check_lists(statistic, by, keys)
    presenter, gaps = presenter_of(statistic), given.flag("gaps")
    columns = [*presenter.columns(Query(length.text, by)), *([COVERAGE] if gaps else [])]
    names = [name for name, _ in statistic.by]
    conditions = [(n, v) for n, v in others if not n.startswith("key.")]
    query = CellQuery(
        statistic=statistic,
        length=length,
        range=Range(*cursor.range_ms) if cursor.range_ms != (None, None) else range_of(given, zone, now_ms),
        zone=zone,
        keys=keys,
        by=by,
        rolling=_rolling(given, length, statistic),
        gaps=gaps,
        filters=filters_of(conditions, columns, names, given.known),
        order="",
        descending=False,
        limit=given.limit(default_limit),
        cursor=cursor,
        shown=presenter.shown,
        columns=tuple(columns),
        fields=_fields(given, columns),
    )
    query = _ordered(query, given.text("order", "asc"))
    if gaps and query.rolling > 1:
        raise bad("gaps", "gaps: a rolling query has a row for every window as it is; leave out gaps or rolling")
    return query


def _by(statistic: BoundStatistic, given: Given) -> tuple[str, ...] | None:
    by, names = given.names("rollup"), [name for name, _ in statistic.by]
    for name in by or ():
        if name not in names:
            raise unknown(f"rollup: {statistic.spec.what} has no key", name, names, "rollup", "bad-parameter")
        if by and by.count(name) > 1:
            raise bad("rollup", f"rollup: key {name!r} is named twice")
    return by


def _check_lists(statistic: BoundStatistic, by: tuple[str, ...] | None, keys: KeyFilter) -> None:
    """A list's elements cannot be added up, but a window's totals may be stored. Raises Problem."""
    lost = [n for n, e in statistic.by if e.type is SqlType.LIST and by is not None and n not in by]
    if lost and not (by == () and statistic.spec.totals and not keys):
        problem = f"key {lost[0]!r} is a list: an event counts under each of its elements, and would count twice"
        raise bad("rollup", f"rollup: {problem}; keep this key")


def _rolling(given: Given, length: Length, statistic: BoundStatistic) -> int:
    text = given.text("rolling")
    if not text:
        return 1
    if length.calendar and (length.unit == "mo" or statistic.windows.zone != "UTC"):
        problem = f"windows of {length.text} are of the calendar of {statistic.windows.zone} and differ in length"
        raise bad("rolling", f"rolling: {problem}; ask for a shorter every")
    try:
        ms = parse_duration_ms(text[:200], "rolling")
    except DeclarationError as e:
        raise bad("rolling", str(e)) from e
    if ms % length.nominal_ms or not length.nominal_ms < ms <= MOST_ROLLING * length.nominal_ms:
        example = f"{_text_of(2 * length.nominal_ms)} to {_text_of(MOST_ROLLING * length.nominal_ms)}"
        raise bad("rolling", f"rolling: {text!r} is not 2 to {MOST_ROLLING} windows of {length.text} ({example})")
    return ms // length.nominal_ms


def _fields(given: Given, columns: Sequence[Column]) -> tuple[str, ...]:
    known, fields = [c.name for c in columns], given.names("fields")
    if fields is None:
        return tuple(known)
    for name in fields:
        if name not in known:
            raise unknown("fields: there is no column", name, known, "fields", "bad-parameter")
        if fields.count(name) > 1:
            raise bad("fields", f"fields: column {name!r} is named twice")
    if not fields:
        raise bad("fields", "fields: names no column; leave it out for all")
    return fields


def _ordered(query: CellQuery, order: str) -> CellQuery:
    if order in ("asc", "desc", ""):
        return replace(query, descending=order == "desc")
    name, known = order.removeprefix("-"), {c.name: c for c in query.columns}
    if name in ("start", "start_ms"):
        return replace(query, descending=order.startswith("-"))
    if name not in known:
        raise unknown("order: there is no column", name, ["asc", "desc", *known], "order", "bad-parameter")
    if known[name].type in ("map", "list"):
        raise bad("order", f"order: column {name!r} holds a {known[name].type}, which has no order; name a number")
    return replace(query, order={"stop": "stop_ms"}.get(name, name), descending=order.startswith("-"))


def _text_of(ms: int) -> str:
    """A duration as a declaration writes it, in the largest unit that fits."""
    units = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"))
    return next(f"{ms // size}{unit}" for size, unit in units if ms % size == 0)
