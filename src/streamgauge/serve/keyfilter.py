"""Which keys are asked for: exactly, by a prefix, or as null."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from streamgauge.bound import BoundStatistic
from streamgauge.expression import SqlType
from streamgauge.serve.parameters import YES_NO
from streamgauge.serve.problems import Problem, bad, nearest_of
from streamgauge.store.base import key_id, key_text

MOST_IDS = 500
"""More keys than these are not asked for one by one."""

_BOOLEANS = {"true": True, "false": False}


@dataclass(slots=True)
class OneKey:
    """What is asked of one key: any of these values or prefixes, or null; ``null`` False: anything but null."""

    values: list[Any] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    null: bool | None = None

    def matches(self, value: Any) -> bool:
        """Whether a key's value is asked for."""
        if value is None:
            return self.null is True
        if not self.values and not self.prefixes:
            return self.null is False
        # 1, 1.0 and True are equal, but other keys.
        same = any(value == v and type(value) is type(v) for v in self.values)
        return same or (isinstance(value, str) and value.startswith(tuple(self.prefixes)))

    @property
    def exact(self) -> list[Any] | None:
        """All values that it can have; None where these are not known."""
        if self.prefixes or self.null is False:
            return None
        return [*self.values, *([None] if self.null else [])]

    @property
    def parts(self) -> list[str]:
        """Texts, one of which stands in the text of every key that matches; none where there is nothing to say."""
        exact = [_text(value) for value in (*self.values, *([None] if self.null else []))]
        return exact + [_text(prefix)[:-1] for prefix in self.prefixes]


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """What is asked of the keys of a statistic, by their places."""

    asked: dict[int, OneKey]
    places: int

    def __bool__(self) -> bool:
        return bool(self.asked)

    @property
    def texts(self) -> list[str] | None:
        """The texts of all keys that can match; None where these are too many, or not known."""
        columns = [self.asked[n].exact if n in self.asked else None for n in range(self.places)]
        if not self.asked or any(column is None for column in columns):
            return None
        known = [column or [] for column in columns]
        return [key_text(k) for k in product(*known)] if math.prod(map(len, known)) <= MOST_IDS else None

    @property
    def ids(self) -> list[bytes] | None:
        """The ids of all keys that can match; None where these are not known."""
        texts = self.texts
        return None if texts is None else [key_id(text) for text in texts]

    @property
    def containing(self) -> list[list[str]]:
        """Groups of texts; a key that matches has one of each group in its own. It need not match for that."""
        groups = [one.parts for one in self.asked.values()] if self.texts is None else []
        return [parts for parts in groups if parts]

    def matches(self, text: str) -> bool:
        """Whether the key of this text is asked for; the rows ``all`` and ``other`` are not, if anything is."""
        if not self.asked:
            return True
        values = json.loads(text)
        return isinstance(values, list) and all(one.matches(values[n]) for n, one in self.asked.items())


def key_filter(statistic: BoundStatistic, pairs: Iterable[tuple[str, str]]) -> KeyFilter:
    """What the parameters ``key.NAME``, ``key.NAME__prefix`` and ``key.NAME__null`` ask for. Raises Problem."""
    names = [name for name, _ in statistic.by]
    asked: dict[int, OneKey] = {}
    for parameter, text in pairs:
        name, how = _named(parameter, names)
        if name not in names or not parameter.startswith("key."):
            raise _no_key(statistic, parameter, name, names)
        place = names.index(name)
        _ask(asked.setdefault(place, OneKey()), how, parameter, text, statistic.by[place][1].type)
    return KeyFilter(asked, len(names))


def exact_key(statistic: BoundStatistic, pairs: Sequence[tuple[str, str]]) -> str:
    """The text of the one key that the parameters name, all of its parts given. Raises Problem."""
    found = key_filter(statistic, pairs)
    for place, (name, _) in enumerate(statistic.by):
        exact = found.asked[place].exact if place in found.asked else []
        if exact is None or len(exact) != 1:
            hint = f"give key.{name}=VALUE once, or key.{name}__null=true"
            problem = f"key.{name}: these are the events of one cell, so its whole key is needed; {hint}"
            raise bad(f"key.{name}", problem)
    return (found.texts or [key_text(())])[0]


def _named(parameter: str, names: Sequence[str]) -> tuple[str, str]:
    name = parameter.removeprefix("key.")
    base, sign, how = name.rpartition("__")
    return (base, how) if sign and how in ("prefix", "null") and name not in names else (name, "")


def _no_key(statistic: BoundStatistic, parameter: str, name: str, names: Sequence[str]) -> Problem:
    close = nearest_of(name, names)
    hint = f"did you mean key.{close}?" if close else f"its keys: {', '.join(names) or 'none'}"
    detail = f"{parameter[:200]}: {statistic.spec.what} has no key {name[:200]!r}; {hint}"
    return Problem("unknown-parameter", detail, parameter[:200], f"key.{close}" if close else "")


def _ask(one: OneKey, how: str, parameter: str, text: str, type_: SqlType) -> None:
    if how == "null":
        if text.lower() not in YES_NO:
            raise bad(parameter, f"{parameter}: {text[:200]!r} is neither true nor false")
        one.null = YES_NO[text.lower()]
    elif how == "prefix":
        if type_ not in (SqlType.VARCHAR, SqlType.LIST):
            raise bad(parameter, f"{parameter}: this key is {type_.value}, which has no prefix; write key.NAME=VALUE")
        one.prefixes.append(text)
    else:
        one.values.append(_value(parameter, text, type_))


def _value(parameter: str, text: str, type_: SqlType) -> Any:
    try:
        if type_ is SqlType.BIGINT:
            if len(text) > 20:
                raise ValueError
            return int(text)
        if type_ is SqlType.DOUBLE:
            number = float(text) + 0.0
            if not math.isfinite(number):
                raise ValueError
            return number
        return _BOOLEANS[text.lower()] if type_ is SqlType.BOOLEAN else text
    except (ValueError, KeyError):
        raise bad(parameter, f"{parameter}: {text[:200]!r} is not a {type_.value}, as this key is") from None


def _text(value: Any) -> str:
    return key_text((value,))[1:-1]
