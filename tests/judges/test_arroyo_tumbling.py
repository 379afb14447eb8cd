"""Arroyo's tumbling-window queries, written as declarations: their golden outputs, row for row.

Their 30 days are a fixed length, aligned to 1970; so is our ``30d``. Three more of their queries have no window: they
are read here over one window that holds the whole input. Hopping and session windows are for other parts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from streamgauge.app import report
from streamgauge.reporting import Report
from tests.data import data_path

CARS = """
[statistic.by_type]
topic = "*"
every = ["1h"]
by = { event_type = "body.event_type" }
[statistic.by_type.measures]
calls = "count()"

[statistic.all_cars]
topic = "*"
every = ["1h", "30d"]
[statistic.all_cars.measures]
calls = "count()"

[statistic.by_driver]
topic = "*"
every = ["30d"]
by = { driver = "body.driver_id" }
[statistic.by_driver.measures]
calls = "count()"
"""

IMPULSE = """
[statistic.whole]
topic = "*"
every = ["1d"]
[statistic.whole.measures]
least = "min(body.counter::BIGINT)"
most = "max(body.counter::BIGINT)"
total = "sum(body.counter::BIGINT)"
average = "mean(body.counter::BIGINT)"
calls = "count()"

[statistic.by_remainder]
topic = "*"
every = ["1d"]
by = { remainder = "body.counter::BIGINT % 5" }
[statistic.by_remainder.measures]
least = "min(body.counter::BIGINT)"
most = "max(body.counter::BIGINT)"
total = "sum(body.counter::BIGINT)"
average = "mean(body.counter::BIGINT)"
calls = "count()"
"""


def run(folder: Path, name: str, declaration: str) -> Report:
    path = folder / f"{name}.toml"
    path.write_text(declaration)
    return report(data_path(f"windows/arroyo/inputs/{name}.json"), declarations=path, time="body.timestamp")


@pytest.fixture(scope="module")
def cars(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Report]:
    with run(tmp_path_factory.mktemp("cars"), "cars", CARS) as found:
        yield found


@pytest.fixture(scope="module")
def impulse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Report]:
    with run(tmp_path_factory.mktemp("impulse"), "impulse", IMPULSE) as found:
        yield found


def golden(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data_path(f"windows/arroyo/golden/{name}.json").read_text().splitlines()]


def stamp(ms: int) -> str:
    """A time as they write it: no zone, no fraction."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def test_hourly_by_event_type(cars: Report) -> None:
    ours = [
        {"event_type": r["event_type"], "hour": stamp(r["start_ms"]), "count": r["calls"]}
        for r in cars.rows("by_type", "1h")
    ]
    assert as_set(ours) == as_set(golden("hourly_by_event_type"))


def test_tight_watermark_names_an_hour_by_its_end(cars: Report) -> None:
    ours = [{"timestamp": stamp(r["stop_ms"]), "count": r["calls"]} for r in cars.rows("all_cars", "1h")]
    assert ours == golden("tight_watermark")


def test_thirty_days_are_a_fixed_length_from_1970(cars: Report) -> None:
    ours = [{"month": stamp(r["start_ms"]), "count": r["calls"]} for r in cars.rows("all_cars", "30d")]
    assert ours == golden("month_loose_watermark")


def test_drivers_with_more_than_85_events(cars: Report) -> None:
    busy = [r for r in cars.rows("by_driver", "30d") if r["calls"] > 85]
    assert {"drivers": len(busy)} == golden("active_drivers")[-1]["after"]


def test_aggregates_of_the_whole_input(impulse: Report) -> None:
    assert [figures(r) for r in impulse.rows("whole", "1d")] == [golden("aggregates")[-1]["after"]]


def test_aggregates_by_remainder(impulse: Report) -> None:
    ours = [{**figures(r), "counter_mod": r["remainder"]} for r in impulse.rows("by_remainder", "1d")]
    assert as_set(ours) == as_set([g["after"] for g in golden("grouped_aggregates")])


def figures(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "min": row["least"],
        "max": row["most"],
        "sum": row["total"],
        "avg": row["average"],
        "count": row["calls"],
    }


def as_set(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(r, sort_keys=True) for r in rows)
