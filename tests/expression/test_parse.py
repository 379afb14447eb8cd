from __future__ import annotations

import pytest

from streamgauge.errors import DeclarationError
from streamgauge.expression import Expression, Path, SqlType, parse
from tests.expression.helpers import COLUMNS

NAMES = {
    **COLUMNS,
    "end": SqlType.BIGINT,
    "carrier": SqlType.VARCHAR,
    "Carrier": SqlType.BIGINT,
    "time": SqlType.BIGINT,
}


def checked(text: str, expect: SqlType | None = None) -> Expression:
    return parse(text, columns=NAMES, what="field 'pdd'", expect=expect)


REFUSED = [
    ("body.progress_ms::BIGNT", "unknown type BIGNT at 19; did you mean BIGINT?"),
    ("body.x::INTEGER", "unknown type INTEGER at 9; write BIGINT"),
    ("body.x::VARCHAR(3)", "a type has no length here at 16; write VARCHAR"),
    ("body.x::BIGINT[]", "unknown type BIGINT[ at 9; the only list type is VARCHAR[]"),
    ("carier = 'a'", "unknown column carier at 1; did you mean carrier?"),
    ("1 + uper(text)", "unknown function uper at 5; did you mean upper?"),
    ("variables.billsec", "unknown column variables at 1; what lies in the event is written body.variables"),
    ("body.a > 5", "'>' mixes VARCHAR and BIGINT at 1; write body.a::BIGINT"),
    ("5 < body.a", "'<' mixes BIGINT and VARCHAR at 5; write body.a::BIGINT"),
    ("whole = '5'", "'=' mixes BIGINT and VARCHAR at 9; write it without quotes"),
    ("body.a + 1", "'+' mixes VARCHAR and BIGINT at 1; write body.a::BIGINT"),
    ("body.a + body.b", "'+' does not take VARCHAR|needs BIGINT, this is VARCHAR at 1; write body.a::BIGINT"),
    ("lower(whole)", "lower needs VARCHAR, this is BIGINT at 7; write whole::VARCHAR"),
    ("whole AND flag", "AND needs BOOLEAN, this is BIGINT at 1; write whole <> 0"),
    ("CASE WHEN whole THEN 1 END", "WHEN needs BOOLEAN, this is BIGINT at 11"),
    ("CASE WHEN flag THEN 1 ELSE 'a' END", "CASE mixes BIGINT and VARCHAR at 28"),
    ("coalesce(body.a, 0)", "coalesce mixes VARCHAR and BIGINT at 10; write body.a::BIGINT"),
    ("list = text", "mixes a list with something else at 1; list_contains(list, text) looks into a list"),
    ("flag < TRUE", "'<' does not take BOOLEAN at 1"),
    ("round(number, whole)", "round needs a literal here at 15"),
    ("round(number, 16)", "round: from 0 to 15 is allowed, got 16 at 15"),
    ("substr(text)", "substr takes 2 to 3 arguments, got 1 at 1"),
    ("replace(text, 'a', 'aa')", "replace may not make a text longer at 20"),
    ("regexp_matches(text, '(?i)a')", "in the pattern, character 2: only (...) and (?:...) groups are allowed at 1"),
    ("text LIKE text", "needs a literal here at 11"),
    ("text LIKE 'a!' ESCAPE '!'", "the escape '!' stands before neither"),
    ("text = 'a' ESCAPE '!'", "ESCAPE belongs to LIKE"),
    ("number % 2", "'%' needs BIGINT, this is DOUBLE at 1"),
    ("body", "body alone is not a value at 1; name a key"),
    ("body[0]", "body is an object, not a list at 1"),
    ("body.items[-1]", "a list index is a number from 0 at 12"),
    ("body.items['a']", "a list index is a number from 0 at 12"),
    ("body.7days", "'7' is no key at 6|is not allowed at|is no key"),
    ("body.a.keys()", "methods are not allowed at 8"),
    ("list[0]", "'[' is not allowed at 5"),
    ("", "it is empty at 1"),
    ("text = 'a", "a quote is not closed"),
    ("text +", "it ends too early"),
    ("text text", "what stands there does not belong there|it ends too early"),
    ("(1, 2)", "a list in parentheses is not allowed at 2"),
    ("text -- no", "a comment is not allowed at 1"),
    ("1; DROP TABLE x", "';' is not allowed at 2; one expression, without a semicolon"),
    ("(SELECT 1)", "unknown column SELECT at 2; an expression has no sub-query, table or window"),
    ("count(*)", "unknown function count at 1; aggregates are measures, an expression sees one event"),
    ("now()", "unknown function now at 1; an expression sees nothing but the event"),
    ("current_date", "unknown column current_date at 1; an expression sees nothing but the event"),
    ("getenv('HOME')", "unknown function getenv at 1; an expression sees nothing but the event"),
    ("repeat(text, 9)", "unknown function repeat at 1; functions whose result can grow"),
    ("read_text('/etc/passwd')", "unknown function read_text at 1"),
    ("whole ** 2", "is not allowed at"),
    ("text ~ 'a'", "'~' is not allowed at 6"),
    ("$1", "'$' is not allowed at 1"),
    ("?", "'?' is not allowed at 1"),
    ("E'a\\n'", "is not allowed at 1|only '...' texts"),
    ("$$a$$", "is not allowed at 1|only '...' texts"),
    ("1_000", "'1_000' is no number at 1|is no number"),
    ("0x1A", "is no number at 1"),
    ("1e999", "1e999 is too large at 1"),
    ("9223372036854775808", "does not fit into 64 bits at 1"),
    ("'a\0'", "a NUL or half a surrogate pair cannot be used at 3"),
    ("'\ud800'", "a NUL or half a surrogate pair cannot be used at 2"),
    ("(" * 25 + "1" + ")" * 25, "nested more than 24 deep at 25"),
    ("NOT " * 25 + "flag", "nested more than 24 deep at 97"),
    ("1" + " + 1" * 64, "nested more than 64 deep"),
    ("text" + " || text" * 200, "more than 200 parts"),
    (" " * 10_001, "it has 10001 characters, at most 10000 are allowed"),
    ("1," * 3000, "words and signs"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[t[:30] for t, _ in REFUSED])
def test_a_refusal_says_what_where_and_how_to_mend(text: str, said: str) -> None:
    with pytest.raises(DeclarationError) as raised:
        checked(text)
    message = str(raised.value)
    assert message.startswith("field 'pdd': ")
    assert any(part in message for part in said.split("|"))


def test_the_whole_sentence() -> None:
    with pytest.raises(DeclarationError) as raised:
        parse("body.progress_ms::BIGNT", columns={}, what="statistic 'carrier_quality': field 'pdd'", where="my.toml:7")
    assert str(raised.value) == (
        "my.toml:7: statistic 'carrier_quality': field 'pdd': 'body.progress_ms::BIGNT': "
        "unknown type BIGNT at 19; did you mean BIGINT?"
    )


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("body.variables.billsec", ("variables", "billsec")),
        ('body."X-Foo"."a.b"', ("X-Foo", "a.b")),
        ("body.items[0].name", ("items", 0, "name")),
        ("body.matrix[1][2]", ("matrix", 1, 2)),
        ("body.end", ("end",)),
        ("body.from.case.null", ("from", "case", "null")),
        ("body.A.a", ("A", "a")),
        ('body."say ""hi"""', ('say "hi"',)),
        ('body.""', ("",)),
        ("body . a\n. b", ("a", "b")),
        ("body.größe", ("größe",)),
        ("body.e1", ("e1",)),
    ],
)
def test_paths(text: str, keys: tuple[str | int, ...]) -> None:
    expression = checked(text)
    assert expression.paths == {Path(keys)}
    assert expression.type is SqlType.VARCHAR
    assert checked(str(Path(keys))).paths == {Path(keys)}


