"""From declarations to SQL: one decode of a slice, then one statement per group of statistics.

The decode makes the table ``e``, one row per record in log order (its ``rowid`` is the record's ordinal): ``t`` (event
time in ms, null for a dead letter), ``h`` (the md5 of the id), ``f0, f1, ...`` (the typed fields that some statistic
reads), ``w0, w1, ...`` (the field had the wrong type) and ``s0, s1, ...`` (a producer of the shape matched).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from streamgauge.bound import BoundProducer, BoundShape, BoundStatistic
from streamgauge.engines.base import Envelope
from streamgauge.engines.duck.layout import Layout, careful, fast, literal
from streamgauge.event import MAX_TIME_MS, MIN_TIME_MS
from streamgauge.expression import Expression, Path, SqlType, TimeUnit, lower, lower_wrong, parse, time_ms
from streamgauge.expression.types import Node
from streamgauge.shape import ENVELOPE

ENGINE: Final = "duckdb"
PERMITTED = f"ms >= {MIN_TIME_MS} AND ms < {MAX_TIME_MS}"
DEFAULT_TIME = ("time", "timestamp")
"""Where an event's time is looked for when nothing says it."""


@dataclass(frozen=True, slots=True)
class Column:
    """A typed column of ``e``: a shape's field, or an expression of a topic's statistic, evaluated once per event.

    ``label`` is what people call it in counts of wrong types.
    """

    number: int
    label: str
    shape: str
    expression: Expression | None
    scale: int

    @property
    def name(self) -> str:
        """Its name in ``e``."""
        return f"f{self.number}"

    @property
    def wrong(self) -> str:
        """The name of its flag in ``e``."""
        return f"w{self.number}"


@dataclass(slots=True)
class Columns:
    """All typed columns, found by what they hold."""

    found: dict[tuple[str, str], Column] = field(default_factory=dict)

    def shape_field(self, shape: BoundShape, name: str) -> Column:
        """The column of a shape's field."""
        return self._put((shape.shape.name, name), name, None, shape.shape.fields[name].scale)

    def expression(self, expression: Expression, shape: BoundShape | None) -> Column:
        """The column of an expression over the body, the envelope, and the fields of a statistic's shape."""
        own = shape is not None and expression.names & shape.shape.fields.keys()
        return self._put((shape.shape.name if shape and own else "", expression.normal), expression.text, expression, 0)

    def _put(self, key: tuple[str, str], label: str, expression: Expression | None, scale: int) -> Column:
        if key not in self.found:
            self.found[key] = Column(len(self.found), label, key[0], expression, scale)
        return self.found[key]


def computed_once(expression: Expression) -> list[Expression]:
    """The parts that the decode computes: the casts that can fail, and the paths that stand outside of them."""
    inside = {cast.tree for cast in expression.casts}
    paths: set[Path] = set()
    waiting = [expression.tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node.value, Path):
            paths.add(node.value)
        elif node not in inside:
            waiting.extend(node.args)
    return [*expression.casts, *(parse(str(path), columns={}, what="path") for path in sorted(paths, key=str))]


_LENIENT = frozenset("coalesce concat least greatest is_null is_distinct is_true is_false and or".split())


def null_of_nothing(node: Node) -> bool:
    """Whether an expression is surely null of a record that has none of its paths."""
    if node.op in ("path", "column", "literal"):
        return node.op == "path" or (node.op == "literal" and node.value is None)
    if node.op == "case":
        return all(map(null_of_nothing, [*node.args[1::2], *(node.args[-1:] if node.value else ())]))
    if node.op == "nullif":
        return null_of_nothing(node.args[0])
    return (all if node.op in _LENIENT else any)(map(null_of_nothing, node.args))


Assumed = frozenset[tuple[int, int]]
"""Producers that a slice is assumed to have: (number of the shape, number of its producer)."""


