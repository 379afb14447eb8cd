from __future__ import annotations

import re
from pathlib import Path as File

import duckdb
import pytest
import sqlglot

from streamgauge.expression import Engine, function_table_markdown, lower, parse
from streamgauge.expression.functions import CALLABLE, CASE_EXAMPLES, CASTS, GROUPS, TABLE
from tests.expression.helpers import COLUMNS, Compute, resolve

CASES = [
    *((f.name, *f.example) for group in GROUPS.values() for f in group),
    *((syntax, example, value) for syntax, _, _, example, value in CASTS),
    *((syntax, example, value) for syntax, _, example, value in CASE_EXAMPLES),
]
NAMES = [name for name, _, _ in CASES]


@pytest.mark.parametrize(("name", "example", "value"), CASES, ids=NAMES)
def test_the_example_of_every_row_yields_what_it_says(name: str, example: str, value: object, compute: Compute) -> None:
    result = compute(example)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(("name", "example", "value"), CASES, ids=NAMES)
def test_every_row_has_a_spark_lowering_that_spark_can_read(name: str, example: str, value: object) -> None:
    sql = lower(parse(example, columns={}, what=name), "spark", str)
    assert sql
    sqlglot.parse_one(f"SELECT {sql}", read="spark")


@pytest.mark.parametrize(("name", "example", "value"), CASES, ids=NAMES)
def test_the_normal_form_of_every_row_is_its_own_normal_form(name: str, example: str, value: object) -> None:
    normal = parse(example, columns={}, what=name).normal
    assert parse(normal, columns={}, what=name).normal == normal


@pytest.mark.parametrize(("name", "example", "value"), CASES, ids=NAMES)
def test_no_lowering_calls_a_macro_that_may_name_its_argument_twice(
    name: str, example: str, value: object, duck: duckdb.DuckDBPyConnection
) -> None:
    called = set(re.findall(r"([a-z_0-9]+)\(", lower(parse(example, columns={}, what=name), "duckdb", str)))
    rows = duck.execute("SELECT function_name FROM duckdb_functions() WHERE function_type = 'macro'").fetchall()
    assert called.isdisjoint({n for (n,) in rows})


@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_a_function_may_be_named_by_each_of_its_names(engine: Engine) -> None:
    for written, row in CALLABLE.items():
        example = TABLE[row.name].example[0]
        if example.startswith(f"{row.name}("):
            other = parse(written.upper() + example[len(row.name) :], columns={}, what="alias")
            assert lower(other, engine, str) == lower(parse(example, columns={}, what="x"), engine, str)


def test_the_reference_page_holds_the_current_table() -> None:
    page = (File(__file__).parents[2] / "docs" / "expressions.md").read_text(encoding="utf-8")
    begin, end = "<!-- functions: begin -->\n", "<!-- functions: end -->"
    assert page.partition(begin)[2].partition(end)[0].strip() == function_table_markdown().strip()


