"""Own health, and measures of statistics that ask for it, for Prometheus: by its official client, in OpenMetrics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamgauge.bound import BoundStatistic
from streamgauge.clock import Clock
from streamgauge.event import MAX_TIME_MS, MIN_TIME_MS
from streamgauge.output.cells import CellColumns
from streamgauge.output.present import Query
from streamgauge.scope import Scope as Seen
from streamgauge.serve.base import Condition, Health, Reads, SourceStatus, Station
from streamgauge.serve.describe import UTC, key_columns
from streamgauge.serve.query import presenter_of, states_of

MOST_KEYS = 1000
"""Keys of a statistic that are shown; the rest is left out, and counted."""

_NUMBERS = ("int", "float")


class Requests:
    """Middleware that counts requests and their time, by route."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry, clock: Clock) -> None:
        self._app, self._clock = app, clock
        self._count = Counter("streamgauge_requests", "Requests answered.", ["route", "status"], registry=registry)
        self._seconds = Histogram("streamgauge_request_seconds", "Time to answer.", ["route"], registry=registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = self._clock.monotonic_s(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._count.labels(route, str(status)).inc()
            self._seconds.labels(route).observe(self._clock.monotonic_s() - began)


class Found(Collector):
    """Metrics that were made for one answer."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def rendered(registries: Sequence[Any], accept: str) -> tuple[bytes, str]:
    """All metrics, and their media type: OpenMetrics, unless only the older text is accepted."""
    joined = _Joined(registries)
    if "text/plain" in accept and "openmetrics" not in accept:
        return exposition.generate_latest(joined), exposition.CONTENT_TYPE_LATEST
    return openmetrics.generate_latest(joined), openmetrics.CONTENT_TYPE_LATEST  # type: ignore[no-untyped-call]


class _Joined:
    def __init__(self, registries: Sequence[Any]) -> None:
        self._registries = registries

    def collect(self) -> Iterator[Metric]:
        for registry in self._registries:
            yield from registry.collect()


def own_metrics(station: Station, reads: Reads, health: Health, names: Iterable[str]) -> list[Metric]:
    """What is known of the program and its sources, and the measures of these statistics."""
    seen = Seen.all
    found = [_health(health), *_sources(station.sources(reads, seen)), _watermarks(station, reads)]
    found += _tallies(station.tallies(reads, None, None))
    for name in names:
        if name in station.statistics:
            statistic = station.statistics[name]
            found += statistic_metrics(reads, statistic, station.standing(reads, statistic).watermark)
    return found


def _gauge(name: str, help_: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], Any]]) -> Metric:
    family = GaugeMetricFamily(f"streamgauge_{name}", help_, labels=labels)
    for values, value in rows:
        if value is not None:
            family.add_metric(list(map(_label, values)), float(value))
    return family


def _label(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _health(health: Health) -> Metric:
    rows = [([part.name, c.value], part.condition is c) for part in health.parts for c in Condition]
    return _gauge("health", "1 for the condition that the part is in.", ["part", "condition"], rows)


def _sources(sources: Sequence[SourceStatus]) -> Iterator[Metric]:
    def rows(value: Callable[[SourceStatus], float | None]) -> list[tuple[Sequence[str], Any]]:
        # Several lanes of a store may have one name.
        return list({(s.name,): ([s.name], value(s)) for s in sources}.values())

    def seconds(ms: int | None) -> float | None:
        return None if ms is None or not MIN_TIME_MS <= ms < MAX_TIME_MS else ms / 1000

    yield _gauge("source_lag_seconds", "How far the source is behind.", ["source"], rows(lambda s: seconds(s.lag_ms)))
    last = rows(lambda s: seconds(s.last_event_ms))
    yield _gauge("source_last_event_timestamp_seconds", "Time of its newest event.", ["source"], last)
    marks = rows(lambda s: seconds(s.watermark_ms))
    yield _gauge("source_watermark_timestamp_seconds", "Up to when it is complete.", ["source"], marks)
    rate = rows(lambda s: s.events_per_s)
    yield _gauge("source_events_per_second", "Events that it brings.", ["source"], rate)


def _watermarks(station: Station, reads: Reads) -> Metric:
    rows = []
    for name, statistic in sorted(station.statistics.items()):
        watermark = station.standing(reads, statistic).watermark
        if MIN_TIME_MS <= watermark < MAX_TIME_MS:
            rows.append(([name], watermark / 1000))
    return _gauge("watermark_timestamp_seconds", "Up to when a statistic is complete.", ["statistic"], rows)


def _tallies(tallies: Mapping[tuple[str, bool], int]) -> Iterator[Metric]:
    letters = CounterMetricFamily("streamgauge_dead_letters", "Messages that became no event.", labels=["reason"])
    duplicates = CounterMetricFamily("streamgauge_duplicates", "Events that were there already.")
    counts: dict[str, int] = {}
    for (reason, _), count in tallies.items():
        counts[reason] = counts.get(reason, 0) + count
    duplicates.add_metric([], counts.pop("duplicate", 0))
    for reason, count in sorted(counts.items()):
        letters.add_metric([_label(reason)], count)
    yield from (letters, duplicates)


def statistic_metrics(reads: Reads, statistic: BoundStatistic, watermark: int) -> list[Metric]:
    """The numbers of a statistic's last final window of its shortest length, a gauge for each; null is left out."""
    length, presenter = statistic.windows.lengths[0], presenter_of(statistic)
    start = _last_final(reads, statistic, watermark)
    if start is None:
        return []
    wanted = list(enumerate(states_of(statistic)))
    cells = reads.cells(statistic.version, length.text, wanted, MOST_KEYS, start, start + 1)
    if not len(cells):
        return []
    names = [name for name, _ in statistic.by]
    made = CellColumns(statistic, presenter.shown, length, names, UTC, watermark)
    columns = made.of(cells)
    keys = (key_columns(statistic, json.loads(key)).values() for key in cells.keys)
    labels = [list(map(label_of, key)) for key in keys]
    found = []
    measured = {name for shown in presenter.shown for name in (*shown.columns, shown.low)}
    for column, values in zip(presenter.columns(Query(length.text)), columns, strict=True):
        if column.type in _NUMBERS and column.name in measured | {"events"}:
            name, window = f"cell_{statistic.name}_{column.name}", f"the last final {length.text} window"
            of_keys = zip(labels, values, strict=True)
            found.append(_gauge(name, f"{column.name} of {window}.", ["row", *names], of_keys))
    return found


def label_of(value: Any) -> str:
    """A part of a key as a label. No two of one type are the same: an empty label would be none at all.

    >>> label_of("north"), label_of(None), label_of("null"), label_of(""), label_of(200)
    ('north', 'null', '"null"', '""', '200')
    """
    if isinstance(value, str) and value and value != "null" and not value.startswith('"'):
        return value
    return json.dumps(value)


def _last_final(reads: Reads, statistic: BoundStatistic, watermark: int) -> int | None:
    """The start of the last window that has ended for good, if it has any cell."""
    length, windows = statistic.windows.lengths[0], statistic.windows
    newest = reads.next_start(statistic.version, length.text, MAX_TIME_MS, descending=True)
    reached = watermark - statistic.delay_ms - statistic.lateness_ms
    if newest is None or reached < MIN_TIME_MS:
        return None
    if windows.stop(length, newest) <= reached:
        ended = newest if reached >= MAX_TIME_MS else windows.start(length, windows.start(length, reached) - 1)
        return newest if newest == ended else None
    return windows.start(length, windows.start(length, reached) - 1)
