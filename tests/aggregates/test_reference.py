"""The reference engine, by hand: all else is compared with it."""

from __future__ import annotations

import numpy as np
import pytest

from streamgauge.aggregates.base import Argument, Kind, Op, Primitive, Term
from streamgauge.testing.reference import compute, scaled

X = Argument("x", Kind.NUMBER)
ROWS = [(5, 0, 3), (1, 1, None), (1, 2, -(2**33) - 1), (5, 3, 3)]


@pytest.mark.parametrize(
    ("primitive", "expected"),
    [
        (Primitive(Op.COUNT), 4),
        (Primitive(Op.COUNT, X), 3),
        (Primitive(Op.SUM, X), 5 - 2**33),
        (Primitive(Op.SUM, X, Term.HIGH_SQUARED), 9),
        (Primitive(Op.SUM, X, Term.HIGH_LOW), -3 * (2**32 - 1)),
        (Primitive(Op.SUM, X, Term.LOW_SQUARED), 18 + (2**32 - 1) ** 2),
        (Primitive(Op.MIN, X), -(2**33) - 1),
        (Primitive(Op.MAX, X), 3),
        (Primitive(Op.ARG_MIN, X), (1, 2, -(2**33) - 1)),
        (Primitive(Op.ARG_MAX, X), (5, 3, 3)),
    ],
    ids=str,
)
def test_primitives(primitive: Primitive, expected: object) -> None:
    assert compute(primitive, ROWS) == expected


def test_count_by_gives_the_first_position_of_each_sub_key() -> None:
    keys, counts, positions = compute(Primitive(Op.COUNT_BY, X, Term.EDGE, edges=("-1", "3")), ROWS)
    assert sorted(zip(keys.tolist(), counts.tolist(), positions.tolist(), strict=True)) == [(0, 1, 2), (2, 2, 0)]
    texts, counts, positions = compute(Primitive(Op.COUNT_BY, X, Term.TEXT), [(9, 4, "b"), (1, 6, "a"), (1, 7, "b")])
    assert (texts, counts.tolist(), positions.tolist()) == (["b", "a"], [2, 1], [4, 6])


def test_a_hash_is_the_first_8_bytes_of_md5_little_endian() -> None:
    # md5 of the empty text: d41d8cd98f00b204 e9800998ecf8427e
    keys, _, _ = compute(Primitive(Op.COUNT_BY, X, Term.HASH), [(0, 0, "")])
    assert keys.dtype == np.uint64
    assert keys.tolist() == [0x04B2008FD98C1DD4]


@pytest.mark.parametrize(
    ("raw", "bigint", "double"),
    [
        (7, 7, 7_000_000),
        ("7", 7, 7_000_000),
        (" 12 ", 12, 12_000_000),
        ("-0", 0, 0),
        (-0.0, None, 0),
        (9.7, None, 9_700_000),
        ("1e3", None, 1_000_000_000),
        (5e-324, None, 0),
        (5e-7, None, 1),
        (-5e-7, None, -1),
        (4.9e-7, None, 0),
        (2**63 - 1, 2**63 - 1, None),
        (2**63, None, None),
        (-(2**63), -(2**63), None),
        (9_223_372_036_854, 9_223_372_036_854, 9_223_372_036_853_999_616),
        (9_223_372_036_855, 9_223_372_036_855, None),
        (1e300, None, None),
        (float("nan"), None, None),
        ("NaN", None, None),
        ("0x1A", None, None),
        ("1_000", None, None),
        ("01", None, None),
        ("", None, None),
        (True, None, None),
        (None, None, None),
        ([1], None, None),
    ],
    ids=repr,
)
def test_scaled(raw: object, bigint: int | None, double: int | None) -> None:
    assert (scaled(raw, 0), scaled(raw, 6)) == (bigint, double)
