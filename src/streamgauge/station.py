"""A running program as the service sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from streamgauge.bound import BoundStatistic
from streamgauge.clock import Clock
from streamgauge.drilldown import ARCHIVES
from streamgauge.housekeeping import Housekeeping
from streamgauge.letters import Log, Replaying
from streamgauge.live import READER, Live
from streamgauge.log.intake import LogIntake
from streamgauge.log.writer import LogWriter
from streamgauge.scope import Scope
from streamgauge.serve.base import (
    Condition,
    EventLog,
    Health,
    Part,
    Readings,
    Reads,
    Replayed,
    ReplayQuery,
    SourceStatus,
)
from streamgauge.serve.station import StoreStation
from streamgauge.sources.base import Source, State
from streamgauge.store.base import LaneState

READY_BLOCKS = 5000
"""A pipeline that is further behind than this many blocks is catching up, and not ready."""

_CONDITIONS = {State.STALLED: Condition.DEGRADED, State.FAILED: Condition.FAILING}


class Settings(Protocol):
    """What is asked of the settings of a running program."""

    @property
    def log_folder(self) -> Path:
        """Where the segments are."""
        ...


class Running(Protocol):
    """What is asked of a running program."""

    sources: Mapping[str, Source]
    live: Live
    housekeeping: Housekeeping
    writer: LogWriter
    intake: LogIntake
    clock: Clock

    @property
    def settings(self) -> Settings:
        """How it runs."""
        ...


class LiveStation(StoreStation):
    """See serve.base.Station: what the store does not know, the program says."""

    def __init__(
        self, statistics: Mapping[str, BoundStatistic], readings: Readings, program: Any, log: EventLog
    ) -> None:
        super().__init__(statistics, readings, READER, log)
        self._program: Running = program
        letters = Log(
            self._program.settings.log_folder, ARCHIVES, self._program.intake, lambda: self._program.writer.next_block
        )
        self._replaying = Replaying(self._program.sources, letters, self._program.live, readings, self._program.clock)

    def sources(self, reads: Reads, scope: Scope) -> Sequence[SourceStatus]:
        """Every source with its lanes."""
        if not scope.everything:
            return []
        lanes = reads.lanes(READER)
        return [_status(source, lanes) for _, source in sorted(self._program.sources.items())]

    def replay(self, wanted: ReplayQuery, limit_s: float) -> Replayed:
        """See Station.replay."""
        return self._replaying.replay(wanted, limit_s)

    def health(self) -> Health:
        """How the log, the pipeline and the sources are."""
        program = self._program
        parts = [_log_part(program), _pipeline_part(program.live)]
        parts += [_source_part(source) for _, source in sorted(program.sources.items())]
        behind = program.live.behind
        why = f"{behind} blocks of the log are still to be read" if behind > READY_BLOCKS else ""
        return Health(parts, not why, why)


def _log_part(program: Running) -> Part:
    found = [program.intake.problem, *map(str, program.live.progress.damages), *program.housekeeping.damages]
    found = [problem for problem in dict.fromkeys([*found, program.housekeeping.problem]) if problem]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return Part("log", Condition.DEGRADED if found else Condition.OK, f"{found[0]}{more}" if found else "")


def _pipeline_part(live: Live) -> Part:
    problem, behind = live.progress.problem, live.behind
    waiting = f"{behind} blocks of the log are still to be counted" if behind else ""
    return Part("pipeline", Condition.FAILING if problem else Condition.OK, problem or waiting)


def _source_part(source: Source) -> Part:
    status = source.status()
    condition = _CONDITIONS.get(status.state, Condition.OK)
    return Part(f"source {source.name}", condition, "" if condition is Condition.OK else status.last_error)


def _status(source: Source, lanes: Sequence[LaneState]) -> SourceStatus:
    status = source.status()
    own = [lane for lane in lanes if lane.name == source.name or lane.name.startswith(f"{source.name}:")]
    newest = [lane.mark["newest"] for lane in own if lane.mark.get("newest") is not None]
    marks = [lane.mark["watermark"] for lane in own if lane.mark.get("newest") is not None]
    return SourceStatus(
        name=source.name,
        kind=status.type,
        state=status.state.value,
        lag_ms=None if status.lag_s is None else round(status.lag_s * 1000),
        events_per_s=round(status.rate, 3),
        last_event_ms=max(newest, default=None),
        watermark_ms=min(marks, default=None),
        last_error=status.last_error,
        dead_letters=status.malformed,
        duplicates=status.duplicates,
        lanes=[_lane(lane) for lane in own],
    )


def _lane(lane: LaneState) -> dict[str, Any]:
    return {
        "number": lane.number,
        "name": lane.name,
        "state": lane.mark.get("state"),
        "newest_ms": lane.mark.get("newest"),
        "watermark_ms": lane.mark.get("watermark"),
        "coverage": [list(interval) for interval in lane.coverage],
    }
