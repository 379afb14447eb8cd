"""Columns of values as columns of texts: whatever is true of a whole column is found out once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

_NONE = type(None)
_WORDS = {True: "true", False: "false"}


def texts(values: Sequence[Any], null: str, text: Callable[[str], str], other: Callable[[Any], str]) -> Iterable[str]:
    """A text for each value: ``null``, a number as it is, true, false, of a text what ``text`` says, else ``other``.

    ``other`` is asked too where a column mixes types, or has a number that is none (NaN, infinity). ``text`` is asked
    once for each text of the column.
    """
    kinds = set(map(type, values))
    some = kinds - {_NONE}
    if some == {str}:
        known = {value: null if value is None else text(value) for value in set(values)}
        return [known[value] for value in values]
    if some == {bool}:
        return [null if value is None else _WORDS[value] for value in values]
    # No sum of finite numbers is NaN, and one that is infinite only costs time.
    if some == {int} or (some == {float} and math.isfinite(sum(filter(None, values)))):
        return map(repr, values) if len(kinds) == 1 else [null if v is None else repr(v) for v in values]
    return [null if value is None else other(value) for value in values]
