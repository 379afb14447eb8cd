from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.aggregates import Top
from streamgauge.errors import DeclarationError
from streamgauge.testing.laws import Trial


@given(st.lists(st.sampled_from("abcdefgh")), st.integers(1, 10))
def test_it_lists_the_most_frequent(texts: list[str], k: int) -> None:
    presented = Trial(Top("x", k)).presented(texts)
    listed = presented[""]
    assert isinstance(listed, list)
    assert [n for _, n in listed] == [n for _, n in Counter(texts).most_common(k)]
    assert dict(listed).items() <= Counter(texts).items()
    assert presented["_other"] == len(texts) - sum(n for _, n in listed)


def test_equal_counts_are_in_the_order_of_the_texts() -> None:
    assert Trial(Top("x", 2)).presented(["c", "b", "a"]) == {"": [["a", 1], ["b", 1]], "_other": 1}


def test_what_comes_after_the_limit_is_never_listed_and_other_shows_it() -> None:
    assert Trial(Top("x", 1, 2)).presented(["a", "b", "c", "c", "c"]) == {"": [["a", 1]], "_other": 4}


def test_a_great_k_raises_the_limit() -> None:
    assert Top("x", 5000).limit == 5000
    assert Top("x", 10).limit == 1000


@pytest.mark.parametrize("arguments", [("x",), ("x", 0), ("x", 10, 5), ("x", 1, 2, 3), ("x", "10")], ids=str)
def test_bad_arguments_are_refused(arguments: tuple[str, int]) -> None:
    with pytest.raises(DeclarationError, match="top"):
        Top(*arguments)
