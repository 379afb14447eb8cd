"""A small store of made-up events, and a real service on loopback that reads it."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import APIRouter

from streamgauge.clock import SystemClock
from streamgauge.declare import Declarations
from streamgauge.reporting import Report, ReportOptions, run_report
from streamgauge.serve.base import ServeSettings, Station
from streamgauge.serve.rest import create_app
from streamgauge.serve.server import Service
from streamgauge.serve.station import StoreStation
from streamgauge.store.sql_query import SqlReadings
from tests.running import declare, line

HOUR = 3_600_000
MINUTE = 60_000
T = 1_700_000_000_000 // HOUR * HOUR
"""2023-11-14T22:00:00Z."""

HOURS = 6
QUIET = 3
"""The hour in which nothing came."""

DECLARATIONS = """
[statistic.quality]
help = "What became of calls"
topic = "*"
every = ["6m", "1h", "1d"]
by = { carrier = "body.carrier" }
min_n = 5
[statistic.quality.measures]
attempts = "count()"
answered = "count(body.answered::BOOLEAN)"
asr = "proportion(answered, attempts)"
talk_ms = "sum(body.ms::BIGINT)"
pdd = "quantiles(body.ms::BIGINT, 0.5)"
codes = "tally(body.code)"

[statistic.pairs]
topic = "*"
every = ["1h"]
[statistic.pairs.by]
carrier = "body.carrier"
code = "body.code::BIGINT"
ok = "body.answered::BOOLEAN"
share = "body.share::DOUBLE"
[statistic.pairs.measures]
n = "count()"
most = "max(body.ms::BIGINT)"

[statistic.tags]
topic = "*"
every = ["1h"]
by = { tag = "body.tags::VARCHAR[]" }
totals = true
[statistic.tags.measures]
n = "count()"

[statistic.volume]
topic = "*"
every = ["6m", "1h"]
[statistic.volume.measures]
n = "count()"
last = "latest(body.carrier)"

[statistic.months]
topic = "*"
every = ["1d", "1mo"]
zone = "Europe/Paris"
[statistic.months.measures]
n = "count()"
"""

CARRIERS = ("carrier-001", "carrier-002", "carrier-010", "north\u00e9", 'quo"te,', None, "all", "")


def events(seed: int = 1, count: int = 1500) -> list[dict[str, Any]]:
    """Events over some hours, none in the quiet one."""
    r = random.Random(seed)
    found = []
    for n in range(count):
        hour = r.choice([h for h in range(HOURS) if h != QUIET])
        found.append(
            {
                "time": T + hour * HOUR + r.randrange(HOUR),
                "carrier": r.choice(CARRIERS),
                "answered": r.random() < 0.5,
                "ms": r.randrange(10_000),
                "code": r.choice([200, 404, 503, None]),
                "share": r.choice([0.5, 1.0, None]),
                "tags": r.choice([[], ["a"], ["a", "b"], ["c"]]),
                "id": str(n),
            }
        )
    return sorted(found, key=lambda event: event["time"])


def declared(folder: Path) -> Declarations:
    """What the made-up store holds."""
    return declare(folder, DECLARATIONS)


def made(folder: Path, seed: int = 1, count: int = 1500, **options: Any) -> tuple[Declarations, Path]:
    """A store of made-up events, two of them bad and one seen twice; what it was made of."""
    loaded, store, found = declared(folder), folder / "store.db", events(seed, count)
    lines = [line(**event) for event in found]
    lines += [b"{nonsense", b'\xff{"x', line(**found[-1])]
    (folder / "events.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    with reported(folder, loaded, **options):
        pass
    return loaded, store


def reported(folder: Path, loaded: Declarations, **options: Any) -> Report:
    """A report over the made-up events, kept in the store: what the service must agree with."""
    given = {"time": "body.time", "id": "body.id", "finish": True, **options}
    return run_report([str(folder / "events.jsonl")], loaded, ReportOptions(store=folder / "store.db", **given))


@contextmanager
def opened(loaded: Declarations, store: Path | str, connections: int = 4) -> Iterator[StoreStation]:
    """A store alone as a station."""
    readings = SqlReadings.open(store, SystemClock(), connections)
    try:
        yield StoreStation(loaded.statistics, readings, "report")
    finally:
        readings.close()


@contextmanager
def served(station: Station, settings: ServeSettings | None = None, *routers: APIRouter) -> Iterator[str]:
    """The URL of a real service, in a thread of its own with an event loop of its own."""
    settings = settings or ServeSettings(port=0)
    service = Service(create_app(station, settings, routers), settings)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="served")
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(service.start(), loop).result(10)
        yield f"http://127.0.0.1:{service.port}"
    finally:
        asyncio.run_coroutine_threadsafe(service.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


class Client:
    """Asks a service for JSON."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=20)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.http.close()

    def get(self, path: str, *parameters: tuple[str, Any], **named: Any) -> httpx.Response:
        """One answer, whatever it is."""
        pairs = [(name, str(value)) for name, value in (*parameters, *named.items())]
        return self.http.get(path, params=pairs or None)

    def json(self, path: str, *parameters: tuple[str, Any], **named: Any) -> dict[str, Any]:
        """The document of a good answer."""
        found = self.get(path, *parameters, **named)
        assert found.status_code == 200, found.text
        document: dict[str, Any] = found.json()
        return document

    def cells(self, name: str, *parameters: tuple[str, Any], **named: Any) -> list[dict[str, Any]]:
        """The rows of a page of cells."""
        rows: list[dict[str, Any]] = self.json(f"/v1/statistics/{name}/cells", *parameters, **named)["cells"]
        return rows

    def pages(self, path: str, *parameters: tuple[str, Any], **named: Any) -> list[dict[str, Any]]:
        """All pages of an answer, by following next."""
        found = [self.json(path, *parameters, **named)]
        while (url := found[-1]["next"]) is not None:
            assert len(found) < 1000, "the pages have no end"
            found.append(self.http.get(url).json())
        return found

    def problem(self, path: str, *parameters: tuple[str, Any], **named: Any) -> dict[str, Any]:
        """The document of a refusal."""
        found = self.get(path, *parameters, **named)
        assert found.headers["content-type"] == "application/problem+json", (found.status_code, found.text)
        document: dict[str, Any] = json.loads(found.content)
        assert document["status"] == found.status_code
        return document


def without(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """A row without some columns."""
    return {name: value for name, value in row.items() if name not in names}
