"""Ten thousand mutated and hostile expressions: each is refused with a DeclarationError or runs; nothing else."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import duckdb
import pytest

from streamgauge.errors import DeclarationError
from streamgauge.expression import lower, lower_wrong, parse
from streamgauge.expression.functions import CALLABLE, CASE_EXAMPLES, CASTS, GROUPS
from tests.expression.helpers import COLUMNS, resolve

EXPRESSIONS = 10_000
SECRET = "classified-4711"
ROWS = [
    (None, None, None, None, None, None, None),
    ("", 0, 0.0, False, [], "", "0"),
    ("-12.5e3", -(2**63), -1e308, True, ["a", None], "[1]", " 7\n"),
    ("é\0'\"%", 2**63 - 1, 5e-324, True, [""], "{}", "1e999"),
]
HOSTILE = [
    "read_text('/etc/passwd')", "read_csv('{}')", "(SELECT 1)", "(FROM secret)", "secret.value", "EXISTS (SELECT 1)",
    "getenv('HOME')", "current_setting('threads')", "repeat('a', 1000000000)", "lpad('a', 1000000000, 'b')",
    "text; DROP TABLE secret", "/* */", "-- ", "PRAGMA database_list", "COPY secret TO 'x'", "ATTACH 'x'", "$1", "?",
    "now()", "random()", "uuid()", "nextval('s')", "list_transform(list, x -> x)", "[x for x in list]", "sum(whole)",
    "row_number() OVER ()", "whole OVER ()", "COLUMNS(*)", "*", "#1", "{'a': 1}", "MAP {}", "INTERVAL 1 DAY",
    "DATE '2020-01-01'", "E'\\x00'", "$$a$$", "x'00'", "(((((((((((((((((((((((((((((((((((((1", "text.upper()",
    "query('SELECT 1')", "duckdb_settings()", "unnest(list)", "struct_pack(a := 1)", "TRY(error('x'))", "error('x')",
    "text COLLATE NOCASE", "text AT TIME ZONE 'UTC'", "whole::DECIMAL(18, 3)", "text SIMILAR TO 'a'", "GLOB('*')",
    "generate_series(1, 1000000000)", "range(1000000000)", "string_agg(text)", "regexp_replace(text, 'a*', 'bbbbbbbb')",
    "load_extension('x')", "{{ x }}", "@x", "body.a->>'$.b'", "whole IN (SELECT 1)", "whole = ANY(list)", "\0",
    "format('{:1000000000}', 1)", "printf('%1000000000d', 1)", "'a' ^@ 'b'", "LAMBDA x: x", "GROUPING(whole)", "\ud800",
]  # fmt: skip
PIECES = [
    *"()[]{},.;:'\"\\/*+-%<>=!|&^~@#$?` \n\t0123456789aeE", "::", "||", "//", "body.", "body.a", "body.b", "text",
    "whole", "number", "flag", "list", "NULL", "TRUE", "AND", "OR", "NOT", "IS", "IN", "LIKE", "ESCAPE", "BETWEEN",
    "CASE", "WHEN", "THEN", "ELSE", "END", "::BIGINT", "::DOUBLE", "::VARCHAR[]", "1e308", "-9223372036854775808",
    "9223372036854775807", "'%'", "'(a*)*b'", "'['", "SELECT", "FROM secret", "DISTINCT", "AS", "OVER", "é", "\u2028",
]  # fmt: skip


def good() -> list[str]:
    examples = [f.example[0] for group in GROUPS.values() for f in group]
    examples += [c[3] for c in CASTS] + [c[2] for c in CASE_EXAMPLES]
    return [
        *examples,
        "coalesce(body.a::BIGINT, whole) + number > 5 AND lower(text) LIKE 'a%' OR NOT flag",
        "CASE WHEN body.a::DOUBLE / number > 2 THEN left(body.b, whole) ELSE prefix_of(text, '33', '1') END",
        "list_contains(body.b::VARCHAR[], text) AND len(list) BETWEEN whole AND 5",
        "power(number, whole) * -number - exp(number) / ln(abs(number)) // 2",
    ]


def mutated(rng: random.Random) -> Iterator[str]:
    texts = good()
    columns = [*COLUMNS, "body.a", "body.b", "NULL", "'x'", "1", "1.5"]
    while True:
        text = rng.choice(texts)
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            text = mutation(rng, text, texts, columns)
        yield text


def mutation(rng: random.Random, text: str, texts: list[str], columns: list[str]) -> str:
    place, end = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
    kind = rng.randrange(8)
    if kind == 0:
        return text[:place] + rng.choice(PIECES) + text[place:]
    if kind == 1:
        return text[:place] + text[end:]
    if kind == 2:
        return text[:place] + rng.choice(HOSTILE) + text[end:]
    if kind == 3:
        return f"{rng.choice(list(CALLABLE))}({text}, {rng.choice(columns)})"
    if kind == 4:
        return f"({text}) {rng.choice(['+', '||', 'AND', '=', '/', 'IN', 'LIKE', '::'])} ({rng.choice(texts)})"
    if kind == 5:
        return f"{rng.choice(list(CALLABLE))}({', '.join(rng.choices(columns, k=rng.randrange(4)))})"
    if kind == 6:
        return text[:place] + text[place:end] * rng.choice((2, 3, 50)) + text[end:]
    return rng.choice(("-", "NOT ", "(", "'", "CASE WHEN ")) * rng.choice((1, 2, 30, 3000)) + text


@pytest.fixture(scope="module")
def prison() -> Iterator[duckdb.DuckDBPyConnection]:
    con = duckdb.connect(config={"threads": "1", "memory_limit": "200MB"})
    con.execute('CREATE TABLE t (text VARCHAR, "whole" BIGINT, number DOUBLE, flag BOOLEAN, list VARCHAR[], '
                '"body.a" VARCHAR, "body.b" VARCHAR)')  # fmt: skip
    con.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?)", ROWS)
    con.execute(f"CREATE TABLE secret AS SELECT '{SECRET}' AS value")
    con.execute("SET enable_external_access=false")
    con.execute("SET lock_configuration=true")
    yield con
    con.close()


def runs(con: duckdb.DuckDBPyConnection, text: str) -> bool:
    """Whether it was accepted; then it ran, and its SQL names no more than the columns it says it reads."""
    try:
        expression = parse(text, columns=COLUMNS, what="hostile")
    except DeclarationError:
        return False
    known = {resolve(n) for n in expression.names} | {resolve(p) for p in expression.paths}
    columns = {'"body.a"', '"body.b"', *(resolve(n) for n in COLUMNS)}
    source = f"(SELECT {', '.join(['*', *(f'text AS {n}' for n in known - columns)])} FROM t)"
    for sql in (lower(expression, "duckdb", resolve), lower_wrong(expression, "duckdb", resolve)):
        if sql is not None:
            rows = con.execute(f"SELECT {sql} FROM {source}").fetchall()
            assert SECRET not in str(rows)
    assert reparsed(expression.normal) == expression.normal
    return True


def reparsed(normal: str) -> str:
    """Its own normal form; one that became too large for a text stays as it is."""
    try:
        return parse(normal, columns=COLUMNS, what="normal").normal
    except DeclarationError as error:
        size = re.compile("nested more than|more than 200 parts|characters, at most")
        return normal if size.search(error.mistakes[0].problem) else ""


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_every_hostile_expression_is_refused(text: str) -> None:
    with pytest.raises(DeclarationError):
        parse(text, columns=COLUMNS, what="hostile")


def test_ten_thousand_mutated_expressions_are_refused_or_run(prison: duckdb.DuckDBPyConnection) -> None:
    rng = random.Random(20240331)
    source = mutated(rng)
    accepted = sum(runs(prison, next(source)) for _ in range(EXPRESSIONS))
    assert EXPRESSIONS / 50 < accepted < EXPRESSIONS / 2
    assert prison.execute("SELECT count(*) FROM t").fetchall() == [(len(ROWS),)]


def test_deep_nesting_is_refused_even_near_the_end_of_the_stack() -> None:
    def deeper(frames: int, text: str) -> None:
        if frames:
            deeper(frames - 1, text)
            return
        with pytest.raises(DeclarationError):
            parse(text, columns=COLUMNS, what="hostile")

    for text in ("(" * 24 + "1", "(" * 100_000, "NOT " * 2000 + "flag", "CASE WHEN " * 500, "-" * 9999):
        deeper(500, text)
