"""Rows: what they hold, in which order, and which queries are refused."""

from __future__ import annotations

from typing import Any

import pytest

from streamgauge.aggregates import (
    count,
    distinct,
    first,
    latest,
    mean,
    proportion,
    quantiles,
    quotient,
    rate,
    sum,
    tally,
)
from streamgauge.errors import UsageError
from streamgauge.event import FOREVER, NEVER
from streamgauge.output.present import Presenter, Query
from tests.output.made import Event, presenter, statistic

T0 = 1_735_689_600_000  # 2025-01-01T00:00:00Z
MINUTE = 60_000
ANSWERED = "body.answer IS NOT NULL"

answered, attempts = count(ANSWERED), count()
CALLS = statistic(
    "calls",
    {"attempts": attempts, "asr": proportion(answered, attempts), "talk_s": sum("body.talk::BIGINT")},
    by={"carrier": "body.carrier"},
    every=["6m", "1h", "1d"],
    min_n=3,
)


def call(minute: float, carrier: Any = "acme", talk: int | None = None, **more: Any) -> Event:
    event = {"time": T0 + int(minute * MINUTE), "body.carrier": carrier, "body.talk::BIGINT": talk}
    return {**event, ANSWERED: talk is not None, **more}


def only(shown: Presenter, **query: Any) -> dict[str, Any]:
    (row,) = shown.rows(Query(**query))
    return row


def test_a_row_holds_window_key_events_measures_and_quality_in_this_order() -> None:
    events = [call(1, talk=7), call(2), call(5, talk=4, wrong=["body.pdd::BIGINT"]), call(5.99)]
    with presenter(CALLS, events, late=[1]) as shown:
        row = only(shown)
        assert list(row.items()) == [
            ("statistic", "calls"),
            ("every", "6m"),
            ("window_by", "time"),
            ("start", "2025-01-01T00:00:00Z"),
            ("stop", "2025-01-01T00:06:00Z"),
            ("start_ms", T0),
            ("stop_ms", T0 + 6 * MINUTE),
            ("row", "key"),
            ("carrier", "acme"),
            ("events", 4),
            ("attempts", 4),
            ("asr", 0.5),
            ("asr_lower", pytest.approx(0.150039, abs=1e-6)),
            ("asr_upper", pytest.approx(0.849961, abs=1e-6)),
            ("asr_n", 4),
            ("asr_low", False),
            ("talk_s", 11),
            ("late", 1),
            ("revision", 1),
            ("wrong_types", {"body.pdd::BIGINT": 1}),
            ("state", "final"),
        ]
        assert [c.name for c in shown.columns(Query())] == list(row)


def test_where_nothing_was_late_or_wrong_revision_and_wrong_types_are_null() -> None:
    with presenter(CALLS, [call(0)]) as shown:
        row = only(shown)
        assert (row["late"], row["revision"], row["wrong_types"]) == (0, None, None)


@pytest.mark.parametrize(("n", "low"), [(2, True), (3, False)])
def test_a_proportion_is_low_below_min_n_and_not_at_it(n: int, low: bool) -> None:
    with presenter(CALLS, [call(0)] * n) as shown:
        assert only(shown)["asr_low"] is low


def test_without_min_n_no_column_says_low() -> None:
    bound = statistic("calls", {"asr": proportion(answered, attempts)})
    with presenter(bound, [call(0)]) as shown:
        assert [c.name for c in shown.columns(Query()) if c.name.startswith("asr")] == [
            "asr", "asr_lower", "asr_upper", "asr_n",
        ]  # fmt: skip


def test_hidden_measures_serve_their_ratio_and_are_not_shown() -> None:
    bound = statistic("calls", {"minutes": quotient(sum("body.talk::BIGINT"), count())})
    with presenter(bound, [call(0, talk=3), call(1)]) as shown:
        row = only(shown)
        assert row["minutes"] == 1.5
        assert not any(name.startswith("_") for name in row)


def test_a_ratio_may_be_declared_before_its_operands() -> None:
    bound = statistic("calls", {"share": quotient("talk", "n"), "n": count(), "talk": sum("body.talk::BIGINT")})
    with presenter(bound, [call(0, talk=3), call(0, talk=6)]) as shown:
        row = only(shown)
        assert [row["share"], row["n"], row["talk"]] == [4.5, 2, 9]


def test_keys_have_the_type_of_their_expression_and_null_stays_null() -> None:
    by = {"carrier": "body.carrier", "code": "body.code::BIGINT", "price": "body.price::DOUBLE", "ok": "body.a = 'b'"}
    bound = statistic("calls", {"n": count()}, by=by)
    keys = {"body.carrier": "200", "body.code::BIGINT": 200, "body.price::DOUBLE": 0.5, "body.a = 'b'": True}
    events: list[Event] = [{"time": T0, **keys}, {"time": T0, **dict.fromkeys(keys)}]
    with presenter(bound, events) as shown:
        rows = list(shown.rows(Query()))
        assert [[row[name] for name in by] for row in rows] == [["200", 200, 0.5, True], [None] * 4]
        assert [c.type for c in shown.columns(Query()) if c.help == "key"] == ["text", "int", "float", "bool"]


