"""The envelopes of what arrives: when each event was, what it is about, whose it is, and what is no event.

The usual case is one short statement: DuckDB finds the texts of the times, topics and ids, and times that are plain
integers are read from their texts by columns. What that cannot decide (a time in ISO 8601 or with a fraction, a line
that may be no JSON, a container of the wrong kind) is asked with the same SQL as a report asks it.

An expression is planned once: statements are prepared, per way of arriving, unit and producers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamgauge.bound import BoundShape
from streamgauge.engines.base import NO_TIME, Ints, Slice
from streamgauge.engines.duck.envelope_sql import UNDECLARED, UNITS, EnvelopePlan, Form, Statement
from streamgauge.engines.duck.layout import Layout
from streamgauge.engines.duck.plan import Assumed, Variant
from streamgauge.engines.duck.worker import OBJECT_BYTES, SAMPLES, SETTINGS, reason_of
from streamgauge.event import MAX_TIME_MS, MIN_TIME_MS
from streamgauge.expression import TimeUnit, detect_unit
from streamgauge.log.base import CANNOT_MASK, Arrival, Envelopes, Given
from streamgauge.log.mask import mask_paths, masked

MOST_ARRIVALS = 64
"""Ways of arriving whose plans are kept; the one that was used longest ago is forgotten."""

MOST_STATEMENTS = 16
"""Prepared statements that are kept of each."""

PATIENCE = 2
"""Slices that are asked with the whole SQL at once after one that needed it."""

_LARGEST = {TimeUnit.S: 2**62 // 1000, TimeUnit.MS: 2**62, TimeUnit.US: 2**62, TimeUnit.NS: 2**62}
Mask = npt.NDArray[np.bool_]
_NO_INTS: Ints = np.zeros(0, dtype=np.int64)


class DuckEnvelope:
    """See log.base.EnvelopeReader. One connection; for one thread, that of its ``read``."""

    def __init__(self, shapes: Iterable[BoundShape]) -> None:
        self.shapes = tuple(shapes)
        self.connection = duckdb.connect(":memory:")
        for setting in SETTINGS:
            self.connection.execute(setting)
        self._readers: OrderedDict[Arrival, _Reader] = OrderedDict()
        self._made = 0

    def read(self, slice_: Slice, arrival: Arrival, received_ms: int, given: Given | None = None) -> Envelopes:
        """See EnvelopeReader.read.

        Raises DeclarationError where the owner or the mask of the arrival is no expression.
        """
        reader = self._readers.get(arrival)
        if reader is None:
            self._made += 1
            reader = self._readers[arrival] = _Reader(self.connection, f"r{self._made}", self.shapes, arrival)
            if len(self._readers) > MOST_ARRIVALS:
                self._readers.popitem(last=False)[1].close()
        self._readers.move_to_end(arrival)
        return reader.read(slice_, received_ms, given)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


class _Table:
    """The result of a statement, by columns."""

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self._columns = columns
        self.rows = len(columns["u"])

    def numbers(self, name: str) -> np.ndarray[Any, Any]:
        """A column of numbers or truths; what is null has any value."""
        return np.asarray(np.ma.getdata(self._columns[name]))

    def nulls(self, name: str) -> Mask:
        """Which rows of a column are null."""
        return np.ma.getmaskarray(self._columns[name])

    def texts(self, name: str) -> list[str | None]:
        """A column of texts."""
        found: list[str | None] = self._columns[name].tolist()
        return found


@dataclass(slots=True)
class _Found:
    """What a statement tells of every record: ``times`` in ms, and which of them are none (None: all are times)."""

    table: _Table
    times: Ints
    unit: TimeUnit | None
    dead: Ints = field(default_factory=lambda: _NO_INTS)
    reasons: Sequence[str] = ()
    raw_times: Sequence[str | None] = ()


class _Doubtful(Exception):
    """This statement cannot tell it."""


class _Reader:
    """Reads what arrives in one way."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, name: str, shapes: Iterable[BoundShape], arrival: Arrival
    ) -> None:
        self.connection, self.name, self.arrival = connection, name, arrival
        self.plan = EnvelopePlan(shapes, arrival)
        self.mask = mask_paths(arrival.mask)
        self.assumed: Assumed = frozenset()
        self._statements: OrderedDict[tuple[Any, ...], str] = OrderedDict()
        self._numbered = 0
        self._waits = self._skips = 0
        self._given = False

    def close(self) -> None:
        for statement in self._statements.values():
            self.connection.execute(f"DEALLOCATE {statement}")

    def read(self, slice_: Slice, received_ms: int, given: Given | None) -> Envelopes:
        with self._knowing(given):
            found = self._found(slice_)
        received = self._received(found, received_ms)
        table = found.table
        envelopes = Envelopes(
            records=table.rows,
            times=found.times,
            topics=table.texts("topic"),
            ids=table.texts("id"),
            dead=found.dead,
            reasons=found.reasons,
            raw_times=found.raw_times,
            received=received,
            owners=table.texts("owner") if self.plan.owner is not None else None,
            hashes=(table.numbers("low"), table.numbers("high")) if self._has_id else None,
            unit=found.unit,
        )
        return _with_bodies(envelopes, slice_, self.mask) if self.mask else envelopes

    @property
    def _has_id(self) -> bool:
        return self.plan.has_id or self._given

    @contextmanager
    def _knowing(self, given: Given | None) -> Iterator[None]:
        """What is given stands beside the lines, as the table ``given``, in their order."""
        if given is None:
            yield
            return
        records = max(map(len, (given.topics, given.ids, given.times_ms)))
        none = [None] * records
        columns = {
            "g_topic": pa.array(given.topics or none, pa.string()),
            "g_id": pa.array(given.ids or none, pa.string()),
            "g_time": pa.array(given.times_ms or none, pa.int64()),
        }
        self.connection.register("given", pa.table(columns))
        self._given = True
        try:
            yield
        finally:
            self._given = False
            self.connection.unregister("given")

    def _found(self, slice_: Slice) -> _Found:
        """First the short statement, then the whole SQL in the usual layout, then in the careful one."""
        if self._given or self._waits:
            self._waits = max(0, self._waits - 1)
            return self._careful(slice_)
        try:
            return self._short(slice_) or self._usual(slice_, slice_.unit)
        except _Doubtful:
            self._waits = PATIENCE
            return self._careful(slice_)

    def _short(self, slice_: Slice) -> _Found | None:
        """What plain integers tell; None where times are written in another way. Raises _Doubtful."""
        if self._skips and slice_.unit is not None:
            self._skips -= 1
            return None
        table, unit = self._learned(slice_, None, Form.SHORT), slice_.unit
        if unit is None and self.plan.needs_unit and (table.numbers("u") == UNDECLARED).any():
            unit = self._unit_of(self._learned(slice_, None, Form.TEXTS), slice_)
        times = self._plain_times(table, unit)
        if times is not None:
            return _Found(table, times, unit)
        found = self._usual(slice_, unit)
        self._skips = PATIENCE
        return found

    def _plain_times(self, table: _Table, unit: TimeUnit | None) -> Ints | None:
        """The times of all records, where all are plain integers of permitted times; else None."""
        codes = table.numbers("u")
        lane = UNITS.index(unit) if unit is not None else UNDECLARED
        present = set(np.unique(np.where(codes == UNDECLARED, lane, codes)).tolist())
        if present & {UNDECLARED, UNITS.index(TimeUnit.ISO)} or "time" in self.plan.reads:
            return None
        if table.nulls("n").any():
            return None
        numbers = table.numbers("n")
        times = np.zeros(len(numbers), dtype=np.int64)
        for code in present:
            mine = np.where(codes == UNDECLARED, lane, codes) == code
            times[mine] = _in_ms(numbers[mine], UNITS[code])
        return times if _permitted(times).all() else None

    def _usual(self, slice_: Slice, unit: TimeUnit | None) -> _Found:
        """Times by SQL in the usual layout. Raises _Doubtful where some record has none."""
        table = self._learned(slice_, unit, Form.TIMES)
        found = table.numbers("ms")
        if table.nulls("ms").any() or not _permitted(found).all():
            raise _Doubtful
        return _Found(table, found, unit)

    def _careful(self, slice_: Slice) -> _Found:
        """Everything in the careful layout, with what is no event."""
        unit = slice_.unit
        table = self._learned(slice_, unit, Form.CAREFUL)
        if unit is None and (unit := self._unit_of(table, slice_)):
            table = self._learned(slice_, unit, Form.CAREFUL)
        times, unknown = table.numbers("ms"), table.nulls("ms")
        good = ~unknown & _permitted(times)
        dead = np.flatnonzero(~good).astype(np.int64)
        no_object, texts = table.numbers("no_object"), table.texts("v")
        raw = [texts[n] for n in dead.tolist()]
        ms = [None if unknown[n] else int(times[n]) for n in dead.tolist()]
        reasons = list(map(reason_of, no_object[dead].tolist(), raw, ms))
        return _Found(table, np.where(good, times, 0), unit, dead, reasons, raw)

    def _unit_of(self, table: _Table, slice_: Slice) -> TimeUnit | None:
        """The unit of the times that nothing declares, as the first block says that has one."""
        if not self.plan.needs_unit:
            return None
        texts, codes = table.texts("v"), table.numbers("u")
        start = 0
        for block in slice_.blocks:
            end = start + bytes(block.data).count(b"\n")
            mine = [texts[n] for n in range(start, end) if codes[n] == UNDECLARED]
            if unit := detect_unit([text for text in mine if text is not None][:SAMPLES]):
                return unit
            start = end
        return None

    def _received(self, found: _Found, received_ms: int) -> Ints:
        """Give the time of receipt to what has no time at all, where that is wanted; returns the ordinals."""
        if not self.arrival.receipt_time or not len(found.dead):
            return _NO_INTS
        without = np.array([reason == NO_TIME for reason in found.reasons], dtype=np.bool_)
        received = found.dead[without]
        found.times[received] = received_ms
        found.raw_times = [raw for raw, gone in zip(found.raw_times, without, strict=True) if not gone]
        found.reasons = [reason for reason in found.reasons if reason != NO_TIME]
        found.dead = found.dead[~without]
        return received

    def _learned(self, slice_: Slice, unit: TimeUnit | None, form: Form) -> _Table:
        """The records of a slice, asked again where they come from producers that were not assumed.

        Raises _Doubtful where the usual layout may read them wrongly.
        """
        while True:
            variant = self.plan.variant(self.assumed)
            layout = variant.careful if form is Form.CAREFUL else variant.fast
            if layout is None:
                raise _Doubtful
            table = self._fetch(slice_, variant, layout, unit, form)
            missed = self._missed(table)
            if not missed:
                break
            self.assumed |= missed
        if layout.has_suspicion and table.numbers("suspicious").any():
            raise _Doubtful
        return table

    def _missed(self, table: _Table) -> Assumed:
        found = (
            (s, n)
            for s in range(len(self.plan.shapes))
            for n in np.unique(table.numbers(f"s{s}")[~table.nulls(f"s{s}")]).tolist()
        )
        return frozenset(found) - self.assumed

    def _fetch(self, slice_: Slice, variant: Variant, layout: Layout, unit: TimeUnit | None, form: Form) -> _Table:
        size = _object_size(slice_)
        source = slice_.source if "source" in self.plan.reads else ""
        if self._given:
            sql = Statement(self.plan, variant, layout, unit, form, source, given=True).sql(slice_.path, size)
            return _Table(self.connection.execute(sql).fetchnumpy())
        key = (slice_.path, size, variant.assumed, form, unit, source)
        statement = self._statements.get(key)
        if statement is None:
            sql = Statement(self.plan, variant, layout, unit, form, source).sql(slice_.path, size)
            statement = self._prepared(key, sql)
        self._statements.move_to_end(key)
        try:
            # A relation (con.sql), which Arrow asks for, would be planned twice: as long as a thousand events take.
            return _Table(self.connection.execute(f"EXECUTE {statement}").fetchnumpy())
        except duckdb.InvalidInputException:
            # A line that the usual layout cannot take (too deep) refuses the whole read.
            if not layout.records:
                raise
            raise _Doubtful from None

    def _prepared(self, key: tuple[Any, ...], sql: str) -> str:
        self._numbered += 1
        statement = self._statements[key] = f"{self.name}_{self._numbered}"
        self.connection.execute(f"PREPARE {statement} AS {sql}")
        if len(self._statements) > MOST_STATEMENTS:
            self.connection.execute(f"DEALLOCATE {self._statements.popitem(last=False)[1]}")
        return statement


