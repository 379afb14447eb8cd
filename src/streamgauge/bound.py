"""Declarations with every expression parsed and every name resolved: what an engine can run.

What was refused when the declarations were read is missing in their drafts. A draft is bound all the same, for the
mistakes in the rest of it; what only follows from that which is missing is no mistake, and no draft is ever returned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

from streamgauge.aggregates.base import Aggregate, Argument, Kind, Measure, Primitive, Ratio, Term
from streamgauge.columns import ANY, Columns
from streamgauge.errors import DeclarationError, Mistake, nearest
from streamgauge.event import MIN_TIME_MS
from streamgauge.expression import Expression, SqlType, TimeUnit, parse
from streamgauge.expression.normal import quoted_column
from streamgauge.forms import Collector, Unfinished
from streamgauge.shape import DEFAULT_SCALE, ENVELOPE, Producer, Shape, check_topic
from streamgauge.statistic import StatisticSpec, shown
from streamgauge.version import normal_of, with_version
from streamgauge.windows import Length, Windows, check_zone, parse_duration_ms, parse_length

NUMBERS = (SqlType.BIGINT, SqlType.DOUBLE)


@dataclass(frozen=True, slots=True)
class BoundProducer:
    """A producer with its expressions parsed; ``time`` and ``id`` may be None."""

    name: str
    topic: str
    when: Expression | None
    time: Expression | None
    time_unit: TimeUnit | None
    id: Expression | None
    fields: Mapping[str, Expression]


def _only_time(producer: BoundProducer) -> BoundProducer:
    # Without an id: what is not counted must not be taken for the first of two that are the same.
    return replace(producer, id=None, fields={})


@dataclass(frozen=True, slots=True)
class BoundShape:
    """A shape with its producers, in the order in which they are tried.

    The first ``active`` of them fill it. The others (of another family) only say when and what an event is: it is
    stored, and not counted.
    """

    shape: Shape
    producers: tuple[BoundProducer, ...]
    active: int

    def only_times(self) -> BoundShape:
        """The same shape for a run in which nobody counts it."""
        return BoundShape(self.shape, tuple(_only_time(p) for p in self.producers), 0)

    def definition(self, fields: Sequence[str]) -> Any:
        """What these fields compute, as JSON, for a version's hash."""
        return [
            [p.topic, normal_of(p.when), normal_of(p.time), p.time_unit, normal_of(p.id)]
            + [[f, normal_of(p.fields.get(f)), self.shape.fields[f].type, self.shape.fields[f].scale] for f in fields]
            for p in self.producers[: self.active]
        ]


@dataclass(frozen=True, slots=True)
class BoundPrimitive:
    """A primitive with its expressions parsed. ``scale``: decimal digits of its integers; ``edges`` are so scaled."""

    primitive: Primitive
    argument: Expression | None
    where: Expression | None
    scale: int
    edges: tuple[int, ...]

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for primitives that compute the same."""
        p = self.primitive
        return (p.op, p.term, normal_of(self.argument), normal_of(self.where), self.scale, self.edges)


@dataclass(frozen=True, slots=True)
class BoundMeasure:
    """A measure and where its states stand among the statistic's primitives."""

    name: str
    measure: Measure
    first: int
    count: int
    scales: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BoundStatistic:
    """A statistic ready to run. Durations are in ms, None where there is no limit."""

    spec: StatisticSpec
    shape: BoundShape | None
    lengths: tuple[Length, ...]
    windows: Windows
    by: tuple[tuple[str, Expression], ...]
    where: Expression | None
    time: str
    delay_ms: int
    lateness_ms: int
    keep_ms: Mapping[str, int]
    measures: tuple[BoundMeasure, ...]
    primitives: tuple[BoundPrimitive, ...]
    version: str
    definition: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its name."""
        return self.spec.name

    def measure(self, name: str) -> BoundMeasure:
        """The measure of this name. Raises KeyError."""
        return next(m for m in self.measures if m.name == name)

    def kept_from(self, length: Length, watermark: int) -> int:
        """The start of the first window of that length that is still kept when the watermark is there."""
        gone_by = watermark - self.delay_ms - self.lateness_ms - self.keep_ms[length.text]
        return self.windows.start(length, max(gone_by, MIN_TIME_MS))

    def expressions(self) -> Iterator[Expression]:
        """Every expression that it evaluates per event."""
        yield from (e for _, e in self.by)
        if self.where is not None:
            yield self.where
        for p in self.primitives:
            yield from (e for e in (p.argument, p.where) if e is not None)


def bind_shape(shape: Shape) -> BoundShape:
    """Parse a shape's producers. Raises Unfinished with every mistake."""
    binder = _ShapeBinder(shape)
    producers = [binder.producer(p) for p in shape.producers]
    drafted = replace(shape, unsure={**shape.unsure, **binder.unsure})
    active = {id(p) for p in shape.active()}
    kept = [b for p, b in zip(shape.producers, producers, strict=True) if id(p) in active]
    others = [_only_time(b) for p, b in zip(shape.producers, producers, strict=True) if id(p) not in active]
    bound = BoundShape(drafted, (*kept, *others), len(kept))
    if binder.mistakes or not drafted.whole:
        raise Unfinished(binder.mistakes, bound)
    return bound


