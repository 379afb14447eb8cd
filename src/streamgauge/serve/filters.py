"""Conditions on columns: ``asr__lt=0.4``."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamgauge.output.present import Column
from streamgauge.serve.parameters import YES_NO, unknown_parameter
from streamgauge.serve.problems import bad

OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "ne": operator.ne,
}

_EQUAL = ("eq", "ne")
_NO_CONDITION = ("map", "list", "time")
_SAID_OTHERWISE = ("statistic", "every", "window_by", "start_ms", "stop_ms")


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on one column. A null never meets it."""

    column: str
    operator: str
    value: Any

    def meets(self, values: Sequence[Any]) -> list[bool]:
        """Whether each of the values meets it."""
        holds, wanted = OPERATORS[self.operator], self.value
        return [value is not None and holds(value, wanted) for value in values]


def filters_of(
    pairs: Iterable[tuple[str, str]], columns: Sequence[Column], keys: Sequence[str], known: Sequence[str]
) -> tuple[Filter, ...]:
    """The conditions that parameters make. Raises Problem; ``known`` are other parameters that may have been meant."""
    by_name = {c.name: c for c in columns if c.name not in keys and c.name not in _SAID_OTHERWISE}
    return tuple(_filter(parameter, text, by_name, keys, known) for parameter, text in pairs)


def _filter(
    parameter: str, text: str, columns: Mapping[str, Column], keys: Sequence[str], known: Sequence[str]
) -> Filter:
    name, sign, how = parameter.rpartition("__")
    if name in keys:
        raise bad(parameter, f"{parameter}: {name!r} is a key; write key.{name}=VALUE", f"key.{name}")
    if not sign or how not in OPERATORS or name not in columns:
        conditions = [f"{n}__{how if how in OPERATORS else 'eq'}" for n in columns]
        named = [f"{name}__{o}" for o in OPERATORS] if name in columns else []
        raise unknown_parameter(parameter, [*known, *(f"key.{k}" for k in keys), *named, *conditions])
    column = columns[name]
    if column.type in _NO_CONDITION:
        raise bad(parameter, f"{parameter}: column {name!r} holds a {column.type}, on which there is no condition")
    if column.type in ("text", "bool") and how not in _EQUAL:
        raise bad(parameter, f"{parameter}: column {name!r} holds a {column.type}; write {name}__eq or {name}__ne")
    return Filter(name, how, _value(parameter, text, column))


def _value(parameter: str, text: str, column: Column) -> Any:
    if column.type == "text":
        return text
    if column.type == "bool":
        if text.lower() not in YES_NO:
            raise bad(parameter, f"{parameter}: {text[:200]!r} is neither true nor false")
        return YES_NO[text.lower()]
    try:
        number = int(text) if len(text) < 40 and text.lstrip("-").isdigit() else float(text)
        if math.isfinite(number):
            return number
    except (ValueError, OverflowError):
        if column.type == "any":
            return text
    raise bad(parameter, f"{parameter}: {text[:200]!r} is not a number, as column {column.name!r} is")
