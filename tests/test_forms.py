from __future__ import annotations

import math

import pytest

from streamgauge import forms


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (5, "5"),
        ("5", "'5'"),
        (True, "true"),
        ({"a": 1}, "a table"),
        ([1, "x"], "[1, 'x']"),
        ("x" * 100, "'" + "x" * 56 + "..."),
    ],
)
def test_a_value_is_said_in_the_words_of_toml(value: object, shown: str) -> None:
    assert forms.said(value) == shown


@pytest.mark.parametrize(
    ("value", "fits"), [(0, False), (1, True), (18, True), (19, False), (True, False), ("1", False)]
)
def test_a_whole_number_has_bounds_and_is_no_truth(value: object, fits: bool) -> None:
    assert forms.whole("a number", 1, 18).fits(value) is fits


@pytest.mark.parametrize("value", [2**63, -(2**63), math.nan, math.inf, True, "1", None])
def test_no_number(value: object) -> None:
    assert not forms.is_number(value)


def test_every_mistake_of_a_table_is_found_with_its_place() -> None:
    known = {"topic": forms.text(), "unit": forms.one_of(("ms", "us"))}
    found = forms.mistakes({"topic": 5, "unit": "mss", "tpoic": ""}, known, "producer 'x'", lambda *k: f"f:{len(k)}")
    assert [str(m) for m in found] == [
        "f:1: producer 'x': topic: is 5, expected a text",
        "f:1: producer 'x': unit: is 'mss', expected one of ms, us; did you mean ms?",
        "f:1: producer 'x': unknown setting 'tpoic'; did you mean topic?",
    ]


def test_what_is_no_table_is_one_mistake() -> None:
    assert [str(m) for m in forms.mistakes([1], {}, "pack 'x'", lambda *_: "f:1")] == [
        "f:1: pack 'x': is [1], expected a table"
    ]
