from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.aggregates import Tally, Top
from streamgauge.aggregates.states import Tally as TallyState
from streamgauge.errors import DeclarationError
from streamgauge.testing.laws import Trial

TEXTS = st.lists(st.sampled_from("abcdefgh"), max_size=40)


@given(TEXTS)
def test_within_the_limit_it_is_a_counter(texts: list[str]) -> None:
    presented = Trial(Tally("x")).presented(texts)
    assert presented == {"": Counter(texts), "_other": 0}
    counts = list(presented[""].values())  # type: ignore[union-attr]
    assert counts == sorted(counts, reverse=True)


@given(TEXTS, st.integers(1, 5))
def test_the_first_texts_are_admitted_and_counted_exactly(texts: list[str], limit: int) -> None:
    admitted = list(dict.fromkeys(texts))[:limit]
    expected = {t: texts.count(t) for t in admitted}
    other = len(texts) - sum(expected.values())
    assert Trial(Tally("x", limit)).presented(texts) == {"": expected, "_other": other}


def test_a_text_admitted_earlier_is_counted_though_its_slice_has_too_many() -> None:
    trial = Trial(Tally("x", 2))
    cell = trial.fold([[(0, 0, "old")], [(1, i, t) for i, t in enumerate(["p", "q", "r", "old"], start=1)]])
    assert trial.present(cell) == {"": {"old": 2, "p": 1}, "_other": 2}


def test_a_text_called_other_is_a_text_like_any_other() -> None:
    presented = Trial(Tally("x", 2)).presented(["other", "null", "all", "other"])
    assert presented == {"": {"other": 2, "null": 1}, "_other": 1}


def test_equal_counts_are_in_the_order_of_the_texts() -> None:
    presented = Trial(Tally("x")).presented(["é", "z", "A", "a"])
    assert list(presented[""]) == ["A", "a", "z", "é"]  # type: ignore[arg-type]


def test_a_loaded_state_that_was_never_merged_is_stored_within_the_limit() -> None:
    state = TallyState(1)
    loaded = state.load((["b", "a", "b"], [1, 1, 1], [5, 3, 7]))
    assert loaded == ({"a": 1, "b": 2}, 0)
    assert state.pack(loaded) == [["a"], [1], 2]
    assert state.merge(loaded, ({"b": 1}, 0)) == ({"a": 1}, 3)


def test_1001_texts_are_1000_and_one_other() -> None:
    presented = Trial(Tally("x")).presented([f"{i:04}" for i in range(1001)])
    assert len(presented[""]) == 1000  # type: ignore[arg-type]
    assert presented["_other"] == 1


def test_limits_are_part_of_state_and_formula() -> None:
    assert Tally("x").formula() == "tally(x)"
    assert Tally("x", 50, where="y").formula() == "tally(x, 50) FILTER (WHERE y)"
    assert Tally("x", 50).states() == Top("x", 5, 50).states() != Tally("x").states()


@pytest.mark.parametrize("limit", [0, -1, 2.5, 10**7, "50", True], ids=repr)
def test_a_bad_limit_is_refused(limit: int) -> None:
    with pytest.raises(DeclarationError, match="the limit of tally must be"):
        Tally("x", limit)
