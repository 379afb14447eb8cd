"""The frozen declaration of a statistic, as TOML and Python both say it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar

from streamgauge import forms
from streamgauge.aggregates.base import Aggregate, Measure, Ratio
from streamgauge.errors import DeclarationError, Mistake, nearest
from streamgauge.forms import NAME, NAME_HINT, Form, Keys, Unfinished, is_list, is_table, is_text

RESERVED = frozenset(
    "statistic every window_by start stop limit order by key row state events late revision wrong_types expired "
    "version where tz format fields gaps rollup rolling latest keys cells position topic time id source body window "
    "time_ms start_ms stop_ms all other".split()
)
"""Names that the output and the queries use themselves; no key or measure may have one."""

HIDDEN = re.compile(r"_\d+")
"""The names of measures that nobody named."""

MOST_DECIMALS = 18


@dataclass(frozen=True, slots=True)
class StatisticSpec:
    """What an operator wrote, checked for form but not yet for meaning (``bind`` does that).

    ``of`` names a shape, or ``topic`` is a pattern: exactly one is set. ``every`` and ``keep`` are texts such as
    ``6m``; ``by`` maps key names to SQL expressions; ``measures`` keep the order in which they are shown; ``hidden``
    are the ones that only serve a ratio. ``time`` names the field that chooses the window, whose windows then become
    final ``delay`` later. ``max_keys`` bounds the keys of a window. ``origin`` is ``file:line``, and ``places`` those
    of its settings, keys and measures, as far as they are known. In a draft, ``refused`` are those that are left out.
    """

    name: str
    every: tuple[str, ...]
    measures: Mapping[str, Measure]
    of: str = ""
    topic: str = ""
    where: str = ""
    by: Mapping[str, str] = field(default_factory=dict)
    zone: str = "UTC"
    time: str = ""
    delay: str = ""
    totals: bool = False
    max_keys: int | None = None
    scale: int | None = None
    min_n: int | None = None
    keep: Mapping[str, str] = field(default_factory=dict)
    backlog: str = ""
    lateness: str = ""
    help: str = ""
    origin: str = ""
    places: Mapping[Keys, str] = field(default_factory=dict, compare=False, repr=False)
    refused: frozenset[Keys] = frozenset()

    @property
    def what(self) -> str:
        """How errors name it."""
        return f"statistic {self.name!r}"

    def place(self, *keys: str) -> str:
        """``file:line`` of a setting, or of what is in it; that of the statistic where it is not known."""
        return next((self.places[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in self.places), self.origin)


Declared = list["type[Statistic] | DeclarationError"]
_declared: ContextVar[Declared | None] = ContextVar("declared", default=None)


@contextmanager
def collected() -> Iterator[Declared]:
    """Gathers the statistics declared inside, in order; one with mistakes is its error, which is not raised."""
    found: Declared = []
    token = _declared.set(found)
    try:
        yield found
    finally:
        _declared.reset(token)


class Statistic:
    """Base of a statistic declared in Python: class attributes are its settings, keys and measures.

    Its name is the class's in snake_case, unless ``name`` says another. A class whose name begins with ``_`` is no
    statistic, but lends its attributes to those that are made from it. Raises DeclarationError for mistakes of form.

    >>> from streamgauge.aggregates import count, proportion
    >>> class Quality(Statistic):
    ...     "Attempts and answers of each carrier."
    ...     topic = "cdr.*"
    ...     every = ("6m",)
    ...     by = {"carrier": "body.carrier"}
    ...     attempts = count()
    ...     answer_rate = proportion(count("body.answer IS NOT NULL"), attempts)
    >>> sorted(Quality.spec.measures)
    ['_2', 'answer_rate', 'attempts']
    """

    spec: ClassVar[StatisticSpec]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__name__.startswith("_"):
            return
        caller, found = sys._getframe(1), _declared.get()
        try:
            cls.spec = _spec_of(cls, f"{caller.f_code.co_filename}:{caller.f_lineno}")
        except DeclarationError as e:
            if found is None:
                raise
            found.append(e)
            return
        if found is not None:
            found.append(cls)


def _spec_of(cls: type, origin: str) -> StatisticSpec:
    settings: dict[str, Any] = {}
    measures: dict[str, Measure] = {}
    for base in reversed(cls.__mro__[: cls.__mro__.index(Statistic)]):
        for attribute, value in vars(base).items():
            if attribute.startswith("_") or attribute == "spec":
                continue
            settings.pop(attribute, None)
            measures.pop(attribute, None)
            if isinstance(value, Measure):
                measures[attribute] = value
            else:
                settings[attribute] = value
    settings.setdefault("help", (cls.__doc__ or "").strip().split("\n")[0])
    return spec_from(settings.pop("name", snake_case(cls.__name__)), settings, named(measures), origin)


def snake_case(name: str) -> str:
    """The name of a statistic from that of its class.

    >>> snake_case("CarrierQuality"), snake_case("HTTPErrors2xx")
    ('carrier_quality', 'http_errors2xx')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def named(measures: Mapping[str, Measure]) -> dict[str, Measure]:
    """``measures`` in which every operand of a ratio is a name; operands without one get a hidden name (``_1``)."""
    by_identity = {id(m): name for name, m in measures.items()}
    result: dict[str, Measure] = {}
    for name, measure in measures.items():
        if isinstance(measure, Ratio):
            for operand in (measure.numerator, measure.denominator):
                if isinstance(operand, Measure) and id(operand) not in by_identity:
                    by_identity[id(operand)] = _unused(len(by_identity), measures)
                    result[by_identity[id(operand)]] = operand
            measure = measure.over(_name(measure.numerator, by_identity), _name(measure.denominator, by_identity))
        result[name] = measure
    return result