def _object_size(slice_: Slice) -> int:
    """What ``read_json`` is told of the longest line: a power of two, so that few statements are prepared."""
    longest = min(max((len(b.data) for b in slice_.blocks), default=0), slice_.size)
    return OBJECT_BYTES if longest <= OBJECT_BYTES else 1 << (longest + 1024).bit_length()


def _in_ms(numbers: Ints, unit: TimeUnit) -> Ints:
    """Milliseconds of whole numbers of a unit, as expression.time_ms makes them; 2^62 where they are out of range."""
    if unit is TimeUnit.S:
        return np.where(np.abs(numbers) < _LARGEST[unit], numbers, 2**62 // 1000) * 1000
    return numbers // {TimeUnit.MS: 1, TimeUnit.US: 1000, TimeUnit.NS: 1_000_000}[unit]


def _permitted(times: Ints) -> Mask:
    permitted: Mask = (times >= MIN_TIME_MS) & (times < MAX_TIME_MS)
    return permitted


def _with_bodies(envelopes: Envelopes, slice_: Slice, mask: Sequence[Any]) -> Envelopes:
    """The same with masked bodies; what cannot be masked is no event, as it must not be kept as it is."""
    lines = [line for block in slice_.blocks for line in bytes(block.data).split(b"\n")[:-1]]
    dead = dict(zip(envelopes.dead.tolist(), zip(envelopes.reasons, envelopes.raw_times, strict=True), strict=True))
    bodies = [None if n in dead else masked(line, mask) for n, line in enumerate(lines)]
    dead.update({n: (CANNOT_MASK, None) for n, body in enumerate(bodies) if body is None and n not in dead})
    ordinals = np.array(sorted(dead), dtype=np.int64)
    times = envelopes.times.copy()
    times[ordinals] = 0
    said = [dead[n] for n in ordinals.tolist()]
    received = np.setdiff1d(envelopes.received, ordinals)
    return replace(
        envelopes,
        times=times,
        dead=ordinals,
        reasons=[reason for reason, _ in said],
        raw_times=[raw for _, raw in said],
        received=received,
        bodies=bodies,
    )
