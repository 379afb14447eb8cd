"""Reasons for people: what is wrong with a message, and where."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.codecs.explain import explain_json_error, find_json_fault


@pytest.mark.parametrize(
    ("data", "problem", "column"),
    [
        (b'{"a":1 "b":2}', "not JSON: Expecting ',' delimiter", 8),
        (b'{"a":', "not JSON: Expecting value", 6),
        (b"{'a':1}", "not JSON: Expecting property name enclosed in double quotes", 2),
        (b'{"a":1}{"a":2}', "two values in a line", 8),
        (b'{"a":1} {"a":2}', "two values in a line", 9),
        (b'{"a":1}}', "not JSON: extra characters", 8),
        (b'{"a":"\xff"}', "invalid UTF-8 at byte 7", 7),
        ('{"é":"'.encode() + b'\xff"}', "invalid UTF-8 at byte 8", 7),
        (b'{"a":"\\ud800"}', "lone surrogate", 7),
        (b'{"a":"\\ude00\\ud83d"}', "lone surrogate", 7),
        (b'{"a":"\\ud83d\\ude00\\ud83d"}', "lone surrogate", 19),
        (b'{"a":"\xed\xa0\x80"}', "invalid UTF-8 at byte 7", 7),
        (b'{"a":"x\0"}', "NUL byte", 8),
        (b"\0", "NUL byte", 1),
        (b'{"a":"x\x01"}', "not JSON: Invalid control character", 8),
        (b"[1]", "not an object but an array", 1),
        (b"1", "not an object but a number", 1),
        (b"null", "not an object but null", 1),
        (b'"x"', "not an object but a string", 1),
        (b"!", "not JSON: Expecting value", 1),
        (b"  ", "empty", 0),
        (b'{"a":1}', "not JSON that the engine accepts", 0),
        (b'{\n "a": x}', "not JSON: Expecting value (line 2 of the document)", 7),
    ],
)
def test_the_reason_and_the_column(data: bytes, problem: str, column: int) -> None:
    assert explain_json_error(data) == (problem, column)


@pytest.mark.parametrize("data", [b'{"a":"\\\\ud800"}', b'{"a":"\\ud83d\\ude00"}', b'{"a":"\\\\\\ud83d\\ude00"}'])
def test_a_pair_and_an_escaped_backslash_are_no_lone_surrogates(data: bytes) -> None:
    assert find_json_fault(data).problem == "not JSON that the engine accepts"


@given(st.text(st.sampled_from('a\\"\ud800\ude00\U0001f600u'), max_size=8))
def test_lone_surrogates_are_those_that_cannot_be_encoded(text: str) -> None:
    data = json.dumps({"a": text}).encode()
    try:
        json.loads(data)["a"].encode()
        lone = False
    except UnicodeEncodeError:
        lone = True
    assert (find_json_fault(data).problem == "lone surrogate") is lone


def test_depth_is_survived() -> None:
    assert "nested too deeply" in explain_json_error(b'{"a":' * 100_000)[0]


@given(st.binary(max_size=40))
def test_no_bytes_raise(data: bytes) -> None:
    problem, column = explain_json_error(data)
    assert problem
    assert column >= 0
