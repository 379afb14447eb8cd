"""Shapes as TOML declares them: their fields and producers, and what several files say of one shape put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from streamgauge import forms
from streamgauge.columns import ANY
from streamgauge.errors import Mistake, nearest
from streamgauge.expression import SqlType, TimeUnit
from streamgauge.forms import NAME, NAME_HINT, Collector, Form, Keys, Unfinished
from streamgauge.parameter import Substitution
from streamgauge.shape import DEFAULT_SCALE, ENVELOPE, Producer, Shape, ShapeField
from streamgauge.statistic import MOST_DECIMALS
from streamgauge.tomlfile import TomlFile

SHAPE: Mapping[str, Form] = {
    "help": forms.text(),
    "family": forms.text("the name of a family of producers"),
    "time_field": forms.text("the name of a field"),
    "fields": forms.table("a table of field name = type"),
    "producer": forms.table("a table of producers: [shape.NAME.producer.NAME]"),
}
PRODUCER: Mapping[str, Form] = {
    "topic": forms.text('a topic pattern, e.g. "cdr.*"'),
    "when": forms.text("an SQL condition"),
    "time": forms.text("an SQL expression"),
    "time_unit": forms.one_of(tuple(TimeUnit)),
    "id": forms.text("an SQL expression"),
    "family": forms.text("the name of a family of producers"),
    "fields": forms.table_of_texts("a table of field name = expression"),
}
TYPES = tuple(t.value for t in SqlType if t is not SqlType.NULL)
FIELD: Mapping[str, Form] = {
    "type": forms.one_of(TYPES),
    "unit": forms.text(),
    "help": forms.text(),
    "scale": forms.whole(f"a number of decimal digits, 0 to {MOST_DECIMALS}", 0, MOST_DECIMALS),
}
_EXPRESSIONS = ("when", "time", "id")
_NO_FIELDS = (*ENVELOPE, "body")


def shape_from(toml: TomlFile, name: str, put: Substitution) -> Shape:
    """The shape that ``[shape.NAME]`` declares. Raises Unfinished with every mistake of form."""
    what, place = f"shape {name!r}", toml.places("shape", name)
    given = toml.data["shape"][name]
    collect = Collector()
    if not NAME.fullmatch(name):
        collect.mistakes.append(Mistake(what, "not a name", place(), hint=NAME_HINT))
    raw = _settings(given, what, place(), put, collect, ("fields", "producer"))
    collect.mistakes += forms.mistakes(raw, SHAPE, what, place)
    good = _good(raw, SHAPE)
    fields: dict[str, ShapeField] = {}
    unsure: dict[str, tuple[SqlType, ...]] = {}
    for key, value in good.get("fields", {}).items():
        if found := list(_field_mistakes(f"{what}: field {key!r}", place("fields", key), key, value)):
            collect.mistakes += found
            unsure[key] = _types(value)
        else:
            fields[key] = _field(value)
    producers = [collect.attempt(_producer, toml, name, k, v, put) for k, v in good.get("producer", {}).items()]
    texts = {k: good.get(k, "") for k in ("family", "time_field", "help")}
    refused = _refused(given, good, SHAPE)
    shape = Shape(name, fields, tuple(producers), origin=place(), refused=refused, unsure=unsure, **texts)
    if collect.mistakes or not shape.whole:
        raise Unfinished(collect.mistakes, shape)
    return shape


def _settings(raw: Any, what: str, place: str, put: Substitution, collect: Collector, apart: tuple[str, ...]) -> Any:
    """``raw`` with parameters' values in its settings, but for those ``apart``."""
    if not forms.is_table(raw):
        return raw
    result = {}
    for key, value in raw.items():
        kept = key in apart or key == "help"
        result[key] = value if kept else collect.attempt(put.setting, value, f"{what}: {key}", place)
    return {key: value for key, value in result.items() if value is not None}