def test_paths_that_differ_only_in_case_are_two() -> None:
    assert checked("coalesce(body.a.B, body.a.b)").paths == {Path(("a", "B")), Path(("a", "b"))}
    assert checked("carrier = 'a' OR Carrier = 1").names == {"carrier", "Carrier"}


def test_a_path_is_written_for_a_json_engine_too() -> None:
    assert Path(("a", 'b"c', 0)).jsonpath() == '$."a"."b\\"c"[0]'


def test_columns_named_like_words_of_the_language_are_quoted() -> None:
    assert checked('"end" - time').names == {"end", "time"}
    assert checked('"end" - time').normal == '("end" - time)'


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("body.a::BIGINT>5", " ( ( body.a :: bigint ) > 5 ) "),
        ("LOWER(text)", "lower( text )"),
        ("flag AND (flag AND flag)", "(flag and flag) AND flag"),
        ("text != 'a'", "text <> 'a'"),
        ("text NOT LIKE 'a%'", "NOT (text LIKE 'a%')"),
        ("whole IS NOT NULL", "NOT whole IS NULL"),
        ("number > 1", "number > 1.0"),
        ("number > 1.50", "number > 15e-1"),
        ("CAST(body.a AS BIGINT)", "TRY_CAST(body.a AS BIGINT)"),
        ("substring(text, 1)", "substr(text, 1)"),
        ("text::VARCHAR::TEXT", "text"),
        ("whole IS NOT DISTINCT FROM 1", "NOT (whole IS DISTINCT FROM 1)"),
        ("CASE whole WHEN 1 THEN 'a' END", "CASE WHEN whole = 1 THEN 'a' END"),
        ('"carrier"', "carrier"),
        ("- 5", "-5"),
    ],
)
def test_what_means_the_same_has_one_normal_form(one: str, other: str) -> None:
    assert checked(one).normal == checked(other).normal
    assert checked(checked(one).normal).normal == checked(one).normal


