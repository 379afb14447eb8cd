from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from streamgauge.aggregates import Count, Proportion, Quotient, Sum
from streamgauge.aggregates.proportion import wilson
from streamgauge.errors import DeclarationError

COUNTS = st.integers(1, 10**9).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS)
def test_the_interval_is_wilsons(counts: tuple[int, int]) -> None:
    k, n = counts
    expected = binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert list(wilson(k, n)) == pytest.approx([expected.low, expected.high], abs=1e-9)


@given(st.integers(1, 2**70).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_encloses_the_share_within_0_and_1(counts: tuple[int, int]) -> None:
    k, n = counts
    presented = Proportion("k", "n").present_ratio(k, n)
    assert 0 <= presented["_lower"] <= presented[""] <= presented["_upper"] <= 1  # type: ignore[operator]
    assert presented[""] == k / n
    assert presented["_n"] == n


def test_none_of_one_and_all_of_one_have_wide_intervals() -> None:
    assert list(wilson(0, 1)) == pytest.approx([0.0, 0.79345], abs=1e-5)
    assert list(wilson(1, 1)) == pytest.approx([0.20655, 1.0], abs=1e-5)
    assert wilson(0, 1)[0] == 0.0
    assert wilson(1, 1)[1] == 1.0


@pytest.mark.parametrize(("k", "n"), [(0, 0), (3, 2), (1, 0), (-1, 2), (None, 2)])
def test_what_is_no_share_is_null(k: int | None, n: int) -> None:
    assert Proportion("k", "n").present_ratio(k, n) == {"": None, "_lower": None, "_upper": None, "_n": n}


def test_operands_are_counts_or_names() -> None:
    attempts = Count()
    rate = Proportion(Count("answered"), attempts)
    assert rate.denominator is attempts
    assert rate.formula() == "proportion(count(answered), count())"
    assert rate.over("_1", "attempts").formula() == "proportion(_1, attempts)"
    assert rate.formula() == "proportion(count(answered), count())"


def test_what_a_name_stands_for_can_be_checked_later() -> None:
    assert Proportion("k", "n").refusal(Count()) == ""
    assert Proportion("k", "n").refusal(Sum("x")) == "sum(x) is not a count; quotient takes any number"
    assert "is not a count" in Proportion("k", "n").refusal(Quotient("a", "b"))


@pytest.mark.parametrize("arguments", [(), ("a",), ("a", "b", "c"), ("a", 1), ("", "b"), (Sum("x"), "b")], ids=str)
def test_bad_operands_are_refused(arguments: tuple[object, ...]) -> None:
    with pytest.raises(DeclarationError, match="proportion"):
        Proportion(*arguments)  # type: ignore[arg-type]


def test_a_condition_belongs_into_the_operands() -> None:
    with pytest.raises(DeclarationError, match="takes no condition of its own; put the condition into its operands"):
        Proportion("a", "b", where="c")