def _refused(given: Any, good: Mapping[str, Any], known: Mapping[str, Form]) -> frozenset[str]:
    """The settings that were given, or seem to be meant by an unknown one, and could not be read."""
    if not forms.is_table(given):
        return frozenset(known)
    unknown = [key for key in given if key not in known]
    meant = {key for key in known if key not in given and any(_means(other, key, known) for other in unknown)}
    return frozenset(meant | {key for key in known if key in given and key not in good})


def _means(unknown: str, key: str, known: Mapping[str, Form]) -> bool:
    return nearest(unknown, known) == nearest(key, [key])


def _types(raw: Any) -> tuple[SqlType, ...]:
    """The types that a field may have whose declaration was refused."""
    type_ = raw.get("type") if forms.is_table(raw) else raw
    return (SqlType(type_),) if forms.is_text(type_) and type_ in TYPES else ANY


def _good(raw: Any, known: Mapping[str, Form]) -> dict[str, Any]:
    """The settings whose form is right."""
    return {k: v for k, v in raw.items() if k in known and known[k].fits(v)} if forms.is_table(raw) else {}


def _field_mistakes(what: str, place: str, name: str, raw: Any) -> Iterator[Mistake]:
    if not NAME.fullmatch(name):
        yield Mistake(what, "not a name", place, hint=NAME_HINT)
    elif name in _NO_FIELDS:
        yield Mistake(what, "is a reserved name: every event has it", place, hint=f"e.g. {name}_value")
    table = {"type": raw} if forms.is_text(raw) else raw
    close = nearest(table["type"].upper(), TYPES) if forms.is_table(table) and forms.is_text(table.get("type")) else ""
    for mistake in forms.mistakes(table, FIELD, what, lambda *_: place):
        yield replace(mistake, hint=close or mistake.hint) if mistake.what.endswith(": type") else mistake
    if forms.is_table(table) and "type" not in table:
        yield Mistake(what, "needs a type", place, hint=f"one of {', '.join(TYPES)}")


def _field(raw: Any) -> ShapeField:
    table: dict[str, Any] = {"type": raw} if forms.is_text(raw) else raw
    return ShapeField(
        SqlType(table["type"]), table.get("unit", ""), table.get("help", ""), table.get("scale", DEFAULT_SCALE)
    )


def _producer(toml: TomlFile, shape: str, name: str, given: Any, put: Substitution) -> Producer:
    what, place = f"shape {shape!r}: producer {name!r}", toml.places("shape", shape, "producer", name)
    collect = Collector()
    raw = _settings(given, what, place(), put, collect, (*_EXPRESSIONS, "fields"))
    collect.mistakes += forms.mistakes(raw, PRODUCER, what, place)
    good = _good(raw, PRODUCER)
    texts: dict[Keys, str] = {(k,): good.pop(k) for k in _EXPRESSIONS if k in good}
    fields = raw.get("fields") if forms.is_table(raw) else None
    fields = fields if forms.is_table(fields) else {}
    texts |= {("fields", k): v for k, v in fields.items() if forms.is_text(v)}
    read = _expressions(texts, what, place, put, collect)
    good |= {keys[0]: text for keys, text in read.items() if len(keys) == 1}
    good["fields"] = {keys[1]: text for keys, text in read.items() if len(keys) == 2}
    refused = _refused(given, good, PRODUCER) | ({"fields"} if len(good["fields"]) < len(fields) else set())
    producer = Producer(
        name,
        topic=good.get("topic", ""),
        when=good.get("when", ""),
        time=good.get("time", ""),
        time_unit=TimeUnit(good["time_unit"]) if "time_unit" in good else None,
        id=good.get("id", ""),
        family=good.get("family", ""),
        fields=good["fields"],
        origin=place(),
        places={k: place(*k) for k in [*((k,) for k in good), *read]},
        refused=refused,
    )
    if collect.mistakes or refused:
        raise Unfinished(collect.mistakes, producer)
    return producer


def _expressions(
    texts: Mapping[Keys, str], what: str, place: Callable[..., str], put: Substitution, collect: Collector
) -> dict[Keys, str]:
    """The expressions with the parameters put in, but for those that name an unknown one."""
    read = {k: collect.attempt(put.expression, v, f"{what}: {': '.join(k)}", place(*k)) for k, v in texts.items()}
    return {k: v for k, v in read.items() if v is not None}


