from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.expression.helpers import Compute

_BLANK = "[ \t\r\n]*"
_INTEGER = re.compile(f"{_BLANK}(-?(?:0|[1-9][0-9]*)){_BLANK}", re.ASCII)
_NUMBER = re.compile(rf"{_BLANK}(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?){_BLANK}", re.ASCII)

NUMBER_LIKE = st.text(alphabet="0123456789-+.eE_ \t\n\r\x00\x0bxAinfatNI٣²", max_size=12)
NUMBERS = st.one_of(
    st.integers(-(2**65), 2**65).map(str),
    st.floats().map(repr),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
)
PADDED = st.tuples(st.text(" \t\r\n\x0b\u00a0", max_size=2), NUMBERS, st.text(" \t\r\n\x0c", max_size=2)).map("".join)
TEXTS = st.one_of(NUMBER_LIKE, NUMBERS, PADDED, st.text(max_size=8))


def as_bigint(text: str) -> int | None:
    found = _INTEGER.fullmatch(text)
    value = int(found[1]) if found else None
    return value if value is not None and -(2**63) <= value < 2**63 else None


def as_double(text: str) -> float | None:
    found = _NUMBER.fullmatch(text)
    value = float(found[1]) if found else math.nan
    return value + 0.0 if math.isfinite(value) else None


HURTING = ["9.7", "0x1A", "1_000", "+5", "007", "1e3", " 12 ", "-0", "", "-", "NaN", "1e999", "Infinity", "-0.0"]
HURTING += ["9223372036854775807", "-9223372036854775808", "9223372036854775808", "12\x00", "\x0b1", "٣", "1.", ".5"]
HURTING += ["4.9e-324", "1e-400", "1.7976931348623157e308", "-1e309", "1E+05", "12\n", "\u00a012", "null", "true"]


@pytest.mark.parametrize("text", HURTING)
@pytest.mark.parametrize("form", ["body.a", "(body.a || '')"], ids=["path", "computed"])
def test_numbers_follow_the_grammar(text: str, form: str, compute: Compute) -> None:
    assert compute(f"{form}::BIGINT", a=text) == as_bigint(text)
    assert repr(compute(f"{form}::DOUBLE", a=text)) == repr(as_double(text))


@given(text=TEXTS)
@example(text="1e-400")
def test_any_text_as_bigint_equals_the_oracle(text: str, compute: Compute) -> None:
    for form in ("body.a", "concat(body.a)"):
        assert compute(f"{form}::BIGINT", a=text) == as_bigint(text)
    assert compute("body.a::BIGINT", wrong=True, a=text) is (as_bigint(text) is None)


@given(text=TEXTS)
def test_any_text_as_double_equals_the_oracle(text: str, compute: Compute) -> None:
    for form in ("body.a", "concat(body.a)"):
        assert repr(compute(f"{form}::DOUBLE", a=text)) == repr(as_double(text))
    assert compute("body.a::DOUBLE", wrong=True, a=text) is (as_double(text) is None)


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("false", False), (" true\n", True), ("True", None), ("1", None), ("", None), ("truex", None)],
)
def test_boolean_is_the_two_words_of_json(text: str, value: bool | None, compute: Compute) -> None:
    assert compute("body.a::BOOLEAN", a=text) is value
    assert compute("body.a::BOOLEAN", wrong=True, a=text) is (value is None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[]", []),
        ('["a", null, 1, 1.5, true, {"b": [1]}, [2]]', ["a", None, "1", "1.5", "true", '{"b":[1]}', "[2]"]),
        ("{}", None),
        ("abc", None),
        ('"a"', None),
        ("5", None),
        ("[a]", None),
        ("", None),
        ("[" * 300 + "]" * 300, ["[" * 299 + "]" * 299]),
    ],
)
def test_a_list_is_a_json_list_and_its_elements_texts(text: str, value: list[Any] | None, compute: Compute) -> None:
    assert compute("body.a::VARCHAR[]", a=text) == value
    assert compute("body.a::VARCHAR[]", wrong=True, a=text) is (value is None)


@given(st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=4))
def test_texts_survive_in_a_list(compute: Compute, texts: list[str | None]) -> None:
    assert compute("body.a::VARCHAR[]", a=json.dumps(texts)) == texts


def test_null_is_no_wrong_type(compute: Compute) -> None:
    for type_ in ("BIGINT", "DOUBLE", "BOOLEAN", "VARCHAR[]"):
        assert compute(f"body.a::{type_}", a=None) is None
        assert compute(f"body.a::{type_}", wrong=True, a=None) is False


@pytest.mark.parametrize(
    ("text", "a", "b", "wrong"),
    [
        ("coalesce(body.a::BIGINT, body.b::BIGINT)", "1", "x", False),
        ("coalesce(body.a::BIGINT, body.b::BIGINT)", None, "x", True),
        ("coalesce(body.a::BIGINT, body.b::BIGINT)", "x", "1", True),
        ("CASE WHEN body.a = 'use' THEN body.b::BIGINT END", "use", "x", True),
        ("CASE WHEN body.a = 'use' THEN body.b::BIGINT END", "no", "x", False),
        ("CASE WHEN body.a = 'use' THEN body.b::BIGINT END", None, "x", False),
        ("CASE WHEN body.a = 'no' THEN 1 ELSE body.b::BIGINT END", "no", "x", False),
        ("CASE WHEN body.a = 'no' THEN 1 ELSE body.b::BIGINT END", None, "x", True),
        ("CASE WHEN body.a = 'no' THEN 1 WHEN body.b::BIGINT > 0 THEN 2 END", "no", "x", False),
        ("CASE WHEN body.a::BIGINT > 0 THEN 1 ELSE 2 END", "x", "x", True),
        ("body.a = 'no' AND body.b::BIGINT > 0", "other", "x", True),
        ("(body.a::DOUBLE)::BIGINT", "1.5", "x", True),
        ("(body.a::DOUBLE)::BIGINT", "2.0", "x", False),
        ("body.a::BIGINT + body.b::BIGINT", "1", "2", False),
    ],
)
def test_only_casts_that_are_reached_are_wrong(text: str, a: str, b: str, wrong: bool, compute: Compute) -> None:
    assert compute(text, wrong=True, a=a, b=b) is wrong


def test_a_cast_that_cannot_fail_has_no_wrong_types(compute: Compute) -> None:
    from streamgauge.expression import SqlType, lower_wrong, parse

    for text in ("whole::DOUBLE", "whole::VARCHAR", "body.a", "body.a::VARCHAR"):
        expression = parse(text, columns={"whole": SqlType.BIGINT}, what="test")
        assert lower_wrong(expression, "duckdb", str) is None
        assert expression.casts == ()
