"""Drill-down and coverage: what a station with a log and a watermark makes of the same store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from streamgauge.bound import BoundStatistic
from streamgauge.declare import Declarations
from streamgauge.scope import Scope
from streamgauge.serve.base import (
    CellName,
    Condition,
    Gone,
    Health,
    Interval,
    LoggedEvent,
    Part,
    Reads,
    ServeSettings,
    Standing,
)
from streamgauge.serve.metrics import label_of
from streamgauge.serve.station import StoreStation
from streamgauge.store.base import ALL_TEXT
from tests.serve.serving import CARRIERS, HOUR, MINUTE, QUIET, Client, T, events, opened, served


class ListLog:
    """A log in memory: it counts what the statistics of these tests count."""

    def __init__(self, kept: Sequence[Mapping[str, Any]]) -> None:
        self.kept = [
            LoggedEvent(n, e["time"], "call", "http", json.dumps(e).encode(), str(e["id"])) for n, e in enumerate(kept)
        ]
        self.asked: list[CellName] = []

    def events_of(self, cell: CellName, after: int, limit: int, scope: Scope, limit_s: float) -> list[LoggedEvent]:
        assert scope is Scope.all
        self.asked.append(cell)
        if cell.start_ms < T:
            raise Gone("the log is kept since 2023-11-14T22:00:00Z")
        names = [name for name, _ in cell.statistic.by]

        def counted(event: LoggedEvent) -> bool:
            body = json.loads(event.body)
            return cell.key == ALL_TEXT or [body[name] for name in names] == json.loads(cell.key)

        inside = (e for e in self.kept if cell.start_ms <= e.time_ms < cell.stop_ms and e.position > after)
        return [e for e in inside if counted(e)][:limit]

    def event(self, position: int, scope: Scope, limit_s: float) -> LoggedEvent | None:
        if limit_s <= 0:
            raise TimeoutError
        return self.kept[position] if position < len(self.kept) else None


@dataclass
class LiveStation(StoreStation):
    """A station that knows more than the store: a watermark, coverage, health."""

    station: StoreStation
    event_log: ListLog
    reached: int = T + 5 * HOUR + 30 * MINUTE
    covered: Sequence[Interval] = ((T, T + 2 * HOUR), (T + QUIET * HOUR - 30 * MINUTE, T + 6 * HOUR))
    parts: list[Part] = field(default_factory=list)
    ready: bool = True

    def __post_init__(self) -> None:
        super().__init__(self.station.statistics, self.station.readings, "report", self.event_log)

    def standing(self, reads: Reads, statistic: BoundStatistic) -> Standing:
        return Standing(1, 1, self.reached)

    def coverage(self, reads: Reads, statistic: BoundStatistic, start_ms: int, stop_ms: int) -> Sequence[Interval]:
        return self.covered

    def health(self) -> Health:
        return Health(self.parts, self.ready, "" if self.ready else "it is catching up")


@pytest.fixture(scope="module")
def live(store: tuple[Declarations, Path]) -> Iterator[tuple[LiveStation, Client]]:
    with opened(*store) as station:
        found = LiveStation(station, ListLog(events()))
        with served(found, ServeSettings(port=0, metrics=("quality", "volume"))) as url, Client(url) as client:
            yield found, client


Live = tuple[LiveStation, Client]


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_cell_opens_to_the_very_events_that_it_counted(live: Live, carrier: str | None) -> None:
    _, client = live
    named = {"key.carrier": carrier} if carrier is not None else {"key.carrier__null": "true"}
    start = T + HOUR
    pages = client.pages("/v1/statistics/quality/events", every="1h", start=start, limit=7, **named)
    found = [event for page in pages for event in page["events"]]
    inside = [e for e in events() if start <= e["time"] < start + HOUR and e["carrier"] == carrier]
    assert [event["body"] for event in found] == inside
    assert pages[0]["counted"] == len(inside)
    assert (pages[0]["row"], pages[0]["carrier"], pages[0]["start"]) == ("key", carrier, "2023-11-14T23:00:00Z")
    assert [event["position"] for event in found] == sorted(event["position"] for event in found)


def test_any_time_in_the_window_names_it(live: Live) -> None:
    station, client = live
    client.json("/v1/statistics/volume/events", every="6m", start=T + 7 * MINUTE)
    cell = station.event_log.asked[-1]
    assert (cell.start_ms, cell.stop_ms, cell.key, cell.every.text) == (T + 6 * MINUTE, T + 12 * MINUTE, "[]", "6m")


def test_the_row_of_totals_opens_too(live: Live) -> None:
    _, client = live
    found = client.json("/v1/statistics/tags/events", start=T, row="all", limit="max")
    assert (found["row"], found["counted"]) == ("all", len(found["events"]))
    assert (
        "leave out row, or key.tag" in client.problem("/v1/statistics/tags/events?start=0&row=all&key.tag=a")["detail"]
    )


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"every": "1h", "key.carrier": "x"}, "start"),
        ({"start": T}, "key.carrier"),
        ({"start": T, "key.carrier__prefix": "x"}, "key.carrier"),
        ({"start": T, "key.carrier": "x", "row": "total"}, "row"),
        ({"start": T, "key.carrier": "x", "stop": T}, "stop"),
    ],
)
def test_which_cell_must_be_said(live: Live, query: dict[str, Any], parameter: str) -> None:
    assert live[1].problem("/v1/statistics/quality/events", **query)["parameter"] == parameter


def test_a_window_without_a_cell_has_no_events(live: Live) -> None:
    found = live[1].json("/v1/statistics/volume/events", every="1h", start=T + QUIET * HOUR)
    assert (found["counted"], found["events"], found["next"]) == (0, [], None)


def test_what_the_log_has_deleted_is_gone(live: Live) -> None:
    found = live[1].problem("/v1/statistics/months/events", every="1mo", start=T)
    assert (found["status"], found["detail"]) == (410, "the log is kept since 2023-11-14T22:00:00Z")


def test_an_event_by_its_position(live: Live) -> None:
    _, client = live
    found = client.json("/v1/events/3")
    assert (found["position"], found["topic"], found["body"]) == (3, "call", events()[3])
    assert client.problem("/v1/events/99999")["status"] == 404
    assert client.problem("/v1/events/-1")["parameter"] == "position"


def test_zeros_gaps_and_what_is_not_over_yet_are_told_apart(live: Live) -> None:
    found = live[1].cells("volume", every="1h", gaps="true")
    # The third hour is covered in part only; the quiet one wholly; the last is not over.
    assert [row["coverage"] for row in found] == ["covered", "covered", "gap", "covered", "covered", "open"]
    assert [row["n"] for row in found].count(0) == 1
    assert (found[QUIET]["n"], found[QUIET]["events"], found[QUIET]["last"]) == (0, 0, None)
    assert found[2]["n"] > 0, "what came is shown, even where more may have come"


def test_a_gap_without_a_cell_is_null(live: Live) -> None:
    station, client = live
    station.covered = ((T, T + HOUR),)
    (row,) = client.cells("volume", every="1h", gaps="true", coverage__eq="gap", start=T + QUIET * HOUR, limit=1)
    assert (row["n"], row["events"]) == (None, None)
    station.covered = LiveStation.covered


def test_windows_past_the_watermark_are_provisional(live: Live) -> None:
    found = live[1].json("/v1/statistics/volume/cells", every="1h")
    assert [row["state"] for row in found["cells"]] == ["final"] * 4 + ["provisional"]
    assert (found["watermark"], found["final"]) == ("2023-11-15T03:30:00.000Z", False)


def test_health_is_that_of_the_worst_part(live: Live) -> None:
    station, client = live
    station.parts = [Part("log", Condition.DEGRADED, "kept longer than its retention")]
    assert client.json("/healthz")["status"] == "degraded"
    station.parts = [Part("pipeline", Condition.FAILING, "it has stopped")]
    found = client.get("/healthz")
    assert (found.status_code, found.json()["parts"][0]["why"]) == (503, "it has stopped")
    station.parts, station.ready = [], False
    found = client.get("/readyz")
    assert (found.status_code, found.json()) == (503, {"ready": False, "why": "it is catching up"})
    station.ready = True


def test_metrics_are_openmetrics_that_the_official_parser_reads(live: Live) -> None:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    _, client = live
    client.get("/v1/statistics")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    found = {family.name: family for family in text_string_to_metric_families(answer.text)}
    samples = {(s.name, s.labels["carrier"]): s.value for s in found["streamgauge_cell_quality_attempts"].samples}
    window = T + 5 * HOUR + 24 * MINUTE  # the last that the watermark has passed
    for carrier in CARRIERS:
        inside = sum(window <= e["time"] < window + 6 * MINUTE and e["carrier"] == carrier for e in events())
        if inside:
            assert samples["streamgauge_cell_quality_attempts", label_of(carrier)] == inside
    requests = {(s.labels["route"], s.labels["status"]) for s in found["streamgauge_requests"].samples if s.labels}
    assert ("/v1/statistics", "200") in requests
    assert found["streamgauge_watermark_timestamp_seconds"].samples[0].value == (T + 5.5 * HOUR) / 1000
    assert sum(s.value for s in found["streamgauge_dead_letters"].samples) == 2


def test_metrics_in_the_older_text_for_those_who_want_it(live: Live) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    answer = live[1].http.get("/metrics", headers={"Accept": "text/plain"})
    assert answer.headers["content-type"].startswith("text/plain")
    assert len(list(text_string_to_metric_families(answer.text))) > 10