def _unused(number: int, measures: Mapping[str, Measure]) -> str:
    # An author who names a measure _1 is told that this is no name; until then both are judged.
    return f"_{number}" if f"_{number}" not in measures else _unused(number + len(measures), measures)


def _name(operand: Measure | str, names: Mapping[int, str]) -> str:
    return operand if isinstance(operand, str) else names[id(operand)]


SETTINGS: Mapping[str, Form] = {
    "of": forms.text("the name of a shape"),
    "topic": forms.text('a topic pattern, e.g. "cdr.*"'),
    "where": forms.text("an SQL condition"),
    "every": forms.texts('window lengths, e.g. ["6m", "1h"]'),
    "by": forms.table_of_texts("a table of key name = expression, or a list of fields"),
    "zone": forms.text('a time zone, e.g. "Europe/Paris"'),
    "time": forms.text("the name of a field in ms"),
    "delay": forms.text('a duration, e.g. "4h"'),
    "totals": forms.FLAG,
    "max_keys": forms.whole("a number of keys, at least 1", 1),
    "scale": forms.whole(f"a number of decimal digits, 0 to {MOST_DECIMALS}", 0, MOST_DECIMALS),
    "min_n": forms.whole("a number of events, at least 0", 0),
    "keep": forms.table_of_texts("a table of window length = duration"),
    "backlog": forms.text('a duration, e.g. "7d"'),
    "lateness": forms.text('a duration, e.g. "30s"'),
    "help": forms.text(),
}
"""What a statistic may be told, beside its measures."""


def settings() -> tuple[str, ...]:
    """The settings that a statistic may have, for checking and for the documentation."""
    return tuple(SETTINGS)


def spec_from(
    name: str,
    values: Mapping[str, Any],
    measures: Mapping[str, Measure],
    origin: str,
    places: Mapping[Keys, str] | None = None,
    refused: Iterable[Keys] = (),
) -> StatisticSpec:
    """Build a spec from plain values; ``by`` may be a list of fields too. Raises Unfinished with every mistake.

    ``origin`` is where it stands, ``places`` where what is in it stands; ``refused`` is what is left out already.
    """
    known = dict(values)
    if is_list(by := known.get("by"), is_text):
        known["by"] = {field: field for field in by}
    if is_text(every := known.get("every")):
        known["every"] = (every,)
    form = _Form(name, known, measures, origin, places or {}, frozenset(refused) | _refused(known, measures))
    mistakes = list(form.mistakes())
    good = {key: rest for key, value in known.items() if key in SETTINGS and (rest := _rest(key, value)) is not None}
    good["every"] = tuple(good.get("every", ()))
    named_ = name if is_text(name) else str(name)
    spec = StatisticSpec(
        name=named_, measures=dict(measures), origin=origin, places=places or {}, refused=form.refused, **good
    )
    if mistakes:
        raise Unfinished(mistakes, spec)
    return spec


def _refused(values: Mapping[str, Any], measures: Mapping[str, Measure]) -> frozenset[Keys]:
    """The settings that have no right form, and those that an unknown one seems to be meant for."""
    known = [*SETTINGS, "measures"]
    wrong = {(key,) for key, value in values.items() if key in SETTINGS and not SETTINGS[key].fits(value)}
    missing = [key for key in known if key not in values and not (key == "measures" and measures)]
    meant = {(key,) for key in missing if any(_means(other, key, known) for other in values if other not in known)}
    return frozenset(wrong | meant)


def _means(unknown: str, key: str, known: list[str]) -> bool:
    return nearest(unknown, known) == nearest(key, [key])


