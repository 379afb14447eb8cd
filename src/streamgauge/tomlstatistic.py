"""Statistics as TOML declares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streamgauge import forms
from streamgauge.errors import DeclarationError, Mistake
from streamgauge.forms import NAME, NAME_HINT, wrong
from streamgauge.measures import measure_from
from streamgauge.parameter import Substitution
from streamgauge.statistic import NO_MEASURE, StatisticSpec, named, spec_from
from streamgauge.tomlfile import TomlFile


def statistic_from(toml: TomlFile, name: str, put: Substitution) -> StatisticSpec:
    """The statistic that ``[statistic.NAME]`` declares. Raises DeclarationError with every mistake of form."""
    what, place = f"statistic {name!r}", toml.places("statistic", name)
    raw = toml.data["statistic"][name]
    if not forms.is_table(raw):
        raise DeclarationError(wrong(what, raw, "a table", place()))
    found: list[Mistake] = []
    values = _settings(raw, what, place, put, found)
    measures = _measures(raw.get("measures", {}), what, place, put, found)
    inner = {"by": values.get("by"), "keep": values.get("keep"), "measures": measures}
    keys = [(k,) for k in raw] + [(k, i) for k, table in inner.items() if forms.is_table(table) for i in table]
    try:
        spec = spec_from(name, values, named(measures), place(), {k: place(*k) for k in keys})
    except DeclarationError as e:
        # A statistic whose measures were all refused has no measure; that is no second mistake.
        found.extend(m for m in e.mistakes if not (found and m.problem == NO_MEASURE))
    if found:
        raise DeclarationError(found)
    return spec


def _settings(
    raw: Mapping[str, Any], what: str, place: Callable[..., str], put: Substitution, found: list[Mistake]
) -> dict[str, Any]:
    """A statistic's settings with the parameters put in; what cannot be is added to ``found``, and left out."""

    def value(key: str, given: Any) -> Any:
        if key == "where" and forms.is_text(given):
            return put.expression(given, f"{what}: where", place("where"))
        if key == "by" and forms.is_table(given):
            return {
                k: put.expression(v, f"{what}: key {k!r}", place("by", k)) if forms.is_text(v) else v
                for k, v in given.items()
            }
        return given if key == "help" else put.setting(given, f"{what}: {key}", place(key))

    values = {}
    for key, given in raw.items():
        if key == "measures":
            continue
        try:
            values[key] = value(key, given)
        except DeclarationError as e:
            found += e.mistakes
    return values


def _measures(
    raw: Any, what: str, place: Callable[..., str], put: Substitution, found: list[Mistake]
) -> dict[str, Any]:
    """The measures that could be made; the mistakes of the others are added to ``found``."""
    if not forms.is_table(raw):
        found.append(wrong(f"{what}: measures", raw, "a table of name = measure", place("measures")))
        return {}
    measures = {}
    for name, text in raw.items():
        part, where = f"{what}: measure {name!r}", place("measures", name)
        if not NAME.fullmatch(name):
            found.append(Mistake(part, "not a name", where, hint=NAME_HINT))
            continue
        try:
            measures[name] = measure_from(put.expression(text, part, where), part, where)
        except DeclarationError as e:
            found += e.mistakes
    return measures
