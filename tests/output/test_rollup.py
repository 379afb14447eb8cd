"""Roll-ups: fewer keys give what a statistic declared with just these keys would have."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.aggregates import (
    count,
    distinct,
    first,
    histogram,
    latest,
    max,
    mean,
    min,
    proportion,
    quantiles,
    sum,
    tally,
    variance,
)
from streamgauge.errors import UsageError
from streamgauge.output.present import Query
from tests.output.made import Event, presenter, statistic

V = "body.v::BIGINT"
OK = "body.ok = '1'"
BY = {"a": "body.a", "b": "body.b::BIGINT", "c": "body.c"}


def everything() -> dict[str, Any]:
    n = count()
    return {
        "n": n,
        "share": proportion(count(OK), n),
        "total": sum(V),
        "least": min(V),
        "most": max(V),
        "mean": mean(V),
        "variance": variance(V),
        "q": quantiles(V, 0.5, 0.99),
        "values": distinct(V),
        "texts": tally(V),
        "bins": histogram(V, 0, 10),
        "first": first(V),
        "last": latest(V),
    }


EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "time": st.integers(-1, 30).map(lambda n: n * 60_000),
            "body.a": st.sampled_from(["x", "y", None, "all"]),
            "body.b::BIGINT": st.sampled_from([1, 2, None]),
            "body.c": st.sampled_from(["p", "q"]),
            V: st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 15),
            OK: st.booleans(),
            "wrong": st.sampled_from([[], ["v"]]),
        }
    ),
    max_size=30,
)


@given(events=EVENTS, by=st.permutations(list(BY)).flatmap(lambda k: st.integers(0, 3).map(lambda n: k[:n])))
def test_a_roll_up_equals_the_statistic_declared_with_fewer_keys(events: list[Event], by: list[str]) -> None:
    late = list(range(0, len(events), 5))
    fine = statistic("s", everything(), by=BY)
    coarse = statistic("s", everything(), by={name: BY[name] for name in by})
    with presenter(fine, events, late=late) as shown, presenter(coarse, events, late=late) as expected:
        assert list(shown.rows(Query(by=tuple(by)))) == list(expected.rows(Query()))
        assert shown.count(Query(by=tuple(by))) == expected.count(Query())


def test_rows_all_and_other_pass_through_a_roll_up_that_keeps_a_key() -> None:
    bound = statistic("s", {"n": count()}, by={"a": "body.a", "c": "body.c"}, totals=True, max_keys=3)
    events = [{"time": 0, "body.a": a, "body.c": c} for a in "xy" for c in "pqr"]
    with presenter(bound, events) as shown:
        assert [(r["row"], r["a"], r["n"]) for r in shown.rows(Query(by=("a",)))] == [
            ("all", None, 6),
            ("other", None, 3),
            ("key", "x", 3),
        ]
        assert [(r["row"], r["n"]) for r in shown.rows(Query(by=()))] == [("all", 6)]


def test_late_events_are_added_up_and_the_revision_is_the_last() -> None:
    bound = statistic("s", {"n": count()}, by={"a": "body.a"})
    with presenter(bound, [{"time": 0, "body.a": a} for a in "zzyx"], late=[0, 1, 2]) as shown:
        (row,) = shown.rows(Query(by=()))
        assert (row["events"], row["late"], row["revision"]) == (4, 3, 2)
    with presenter(bound, [{"time": 0, "body.a": a} for a in "yxz"], late=[1, 0]) as shown:
        (row,) = shown.rows(Query(by=()))
        assert (row["late"], row["revision"]) == (2, 1)


def test_without_totals_other_is_merged_into_the_only_row() -> None:
    bound = statistic("s", {"n": count()}, by={"a": "body.a"}, max_keys=2)
    with presenter(bound, [{"time": 0, "body.a": a} for a in "xyzw"]) as shown:
        assert [(r["row"], r["n"]) for r in shown.rows(Query(by=()))] == [("all", 4)]


class TestLists:
    BY = {"tag": "body.tags::VARCHAR[]", "host": "body.host"}
    TAGS = (["x", "y"], ["x"], [])
    EVENTS = [{"time": 0, "body.tags::VARCHAR[]": t, "body.host": h} for t, h in product(TAGS, "ab")]

    def test_other_keys_may_be_rolled_away_from_a_list(self) -> None:
        with presenter(statistic("s", {"n": count()}, by=self.BY), self.EVENTS) as shown:
            assert [(r["tag"], r["n"]) for r in shown.rows(Query(by=("tag",)))] == [("x", 4), ("y", 2), (None, 2)]

    @pytest.mark.parametrize("by", [("host",), ()])
    def test_a_list_may_not_be_rolled_away(self, by: tuple[str, ...]) -> None:
        problem = "key 'tag' of statistic 's' is a list: an event counts under each of its elements"
        bound = statistic("s", {"n": count()}, by=self.BY)
        with presenter(bound, self.EVENTS) as shown, pytest.raises(UsageError, match=problem):
            shown.rows(Query(by=by))

    def test_with_totals_one_row_per_window_is_read_from_all(self) -> None:
        with presenter(statistic("s", {"n": count()}, by=self.BY, totals=True), self.EVENTS) as shown:
            assert [(r["row"], r["n"]) for r in shown.rows(Query(by=()))] == [("all", 6)]
            with pytest.raises(UsageError, match="is a list"):
                shown.rows(Query(by=("host",)))


def test_a_rolled_up_mean_is_that_of_all_events_and_not_of_means() -> None:
    bound = statistic("s", {"m": mean(V)}, by={"a": "body.a"})
    values = [("x", 1), ("x", 2), ("x", 3), ("y", 10)]
    with presenter(bound, [{"time": 0, "body.a": a, V: v} for a, v in values]) as shown:
        (row,) = shown.rows(Query(by=()))
        assert math.isclose(row["m"], 4.0)  # type: ignore[arg-type]
