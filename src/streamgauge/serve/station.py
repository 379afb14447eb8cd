"""A store alone, without the program that writes it: what can be said honestly from what is committed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any

from streamgauge.bound import BoundStatistic
from streamgauge.event import NEVER
from streamgauge.scope import Scope
from streamgauge.serve.base import (
    CannotReplay,
    EventLog,
    Health,
    Interval,
    Readings,
    Reads,
    Replayed,
    ReplayQuery,
    SourceStatus,
    Standing,
)
from streamgauge.store.base import KeptLetter, LaneState, LetterFilter

NO_LOG = "this service reads a store without its log; start it with --log FOLDER, or ask the program that writes it"

NO_PROGRAM = "this service reads a store, and writes no log; ask the program that does (streamgauge run)"


class StoreStation:
    """A Station over a store. ``reader`` is whose results are served: ``live`` of run, ``report`` of report."""

    def __init__(
        self,
        statistics: Mapping[str, BoundStatistic],
        readings: Readings,
        reader: str = "live",
        log: EventLog | None = None,
    ) -> None:
        self._statistics, self._readings, self._reader, self._log = statistics, readings, reader, log

    @property
    def statistics(self) -> Mapping[str, BoundStatistic]:
        return self._statistics

    @property
    def readings(self) -> Readings:
        return self._readings

    @property
    def log(self) -> EventLog | None:
        return self._log

    @property
    def no_log(self) -> str:
        return NO_LOG

    def standing(self, reads: Reads, statistic: BoundStatistic) -> Standing:
        position, blocks, book = reads.standing(self._reader)
        return Standing(position, blocks, book.get("lanes", {}).get("watermark", NEVER))

    def coverage(
        self, reads: Reads, statistic: BoundStatistic, start_ms: int, stop_ms: int
    ) -> Sequence[Interval] | None:
        """When some lane was covered and none had a hole; None where a lane does not say."""
        # A lane that never had a time of its own (of dead letters, replayed) counts for nothing.
        lanes = [s.coverage for s in reads.lanes(self._reader) if not s.mark or s.mark.get("newest") is not None]
        return covered(lanes) if lanes and all(lanes) else None

    def tallies(self, reads: Reads, start_ms: int | None, stop_ms: int | None) -> Mapping[tuple[str, bool], int]:
        return reads.tallies(self._reader, start_ms, stop_ms)

    def dead_letters(
        self, reads: Reads, scope: Scope, wanted: LetterFilter, after: int, limit: int
    ) -> Sequence[KeptLetter]:
        return reads.find_letters(self._reader, wanted, after, limit) if scope.everything else []

    def dead_letter(self, reads: Reads, scope: Scope, position: int) -> KeptLetter | None:
        return reads.letter(self._reader, position) if scope.everything else None

    def replay(self, wanted: ReplayQuery, limit_s: float) -> Replayed:
        raise CannotReplay(NO_PROGRAM)

    def sources(self, reads: Reads, scope: Scope) -> Sequence[SourceStatus]:
        """The lanes of the reader as they were at its last commit: what they do now, only their program knows."""
        if not scope.everything:
            return []
        _, _, book = reads.standing(self._reader)
        marks = dict(book.get("lanes", {}).get("lanes", ()))
        return [_status(lane, lane.mark or marks.get(lane.number, {})) for lane in reads.lanes(self._reader)]

    def health(self) -> Health:
        return Health(())


def covered(lanes: Iterable[Sequence[Interval]]) -> list[Interval]:
    """When some of the lanes was covered and none had a hole between two of its intervals.

    So one that ended, or began later, takes nothing away.

    >>> covered([[(0, 10), (20, 30)], [(25, 40)]])
    [(0, 10), (20, 40)]
    """
    lanes = list(lanes)
    found: list[Interval] = []
    for start, stop in sorted(chain.from_iterable(lanes)):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], stop))
        else:
            found.append((start, stop))
    for hole in ((a[1], b[0]) for lane in lanes for a, b in pairwise(lane)):
        found = [piece for interval in found for piece in _without(interval, hole)]
    return found


def _without(interval: Interval, hole: Interval) -> list[Interval]:
    left, right = (interval[0], min(interval[1], hole[0])), (max(interval[0], hole[1]), interval[1])
    return [interval] if hole[0] >= hole[1] else [piece for piece in (left, right) if piece[0] < piece[1]]


def _status(lane: LaneState, mark: Mapping[str, Any]) -> SourceStatus:
    return SourceStatus(
        lane.name,
        lane.form or "unknown",
        str(mark.get("state", "unknown")),
        last_event_ms=mark.get("newest"),
        watermark_ms=mark.get("watermark"),
        lanes=({"number": lane.number, "cursor": lane.cursor, "coverage": [list(c) for c in lane.coverage]},),
    )
