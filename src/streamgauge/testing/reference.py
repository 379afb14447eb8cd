"""A reference engine in plain Python: what each primitive means, said slowly and plainly. Real ones must equal it."""

from __future__ import annotations

import hashlib
import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from streamgauge.aggregates.base import Op, Primitive, Term
from streamgauge.aggregates.quantiles import bucket_of

Row = tuple[int, int, Any]
"""``(time_ms, position, value)``: the value is that of the primitive's argument: for a number a scaled integer, for a
text or anything else itself; None where it is null. Where a condition is not true, there is no row."""

_NUMBER = re.compile(r"[ \t\r\n]*-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?[ \t\r\n]*")
_INT64 = 2**63


def scaled(raw: object, scale: int) -> int | None:
    """The scaled integer of a JSON value; None where it is null, no number, or not within 64 bits.

    A number is a JSON number, or a string that is one, blanks around allowed. With scale 0 it must be an integer (a
    BIGINT). Else it becomes a double, and that times ``10**scale``, as a double, is rounded to the nearest integer,
    halves away from zero.
    """
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str)):
        return None
    text = raw if isinstance(raw, str) else repr(raw)
    found = _NUMBER.fullmatch(text)
    if found is None or (scale == 0 and (found[2] or found[3])):
        return None
    if scale == 0:
        value = int(text)
    else:
        product = float(text) * 10.0**scale
        if not math.isfinite(product):
            return None
        value = math.floor(Fraction(abs(product)) + Fraction(1, 2)) * (-1 if product < 0 else 1)
    return value if -_INT64 <= value < _INT64 else None


def compute(primitive: Primitive, rows: Iterable[Row], scale: int = 0) -> Any:
    """What an engine must compute for one window and key, in the form that Op gives.

    ``rows`` are those for which the primitive's condition is true; ``scale`` is that of its argument, and matters to
    the edges of a histogram alone.
    """
    if primitive.argument is None:
        return sum(1 for _ in rows)
    given = [row for row in rows if row[2] is not None]
    if primitive.op is Op.COUNT:
        return len(given)
    if primitive.op is Op.ARG_MIN:
        return min(given, key=lambda row: row[:2], default=None)
    if primitive.op is Op.ARG_MAX:
        return max(given, key=lambda row: row[:2], default=None)
    terms = [term_of(primitive, row[2], scale) for row in given]
    if primitive.op is Op.SUM:
        return sum(terms)
    if primitive.op is Op.MIN:
        return min(terms, default=None)
    if primitive.op is Op.MAX:
        return max(terms, default=None)
    return _count_by(primitive.term, terms, [row[1] for row in given])


def term_of(primitive: Primitive, value: Any, scale: int = 0) -> Any:
    """What a primitive takes of a value that is not null."""
    match primitive.term:
        case Term.VALUE | Term.TEXT:
            return value
        case Term.HIGH_SQUARED:
            return (value >> 32) ** 2
        case Term.HIGH_LOW:
            return (value >> 32) * (value & 0xFFFF_FFFF)
        case Term.LOW_SQUARED:
            return (value & 0xFFFF_FFFF) ** 2
        case Term.BUCKET:
            return bucket_of(value)
        case Term.EDGE:
            return bisect_right([Fraction(edge) * 10**scale for edge in primitive.edges], value)
        case Term.HASH:
            return int.from_bytes(hashlib.md5(value.encode(), usedforsecurity=False).digest()[:8], "little")


def _count_by(term: Term, terms: Sequence[Any], positions: Sequence[int]) -> tuple[Any, Any, Any]:
    first: dict[Any, int] = {}
    for key, position in zip(terms, positions, strict=True):
        first[key] = min(position, first.get(key, position))
    counts = Counter(terms)
    keys: Any = list(first)
    if term is not Term.TEXT:
        keys = np.array(keys, dtype=np.uint64 if term is Term.HASH else np.int64)
    return keys, np.array([counts[k] for k in first], dtype=np.int64), np.array([*first.values()], dtype=np.int64)
