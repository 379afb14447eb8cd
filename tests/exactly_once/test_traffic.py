from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from streamgauge.drilldown import ARCHIVES
from streamgauge.engines.base import logged_envelope
from streamgauge.engines.duck import DuckEngine, SliceBuffer
from streamgauge.expression import TimeUnit
from streamgauge.live import Live
from streamgauge.log.base import LaneName
from streamgauge.store.base import Store
from streamgauge.store.sql import SqlStore
from tests.exactly_once.trial import eventually
from tests.log.taking import HandClock, Log, arriving, incoming
from tests.running import declare

EVENTS = 100_000
REQUEST = 400
START = 1_700_000_000_000
DECLARED = """
[statistic.seen]
topic = "*"
every = ["1m", "1h"]
by = { k = "body.k", topic_name = "topic" }
[statistic.seen.measures]
count = "count()"
total = "sum(body.x::BIGINT)"
least = "min(body.x::BIGINT)"
most = "max(body.x::BIGINT)"
"""
SQL = """
WITH once AS (SELECT * FROM sent WHERE good QUALIFY row_number() OVER (PARTITION BY source, id ORDER BY n) = 1)
SELECT time // {length} * {length} AS start, k, topic, count(*), sum(x), min(x), max(x)
FROM once GROUP BY ALL ORDER BY ALL
"""


@pytest.mark.slow
def test_hours_of_traffic_are_what_a_group_by_says(tmp_path: Path) -> None:
    sent = _traffic(random.Random(11))
    declarations = declare(tmp_path, DECLARED)
    with SqlStore.open(tmp_path / "store.db") as store:
        _play(sent, tmp_path, store, declarations)
        version = declarations.statistics["seen"].version
        for every, length in (("1m", 60_000), ("1h", 3_600_000)):
            expected = _expected(sent, length)
            assert _cells(store, version, every) == expected
            assert len(expected) > 100
        tallies = dict.fromkeys(("duplicate", "dead"), 0)
        for key, count in store.tallies("live").items():
            tallies["duplicate" if key.reason == "duplicate" else "dead"] += count
        good = [row for row in sent if row["good"]]
        assert tallies["dead"] == len(sent) - len(good)
        assert tallies["duplicate"] == len(good) - len({(row["source"], row["id"]) for row in good})
        assert sum(tallies.values()) > EVENTS // 50


def _traffic(r: random.Random) -> list[dict[str, Any]]:
    """Hours in which events come out of order, twice, as another version of themselves, and broken."""
    rows: list[dict[str, Any]] = []
    now = START
    for n in range(EVENTS):
        now += r.choice([0, 50, 100, 600])
        late = r.choice([0] * 6 + [700, 9_000, 300_000, 5_000_000])
        again = n and r.random() < 0.05
        id_ = r.choice(rows)["id"] if again else f"e{n}"
        row = {"n": n, "id": id_, "time": now - late, "k": r.choice("abcdefg"), "x": r.randrange(-(10**6), 10**6)}
        row |= {"topic": r.choice(["call", "bus"]), "source": r.choice(["one", "two"]), "good": r.random() > 0.01}
        rows.append(row)
    return rows


def _line(row: dict[str, Any], r: random.Random) -> bytes:
    if not row["good"]:
        return r.choice([b"{", b"?", b'{"time":"soon","id":"%s"}' % row["id"].encode()])
    return json.dumps({name: row[name] for name in ("id", "time", "k", "x", "topic")}).encode()


def _play(sent: list[dict[str, Any]], folder: Path, store: Store, declarations: Any) -> None:
    """Through the real intake and the real pipeline, at once; the clocks go on with the events."""
    r, clock = random.Random(1), HandClock(START)
    statistics = list(declarations.statistics.values())
    arrival = arriving(id="body.id", topic="body.topic", time="body.time", unit=TimeUnit.MS, lateness_ms=10_000)
    with Log(folder, clock) as log:

        def engine() -> DuckEngine:
            return DuckEngine(statistics, (), logged_envelope())

        live = Live(
            statistics,
            engine,
            SliceBuffer,
            store,
            log.writer.folder,
            ARCHIVES,
            lambda: log.writer.next_block,
            clock,
        )
        live.start()
        try:
            waiting = []
            for begin in range(0, len(sent), REQUEST):
                rows = sent[begin : begin + REQUEST]
                clock.wall_ms = max(clock.wall_ms, rows[-1]["time"])
                for source in ("one", "two"):
                    lines = [_line(row, r) for row in rows if row["source"] == source]
                    waiting.append(log.intake.submit(incoming(*lines, arrival=arrival, lane=LaneName(source))))
            receipts = [future.result(30) for future in waiting]
            assert sum(x.accepted + x.duplicates + x.malformed for x in receipts) == len(sent)
            eventually(lambda: live.progress.block == log.writer.next_block)
        finally:
            assert live.stop()


def _cells(store: Store, version: str, every: str) -> list[tuple[Any, ...]]:
    rows = [row for part in store.cells(version, every) for row in part]
    return sorted((row.start, *json.loads(row.key), *map(_number, row.states)) for row in rows)


def _number(state: Any) -> int:
    return int(state)


def _expected(sent: list[dict[str, Any]], length: int) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        connection.register("sent", pa.Table.from_pylist(sent))
        return [(*row[:4], *map(int, row[4:])) for row in connection.execute(SQL.format(length=length)).fetchall()]