def test_first_and_latest_have_the_type_of_their_argument() -> None:
    measures = {
        "code": latest("body.code::BIGINT"),
        "name": first("body.name"),
        "flag": first("body.a = 'b'"),
        "talk_ms": mean("body.code::BIGINT"),
        "p": quantiles("body.price::DOUBLE", 0.5),
        "names": distinct("body.name"),
        "codes": tally("body.name"),
    }
    types = {c.name: (c.type, c.unit) for c in Presenter(statistic("s", measures), None, 0).columns(Query())}  # type: ignore[arg-type]
    assert {name: types[name] for name in types if name.split("_")[0] in measures} | {"talk_ms": types["talk_ms"]} == {
        "code": ("int", ""),
        "name": ("text", ""),
        "flag": ("bool", ""),
        "talk_ms": ("float", "ms"),
        "p_p50": ("float", ""),
        "names": ("int", ""),
        "codes": ("map", ""),
        "codes_other": ("int", ""),
    }


def test_the_words_null_all_and_other_are_keys_like_any_other() -> None:
    bound = statistic("calls", {"n": count()}, by={"carrier": "body.carrier"}, totals=True, max_keys=4)
    keys = ["all", "other", "null", None, "fifth", "sixth"]
    with presenter(bound, [call(0, key) for key in keys]) as shown:
        found = [(row["row"], row["carrier"], row["n"]) for row in shown.rows(Query())]
    assert found == [
        ("all", None, 6),
        ("other", None, 2),
        ("key", "all", 1),
        ("key", "null", 1),
        ("key", "other", 1),
        ("key", None, 1),
    ]


def test_a_statistic_without_keys_has_one_row_per_window_that_is_all() -> None:
    with presenter(statistic("calls", {"n": count()}), [call(0), call(1), call(7)]) as shown:
        assert [(row["row"], row["start_ms"], row["n"]) for row in shown.rows(Query())] == [
            ("all", T0, 2),
            ("all", T0 + 6 * MINUTE, 1),
        ]


class TestState:
    @pytest.mark.parametrize(
        ("watermark", "state", "rate_now"),
        [
            (NEVER, "provisional", None),
            (T0 - 1, "provisional", None),
            (T0, "provisional", None),
            (T0 + MINUTE, "provisional", 3.0),
            (T0 + 6 * MINUTE - 1, "provisional", 180 / 359.999),
            (T0 + 6 * MINUTE, "final", 0.5),
            (FOREVER, "final", 0.5),
        ],
    )
    def test_a_window_is_final_when_the_watermark_is_at_its_end(
        self, watermark: int, state: str, rate_now: float | None
    ) -> None:
        with presenter(statistic("calls", {"r": rate()}), [call(1)] * 180, watermark) as shown:
            row = only(shown)
            assert row["state"] == state
            assert row["r"] == (rate_now if rate_now is None else pytest.approx(rate_now))
            assert row["r_window"] == 0.5

    @pytest.mark.parametrize(("minutes", "state"), [(6 + 60 + 1 - 0.001, "provisional"), (6 + 60 + 1, "final")])
    def test_delay_and_lateness_are_waited_for(self, minutes: float, state: str) -> None:
        bound = statistic("calls", {"n": count()}, time="time", delay="1h", lateness="1m")
        with presenter(bound, [call(0)], T0 + round(minutes * MINUTE)) as shown:
            assert only(shown)["state"] == state

    def test_a_rate_is_over_the_real_length_of_a_day_of_23_hours(self) -> None:
        bound = statistic("calls", {"r": rate()}, every="1d", zone="Europe/Paris")
        spring = 1_743_289_200_000  # 2025-03-30T00:00+01:00, the day on which the clocks skip an hour
        with presenter(bound, [{"time": spring}] * 23) as shown:
            row = only(shown, tz="Europe/Paris")
            assert (row["start"], row["stop"]) == ("2025-03-30T00:00:00+01:00", "2025-03-31T00:00:00+02:00")
            assert row["r"] == row["r_window"] == 1 / 3600


