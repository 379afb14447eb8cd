"""Statistics as TOML declares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streamgauge import forms
from streamgauge.aggregates.base import Measure
from streamgauge.errors import DeclarationError, Mistake
from streamgauge.forms import NAME_HINT, Collector, Keys, Unfinished, wrong
from streamgauge.measures import measure_from
from streamgauge.parameter import Substitution
from streamgauge.statistic import HIDDEN, StatisticSpec, named, spec_from
from streamgauge.tomlfile import TomlFile


def statistic_from(toml: TomlFile, name: str, put: Substitution) -> StatisticSpec:
    """The statistic that ``[statistic.NAME]`` declares. Raises Unfinished with every mistake of form."""
    what, place = f"statistic {name!r}", toml.places("statistic", name)
    raw = toml.data["statistic"][name]
    if not forms.is_table(raw):
        raise DeclarationError(wrong(what, raw, "a table", place()))
    reader = _Reader(what, place, put)
    values, measures = reader.settings(raw), reader.measures(raw.get("measures", {}))
    inner = [(k, i) for k in ("by", "keep", "measures") if forms.is_table(raw.get(k)) for i in raw[k]]
    places = {keys: place(*keys) for keys in [(k,) for k in raw] + inner}
    spec: StatisticSpec = reader.attempt(spec_from, name, values, named(measures), place(), places, reader.refused)
    if reader.mistakes:
        raise Unfinished(reader.mistakes, spec)
    return spec


class _Reader(Collector):
    """Reads one statistic's table; ``refused`` is what could not be read."""

    def __init__(self, what: str, place: Callable[..., str], put: Substitution) -> None:
        super().__init__()
        self.what, self.place, self.put = what, place, put
        self.refused: set[Keys] = set()

    def read(self, keys: Keys, function: Callable[..., Any], *args: Any) -> Any:
        """What the function returns, or what is left of it, or None; what it refuses is noted."""
        try:
            return function(*args)
        except DeclarationError as e:
            self.mistakes += e.mistakes
            self.refused.add(keys)
            return getattr(e, "draft", None)

    def settings(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """The settings with the parameters put in, but for those that cannot be read."""
        read = {key: self.setting(key, given) for key, given in raw.items() if key != "measures"}
        return {key: value for key, value in read.items() if value is not None}

    def setting(self, key: str, given: Any) -> Any:
        if key == "help":
            return given
        if key == "where" and forms.is_text(given):
            return self.expression(f"{self.what}: where", given, "where")
        if key == "by" and forms.is_table(given):
            read = {k: self.expression(f"{self.what}: key {k!r}", v, "by", k) for k, v in given.items()}
            return {k: v for k, v in read.items() if v is not None}
        return self.read((key,), self.put.setting, given, f"{self.what}: {key}", self.place(key))

    def expression(self, what: str, given: Any, *keys: str) -> Any:
        # What is no text is left to the check of forms.
        return self.read(keys, self.put.expression, given, what, self.place(*keys)) if forms.is_text(given) else given

    def measures(self, raw: Any) -> dict[str, Measure]:
        """The measures that could be made."""
        if not forms.is_table(raw):
            self.mistakes.append(wrong(f"{self.what}: measures", raw, _MEASURES, self.place("measures")))
            self.refused.add(("measures",))
            return {}
        made = {name: self.read(("measures", name), self.measure, name, text) for name, text in raw.items()}
        return {name: measure for name, measure in made.items() if measure is not None}

    def measure(self, name: str, text: Any) -> Measure:
        part, where = f"{self.what}: measure {name!r}", self.place("measures", name)
        if HIDDEN.fullmatch(name):
            self.mistakes.append(Mistake(part, "not a name", where, hint=NAME_HINT))
        return measure_from(self.put.expression(text, part, where), part, where)


_MEASURES = "a table of name = measure"