class Plan:
    """Everything that is fixed for a run: which columns there are, and what the events' envelope is.

    The SQL of a decode is made for the producers that a slice is *assumed* to have (a file mostly has one), because
    one for all of a pack's producers would take DuckDB longer to plan than to run. A slice that has others is decoded
    again with those; ``assumed`` are all that any worker has met.
    """

    def __init__(self, statistics: Sequence[BoundStatistic], shapes: Iterable[BoundShape], envelope: Envelope) -> None:
        self.statistics = tuple(statistics)
        used = {s.shape.shape.name for s in statistics if s.shape is not None}
        # A shape that no statistic reads still says when its events were, so that they are no dead letters.
        timed = (s for s in shapes if s.shape.name in used or any(p.time for p in s.producers))
        self.shapes = tuple(s if s.shape.name in used else s.only_times() for s in timed)
        self.envelope = envelope
        self.default_time = _default_time(envelope)
        self.columns = Columns()
        for statistic in self.statistics:
            self._use(statistic)
        # In a log, duplicates were decided when they were appended.
        named = envelope.id is not None or any(p.id is not None for p in self._producers())
        self.has_id = named and not envelope.logged
        self.topic = envelope.topic or parse("body.topic", columns={}, what="the default topic")
        self.reads = frozenset(n for s in self.statistics for e in s.expressions() for n in e.names)
        self.reads |= {n for p in self._producers() for e in _expressions_of(p) for n in e.names}
        self.needs_topic = any(self._reads_topic())
        self.assumed: Assumed = frozenset()
        self._variants: dict[tuple[Assumed, bool], Variant] = {}

    @property
    def needs_unit(self) -> bool:
        """Whether some event's time may have a unit that nothing declares."""
        return self.envelope.time_unit is None

    def may_need_unit(self, data: bytes | memoryview) -> bool:
        """Whether some line may have a time whose unit nothing declares: whether the name of one stands there.

        A cheap look that spares small files a statement. A name may be written with escapes: then it may.
        """
        producers = (p.time for p in self._producers() if p.time is not None and p.time_unit is None)
        undeclared = [self.default_time, *(() if self.envelope.time is not None else producers)]
        names = {path.keys[-1] for expression in undeclared for path in expression.paths}
        text = bytes(data)
        return not names or b"\\u" in text or any(not isinstance(n, str) or f'"{n}"'.encode() in text for n in names)

    def variant(self, assumed: Assumed, times_only: bool = False) -> Variant:
        """The decode for these producers; ``times_only`` for one that reads no fields."""
        key = (assumed, times_only)
        if key not in self._variants:
            self._variants[key] = Variant(self, assumed, times_only)
        return self._variants[key]

    def all_producers(self) -> Assumed:
        """Every producer of every shape."""
        return frozenset((s, n) for s, shape in enumerate(self.shapes) for n in range(len(shape.producers)))

    def named(self) -> Iterable[Expression | None]:
        """The expressions of the id and the source, where something reads them."""
        yield self.envelope.id if self.has_id or "id" in self.reads else None
        yield self.envelope.source if "source" in self.reads else None

    def _producers(self) -> Iterable[BoundProducer]:
        return (p for s in self.shapes for p in s.producers)

    def _use(self, statistic: BoundStatistic) -> None:
        for expression in statistic.expressions():
            if statistic.shape is not None:
                for name in sorted(expression.names & statistic.shape.shape.fields.keys()):
                    self.columns.shape_field(statistic.shape, name)
            for part in computed_once(expression):
                self.columns.expression(part, statistic.shape)
        if statistic.time and statistic.shape is not None:
            self.columns.shape_field(statistic.shape, statistic.time)

    def _reads_topic(self) -> Iterable[bool]:
        yield from (s.spec.topic not in ("", "*") for s in self.statistics)
        yield from (p.topic not in ("", "*") for p in self._producers())
        yield "topic" in self.reads


class Variant:
    """The decode of slices whose events come from the assumed producers, or from none."""

    def __init__(self, plan: Plan, assumed: Assumed, times_only: bool) -> None:
        self.plan, self.assumed, self.times_only = plan, assumed, times_only
        self.paths = tuple(dict.fromkeys(path for e in self._expressions() for path in sorted(e.paths, key=str)))
        root = ("body",) if plan.envelope.logged else ()
        self.careful = careful(self.paths, root)
        # The fast layout cannot tell what is no object from an object without our keys, which may have a time.
        self.fast = fast(self.paths, root) if all(null_of_nothing(e.tree) for e in self._times()) else None

    def _times(self) -> Iterable[Expression]:
        yield self.plan.default_time
        for s in range(len(self.plan.shapes)):
            yield from (p.time for _, p in self.producers(s) if p.time is not None)

    def producers(self, shape: int) -> list[tuple[int, BoundProducer]]:
        """The assumed producers of a shape, with their numbers."""
        return [(n, p) for n, p in enumerate(self.plan.shapes[shape].producers) if (shape, n) in self.assumed]

    def _expressions(self) -> Iterable[Expression]:
        plan = self.plan
        for shape in plan.shapes:
            yield from (p.when for p in shape.producers if p.when is not None)
        yield plan.default_time
        yield from (e for e in (plan.topic if plan.needs_topic else None, *plan.named()) if e is not None)
        for s in range(len(plan.shapes)):
            for _, producer in self.producers(s):
                yield from (e for e in (producer.time, producer.id) if e is not None)
        if self.times_only:
            return
        for column in plan.columns.found.values():
            if column.expression is not None:
                yield column.expression
            else:
                s = next(n for n, shape in enumerate(plan.shapes) if shape.shape.name == column.shape)
                yield from (p.fields[column.label] for _, p in self.producers(s) if column.label in p.fields)

    def decode(self, file: str, unit: TimeUnit | None, source: str, layout: Layout, object_size: int) -> str:
        """The select that makes ``e`` of a slice."""
        return Decode(self, unit, source, layout).sql(file, object_size)

    def wrongs(self, layout: Layout) -> list[Column]:
        """The columns that have a flag for wrong types in this layout."""
        decode = Decode(self, TimeUnit.MS, "", layout)
        return [c for c in self.plan.columns.found.values() if len(decode.column(c)) > 1]

    def missed(self, shape: int) -> str:
        """A condition on the rows of a decode: they come from a producer of the shape that is not assumed."""
        known = ", ".join(str(n) for s, n in sorted(self.assumed) if s == shape) or "-1"
        return f"s{shape} NOT IN ({known})"

    def sample_times(self, file: str, source: str, layout: Layout, object_size: int) -> str:
        """A select, per record, of its time's text where nothing declares the unit, and of the matching producers."""
        return Decode(self, None, source, layout).sample_times(file, object_size)

    def times_found(self, file: str, unit: TimeUnit | None, source: str, layout: Layout, object_size: int) -> str:
        """A select, in order, of every record's time as text (``v``) and in ms whatever the year (``ms``)."""
        decode = Decode(self, unit, source, layout)
        return f"SELECT {decode.raw_time()} AS v, {decode.any_time()} AS ms FROM ({decode.matched(file, object_size)})"


