"""The SQL of envelopes: one select of all records of a slice, in one of a few forms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from enum import Enum

from streamgauge.bound import BoundProducer, BoundShape
from streamgauge.engines.duck.layout import Layout
from streamgauge.engines.duck.plan import Decode, Plan, Variant
from streamgauge.expression import Expression, SqlType, TimeUnit, parse
from streamgauge.log.base import Arrival
from streamgauge.shape import ENVELOPE

UNITS = tuple(TimeUnit)
"""The units, by the numbers that stand for them in SQL."""

UNDECLARED = -1
"""Stands in the place of a unit that nothing declares."""
_INTEGER = "CASE WHEN CAST(TRY_CAST(v AS BIGINT) AS VARCHAR) = v THEN TRY_CAST(v AS BIGINT) END AS n"


class EnvelopePlan(Plan):
    """A plan without statistics, that keeps the ids of all producers, the topic, and what the owner is found with."""

    def __init__(self, shapes: Iterable[BoundShape], arrival: Arrival) -> None:
        super().__init__((), (), arrival.envelope)
        self.shapes = tuple(_without_fields(shape) for shape in shapes)
        self.has_id = self.envelope.id is not None or any(p.id is not None for p in self._producers())
        self.needs_topic = True
        self.owner = parse(arrival.owner, columns=ENVELOPE, what="owner") if arrival.owner else None
        if self.owner is not None:
            self.columns.expression(self.owner, None)
        own = [e for e in (self.owner, self.envelope.id, self.envelope.time, self.envelope.topic) if e is not None]
        produced = [e for p in self._producers() for e in (p.when, p.time, p.id) if e is not None]
        self.reads = frozenset(name for e in (*own, *produced) for name in e.names)


def _without_fields(shape: BoundShape) -> BoundShape:
    return BoundShape(shape.shape, tuple(replace(p, fields={}) for p in shape.producers), shape.active)


class Form(Enum):
    """What a statement asks of the times: plain integers, their texts, themselves, or everything with care."""

    SHORT = 1
    TEXTS = 2
    TIMES = 3
    CAREFUL = 4


@dataclass(slots=True)
class Statement:
    """The select of all records, in their order.

    Columns: ``u`` (the time's unit), ``topic``, ``id``, ``low`` and ``high`` (see Envelopes.hashes), ``owner``, ``s0,
    s1, ...`` (the producers that matched), and by form and layout ``v`` (the time's text), ``n`` (the integer that it
    is, if it is written as JSON would write one), ``ms``, ``suspicious``, ``no_object``.
    """

    plan: EnvelopePlan
    variant: Variant
    layout: Layout
    unit: TimeUnit | None
    form: Form
    source: str
    given: bool = False

    def sql(self, file: str, object_size: int) -> str:
        reading = Decode(self.variant, self.unit, self.source, self.layout)
        if self.given:
            beside = _GivenLayout(**{f.name: getattr(self.layout, f.name) for f in fields(Layout)})
            reading = _GivenDecode(self.variant, self.unit, self.source, beside)
        timed = self.form in (Form.TIMES, Form.CAREFUL)
        ms = reading.any_time() if timed else "CAST(NULL AS BIGINT)"
        rows = f"SELECT *, {ms} AS ms, {reading.raw_time()} AS v FROM ({reading.matched(file, object_size)})"
        declared = reading.by_producer(self._code, str(self._own_code()))
        if self.given:
            declared = f"CASE WHEN g_time IS NOT NULL THEN {UNITS.index(TimeUnit.MS)} ELSE {declared} END"
        select = [f"CAST({declared} AS TINYINT) AS u", "topic"]
        select += ["v"] if self.form in (Form.TEXTS, Form.CAREFUL) else []
        select += [_INTEGER] if self.form is Form.SHORT else []
        select += [f"{reading.id() if self.plan.has_id or self.given else 'CAST(NULL AS VARCHAR)'} AS id"]
        select += [f"s{n}" for n in range(len(self.plan.shapes))]
        select += [f"{self._owner(reading.lowered)} AS owner"] if self.plan.owner is not None else []
        select += ["ms"] if timed else []
        select += ["suspicious"] if self.layout.has_suspicion else []
        select += ["no_object"] if not self.layout.records else []
        texts = f"SELECT {', '.join(select)} FROM ({rows})"
        if not (self.plan.has_id or self.given):
            return texts
        low, high = "CAST(h & 18446744073709551615::UHUGEINT AS UBIGINT)", "CAST(h >> 64 AS UBIGINT)"
        hashed = f"SELECT *, md5_number(id) AS h FROM ({texts})"
        return f"SELECT * EXCLUDE h, coalesce({low}, 0) AS low, coalesce({high}, 0) AS high FROM ({hashed})"

    def _own_code(self) -> int:
        unit = self.plan.envelope.time_unit
        return UNDECLARED if unit is None else UNITS.index(unit)

    def _code(self, producer: BoundProducer) -> str | None:
        if self.plan.envelope.time is not None or producer.time is None:
            return None
        return str(UNITS.index(producer.time_unit)) if producer.time_unit is not None else str(self._own_code())

    def _owner(self, lowered: Callable[[Expression], str]) -> str:
        assert self.plan.owner is not None
        sql = lowered(self.plan.owner)
        return sql if self.plan.owner.type is SqlType.VARCHAR else f"CAST({sql} AS VARCHAR)"


@dataclass(frozen=True, slots=True)
class _GivenLayout(Layout):
    """A layout with the columns of the table ``given`` beside its own."""

    def source(self, file: str, maximum_object_size: int) -> str:
        lines = Layout.source(self, file, maximum_object_size)
        return f"SELECT * FROM ({lines}) POSITIONAL JOIN given"


class _GivenDecode(Decode):
    """A decode in which the table ``given`` goes before what stands in the lines."""

    def topic(self) -> str:
        return f"coalesce(g_topic, {super().topic()})"

    def id(self) -> str:
        return f"coalesce(g_id, CAST({super().id()} AS VARCHAR))"

    def raw_time(self) -> str:
        return f"coalesce(CAST(g_time AS VARCHAR), {super().raw_time()})"

    def any_time(self) -> str:
        return f"CASE WHEN NOT no_object THEN coalesce(g_time, {super().any_time()}) END"
