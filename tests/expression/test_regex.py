from __future__ import annotations

import re

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.expression.regex import compile_regex, literal_regex
from streamgauge.expression.types import Refused

GOOD = [
    r"^sip:\d{3}$",
    r"(a|b)*c",
    r"[^a-z\]\-]+?",
    r"\bword\b",
    r"a{2,}b{0,3}?",
    r"(?:x|)y",
    r"[.*+]",
    r"\.\*\\",
    "é+",
    r"[\d_-]",
]
BAD = [
    ("(?i)a", "groups"),
    ("(?=a)", "groups"),
    ("(?P<n>a)", "groups"),
    ("a**", "repeated"),
    ("a*+", "repeated"),
    ("*a", "nothing to repeat"),
    ("^*", "anchor"),
    (r"\1", "not allowed"),
    (r"\pL", "not allowed"),
    (r"\Qa\E", "not allowed"),
    ("(a", "not closed"),
    ("a)", "without"),
    ("[a", "ends"),
    ("[]", "empty"),
    ("[z-a]", "ascending"),
    ("[[:alpha:]]", "inside a class"),
    ("[a&&[b]]", "inside a class"),
    ("a{1001}", "1000"),
    ("(a{100}){100}", "1000"),
    ("a{3,2}", "ascending"),
    ("a{", "no repetition"),
    ("a\\", "ends"),
    ("(" * 30 + ")" * 30, "nested|capturing"),
    ("(?:(?:a{1000})*){9}|" * 20, "repeats|steps|characters"),
    ("a" * 1001, "characters"),
]


@pytest.mark.parametrize("pattern", GOOD)
@pytest.mark.parametrize(
    "text", ["sip:487", "sip:487\n", "abc", "", "a word.", "aab", "y", "x.*\\", "éé", "]-a", "5_-"]
)
def test_a_pattern_means_to_duckdb_what_it_means_to_python(
    pattern: str, text: str, duck: duckdb.DuckDBPyConnection
) -> None:
    found = duck.execute("SELECT regexp_matches($1, $2)", [text, compile_regex(pattern).re2]).fetchall()[0][0]
    python = re.sub(r"(?<!\\)\$", r"\\Z", pattern)
    assert found is (re.search(python, text, re.ASCII) is not None)


@pytest.mark.parametrize(("pattern", "why"), BAD)
def test_what_is_outside_the_common_subset_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        compile_regex(pattern)


@given(st.text(r"ab01(){}[]^$.*+?|\dwsbé-,: " + "\n", max_size=12))
def test_what_we_accept_duckdb_can_compile(duck: duckdb.DuckDBPyConnection, pattern: str) -> None:
    try:
        compiled = compile_regex(pattern)
    except Refused:
        return
    duck.execute("SELECT regexp_extract('ab', $1, $2)", [compiled.re2, compiled.groups]).fetchall()


@given(st.text(max_size=8))
def test_a_literal_matches_itself_and_only_itself(duck: duckdb.DuckDBPyConnection, text: str) -> None:
    pattern = literal_regex(text)
    same, longer = duck.execute(
        "SELECT regexp_full_match($1, $2), regexp_full_match($1 || 'x', $2)", [text, pattern]
    ).fetchall()[0]
    assert (same, longer) == (True, False)


def test_java_has_its_own_word_boundary() -> None:
    assert r"\b" not in compile_regex(r"\ba").java
    assert compile_regex("a$").java == r"a\z"
    assert compile_regex("(a)(?:b)(c)").groups == 2
