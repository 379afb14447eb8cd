from __future__ import annotations

import hashlib
import math
from fractions import Fraction

import duckdb
import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.aggregates.base import Term
from streamgauge.aggregates.quantiles import bucket_of
from streamgauge.expression import SqlType, key_text, scaled, term

INT64 = st.integers(-(2**63), 2**63 - 1)
POWERS = sorted(
    {s * (2**k + d) for k in range(64) for d in (-1, 0, 1) for s in (1, -1) if -(2**63) <= s * (2**k + d) < 2**63}
)


def run(duck: duckdb.DuckDBPyConnection, sql: str, values: list[object], type_: str = "BIGINT") -> list[object]:
    source = f"(SELECT unnest(CAST($1 AS {type_}[])) AS v)"
    return [r for (r,) in duck.execute(f"SELECT {sql} FROM {source}", [values]).fetchall()]


def test_bucket_at_every_power_of_two_and_beside_it(duck: duckdb.DuckDBPyConnection) -> None:
    assert run(duck, term(Term.BUCKET, "v", "duckdb"), list(POWERS)) == [bucket_of(v) for v in POWERS]


def test_bucket_at_every_edge_of_a_bucket(duck: duckdb.DuckDBPyConnection) -> None:
    edges = [(64 + j) << s for s in range(57) for j in range(64)]
    values = [v + d for v in edges for d in (-1, 0, 1) if v + d < 2**63]
    values += [-v for v in values]
    assert run(duck, term(Term.BUCKET, "v", "duckdb"), list(values)) == [bucket_of(v) for v in values]


@given(values=st.lists(INT64, min_size=1))
def test_integer_terms_equal_the_oracle(values: list[int], duck: duckdb.DuckDBPyConnection) -> None:
    oracle = {
        Term.VALUE: lambda v: v,
        Term.HIGH_SQUARED: lambda v: (v >> 32) ** 2,
        Term.HIGH_LOW: lambda v: (v >> 32) * (v & 0xFFFFFFFF),
        Term.LOW_SQUARED: lambda v: (v & 0xFFFFFFFF) ** 2,
        Term.BUCKET: bucket_of,
    }
    for name, expected in oracle.items():
        assert run(duck, term(name, "v", "duckdb"), list(values)) == [expected(v) for v in values]


@given(values=st.lists(INT64, min_size=1), edges=st.lists(INT64, unique=True, max_size=9).map(sorted))
def test_edge_counts_the_edges_at_or_below(
    values: list[int], edges: list[int], duck: duckdb.DuckDBPyConnection
) -> None:
    expected = [sum(e <= v for e in edges) for v in values]
    assert run(duck, term(Term.EDGE, "v", "duckdb", edges), list(values)) == expected


@given(values=st.lists(st.text(max_size=10), min_size=1))
def test_hash_is_the_first_eight_bytes_little_endian(values: list[str], duck: duckdb.DuckDBPyConnection) -> None:
    expected = [int.from_bytes(hashlib.md5(v.encode()).digest()[:8], "little") for v in values]
    assert run(duck, term(Term.HASH, "v", "duckdb"), list(values), "VARCHAR") == expected


@pytest.mark.parametrize("name", list(Term))
def test_every_term_of_null_is_null(name: Term, duck: duckdb.DuckDBPyConnection) -> None:
    kind = "VARCHAR" if name in (Term.TEXT, Term.HASH) else "BIGINT"
    assert run(duck, term(name, "v", "duckdb", [0, 5]), [None], kind) == [None]


@pytest.mark.parametrize("name", list(Term))
def test_every_term_has_a_spark_lowering(name: Term) -> None:
    sqlglot.parse_one(f"SELECT {term(name, 'v', 'spark', [-5, 0, 5])}", read="spark")


def test_an_argument_that_is_not_a_column_is_kept_together(duck: duckdb.DuckDBPyConnection) -> None:
    assert run(duck, term(Term.LOW_SQUARED, "v + 1", "duckdb"), [2]) == [9]
    assert run(duck, scaled("v + 1", SqlType.DOUBLE, 2, "duckdb"), [2.0], "DOUBLE") == [300]


def as_scaled(value: float, scale: int) -> int | None:
    product = value * float(10**scale)
    if not math.isfinite(product):
        return None
    whole = math.floor(abs(Fraction(product)) + Fraction(1, 2))
    result = -whole if product < 0 else whole
    return result if -(2**63) <= result < 2**63 else None


@given(values=st.lists(st.one_of(st.floats(), st.floats(-1e4, 1e4)), min_size=1), scale=st.integers(0, 9))
def test_scaled_rounds_half_away_from_zero(values: list[float], scale: int, duck: duckdb.DuckDBPyConnection) -> None:
    expected = [as_scaled(v, scale) for v in values]
    assert run(duck, scaled("v", SqlType.DOUBLE, scale, "duckdb"), list(values), "DOUBLE") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.5, 1), (-0.5, -1), (2.5, 3), (-0.0, 0), (2.0**63, None), (-(2.0**63), -(2**63)), (math.nan, None)],
)
def test_scaled_at_the_edges(value: float, expected: int | None, duck: duckdb.DuckDBPyConnection) -> None:
    assert run(duck, scaled("v", SqlType.DOUBLE, 0, "duckdb"), [value], "DOUBLE") == [expected]


def test_a_bigint_is_its_own_scaled_form() -> None:
    assert scaled("v", SqlType.BIGINT, 0, "duckdb") == "v"
    sqlglot.parse_one(f"SELECT {scaled('v', SqlType.DOUBLE, 6, 'spark')}", read="spark")


def test_a_key_has_one_zero_and_no_nan(duck: duckdb.DuckDBPyConnection) -> None:
    keys = run(duck, key_text("v", SqlType.DOUBLE, "duckdb"), [-0.0, 0.0, math.nan, -math.inf, 1.5], "DOUBLE")
    assert list(map(repr, keys)) == ["0.0", "0.0", "None", "None", "1.5"]
    assert key_text("v", SqlType.VARCHAR, "duckdb") == "v"