def _rest(key: str, value: Any) -> Any:
    """What can be judged of a setting: all of it, or the texts in a list or table that holds other things too."""
    if SETTINGS[key].fits(value):
        return value
    if key == "every" and isinstance(value, list | tuple):
        return [v for v in value if is_text(v)]
    if key == "by" and isinstance(value, list | tuple):
        return {v: v for v in value if is_text(v)}
    if key in ("by", "keep") and is_table(value):
        return {k: v for k, v in value.items() if is_text(v)}
    return None


@dataclass(frozen=True, slots=True)
class _Form:
    """The checks of a statistic's form."""

    name: Any
    values: Mapping[str, Any]
    measures: Mapping[str, Measure]
    origin: str
    places: Mapping[Keys, str]
    refused: frozenset[Keys]

    @property
    def what(self) -> str:
        return f"statistic {self.name!r}"

    def place(self, *keys: str) -> str:
        return self.places.get(keys, self.origin)

    def mistakes(self) -> Iterator[Mistake]:
        if not (is_text(self.name) and NAME.fullmatch(self.name)):
            yield Mistake(self.what, "not a name", self.origin, hint=NAME_HINT)
        yield from forms.mistakes(self.values, SETTINGS, self.what, self.place, ("measures",))
        if not self.lacks("of", "topic") and bool(self.values.get("of")) == bool(self.values.get("topic")):
            yield Mistake(self.what, "needs either 'of' (a shape) or 'topic' (a pattern)", self.origin)
        if not self.values.get("every") and not self.lacks("every"):
            yield Mistake(self.what, "needs 'every'", self.origin, hint='e.g. every = ["6m", "1h"]')
        if self.values.get("delay") and not self.values.get("time") and not self.lacks("time"):
            hint = "name the field that chooses the window: time = ..."
            yield Mistake(f"{self.what}: delay", "is for a statistic with a 'time'", self.place("delay"), hint=hint)
        if not self.measures and not any(keys[0] == "measures" for keys in self.refused):
            yield Mistake(self.what, "has no measure", self.origin, hint='e.g. attempts = "count()"')
        yield from self.names()
        yield from self.columns()

    def lacks(self, *settings: str) -> bool:
        return any((setting,) in self.refused for setting in settings)

    def left_out(self, kind: str) -> list[str]:
        """The names of the keys or measures that were refused."""
        return sorted(keys[1] for keys in self.refused if len(keys) > 1 and keys[0] == kind)

    def names(self) -> Iterator[Mistake]:
        names = [("by", k) for k in self.keys] + [("measures", m) for m in shown(self.measures)]
        names += [(kind, name) for kind in ("by", "measures") for name in self.left_out(kind)]
        for kind, name in dict.fromkeys(names):
            what, place = f"{self.what}: {'key' if kind == 'by' else 'measure'} {name!r}", self.place(kind, name)
            if not NAME.fullmatch(name):
                yield Mistake(what, "not a name", place, hint=NAME_HINT)
            elif name in RESERVED:
                yield Mistake(what, "is a reserved name", place, hint=f"e.g. {name}_value")

    def columns(self) -> Iterator[Mistake]:
        """Names and suffixes of measures together may give one column twice."""
        columns: dict[str, str] = {k: f"key {k!r}" for k in (*self.keys, *self.left_out("by"))}
        for name, measure in shown(self.measures).items():
            suffixes = ["", *(output.suffix for output in measure.outputs())]
            suffixes += ["_low"] if "_n" in suffixes and self.low else []
            for column in dict.fromkeys(name + suffix for suffix in suffixes):
                what, place = f"{self.what}: measure {name!r}", self.place("measures", name)
                if column in columns:
                    problem = f"its column {column!r} is also that of {columns[column]}"
                    yield Mistake(what, problem, place, hint="rename one of them")
                elif column in RESERVED and column != name:
                    yield Mistake(what, f"its column {column!r} is a reserved name", place, hint=f"e.g. {name}_value")
                columns.setdefault(column, f"measure {name!r}")

    @property
    def low(self) -> bool:
        return self.values.get("min_n") is not None or self.lacks("min_n")

    @property
    def keys(self) -> tuple[str, ...]:
        by = self.values.get("by")
        return tuple(by) if forms.is_table(by) else ()


def shown(measures: Mapping[str, Measure]) -> dict[str, Measure]:
    """The measures that people see: all but the hidden operands of ratios."""
    return {name: m for name, m in measures.items() if not HIDDEN.fullmatch(name)}


def aggregates(measures: Mapping[str, Measure]) -> dict[str, Aggregate]:
    """The measures that have states."""
    return {name: m for name, m in measures.items() if isinstance(m, Aggregate)}
