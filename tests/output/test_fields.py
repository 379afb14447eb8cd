"""Columns of texts: the short cuts give what each value alone gives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.output.fields import texts

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = (st.integers(), FLOATS, st.booleans(), st.text(), st.dictionaries(st.text(), st.integers()))
COLUMNS: Any = st.one_of(*(st.lists(kind | none) for kind in SCALARS for none in (kind, st.none())))


def strict(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


@given(column=COLUMNS | st.lists(st.one_of(*SCALARS)))
def test_a_column_is_the_texts_of_its_values(column: list[Any]) -> None:
    assert list(texts(column, "null", strict, strict)) == [json.dumps(value) for value in column]


def test_a_text_is_made_once_for_a_column() -> None:
    asked: list[str] = []

    def text(value: str) -> str:
        asked.append(value)
        return value.upper()

    assert list(texts(["a", None, "b", "a"], "-", text, repr)) == ["A", "-", "B", "A"]
    assert sorted(asked) == ["a", "b"]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_never_written_as_one(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        texts([1.0, None, number], "null", strict, strict)


def test_numbers_whose_sum_is_infinite_are_numbers() -> None:
    assert list(texts([1.5e308, 1.5e308, None], "null", strict, strict)) == ["1.5e+308", "1.5e+308", "null"]
