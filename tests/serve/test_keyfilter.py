"""Which keys are asked for: the database may give more than match, never less."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.bound import BoundStatistic
from streamgauge.serve.keyfilter import KeyFilter, exact_key, key_filter
from streamgauge.serve.problems import Problem
from streamgauge.store.base import ALL_TEXT, OTHER_TEXT, key_id, key_text
from tests.declaring import declared

DECLARED = """
[statistic.s]
topic = "*"
every = ["1h"]
by = { a = "body.a", n = "body.n::BIGINT", x = "body.x::DOUBLE" }
[statistic.s.measures]
count = "count()"
"""


@pytest.fixture(scope="module")
def statistic() -> BoundStatistic:
    return declared(DECLARED).statistics["s"]


TEXTS = st.sampled_from(["", "a", "ab", "A", '"', ",", '","', "\\", "%", "\u00e9", "\U0001f600", "null", "1"])
NUMBERS = st.integers(-2, 12)
KEYS = st.tuples(st.none() | TEXTS, st.none() | NUMBERS, st.none() | st.sampled_from([0.0, 1.0, 2.5]))
ASKED = st.lists(
    st.tuples(st.just("key.a"), TEXTS)
    | st.tuples(st.just("key.a__prefix"), TEXTS)
    | st.tuples(st.sampled_from(["key.a__null", "key.n__null"]), st.sampled_from(["true", "false"]))
    | st.tuples(st.just("key.n"), NUMBERS.map(str))
    | st.tuples(st.just("key.x"), st.sampled_from(["0", "1.0", "2.5"])),
    max_size=4,
)


def in_database(found: KeyFilter, text: str) -> bool:
    """Whether the statement would give the key."""
    ids, groups = found.ids, found.containing
    return (ids is None or key_id(text) in ids) and all(any(part in text for part in group) for group in groups)


def expected(asked: list[tuple[str, str]], key: tuple[Any, ...]) -> bool:
    """The meaning of the parameters, said in another way."""
    for place, (name, read) in enumerate((("a", str), ("n", int), ("x", float))):
        own = [(how, text) for how, text in asked if how.removeprefix("key.").split("__")[0] == name]
        null = next((text == "true" for how, text in reversed(own) if how.endswith("__null")), None)
        values = [read(text) for how, text in own if how == f"key.{name}"]
        prefixes = [text for how, text in own if how.endswith("__prefix")]
        value = key[place]
        if not own:
            continue
        if value is None:
            good = null is True
        elif values or prefixes:
            good = value in values or any(str(value).startswith(p) for p in prefixes)
        else:
            good = null is False
        if not good:
            return False
    return True


@given(asked=ASKED, key=KEYS)
def test_the_database_gives_what_matches(
    statistic: BoundStatistic, asked: list[tuple[str, str]], key: tuple[Any, ...]
) -> None:
    found, text = key_filter(statistic, asked), key_text(key)
    assert found.matches(text) == expected(asked, key)
    assert not found.matches(text) or in_database(found, text)
    if found.ids is not None:
        assert found.matches(text) == in_database(found, text)


def test_rows_of_all_and_other_are_no_keys(statistic: BoundStatistic) -> None:
    none, some = key_filter(statistic, []), key_filter(statistic, [("key.a", "all")])
    assert (none.matches(ALL_TEXT), none.matches(OTHER_TEXT)) == (True, True)
    assert (some.matches(ALL_TEXT), some.matches(OTHER_TEXT)) == (False, False)


def test_a_whole_key_is_named_by_its_id(statistic: BoundStatistic) -> None:
    asked = [("key.a", "x"), ("key.n", "5"), ("key.x", "-0.0")]
    assert key_filter(statistic, asked).ids == [key_id('["x",5,0.0]')]
    assert exact_key(statistic, asked) == '["x",5,0.0]'
    assert exact_key(statistic, [("key.a__null", "1"), ("key.n", "5"), ("key.x", "1")]) == "[null,5,1.0]"


@pytest.mark.parametrize("asked", [[], [("key.a", "x")], [("key.a", "x"), ("key.a", "y")], [("key.a__prefix", "x")]])
def test_one_cell_needs_its_whole_key(statistic: BoundStatistic, asked: list[tuple[str, str]]) -> None:
    with pytest.raises(Problem, match="its whole key is needed"):
        exact_key(statistic, asked)


def test_too_many_keys_are_asked_for_by_their_parts(statistic: BoundStatistic) -> None:
    asked = [(f"key.{name}", str(n)) for name in "anx" for n in range(10)]
    found = key_filter(statistic, asked)
    assert found.ids is None
    assert [len(group) for group in found.containing] == [10, 10, 10]