@pytest.mark.parametrize(
    ("one", "other"),
    [("body.a", "body.A"), ("'a'", "'A'"), ("whole + 1", "1 + whole"), ("text LIKE 'a'", "text = 'a'")],
)
def test_what_differs_has_two_normal_forms(one: str, other: str) -> None:
    assert checked(one).normal != checked(other).normal


def test_casts_are_named_once_each() -> None:
    expression = checked("body.a::BIGINT + body.a :: BIGINT > body.b::DOUBLE")
    assert [c.normal for c in expression.casts] == ["body.a::BIGINT", "body.b::DOUBLE"]
    assert [c.type for c in expression.casts] == [SqlType.BIGINT, SqlType.DOUBLE]
    assert [c.paths for c in expression.casts] == [{Path(("a",))}, {Path(("b",))}]
    assert [c.normal for c in checked("body.a::BIGINT").casts] == ["body.a::BIGINT"]


def test_the_expected_type() -> None:
    assert checked("whole", SqlType.DOUBLE).type is SqlType.DOUBLE
    assert checked("NULL", SqlType.BOOLEAN).type is SqlType.BOOLEAN
    assert checked("whole > 1", SqlType.BOOLEAN).type is SqlType.BOOLEAN
    with pytest.raises(
        DeclarationError, match=r"a condition needs BOOLEAN, this is VARCHAR at 1; write body\.a::BOOLEAN"
    ):
        checked("body.a", SqlType.BOOLEAN)


def test_without_body_no_path_is_read() -> None:
    with pytest.raises(DeclarationError, match="a path below body cannot be used here at 1"):
        parse("body.a", columns={}, what="x", body=False)


def test_long_lists_of_literals_count_once() -> None:
    prefixes = ", ".join(f"'{n}'" for n in range(1000))
    assert checked(f"prefix_of(text, {prefixes})").type is SqlType.VARCHAR
    assert checked(f"text IN ({prefixes})").type is SqlType.BOOLEAN
    with pytest.raises(DeclarationError, match="more than 200 parts"):
        checked("text IN (" + ", ".join(["carrier"] * 200) + ")")


@pytest.mark.parametrize(
    "text",
    [
        "nullif(" * 20 + "whole" + ", 1)" * 20,
        "whole" + " // whole" * 50,
        "number" + " / number" * 3 + "::BIGINT" + "::VARCHAR::BIGINT::DOUBLE::BIGINT" * 9,
        "CASE " * 20 + "whole" + " WHEN 1 THEN 2 WHEN 3 THEN 4 END" * 20,
    ],
)
def test_a_text_whose_sql_would_explode_is_refused_at_once(text: str) -> None:
    with pytest.raises(DeclarationError, match=r"too large|more than 200 parts"):
        checked(text)


def test_long_chains_are_no_explosion() -> None:
    assert checked("whole" + " // 7" * 60).type is SqlType.BIGINT
    assert checked("whole" + " - 7" * 60).normal == "(whole" + " - 7" * 60 + ")"
    assert checked("flag" + " AND flag" * 90).type is SqlType.BOOLEAN
