"""What a running program says of itself: its sources, its health, and whether it may be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from streamgauge.log.base import Arrival, Incoming, LaneName
from streamgauge.log.damage import Damage
from streamgauge.scope import Scope
from streamgauge.serve.base import Condition, Health, Part, ServeSettings, SourceStatus
from streamgauge.service import Program, RunSettings
from streamgauge.sources import HttpOptions
from streamgauge.station import READY_BLOCKS, LiveStation
from streamgauge.store.sql_query import SqlReadings
from tests.running import T, declare, line
from tests.test_service import DECLARED

Look = Callable[[Program, LiveStation], Awaitable[None]]


def looked_at(folder: Path, look: Look) -> None:
    """Run a program, and look at it through a station of its own."""

    async def main() -> None:
        sources = {"calls": HttpOptions()}
        settings = RunSettings(folder / "data", serve=ServeSettings(port=0), sources=sources)
        program = Program(declare(folder, DECLARED), settings)
        await program.start()
        readings = SqlReadings.open(settings.store_name, program.clock)
        try:
            from streamgauge.service import new_log_events

            events = new_log_events(program.declarations, settings.log_folder, readings, program.clock)
            await look(program, LiveStation(program.declarations.statistics, readings, program, events))
            events.close()
        finally:
            readings.close()
            await program.stop()

    asyncio.run(main())


def sources_of(program: Program, station: LiveStation, scope: Scope = Scope.all) -> dict[str, SourceStatus]:
    with station.readings.within(5) as reads:
        return {source.name: source for source in station.sources(reads, scope)}


async def append(program: Program, lane: LaneName, *lines: bytes) -> None:
    data = b"".join(line + b"\n" for line in lines)
    await asyncio.wrap_future(program.intake.submit(Incoming(lane, Arrival(), data)))
    program.live.notify()
    for _ in range(2000):
        if not program.live.behind:
            return
        await asyncio.sleep(0.01)
    pytest.fail("not in time")


def test_a_source_has_its_own_lanes_and_what_is_known_of_them(tmp_path: Path) -> None:
    async def look(program: Program, station: LiveStation) -> None:
        assert sources_of(program, station)["calls"].last_event_ms is None
        await append(program, LaneName("calls"), line(time=T, k="a"), line(time=T + 5, k="a"))
        await append(program, LaneName("calls", "two"), line(time=T - 10, k="a"))
        await append(program, LaneName("http"), line(time=T + 60, k="a"))
        found = sources_of(program, station)
        assert list(found) == ["calls", "http"]
        assert [lane["name"] for lane in found["calls"].lanes] == ["calls", "calls:two"]
        assert (found["calls"].last_event_ms, found["http"].last_event_ms) == (T + 5, T + 60)
        watermark = found["calls"].watermark_ms
        assert watermark is not None
        assert watermark >= T - 10
        assert sources_of(program, station, Scope(frozenset({"north"}))) == {}

    looked_at(tmp_path, look)


def test_a_lane_without_any_event_has_no_watermark_to_tell(tmp_path: Path) -> None:
    async def look(program: Program, station: LiveStation) -> None:
        await append(program, LaneName("calls"), b"nonsense")
        found = sources_of(program, station)["calls"]
        assert (found.last_event_ms, found.watermark_ms) == (None, None)

    looked_at(tmp_path, look)


def parts(health: Health) -> dict[str, Part]:
    return {part.name: part for part in health.parts}


def test_health_names_each_part_and_why_it_is_not_well(tmp_path: Path) -> None:
    async def look(program: Program, station: LiveStation) -> None:
        well = station.health()
        assert list(parts(well)) == ["log", "pipeline", "source calls", "source http"]
        assert well.condition is Condition.OK
        assert await asyncio.to_thread(program.live.stop)
        program.live.progress.damages += [Damage("a", 1, 2, "a bit is wrong", 3, 4), Damage("b", 1, 2, "gone", 5, 6)]
        program.live.progress.problem = "the disk is full"
        found = station.health()
        assert found.condition is Condition.FAILING
        assert parts(found)["log"].condition is Condition.DEGRADED
        assert "a bit is wrong" in parts(found)["log"].why
        assert "(and 1 more)" in parts(found)["log"].why
        assert parts(found)["pipeline"] == Part("pipeline", Condition.FAILING, "the disk is full")
        assert found.ready

    looked_at(tmp_path, look)


@pytest.mark.parametrize(("behind", "ready"), [(READY_BLOCKS, True), (READY_BLOCKS + 1, False)])
def test_it_is_ready_unless_it_is_far_behind(tmp_path: Path, behind: int, ready: bool) -> None:
    async def look(program: Program, station: LiveStation) -> None:
        assert await asyncio.to_thread(program.live.stop)
        program.live.progress.block = program.live._read_to = program.writer.next_block - behind
        found = station.health()
        assert found.ready is ready
        assert (f"{behind} blocks" in found.why) is not ready

    looked_at(tmp_path, look)