def _expressions_of(producer: BoundProducer) -> Iterable[Expression]:
    named = (producer.when, producer.time, producer.id, *producer.fields.values())
    return (e for e in named if e is not None)


def _default_time(envelope: Envelope) -> Expression:
    if envelope.time is not None:
        return envelope.time
    text = f"coalesce({', '.join(f'body.{name}' for name in DEFAULT_TIME)})"
    return parse(text, columns={}, what="the default time")


@dataclass(slots=True)
class Decode:
    """The parts of a decode of one slice."""

    variant: Variant
    unit: TimeUnit | None
    source: str
    layout: Layout

    @property
    def plan(self) -> Plan:
        return self.variant.plan

    def sql(self, file: str, object_size: int) -> str:
        timed = f"SELECT *, {self.any_time()} AS ms FROM ({self.matched(file, object_size)})"
        select = [f"CASE WHEN {PERMITTED} THEN ms END AS t"]
        select += [f"s{n}" for n in range(len(self.plan.shapes))]
        select += [name for name in ("topic",) if self.plan.needs_topic]
        select += [f"{self.resolve('source')} AS source"] if "source" in self.plan.reads else []
        select += [f"md5_number({self.id()}) AS h"] if self.plan.has_id else []
        select += [f"{self.id()} AS id"] if "id" in self.plan.reads else []
        select += [c for column in self.plan.columns.found.values() for c in self.column(column)]
        if self.layout.has_suspicion:
            select.append("suspicious")
        return f"SELECT {', '.join(select)} FROM ({timed})"

    def sample_times(self, file: str, object_size: int) -> str:
        matched = [f"s{n}" for n in range(len(self.plan.shapes))]
        select = [f"{self.undeclared_time()} AS v", *matched]
        return f"SELECT {', '.join(select)} FROM ({self.matched(file, object_size)})"

    def matched(self, file: str, object_size: int) -> str:
        """The raw paths, the topic, and for each shape the number of the producer that matched."""
        raw = self.layout.source(file, object_size)
        with_topic = raw
        if self.plan.needs_topic:
            with_topic = f"SELECT *, {self.topic()} AS topic FROM ({raw})"
        shapes = [f"{self.match(shape)} AS s{n}" for n, shape in enumerate(self.plan.shapes)]
        return f"SELECT *, {', '.join(shapes)} FROM ({with_topic})" if shapes else with_topic

    def topic(self) -> str:
        """The topic, empty where there is none."""
        return f"coalesce({self.text(self.plan.topic)}, '')"

    def match(self, shape: BoundShape) -> str:
        cases = []
        for n, producer in enumerate(shape.producers):
            tests = [topic_test(producer.topic)] if producer.topic not in ("", "*") else []
            tests += [self.lowered(producer.when)] if producer.when is not None else []
            cases.append(f"WHEN {' AND '.join(f'({t})' for t in tests) or 'true'} THEN {n}")
        return f"CAST(CASE {' '.join(cases)} END AS TINYINT)" if cases else "CAST(NULL AS TINYINT)"

    def any_time(self) -> str:
        """Event time in ms, whatever the year; null where there is none or it does not fit its unit."""
        default = self.in_unit(self.plan.default_time, self.plan.envelope.time_unit)
        found = self.by_producer(self.producer_time, default)
        return found if self.layout.records else f"CASE WHEN NOT no_object THEN {found} END"

    def producer_time(self, producer: BoundProducer) -> str | None:
        if self.plan.envelope.time is not None or producer.time is None:
            return None
        return self.in_unit(producer.time, producer.time_unit or self.plan.envelope.time_unit)

    def in_unit(self, expression: Expression, declared: TimeUnit | None) -> str:
        unit = declared or self.unit
        if unit is None:
            return "CAST(NULL AS BIGINT)"
        return time_ms(self.text(expression), unit, ENGINE, self.plan.envelope.zone)

    def undeclared_time(self) -> str:
        default = "NULL" if self.plan.envelope.time_unit else self.text(self.plan.default_time)

        def one(producer: BoundProducer) -> str | None:
            if self.plan.envelope.time is not None or producer.time is None:
                return None
            return "NULL" if producer.time_unit else self.text(producer.time)

        return self.by_producer(one, default)

    def raw_time(self) -> str:
        """The text of the time, whatever it is."""

        def one(producer: BoundProducer) -> str | None:
            own = None if self.plan.envelope.time is not None else producer.time
            return None if own is None else self.text(own)

        return self.by_producer(one, self.text(self.plan.default_time))

    def id(self) -> str:
        if self.plan.envelope.id is not None:
            return self.text(self.plan.envelope.id)
        return self.by_producer(lambda p: self.text(p.id) if p.id is not None else None, "NULL")

    def by_producer(self, one: Callable[[BoundProducer], str | None], default: str) -> str:
        """What the producer says that matched, of the first shape that has one; else, and for None, the default."""
        cases = [
            f"WHEN s{s} = {n} THEN {one(producer) or default}"
            for s in range(len(self.plan.shapes))
            for n, producer in self.variant.producers(s)
        ]
        return f"CASE {' '.join(cases)} ELSE {default} END" if cases else default

    def column(self, column: Column) -> list[str]:
        if column.expression is not None:
            value = self.lowered(column.expression, column.shape)
            wrong = self.wrong(column.expression, column.shape)
        else:
            value, wrong = self.shape_field(column)
        return [f"{value} AS {column.name}", *([f"{wrong} AS {column.wrong}"] if wrong else [])]

    def shape_field(self, column: Column) -> tuple[str, str]:
        number, shape = next((n, s) for n, s in enumerate(self.plan.shapes) if s.shape.name == column.shape)
        declared = shape.shape.fields[column.label].type
        filled = [(n, p.fields[column.label]) for n, p in self.variant.producers(number) if column.label in p.fields]
        values = [f"WHEN s{number} = {n} THEN {_as(self.lowered(e), e.type, declared)}" for n, e in filled]
        wrongs = [f"WHEN s{number} = {n} THEN {wrong}" for n, e in filled if (wrong := self.wrong(e))]
        if not values:
            return f"CAST(NULL AS {declared.value})", ""
        return f"CASE {' '.join(values)} END", f"CASE {' '.join(wrongs)} ELSE false END" if wrongs else ""

    def lowered(self, expression: Expression, shape: str = "") -> str:
        return lower(expression, ENGINE, partial(self.resolve, shape=shape))

    def text(self, expression: Expression) -> str:
        sql = self.lowered(expression)
        return sql if expression.type is SqlType.VARCHAR else f"CAST({sql} AS VARCHAR)"

    def wrong(self, expression: Expression, shape: str = "") -> str:
        tests = [lower_wrong(expression, ENGINE, partial(self.resolve, shape=shape)) or ""]
        tests += [self.layout.broken[p] for p in sorted(expression.paths, key=str) if p in self.layout.broken]
        return " OR ".join(f"({t})" for t in tests if t)

    def resolve(self, name: Path | str, shape: str = "") -> str:
        if isinstance(name, Path):
            return self.layout.names()[name]
        if name == "topic":
            return "topic"
        if name == "source":
            own = self.plan.envelope.source
            return literal(self.source) if own is None else self.text(own)
        if name in ENVELOPE:
            return self.id() if name == "id" else f"(CASE WHEN {PERMITTED} THEN ms END)"
        return f"({self.shape_field(self.plan.columns.found[shape, name])[0]})"


def _as(sql: str, got: SqlType, wanted: SqlType) -> str:
    return sql if got is wanted else f"CAST({sql} AS {wanted.value})"


def topic_test(pattern: str) -> str:
    """A condition on the column ``topic``: ``*`` stands for any characters."""
    if "*" not in pattern:
        return f"topic = {literal(pattern)}"
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
    return f"topic LIKE {literal(escaped)} ESCAPE '\\'"
