"""The forms of settings: which of them a table may have, and what each must be."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from streamgauge.errors import DeclarationError, Mistake, nearest

MAX_INTEGER = 2**63 - 1
Keys = tuple[str, ...]
"""Where something stands in a declaration: ``("every",)``, ``("measures", "attempts")``."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
NAME_HINT = "lower case letters, digits and _, starting with a letter"
_SHOWN = 60


class Unfinished(DeclarationError):
    """Something was refused; ``draft`` is what is left, so that the rest of it can be judged in the same run.

    A draft names in ``refused`` what it lacks. It is only there to find mistakes in, and never loaded.
    """

    def __init__(self, mistakes: Iterable[Mistake], draft: Any) -> None:
        super().__init__(mistakes)
        self.draft = draft


class Collector:
    """Gathers mistakes instead of stopping at the first."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []

    def attempt(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What the function returns; where it refuses, its draft if there is one, else None."""
        try:
            return function(*args, **kwargs)
        except DeclarationError as e:
            self.mistakes.extend(e.mistakes)
            return getattr(e, "draft", None)


@dataclass(frozen=True, slots=True)
class Form:
    """What a setting's value must be: ``expected`` completes "expected ...", ``fits`` decides.

    ``words`` are the only ones that it may be, if there are such.
    """

    expected: str
    fits: Callable[[Any], bool]
    words: tuple[str, ...] = ()


def text(expected: str = "a text") -> Form:
    """A text."""
    return Form(expected, is_text)


def texts(expected: str) -> Form:
    """A list of texts, or one alone."""
    return Form(expected, lambda v: is_text(v) or is_list(v, is_text))


def table_of_texts(expected: str) -> Form:
    """A table whose values are texts."""
    return Form(expected, lambda v: is_table(v) and all(is_text(x) for x in v.values()))


def table(expected: str = "a table") -> Form:
    """A table of anything."""
    return Form(expected, is_table)


def whole(expected: str, least: int, most: int = MAX_INTEGER) -> Form:
    """An integer from ``least`` to ``most``."""
    return Form(expected, lambda v: is_integer(v) and least <= v <= most)


def one_of(words: tuple[str, ...]) -> Form:
    """One of some words."""
    return Form(f"one of {', '.join(words)}", lambda v: is_text(v) and v in words, words)


FLAG = Form("true or false", lambda v: isinstance(v, bool))


def is_text(value: Any) -> TypeGuard[str]:
    """Whether it is a text."""
    return isinstance(value, str)


def is_table(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether it is a table: names to values."""
    return isinstance(value, dict) and all(isinstance(name, str) for name in value)


def is_integer(value: Any) -> bool:
    """Whether it is an integer of 64 bits (true and false are none)."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INTEGER


def is_number(value: Any) -> bool:
    """Whether it is an integer or a finite float."""
    return is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def is_list(value: Any, one: Callable[[Any], bool]) -> TypeGuard[Sequence[Any]]:
    """Whether it is a list (or a tuple) of such values."""
    return isinstance(value, list | tuple) and all(one(v) for v in value)


def said(value: Any) -> str:
    """A value as a message names it, in the words of TOML; a long one is cut.

    >>> said(True), said([1, "a"]), said({"a": 1})
    ('true', "[1, 'a']", 'a table')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "..."


def wrong(what: str, value: Any, expected: str, where: str, hint: str = "") -> Mistake:
    """The mistake of a value that is not of its form."""
    return Mistake(what, f"is {said(value)}, expected {expected}", where, hint=hint)


def mistakes(
    values: Any, forms: Mapping[str, Form], what: str, place: Callable[..., str], also: tuple[str, ...] = ()
) -> Iterator[Mistake]:
    """The mistakes of form of a table's settings. ``place(name)`` is where a setting stands, ``place()`` the table.

    ``also`` are further settings that are checked elsewhere.
    """
    if not is_table(values):
        yield wrong(what, values, "a table", place())
        return
    for name, value in values.items():
        if name in forms:
            if not forms[name].fits(value):
                hint = nearest(value, forms[name].words) if is_text(value) else ""
                yield wrong(f"{what}: {name}", value, forms[name].expected, place(name), hint)
        elif name not in also:
            known = [*forms, *also]
            hint = nearest(name, known) or f"known: {', '.join(known)}"
            yield Mistake(what, f"unknown setting {name!r}", place(name), hint=hint)
