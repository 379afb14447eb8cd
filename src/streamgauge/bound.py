"""Declarations with every expression parsed and every name resolved: what an engine can run.

A version is named by a hash of what it computes: normalised expressions, windows, parameters' values and the versions
of its aggregates' states; never of names for people.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from streamgauge.aggregates.base import Aggregate, Argument, Kind, Measure, Primitive, Ratio, Term
from streamgauge.errors import DeclarationError, Mistake, nearest
from streamgauge.expression import Expression, SqlType, TimeUnit, parse
from streamgauge.expression.normal import quoted_column
from streamgauge.shape import DEFAULT_SCALE, ENVELOPE, Producer, Shape, check_topic
from streamgauge.statistic import StatisticSpec, shown
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
            [p.topic, _normal(p.when), _normal(p.time), p.time_unit, _normal(p.id)]
            + [[f, _normal(p.fields.get(f)), self.shape.fields[f].type, self.shape.fields[f].scale] for f in fields]
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
        return (p.op, p.term, _normal(self.argument), _normal(self.where), self.scale, self.edges)


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

    def expressions(self) -> Iterator[Expression]:
        """Every expression that it evaluates per event."""
        yield from (e for _, e in self.by)
        if self.where is not None:
            yield self.where
        for p in self.primitives:
            yield from (e for e in (p.argument, p.where) if e is not None)


def _normal(expression: Expression | None) -> str:
    return "" if expression is None else expression.normal


class _Collector:
    """Gathers mistakes instead of stopping at the first."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []

    def attempt(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except DeclarationError as e:
            self.mistakes.extend(e.mistakes)
            return None

    def finish(self) -> None:
        if self.mistakes:
            raise DeclarationError(self.mistakes)


def bind_shape(shape: Shape) -> BoundShape:
    """Parse a shape's producers. Raises DeclarationError with every mistake."""
    collect = _Collector()
    producers = [_bind_producer(shape, p, collect) for p in shape.producers]
    collect.finish()
    active = {id(p) for p in shape.active()}
    kept = [b for p, b in zip(shape.producers, producers, strict=True) if id(p) in active]
    others = [_only_time(b) for p, b in zip(shape.producers, producers, strict=True) if id(p) not in active]
    return BoundShape(shape, (*kept, *others), len(kept))


def _bind_producer(shape: Shape, producer: Producer, collect: _Collector) -> BoundProducer:
    what = f"shape {shape.name!r}: producer {producer.name!r}"

    def expression(text: str, *keys: str, expect: SqlType | None = None) -> Expression | None:
        if not text:
            return None
        columns = {k: t for k, t in ENVELOPE.items() if k in ("topic", "source")}
        name = keys[0] if len(keys) == 1 else f"field {keys[1]!r}"
        parsed: Expression | None = collect.attempt(
            parse, text, columns=columns, what=f"{what}: {name}", where=producer.place(*keys), expect=expect
        )
        return parsed

    fields: dict[str, Expression] = {}
    for name, text in producer.fields.items():
        where = producer.place("fields", name)
        if name not in shape.fields:
            hint = nearest(name, shape.fields) or f"known: {', '.join(shape.fields)}"
            collect.mistakes.append(Mistake(f"{what}: field {name!r}", "shape has no such field", where, hint=hint))
            continue
        parsed = expression(text, "fields", name)
        if parsed is not None and not _fits(parsed.type, shape.fields[name].type):
            problem = f"is {parsed.type.value}, but the shape's field is {shape.fields[name].type.value}"
            hint = f"write ({text})::{shape.fields[name].type.value}"
            collect.mistakes.append(Mistake(f"{what}: field {name!r}", problem, where, text, hint))
        elif parsed is not None:
            fields[name] = parsed
    if producer.topic:
        collect.attempt(check_topic, producer.topic, f"{what}: topic", producer.place("topic"))
    return BoundProducer(
        producer.name,
        producer.topic,
        expression(producer.when, "when", expect=SqlType.BOOLEAN),
        expression(producer.time, "time"),
        producer.time_unit,
        expression(producer.id, "id"),
        fields,
    )


def _fits(got: SqlType, wanted: SqlType) -> bool:
    return got in (wanted, SqlType.NULL) or (got is SqlType.BIGINT and wanted is SqlType.DOUBLE)


def bind(spec: StatisticSpec, shapes: Mapping[str, BoundShape], extra_where: str = "") -> BoundStatistic:
    """Resolve a statistic. ``extra_where`` is one more condition (``--where``). Raises DeclarationError, with all."""
    collect = _Collector()
    shape = _shape_of(spec, shapes, collect)
    if spec.topic:
        collect.attempt(check_topic, spec.topic, f"{spec.what}: topic", spec.place("topic"))
    every = spec.place("every")
    lengths = tuple(collect.attempt(parse_length, text, f"{spec.what}: every", every) for text in spec.every)
    windows: Any = collect.attempt(_windows, spec, lengths) if None not in lengths else None
    durations = _durations(spec, collect)
    if spec.of and shape is None:
        collect.finish()  # without the shape no expression can be judged
    binder = _Binder(spec, shape, collect)
    by = tuple((name, binder.key(name, text)) for name, text in spec.by.items())
    where = binder.where(extra_where)
    measures, primitives = binder.measures()
    binder.check_time()
    collect.finish()
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
    return _with_version(bound)


def _windows(spec: StatisticSpec, lengths: Sequence[Length]) -> Windows:
    what, where = f"{spec.what}: every", spec.place("every")
    if len({length.text for length in lengths}) < len(lengths):
        raise DeclarationError(Mistake(what, "names a window length twice", where, got=", ".join(spec.every)))
    check_zone(spec.zone, f"{spec.what}: zone", spec.place("zone"))
    return Windows(lengths, spec.zone, what, where)


def _shape_of(spec: StatisticSpec, shapes: Mapping[str, BoundShape], collect: _Collector) -> BoundShape | None:
    if spec.of and spec.of not in shapes:
        hint = nearest(spec.of, shapes) or f"known: {', '.join(shapes) or 'none'}"
        collect.mistakes.append(Mistake(spec.what, f"unknown shape {spec.of!r}", spec.place("of"), hint=hint))
    return shapes.get(spec.of)


def _durations(spec: StatisticSpec, collect: _Collector) -> dict[str, Any]:
    def duration(text: str, *keys: str) -> int:
        what = f"{spec.what}: {' '.join(keys)}"
        return collect.attempt(parse_duration_ms, text, what, spec.place(*keys)) or 0 if text else 0

    for every in spec.keep:
        if every not in spec.every:
            problem, hint = f"keeps {every!r}, which is not one of its windows", f"there are {', '.join(spec.every)}"
            collect.mistakes.append(Mistake(f"{spec.what}: keep", problem, spec.place("keep", every), hint=hint))
    duration(spec.backlog, "backlog")
    return {
        "delay": duration(spec.delay, "delay"),
        "lateness": duration(spec.lateness, "lateness"),
        "keep": {every: duration(text, "keep", every) for every, text in spec.keep.items()},
    }


class _Binder:
    """Parses the expressions of one statistic."""

    def __init__(self, spec: StatisticSpec, shape: BoundShape | None, collect: _Collector) -> None:
        self.spec, self.shape, self.collect = spec, shape, collect
        self.columns = dict(ENVELOPE) if shape is None else shape.shape.columns()
        same = shape is not None and spec.time == shape.shape.time_field
        self.time = "" if same else spec.time

    def expression(self, part: str, text: str, where: str, expect: SqlType | None = None) -> Expression | None:
        if not text:
            return None
        what = f"{self.spec.what}: {part}"
        # A field alone needs no quotes, also if it is a word of the language, as end is.
        text = quoted_column(text) if text in self.columns else text
        parsed: Expression | None = self.collect.attempt(
            parse, text, columns=self.columns, what=what, where=where, expect=expect
        )
        return parsed

    def condition(self, part: str, text: str, where: str) -> Expression | None:
        return self.expression(part, text, where, SqlType.BOOLEAN)

    def where(self, extra: str) -> Expression | None:
        """The condition of its own and ``extra`` together, each checked alone, so that messages show what was given."""
        spec = self.spec
        own = self.condition("where", spec.where, spec.place("where"))
        if not extra:
            return own
        over = f"--where, over shape {spec.of!r}" if spec.of else "--where"
        if self.collect.attempt(parse, extra, columns=self.columns, what=over, expect=SqlType.BOOLEAN) is None:
            return None
        both = f"({spec.where}) AND ({extra})" if own is not None else extra
        return self.condition("where and --where", both, spec.place("where"))

    def key(self, name: str, text: str) -> Expression:
        where = self.spec.place("by", name)
        if not text:
            hint = "name a field, or write an expression"
            self.collect.mistakes.append(Mistake(f"{self.spec.what}: key {name!r}", "is empty", where, hint=hint))
        # A failed parse is in the collector, and finish() raises before anyone reads the None.
        return self.expression(f"key {name!r}", text, where)  # type: ignore[return-value]

    def check_time(self) -> None:
        if self.time and self.columns.get(self.time) is not SqlType.BIGINT:
            hint = nearest(self.time, self.columns) or "name a BIGINT field that holds ms since 1970"
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
            edges = self.edges(part, p, scale, where)
            bound.append(BoundPrimitive(p, argument, self.condition(part, p.where, where), scale, edges))
        return tuple(scales[a] for a in measure.arguments()), bound

    def owner(self, name: str) -> str:
        """The name by which an author knows a measure: for one without a name, that of the ratio over it."""
        if name in shown(self.spec.measures):
            return name
        ratios = ((n, m) for n, m in self.spec.measures.items() if isinstance(m, Ratio))
        return next(n for n, ratio in ratios if name in (ratio.numerator, ratio.denominator))

    def argument(self, part: str, argument: Argument, where: str) -> Expression | None:
        parsed = self.expression(part, argument.sql, where)
        if parsed is None or argument.kind is not Kind.NUMBER or parsed.type in NUMBERS:
            return parsed
        hint = f"write ({argument.sql})::BIGINT or ::DOUBLE"
        problem = f"needs a number, but this is {parsed.type.value}"
        self.collect.mistakes.append(Mistake(f"{self.spec.what}: {part}", problem, where, argument.sql, hint))
        return None

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
        if primitive.term is not Term.EDGE:
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
            if other is None:
                hint = nearest(str(operand), shown(self.spec.measures)) or "name a measure of this statistic"
                problem = f"unknown measure {str(operand)!r}"
            elif refusal := measure.refusal(other):
                problem, hint = f"{str(operand)!r}: {refusal}", "name counts or sums"
            else:
                continue
            where = self.spec.place("measures", name)
            self.collect.mistakes.append(Mistake(what, problem, where, measure.formula(), hint))


def _with_version(bound: BoundStatistic) -> BoundStatistic:
    spec = bound.spec
    fields = sorted({n for e in bound.expressions() for n in e.names if bound.shape and n in bound.shape.shape.fields})
    if bound.time:
        fields = sorted({*fields, bound.time})
    kinds = [m.measure for m in bound.measures if isinstance(m.measure, Aggregate)]
    states = [[kind.state_version, *(repr(s) for s in kind.states())] for kind in kinds]
    definition = {
        "topic": spec.topic,
        "shape": bound.shape.definition(fields) if bound.shape else None,
        "every": sorted(length.text for length in bound.lengths),
        "zone": spec.zone,
        "by": [_normal(e) for _, e in bound.by],
        "where": _normal(bound.where),
        "time": bound.time,
        "delay_ms": bound.delay_ms,
        "lateness_ms": bound.lateness_ms,
        "totals": spec.totals,
        "max_keys": spec.max_keys,
        "primitives": [[str(x) for x in p.identity] for p in bound.primitives],
        "states": states,
    }
    text = json.dumps(definition, sort_keys=True, ensure_ascii=True)
    version = hashlib.sha256(text.encode()).hexdigest()[:16]
    return replace(bound, version=version, definition=json.loads(text))