def merged(first: Shape, second: Shape) -> Shape:
    """What two files say of one shape: the earlier file's producers are tried first, and its settings win.

    A producer that both have stays in the place of the second, with the expressions of the first over its own.
    Raises Unfinished where they give one field two types.
    """
    what = f"shape {first.name!r}"
    both = [name for name, field in first.fields.items() if _two_types(field, second.fields.get(name))]
    unsure = {name: (first.fields[name].type, second.fields[name].type) for name in both}
    different = [
        Mistake(f"{what}: field {name!r}", f"is {one.value}, but {other.value} at {second.origin}", first.origin)
        for name, (one, other) in unsure.items()
    ]
    over = {p.name: p for p in first.producers}
    amended = tuple(_amended(over[p.name], p) if p.name in over else p for p in second.producers)
    own = tuple(p for p in first.producers if p.name not in {q.name for q in second.producers})
    shape = Shape(
        first.name,
        {**second.fields, **first.fields},
        (*own, *amended),
        first.family or second.family,
        first.time_field or second.time_field,
        first.help or second.help,
        second.origin if second.fields else first.origin,
        first.refused | second.refused,
        {**second.unsure, **first.unsure, **unsure},
    )
    if different:
        raise Unfinished(different, shape)
    return shape


def _two_types(one: ShapeField, other: ShapeField | None) -> bool:
    return other is not None and one.type is not other.type


def _amended(first: Producer, second: Producer) -> Producer:
    texts = {k: getattr(first, k) or getattr(second, k) for k in ("topic", "when", "time", "time_unit", "id", "family")}
    if first.time and not first.time_unit:
        texts["time_unit"] = None  # the unit belongs to the time that was replaced
    places = {**second.places, **first.places}
    fields, refused = {**second.fields, **first.fields}, first.refused | second.refused
    return replace(second, fields=fields, places=places, refused=refused, **texts)


def shape_mistakes(shape: Shape) -> Iterator[Mistake]:
    """What is wrong with a shape when all files are read."""
    what = f"shape {shape.name!r}"
    if not (shape.fields or shape.unsure or "fields" in shape.refused):
        hint = "declare [shape.NAME.fields], or load the pack that has this shape"
        yield Mistake(what, "has no fields", shape.origin, hint=hint)
        return
    if shape.time_field and not _may_be_time(shape):
        hint = (
            nearest(shape.time_field, {**shape.unsure, **shape.fields})
            or "name the BIGINT field that holds the event's time in ms"
        )
        yield Mistake(f"{what}: time_field", f"{shape.time_field!r} is no BIGINT field", shape.origin, hint=hint)
    yield from _family_mistakes(shape, what)
    for producer in shape.active()[:-1]:
        if producer.topic in ("", "*") and not producer.when and not producer.refused & {"topic", "when"}:
            problem = "takes every event, so that the producers after it are never tried"
            hint = "give it a 'topic' or a 'when' (TRUE, if this is meant)"
            yield Mistake(f"{what}: producer {producer.name!r}", problem, producer.origin, hint=hint)


def _may_be_time(shape: Shape) -> bool:
    if shape.time_field in shape.unsure:
        return SqlType.BIGINT in shape.unsure[shape.time_field]
    timed = shape.fields.get(shape.time_field)
    return timed.type is SqlType.BIGINT if timed else "fields" in shape.refused


def _family_mistakes(shape: Shape, what: str) -> Iterator[Mistake]:
    if "producer" in shape.refused or any("family" in p.refused for p in shape.producers):
        return
    families = sorted({p.family for p in shape.producers if p.family})
    if shape.family and shape.family not in families:
        hint = nearest(shape.family, families) or (f"known: {', '.join(families)}" if families else "")
        yield Mistake(what, f"has no producer of family {shape.family!r}", shape.origin, hint=hint)
    elif not shape.producers:
        hint = f"declare [shape.{shape.name}.producer.NAME]"
        yield Mistake(what, "has no producer, so that nothing would fill it", shape.origin, hint=hint)
