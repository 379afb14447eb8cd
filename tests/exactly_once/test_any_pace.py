from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from operator import add
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.declare import Declarations
from streamgauge.expression import TimeUnit
from streamgauge.log.archive import write_archive
from streamgauge.log.base import LaneName, LogBlock
from streamgauge.log.catalog import Segment, list_segments
from streamgauge.log.idle import IdleRules
from streamgauge.log.segment_reader import read_segment
from streamgauge.log.writer import LogWriter, WriterOptions
from streamgauge.pipeline import STEPS
from streamgauge.recompute import Pace, recompute
from streamgauge.step import no_step
from streamgauge.store.sql import SqlStore
from streamgauge.testing.kill_points import Killed, kill_at
from tests.exactly_once.trial import blocks_of, dump, same
from tests.log.taking import HandClock, Log, T, arriving
from tests.running import declare

DECLARED = """
[statistic.all]
topic = "*"
every = ["1s", "1m"]
by = { lane = "source" }
keep = { "1s" = "90s" }
measures = { count = "count()" }

[statistic.detail]
topic = "a*"
every = ["10s", "1m"]
by = { k = "body.k" }
max_keys = 4
totals = true
[statistic.detail.measures]
count = "count()"
total = "sum(body.x::BIGINT)"
mean = "mean(body.d::DOUBLE)"
spread = "quantiles(body.x::DOUBLE, 0.5, 0.99)"
ids = "distinct(body.id)"
values = "tally(body.s)"
first = "first(body.x::BIGINT)"
last = "latest(body.x::BIGINT)"

[shape.thing.fields]
at_ms = "BIGINT"
x = "BIGINT"
[shape.thing.producer.any]
topic = "a*"
time = "body.time"
fields = { at_ms = "body.at::BIGINT", x = "body.x::BIGINT" }
[statistic.own_time]
of = "thing"
time = "at_ms"
delay = "1m"
every = ["1m"]
measures = { count = "count()", most = "max(x)" }
"""
LANES = [LaneName("http"), LaneName("tail", "a.log"), LaneName("tail", "b.log")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Declarations]:
    """A log with everything in it: several lanes, ticks, late, far and dead events, duplicates, segments, archives."""
    folder = tmp_path_factory.mktemp("made")
    _make_log(folder, random.Random(7))
    with LogWriter.open(folder / "cut", HandClock(), WriterOptions(segment_bytes=8_000)) as writer:
        for block in blocks_of(folder / "log"):
            writer.append([block])
    segments = list_segments(folder / "cut")
    assert len(segments) > 5
    for segment in segments[:-2:2]:
        write_archive(_blocks(segment), segment.path.with_suffix(".parquet"))
        segment.path.unlink()
    return folder, declare(folder, DECLARED)


def _blocks(segment: Segment) -> Iterator[LogBlock]:
    for block in read_segment(segment):
        assert isinstance(block, LogBlock)
        yield block


def _make_log(folder: Path, r: random.Random) -> None:
    clock = HandClock()
    rules = IdleRules(tick_s=0.5, quiet_s=2.0, rest_s=6.0, grace_s=0.1)
    arrival = arriving(id="body.id", topic="body.topic", unit=TimeUnit.MS, lateness_ms=5_000)
    with Log(folder, clock, rules=rules) as log:
        now = T
        for turn in range(70):
            if turn % 20 == 19:
                log.restart()
            now += r.choice([0, 100, 1000, 3000])
            clock.move(r.choice([0.0, 0.1, 1.0, 4.0]))
            clock.wall_ms = max(clock.wall_ms, now)
            lines = [_line(r, turn, n, now) for n in range(r.choice([0, 1, 5, 60]))]
            if lines:
                log.take(*lines, arrival=arrival, lane=r.choice(LANES))
        clock.move(20)


def _line(r: random.Random, turn: int, n: int, now: int) -> bytes:
    if r.random() < 0.03:
        return r.choice([b"{", b"no", b'{"time":"never"}'])
    time = now - r.choice([0, 0, 0, 10, 900, 20_000, 200_000])
    body = {"id": r.choice([f"{turn}-{n}", f"{turn}-{n}", f"{turn - 1}-{n}", "again"]), "time": time}
    body |= {"topic": r.choice(["a1", "a2", "b"]), "k": r.choice(["u", "v", "w", "x", "y", None, 5])}
    body |= {"x": r.choice([turn, -n, 2**62, "bad", None]), "d": r.choice([0.1, 1e9, n / 3]), "at": time - n * 1000}
    body["s"] = f"s{r.randrange(9)}"
    return json.dumps(body).encode()


@pytest.fixture(scope="module")
def expected(made: tuple[Path, Declarations]) -> Iterator[str]:
    """The dump of one who reads all of it at once, with one worker."""
    folder, declarations = made
    with SqlStore.open(folder / "expected.db") as store:
        state = recompute(folder / "log", declarations, store, pace=Pace(workers=1), on_damage=_no_damage)
        assert state.position > 500
        assert len(state.lanes) == len(LANES)
        yield dump(store)


PACES = st.builds(
    Pace,
    slice_bytes=st.sampled_from([700, 5_000, 60_000, 2**24]),
    commit_bytes=st.sampled_from([1, 3_000, 50_000, 2**27]),
    workers=st.integers(1, 3),
    cache_cells=st.sampled_from([1, 20, 300, 10**6]),
)

KILLS = st.one_of(st.none(), st.tuples(st.sampled_from(STEPS), st.integers(1, 9)))


@pytest.mark.slow
@settings(max_examples=8)
@given(
    runs=st.lists(
        st.tuples(PACES, st.integers(1, 120), KILLS),
        max_size=3,
    ),
    last=PACES,
)
def test_no_pace_and_no_kill_makes_a_difference(
    made: tuple[Path, Declarations],
    expected: str,
    runs: list[tuple[Pace, int, tuple[str, int] | None]],
    last: Pace,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder, declarations = made
    place = tmp_path_factory.mktemp("pace")
    for pace, blocks, killed in runs:
        with SqlStore.open(place / "store.db") as store:
            until = partial(add, store.load_reader("live").blocks, blocks)
            step = kill_at(*killed) if killed else no_step
            with suppress(Killed):
                recompute(folder / "cut", declarations, store, until=until, pace=pace, step=step)
    with SqlStore.open(place / "store.db") as store:
        recompute(folder / "cut", declarations, store, pace=last, on_damage=_no_damage)
        same(dump(store), expected)
    shutil.rmtree(place)


def _no_damage(damage: object) -> None:
    raise AssertionError(damage)
