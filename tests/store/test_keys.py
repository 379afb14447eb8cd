"""Keys: texts, ids and numbers that never collide."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.store.base import ALL_TEXT, OTHER_TEXT, key_id, key_text
from streamgauge.store.keys import ALL, OTHER, KeyDictionary

VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


def test_key_text_is_compact_ascii_json_in_by_order() -> None:
    assert key_text(["carrier-7", None]) == '["carrier-7",null]'
    assert key_text(["\0\ud800é"]) == r'["\u0000\ud800\u00e9"]'
    assert key_text([-0.0]) == "[0.0]"


def test_key_id_is_the_md5_of_the_text() -> None:
    assert key_id(ALL_TEXT) == hashlib.md5(b'"all"').digest()


def test_nothing_that_looks_alike_is_the_same_key() -> None:
    alike = [
        None,
        "null",
        "",
        "all",
        "other",
        1,
        True,
        1.0,
        "1",
        0,
        False,
        "true",
        '"all"',
        "[]",
        "x" * 10_000,
        "🐟",
        "\0",
    ]
    keys = KeyDictionary()
    numbers = keys.numbers([alike], len(alike)).tolist()
    assert len({*numbers, ALL, OTHER}) == len(alike) + 2
    assert len(set(keys.ids(np.arange(len(keys))))) == len(keys)
    assert [json.loads(keys.texts([n])[0]) for n in numbers] == [[value] for value in alike]


def test_the_rows_all_and_other_have_numbers_from_the_start() -> None:
    keys = KeyDictionary()
    assert (keys.texts([ALL])[0], keys.texts([OTHER])[0]) == (ALL_TEXT, OTHER_TEXT)
    assert keys.ids(np.array([OTHER, ALL])) == [key_id(OTHER_TEXT), key_id(ALL_TEXT)]


def test_a_statistic_without_by_has_one_key() -> None:
    keys = KeyDictionary()
    assert len(set(keys.numbers([], 3).tolist())) == 1
    assert keys.texts(keys.numbers([], 1).tolist())[0] == "[]"


def test_a_number_is_the_same_beside_a_value_of_another_type() -> None:
    keys = KeyDictionary()
    alone = keys.numbers([[1]], 1)[0]
    assert keys.numbers([[True, 1, 1.0]], 3)[1] == alone


@given(st.lists(st.lists(st.tuples(VALUES, VALUES), max_size=5), max_size=5))
def test_numbers_are_equal_exactly_where_texts_are(calls: list[list[tuple[object, object]]]) -> None:
    keys, numbers = KeyDictionary(), dict[str, int]()
    for rows in calls:
        for row, number in zip(rows, keys.numbers(list(zip(*rows, strict=True)), len(rows)).tolist(), strict=True):
            assert numbers.setdefault(key_text(row), number) == number
            assert keys.texts([number])[0] == key_text(row)
    assert len(set(numbers.values())) == len(numbers)


def test_a_forgotten_number_is_given_to_another_key_and_those_kept_stay() -> None:
    keys = KeyDictionary()
    a, b, none = keys.numbers([["a", "b", None]], 3)
    keys.mark_stored(np.array([a, b]))
    keys.forget_except([np.array([b])])
    assert len(keys) == 3
    c, again, d = keys.numbers([["c", "b", "d"]], 3)
    assert again == b
    assert {c, d} == {a, none}
    assert keys.ids(np.array([c])) == [key_id('["c"]')]
    assert keys.unstored([np.array([c, b]), np.array([c])]).tolist() == [c]


def test_order_sorts_as_ids_do() -> None:
    keys = KeyDictionary()
    numbers = keys.numbers([[str(i) for i in range(2000)]], 2000)
    by_order = numbers[np.argsort(keys.order(numbers))]
    ids = keys.ids(by_order)
    assert ids == sorted(ids)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_json_cannot_say_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        key_text([value])