@pytest.mark.parametrize(
    ("text", "values", "result"),
    [
        ("whole + 1", {"whole": 2**63 - 1}, None),
        ("whole - 1", {"whole": -(2**63)}, None),
        ("whole * 2", {"whole": 2**62}, None),
        ("-whole", {"whole": -(2**63)}, None),
        ("abs(whole)", {"whole": -(2**63)}, None),
        ("whole // -1", {"whole": -(2**63)}, None),
        ("whole % -1", {"whole": -(2**63)}, None),
        ("whole % 0", {"whole": 5}, None),
        ("whole // 0", {"whole": 5}, None),
        ("whole / 0", {"whole": 5}, None),
        ("1 / (1 / number)", {"number": 0.0}, None),
        ("number * 10 > 0", {"number": 1e308}, None),
        ("coalesce(number * 10, 1)", {"number": 1e308}, 1.0),
        ("number * -1", {"number": 0.0}, 0.0),
        ("(number * -1)::VARCHAR", {"number": 0.0}, "0.0"),
        ("sqrt(number)", {"number": -1.0}, None),
        ("power(number, -1)", {"number": 0.0}, None),
        ("exp(ln(number))", {"number": 0.0}, None),
        ("number::BIGINT", {"number": 3.0}, 3),
        ("number::BIGINT", {"number": 3.5}, None),
        ("number::BIGINT", {"number": 2.0**63}, None),
        ("number::BIGINT", {"number": -(2.0**63)}, -(2**63)),
        ("whole = 1.5", {"whole": 1}, False),
        ("flag::BIGINT", {"flag": True}, 1),
        ("flag::VARCHAR", {"flag": False}, "false"),
        ("left(text, whole)", {"text": "abc", "whole": -1}, ""),
        ("right(text, whole)", {"text": "abc", "whole": 2**63 - 1}, "abc"),
        ("substr(text, whole)", {"text": "abc", "whole": -5}, "abc"),
        ("substr(text, 2, whole)", {"text": "abc", "whole": None}, None),
        ("split_part(text, ',', 9)", {"text": "a,b"}, ""),
        ("split_part(text, ',', 1)", {"text": None}, None),
        ("url_decode(text)", {"text": "100%, a%ff+b"}, "100%, a%ff+b"),
        ("url_decode(text)", {"text": "%E2%82%AC"}, "€"),
        ("text LIKE 'a\\%'", {"text": "a\\bc"}, True),
        ("text LIKE 'a#_' ESCAPE '#'", {"text": "a_"}, True),
        ("text LIKE 'a#_' ESCAPE '#'", {"text": "ab"}, False),
        ("prefix_of(text, '3', '33', '1.')", {"text": "334"}, "33"),
        ("prefix_of(text, '3', '1.')", {"text": "12"}, None),
        ("list_contains(list, NULL)", {"list": ["a"]}, None),
        ("len(list)", {"list": []}, 0),
        ("nullif(whole, 0) IS NULL", {"whole": 0}, True),
        ("NOT text IN ('a', 'b') AND flag IS NOT TRUE", {"text": "c", "flag": None}, True),
        ("CASE WHEN flag THEN 1 END", {"flag": None}, None),
        ("round(number, 2)", {"number": 1.005}, 1.0),
        ("iso_ms(text)", {"text": "yesterday"}, None),
    ],
)
def test_defined_results_at_the_edges(text: str, values: dict[str, object], result: object, compute: Compute) -> None:
    computed = compute(text, **values)
    assert computed == result
    assert str(computed) == str(result)


@pytest.mark.parametrize(
    "text",
    [
        "1 + 2 * 3 - 4",
        "-7 // 2 * 2 + -7 % 2",
        "NOT 1 = 2 AND 3 < 4 OR FALSE",
        "'a' || 'b' = 'ab' AND NOT 'a' LIKE 'b%'",
        "3 BETWEEN 1 AND 2 OR 5 NOT BETWEEN 6 AND 7",
        "-2 - -3 * -4",
        "NULL IS NULL AND NOT NULL IS NOT NULL",
        "2 IN (1, 2) = TRUE",
        "CASE 1 WHEN 1 THEN 'x' END || 'y' = 'xy'",
        "10 - 3 - 2",
        "8 // 4 // 2",
        "FALSE OR NOT FALSE AND TRUE",
    ],
)
def test_operators_bind_as_duckdb_binds_them(text: str, compute: Compute, duck: duckdb.DuckDBPyConnection) -> None:
    assert compute(text) == duck.execute(f"SELECT {text}").fetchall()[0][0]


def test_every_function_takes_null_without_raising(duck: duckdb.DuckDBPyConnection) -> None:
    for row in CALLABLE.values():
        nulls = re.sub(r"^(\w+\()('[^']*'|-?[\d.]+)", r"\1NULL", row.example[0])
        sql = lower(parse(nulls, columns=COLUMNS, what=row.name), "duckdb", resolve)
        duck.execute(f"SELECT {sql}").fetchall()