class TestQuery:
    EVENTS = [call(0, "b"), call(1, "a", 5), call(1, "a", 1), call(7, "b", 9), call(70, "c")]

    def rows(self, **query: Any) -> list[tuple[int, str, int]]:
        with presenter(CALLS, self.EVENTS) as shown:
            return [((r["start_ms"] - T0) // MINUTE, r["carrier"], r["talk_s"]) for r in shown.rows(Query(**query))]  # type: ignore[misc, operator]

    def test_rows_come_by_start_and_key_of_the_first_length(self) -> None:
        assert self.rows() == [(0, "a", 6), (0, "b", 0), (6, "b", 9), (66, "c", 0)]

    @pytest.mark.parametrize("every", ["1h", "60m", "3600 s"])
    def test_a_length_may_be_written_in_any_way(self, every: str) -> None:
        assert self.rows(every=every) == [(0, "a", 6), (0, "b", 9), (60, "c", 0)]

    def test_24h_is_not_1d(self) -> None:
        with pytest.raises(UsageError, match="no windows of 24h; statistic 'calls' has 6m, 1h, 1d"):
            self.rows(every="24h")

    def test_start_is_in_and_stop_is_out(self) -> None:
        assert self.rows(start_ms=T0 + 6 * MINUTE, stop_ms=T0 + 66 * MINUTE) == [(6, "b", 9)]
        assert self.rows(start_ms=T0 + 1, stop_ms=T0 + 66 * MINUTE + 1) == [(6, "b", 9), (66, "c", 0)]

    def test_order_by_a_column_keeps_start_and_key_among_equals(self) -> None:
        assert self.rows(order="talk_s") == [(0, "b", 0), (66, "c", 0), (0, "a", 6), (6, "b", 9)]
        assert self.rows(order="-talk_s") == [(6, "b", 9), (0, "a", 6), (0, "b", 0), (66, "c", 0)]
        assert self.rows(order="-carrier") == [(66, "c", 0), (0, "b", 0), (6, "b", 9), (0, "a", 6)]

    @pytest.mark.parametrize("order", ["talk_s", "-talk_s", "carrier", "-start", None])
    @pytest.mark.parametrize("limit", [0, 1, 3, 99])
    def test_a_limit_takes_the_first_rows_of_the_same_order(self, order: str | None, limit: int) -> None:
        assert self.rows(order=order, limit=limit) == self.rows(order=order)[:limit]

    @pytest.mark.parametrize("order", ["code", "-code"])
    def test_nulls_come_last_either_way(self, order: str) -> None:
        bound = statistic("s", {"code": latest("body.code::BIGINT")}, by={"k": "body.k"})
        events = [{"time": T0, "body.k": k, "body.code::BIGINT": v} for k, v in [("a", None), ("b", 1), ("c", 2)]]
        with presenter(bound, events) as shown:
            found = [row["code"] for row in shown.rows(Query(order=order))]
            assert found == ([1, 2, None] if order == "code" else [2, 1, None])

    def test_starts_are_ordered_as_instants_where_clocks_go_back(self) -> None:
        autumn = 1_761_436_800_000  # 2025-10-26T00:00Z: 02:00+02:00 in Paris, and an hour later 02:00+01:00
        events = [{"time": autumn}, {"time": autumn + 60 * MINUTE}, {"time": autumn + 30 * MINUTE}]
        with presenter(statistic("s", {"n": count()}), events) as shown:
            starts = [row["start"] for row in shown.rows(Query(order="start", tz="Europe/Paris"))]
            assert starts == ["2025-10-26T02:00:00+02:00", "2025-10-26T02:30:00+02:00", "2025-10-26T02:00:00+01:00"]

    def test_count_is_of_all_rows_whatever_the_limit(self) -> None:
        with presenter(CALLS, self.EVENTS) as shown:
            assert shown.count(Query(limit=1)) == 4
            assert shown.count(Query(limit=1, start_ms=T0 + 1)) == 2
            assert shown.count(Query(by=())) == len(list(shown.rows(Query(by=())))) == 3
            assert shown.count(Query(every="1h", by=(), stop_ms=T0 + 1)) == 1

    def test_no_cells_are_no_rows(self) -> None:
        with presenter(CALLS, []) as shown:
            assert list(shown.rows(Query())) == []
            assert shown.count(Query()) == 0

    @pytest.mark.parametrize(
        ("query", "problem"),
        [
            (Query(every="5m"), "no windows of 5m; statistic 'calls' has 6m, 1h, 1d"),
            (Query(every="soon"), "not a window length"),
            (Query(by=("carier",)), "has no key 'carier'; did you mean carrier"),
            (Query(by=("carrier", "carrier")), "named twice"),
            (Query(order="asd"), "there is no column 'asd'; did you mean asr"),
            (Query(order="--asr"), "there is no column '-asr'"),
            (Query(order="wrong_types"), "holds a map, which has no order"),
            (Query(limit=-1), "write 0 or more"),
            (Query(tz="Europe/Pariss"), "unknown time zone; did you mean Europe/Paris"),
        ],
    )
    def test_what_cannot_be_answered_is_refused_before_the_first_row(self, query: Query, problem: str) -> None:
        with presenter(CALLS, self.EVENTS) as shown, pytest.raises(UsageError, match=problem):
            shown.rows(query)