class _ShapeBinder(Collector):
    """Parses the expressions of one shape; ``unsure`` are the types of fields about which there are mistakes."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.columns = {k: t for k, t in ENVELOPE.items() if k in ("topic", "source")}
        self.unsure: dict[str, tuple[SqlType, ...]] = {}

    def producer(self, producer: Producer) -> BoundProducer:
        what = f"shape {self.shape.name!r}: producer {producer.name!r}"
        fields = {name: self.field(what, producer, name, text) for name, text in producer.fields.items()}
        if producer.topic:
            self.attempt(check_topic, producer.topic, f"{what}: topic", producer.place("topic"))
        return BoundProducer(
            producer.name,
            producer.topic,
            self.expression(f"{what}: when", producer.when, producer.place("when"), SqlType.BOOLEAN),
            self.expression(f"{what}: time", producer.time, producer.place("time")),
            producer.time_unit,
            self.expression(f"{what}: id", producer.id, producer.place("id")),
            {name: parsed for name, parsed in fields.items() if parsed is not None},
        )

    def expression(self, what: str, text: str, where: str, expect: SqlType | None = None) -> Expression | None:
        if not text:
            return None
        parsed: Expression | None = self.attempt(
            parse, text, columns=self.columns, what=what, where=where, expect=expect
        )
        return parsed

    def field(self, what: str, producer: Producer, name: str, text: str) -> Expression | None:
        what, where = f"{what}: field {name!r}", producer.place("fields", name)
        declared = self.shape.fields.get(name)
        types = self.shape.unsure.get(name) or ((declared.type,) if declared else ANY)
        if declared is None and name not in self.shape.unsure and "fields" not in self.shape.refused:
            known = [*self.shape.fields, *self.shape.unsure]
            hint = nearest(name, known) or f"known: {', '.join(known)}"
            self.mistakes.append(Mistake(what, "shape has no such field", where, hint=hint))
        if declared is None:
            self.unsure[name] = types
        parsed = self.expression(what, text, where)
        if parsed is None or any(_fits(parsed.type, type_) for type_ in types):
            return parsed
        problem = f"is {parsed.type.value}, but the shape's field is {types[0].value}"
        hint = f"write ({text})::{types[0].value}"
        self.mistakes.append(Mistake(what, problem, where, text, hint))
        self.unsure[name] = (*types, parsed.type)
        return None


def _fits(got: SqlType, wanted: SqlType) -> bool:
    return got in (wanted, SqlType.NULL) or (got is SqlType.BIGINT and wanted is SqlType.DOUBLE)


def bind(spec: StatisticSpec, shapes: Mapping[str, BoundShape], extra_where: str = "") -> BoundStatistic:
    """Resolve a statistic. ``extra_where`` is one more condition (``--where``). Raises DeclarationError, with all."""
    collect = Collector()
    shape = _shape_of(spec, shapes, collect)
    if spec.topic:
        collect.attempt(check_topic, spec.topic, f"{spec.what}: topic", spec.place("topic"))
    what, every = f"{spec.what}: every", spec.place("every")
    parsed = [collect.attempt(parse_length, text, what, every) for text in spec.every]
    lengths = tuple(length for length in parsed if length is not None)
    windows = _windows(spec, lengths, collect)
    durations = _durations(spec, len(parsed) - len(lengths), collect)
    binder = _Binder(spec, shape, collect)
    by = tuple((name, binder.key(name, text)) for name, text in spec.by.items())
    where = binder.where(extra_where)
    measures, primitives = binder.measures()
    binder.check_time()
    if windows is None or collect.mistakes or spec.refused or (shape is not None and not shape.shape.whole):
        raise DeclarationError(collect.mistakes)
    bound = BoundStatistic(
        spec,
        shape,
        lengths,
        windows,
        by,
        where,
        binder.time,
        durations["delay"] if binder.time else 0,
        durations["lateness"],
        durations["keep"],
        measures,
        primitives,
        version="",
        definition={},
    )
    return with_version(bound)


def _windows(spec: StatisticSpec, lengths: Sequence[Length], collect: Collector) -> Windows | None:
    what, where = f"{spec.what}: every", spec.place("every")
    zone = collect.attempt(check_zone, spec.zone, f"{spec.what}: zone", spec.place("zone")) or "UTC"
    if len({length.text for length in lengths}) < len(lengths):
        collect.mistakes.append(Mistake(what, "names a window length twice", where, got=", ".join(spec.every)))
    different = sorted({length.text: length for length in lengths}.values(), key=lambda x: (x.nominal_ms, x.calendar))
    try:
        return Windows(different, zone, what, where) if different else None
    except DeclarationError:
        for pair in pairwise(different):
            collect.attempt(Windows, pair, zone, what, where)
        return None


def _shape_of(spec: StatisticSpec, shapes: Mapping[str, BoundShape], collect: Collector) -> BoundShape | None:
    if spec.of and spec.of not in shapes:
        hint = nearest(spec.of, shapes) or f"known: {', '.join(shapes) or 'none'}"
        collect.mistakes.append(Mistake(spec.what, f"unknown shape {spec.of!r}", spec.place("of"), hint=hint))
    return shapes.get(spec.of)


def _durations(spec: StatisticSpec, bad_lengths: int, collect: Collector) -> dict[str, Any]:
    def duration(text: str, *keys: str) -> int:
        what = f"{spec.what}: {' '.join(keys)}"
        return collect.attempt(parse_duration_ms, text, what, spec.place(*keys)) or 0 if text else 0

    others = [every for every in spec.keep if every not in spec.every]
    # Each window length that is wrong may be meant for one that is kept.
    for every in others if len(others) > bad_lengths and ("every",) not in spec.refused else ():
        problem, hint = f"keeps {every!r}, which is not one of its windows", f"there are {', '.join(spec.every)}"
        collect.mistakes.append(Mistake(f"{spec.what}: keep", problem, spec.place("keep", every), hint=hint))
    duration(spec.backlog, "backlog")
    return {
        "delay": duration(spec.delay, "delay"),
        "lateness": duration(spec.lateness, "lateness"),
        "keep": {every: duration(text, "keep", every) for every, text in spec.keep.items()},
    }


def _columns_of(spec: StatisticSpec, shape: BoundShape | None) -> Columns:
    if shape is not None:
        return Columns(shape.shape.columns(), shape.shape.unsure, "fields" in shape.shape.refused)
    # Without a topic it is over a shape that is not there, or it is not known over which.
    return Columns(ENVELOPE, open=bool(spec.of) or not spec.topic)


class _Binder:
    """Parses the expressions of one statistic."""

    def __init__(self, spec: StatisticSpec, shape: BoundShape | None, collect: Collector) -> None:
        self.spec, self.shape, self.collect = spec, shape, collect
        self.columns = _columns_of(spec, shape)
        same = shape is not None and spec.time == shape.shape.time_field
        self.time = "" if same else spec.time

    def expression(
        self, part: str, text: str, where: str, expect: SqlType | None = None, number: bool = False
    ) -> Expression | None:
        return self.parsed(text, f"{self.spec.what}: {part}", where, expect, number) if text else None

    def parsed(
        self, text: str, what: str, where: str, expect: SqlType | None = None, number: bool = False
    ) -> Expression | None:
        # A field alone needs no quotes, also if it is a word of the language, as end is.
        given = quoted_column(text) if self.columns.is_name(text) else text

        def check(columns: Mapping[str, SqlType]) -> Expression:
            parsed = parse(given, columns=columns, what=what, where=where, expect=expect)
            if number and parsed.type not in NUMBERS:
                problem = f"needs a number, but this is {parsed.type.value}"
                raise DeclarationError(Mistake(what, problem, where, text, f"write ({text})::BIGINT or ::DOUBLE"))
            return parsed

        judged: Expression | None = self.collect.attempt(self.columns.judge, given, check)
        return judged

    def condition(self, part: str, text: str, where: str) -> Expression | None:
        return self.expression(part, text, where, SqlType.BOOLEAN)

    def where(self, extra: str) -> Expression | None:
        """The condition of its own and ``extra`` together, each checked alone, so that messages show what was given."""
        spec = self.spec
        own = self.condition("where", spec.where, spec.place("where"))
        if not extra:
            return own
        over = f"--where, over shape {spec.of!r}" if spec.of else "--where"
        if self.parsed(extra, over, "", SqlType.BOOLEAN) is None:
            return None
        both = f"({spec.where}) AND ({extra})" if own is not None else extra
        return self.condition("where and --where", both, spec.place("where"))

    def key(self, name: str, text: str) -> Expression:
        where = self.spec.place("by", name)
        if not text:
            hint = "name a field, or write an expression"
            self.collect.mistakes.append(Mistake(f"{self.spec.what}: key {name!r}", "is empty", where, hint=hint))
        # Where it is None, bind raises before anyone reads it.
        return self.expression(f"key {name!r}", text, where)  # type: ignore[return-value]

    def check_time(self) -> None:
        if self.time and not self.columns.may_be(self.time, SqlType.BIGINT):
            hint = nearest(self.time, self.columns.known) or "name a BIGINT field that holds ms since 1970"
            where = self.spec.place("time")
            self.collect.mistakes.append(
                Mistake(f"{self.spec.what}: time", "is not a BIGINT field", where, self.time, hint)
            )

    def measures(self) -> tuple[tuple[BoundMeasure, ...], tuple[BoundPrimitive, ...]]:
        found: list[BoundMeasure] = []
        primitives: list[BoundPrimitive] = []
        for name, measure in self.spec.measures.items():
            if isinstance(measure, Aggregate):
                scales, mine = self.aggregate(name, measure)
                found.append(BoundMeasure(name, measure, len(primitives), len(mine), scales))
                primitives.extend(mine)
            else:
                self.check_ratio(name, measure)
                found.append(BoundMeasure(name, measure, len(primitives), 0, ()))
        return tuple(found), tuple(primitives)

    def aggregate(self, name: str, measure: Aggregate) -> tuple[tuple[int, ...], list[BoundPrimitive]]:
        owner = self.owner(name)
        part, where = f"measure {owner!r}", self.spec.place("measures", owner)
        parsed = {a: self.argument(part, a, where) for a in measure.arguments()}
        scales = {a: self.scale_of(e) for a, e in parsed.items()}
        bound = []
        for p in measure.primitives():
            argument = parsed.get(p.argument) if p.argument else None
            scale = scales.get(p.argument, 0) if p.argument else 0
            edges = () if argument is None else self.edges(part, p, scale, where)
            bound.append(BoundPrimitive(p, argument, self.condition(part, p.where, where), scale, edges))
        return tuple(scales[a] for a in measure.arguments()), bound

    def owner(self, name: str) -> str:
        """The name by which an author knows a measure: for one without a name, that of the ratio over it."""
        if name in shown(self.spec.measures):
            return name
        ratios = ((n, m) for n, m in self.spec.measures.items() if isinstance(m, Ratio))
        return next((n for n, ratio in ratios if name in (ratio.numerator, ratio.denominator)), name)

    def argument(self, part: str, argument: Argument, where: str) -> Expression | None:
        return self.expression(part, argument.sql, where, number=argument.kind is Kind.NUMBER)

    def scale_of(self, expression: Expression | None) -> int:
        if expression is None or expression.type is not SqlType.DOUBLE:
            return 0
        if self.spec.scale is not None:
            return self.spec.scale
        field = expression.text.strip().strip('"')
        if self.shape is not None and field in self.shape.shape.fields:
            return self.shape.shape.fields[field].scale
        return DEFAULT_SCALE

    def edges(self, part: str, primitive: Primitive, scale: int, where: str) -> tuple[int, ...]:
        if primitive.term is not Term.EDGE or ("scale",) in self.spec.refused:
            return ()
        scaled = [Decimal(edge).scaleb(scale) for edge in primitive.edges]
        for edge, value in zip(primitive.edges, scaled, strict=True):
            if value != int(value) or abs(value) >= 2**63:
                problem = f"edge {edge} has more digits than the field's scale of {scale}"
                self.collect.mistakes.append(Mistake(f"{self.spec.what}: {part}", problem, where))
        return tuple(int(v) for v in scaled)

    def check_ratio(self, name: str, measure: Measure) -> None:
        if not isinstance(measure, Ratio):
            return
        what = f"{self.spec.what}: measure {name!r}"
        for operand in (measure.numerator, measure.denominator):
            other = self.spec.measures.get(str(operand))
            if {("measures",), ("measures", str(operand))} & self.spec.refused:
                continue
            if other is None:
                known = [*shown(self.spec.measures), *(keys[-1] for keys in self.spec.refused if keys[0] == "measures")]
                hint = nearest(str(operand), known) or "name a measure of this statistic"
                problem = f"unknown measure {str(operand)!r}"
            elif refusal := measure.refusal(other):
                problem, hint = f"{str(operand)!r}: {refusal}", "name counts or sums"
            else:
                continue
            where = self.spec.place("measures", name)
            self.collect.mistakes.append(Mistake(what, problem, where, measure.formula(), hint))
