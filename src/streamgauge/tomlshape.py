"""Shapes as TOML declares them: their fields and producers, and what several files say of one shape put together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from streamgauge import forms
from streamgauge.errors import DeclarationError, Mistake, nearest
from streamgauge.expression import SqlType, TimeUnit
from streamgauge.forms import NAME, NAME_HINT, Form
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
    """The shape that ``[shape.NAME]`` declares. Raises DeclarationError with every mistake of form."""
    what, place = f"shape {name!r}", toml.places("shape", name)
    raw = toml.data["shape"][name]
    found = [] if NAME.fullmatch(name) else [Mistake(what, "not a name", place(), hint=NAME_HINT)]
    raw = _settings(raw, what, place(), put, found, ("fields", "producer"))
    found += forms.mistakes(raw, SHAPE, what, place)
    good = _good(raw, SHAPE)
    fields: dict[str, ShapeField] = {}
    for key, value in good.get("fields", {}).items():
        found += _field_mistakes(f"{what}: field {key!r}", place("fields", key), key, value)
        if not found:
            fields[key] = _field(value)
    producers = []
    for key, value in good.get("producer", {}).items():
        try:
            producers.append(_producer(toml, name, key, value, put))
        except DeclarationError as e:
            found += e.mistakes
    if found:
        raise DeclarationError(found)
    texts = {k: good.get(k, "") for k in ("family", "time_field", "help")}
    return Shape(name, fields, tuple(producers), origin=place(), **texts)


def _settings(raw: Any, what: str, place: str, put: Substitution, found: list[Mistake], apart: tuple[str, ...]) -> Any:
    """``raw`` with parameters' values in its settings, but for those ``apart``."""
    if not forms.is_table(raw):
        return raw
    result = dict(raw)
    for key, value in raw.items():
        if key in apart or key == "help":
            continue
        try:
            result[key] = put.setting(value, f"{what}: {key}", place)
        except DeclarationError as e:
            found += e.mistakes
            del result[key]
    return result


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


def _producer(toml: TomlFile, shape: str, name: str, raw: Any, put: Substitution) -> Producer:
    what, place = f"shape {shape!r}: producer {name!r}", toml.places("shape", shape, "producer", name)
    found: list[Mistake] = []
    raw = _settings(raw, what, place(), put, found, (*_EXPRESSIONS, "fields"))
    found += forms.mistakes(raw, PRODUCER, what, place)
    good = _good(raw, PRODUCER)

    def expression(text: str, *keys: str) -> str:
        try:
            return put.expression(text, f"{what}: {': '.join(keys)}", place(*keys))
        except DeclarationError as e:
            found.extend(e.mistakes)
            return ""

    texts = {k: expression(good[k], k) for k in _EXPRESSIONS if k in good}
    fields = {k: expression(v, "fields", k) for k, v in good.get("fields", {}).items()}
    if found:
        raise DeclarationError(found)
    keys = [(k,) for k in good] + [("fields", k) for k in fields]
    return Producer(
        name,
        topic=good.get("topic", ""),
        time_unit=TimeUnit(good["time_unit"]) if "time_unit" in good else None,
        family=good.get("family", ""),
        fields=fields,
        origin=place(),
        places={k: place(*k) for k in keys},
        **texts,
    )


def merged(first: Shape, second: Shape) -> Shape:
    """What two files say of one shape: the earlier file's producers are tried first, and its settings win.

    A producer that both have stays in the place of the second, with the expressions of the first over its own.
    Raises DeclarationError where they give one field two types.
    """
    what = f"shape {first.name!r}"
    different = [
        Mistake(
            f"{what}: field {name!r}",
            f"is {field.type.value}, but {second.fields[name].type.value} at {second.origin}",
            first.origin,
        )
        for name, field in first.fields.items()
        if name in second.fields and field.type is not second.fields[name].type
    ]
    if different:
        raise DeclarationError(different)
    over = {p.name: p for p in first.producers}
    amended = tuple(_amended(over[p.name], p) if p.name in over else p for p in second.producers)
    own = tuple(p for p in first.producers if p.name not in {q.name for q in second.producers})
    return Shape(
        first.name,
        {**second.fields, **first.fields},
        (*own, *amended),
        first.family or second.family,
        first.time_field or second.time_field,
        first.help or second.help,
        second.origin if second.fields else first.origin,
    )


def _amended(first: Producer, second: Producer) -> Producer:
    texts = {k: getattr(first, k) or getattr(second, k) for k in ("topic", "when", "time", "time_unit", "id", "family")}
    if first.time and not first.time_unit:
        texts["time_unit"] = None  # the unit belongs to the time that was replaced
    places = {**second.places, **first.places}
    return replace(second, fields={**second.fields, **first.fields}, places=places, **texts)


def shape_mistakes(shape: Shape) -> Iterator[Mistake]:
    """What is wrong with a shape when all files are read."""
    what = f"shape {shape.name!r}"
    if not shape.fields:
        hint = "declare [shape.NAME.fields], or load the pack that has this shape"
        yield Mistake(what, "has no fields", shape.origin, hint=hint)
        return
    timed = shape.fields.get(shape.time_field)
    if shape.time_field and (timed is None or timed.type is not SqlType.BIGINT):
        hint = nearest(shape.time_field, shape.fields) or "name the BIGINT field that holds the event's time in ms"
        yield Mistake(f"{what}: time_field", f"{shape.time_field!r} is no BIGINT field", shape.origin, hint=hint)
    families = sorted({p.family for p in shape.producers if p.family})
    if shape.family and shape.family not in families:
        hint = nearest(shape.family, families) or (f"known: {', '.join(families)}" if families else "")
        yield Mistake(what, f"has no producer of family {shape.family!r}", shape.origin, hint=hint)
    elif not shape.producers:
        hint = f"declare [shape.{shape.name}.producer.NAME]"
        yield Mistake(what, "has no producer, so that nothing would fill it", shape.origin, hint=hint)
    for producer in shape.active()[:-1]:
        if producer.topic in ("", "*") and not producer.when:
            problem = "takes every event, so that the producers after it are never tried"
            hint = "give it a 'topic' or a 'when' (TRUE, if this is meant)"
            yield Mistake(f"{what}: producer {producer.name!r}", problem, producer.origin, hint=hint)
