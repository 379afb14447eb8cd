"""Coverage: when each lane was healthy and its watermark passed, so that a gap can be told from a zero. Pure.

**What a header says.** ``covered_from_ms`` of a block's header means: *the lane has been covered from that time to its
watermark, without a break*. Its watermark is that of the same header's mark. So each block, and each tick, says again
the whole interval ``[covered_from_ms, watermark)`` that lasts until now, and no block depends on one before it:

- As long as its source is healthy, a lane's headers repeat the same ``covered_from_ms``, and the interval grows.
- After a break that nothing can make up for (the source was unhealthy, or the program was stopped, and there is no
  cursor to go on from) they say the time from which on events were received again. Between the last watermark and
  that time there is a **gap**. Nothing closes it but a header that says an earlier time.
- After a stop that the lane's cursor made up for they say the time from before the stop, and there is no gap.
- None: the lane is not covered, for now. Nothing is added; when it is again, the next headers say since when.
- log.event's NEVER: everything before is here (a file that is read from its start).

**The life of a lane.** A lane counts from the first ``covered_from_ms`` it ever said. One that rests or has ended
counts up to its watermark, until it goes on: it is not known to miss anything, and holds nobody back. But one that
rests while it is not covered (None) goes on to count, since nobody can know what it misses.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from streamgauge.event import FOREVER, NEVER
from streamgauge.log.base import BlockHeader
from streamgauge.watermark import HOLDING, LaneState

MOST_INTERVALS = 1000
"""How many intervals are kept of a lane. The oldest are forgotten first: what they covered counts as a gap."""

Interval = tuple[int, int]
"""``[start, stop)`` in ms since 1970 UTC."""


class Cover(StrEnum):
    """What is known of a window."""

    COVERED = "covered"
    """Every lane that counted then was covered, all through it: where no event is, there was none."""
    PARTLY = "partly"
    """So was a part of it."""
    GAP = "gap"
    """No part of it was."""


@dataclass(slots=True)
class _Life:
    """One lane: since when it counts, whether it still does behind its last interval, and when it was covered.

    ``intervals`` ascend, are not empty, and neither overlap nor touch.
    """

    began: int
    going: bool = True
    intervals: list[Interval] = field(default_factory=list)

    def cover(self, start: int, stop: int) -> None:
        """Add an interval."""
        found = self.intervals
        first = bisect_left(found, start, key=lambda interval: interval[1])
        last = bisect_right(found, stop, lo=first, key=lambda interval: interval[0])
        if first < last:
            start, stop = min(start, found[first][0]), max(stop, found[last - 1][1])
        found[first:last] = [(start, stop)]
        del found[:-MOST_INTERVALS]

    def missing(self, start: int, stop: int) -> list[Interval]:
        """The parts of a span in which the lane counts, and is not covered."""
        if not self.going:
            stop = min(stop, self.intervals[-1][1] if self.intervals else self.began)
        return _without(max(start, self.began), stop, self.inside(start, stop))

    def inside(self, start: int, stop: int) -> list[Interval]:
        """The covered parts of a span."""
        first = bisect_right(self.intervals, start, key=lambda interval: interval[1])
        last = bisect_left(self.intervals, stop, lo=first, key=lambda interval: interval[0])
        return [(max(start, a), min(stop, b)) for a, b in self.intervals[first:last]]


class Coverage:
    """The book of all lanes' coverage, as the headers of the blocks say it, in their order.

    Equal headers leave equal books, however they are batched; a header taken twice changes nothing. A change costs
    O(log intervals).
    """

    def __init__(self) -> None:
        self._lanes: dict[int, _Life] = {}

    @property
    def lanes(self) -> Collection[int]:
        """The numbers of all lanes that ever were covered."""
        return self._lanes.keys()

    def add(self, header: BlockHeader) -> None:
        """Take what the header of a block or tick says."""
        since, watermark = header.covered_from_ms, int(header.mark.get("watermark", NEVER))
        life = self._lanes.get(header.lane)
        if life is None:
            if since is None:
                return
            life = self._lanes[header.lane] = _Life(since)
        state = LaneState(header.mark.get("state", LaneState.ACTIVE))
        life.going = state in HOLDING or (state is LaneState.RESTING and since is None)
        if since is not None:
            life.began = min(life.began, since)
            if since < watermark:
                life.cover(since, watermark)

    def intervals(self, lane: int) -> list[Interval]:
        """When a lane was covered, in order; empty for one that is not known."""
        life = self._lanes.get(lane)
        return list(life.intervals) if life else []

    def spans(self, lanes: Iterable[int], start_ms: int, stop_ms: int) -> list[Interval]:
        """The parts of ``[start_ms, stop_ms)`` that are covered, in order, and neither overlapping nor touching.

        A moment is covered if one of the lanes at least covers it, and each of the others does too, or does not count
        then. Lanes that are not known do not count. Ask once for all windows of a chart, and ``judge`` each of them.
        """
        lives = [life for lane in set(lanes) if (life := self._lanes.get(lane))]
        covered = _merged(interval for life in lives for interval in life.inside(start_ms, stop_ms))
        missing = _merged(interval for life in lives for interval in life.missing(start_ms, stop_ms))
        return _minus(covered, missing)

    def covered(self, lanes: Iterable[int], start_ms: int, stop_ms: int) -> Cover:
        """What is known of the window ``[start_ms, stop_ms)``. Raises ValueError where it is empty.

        What lies behind the watermark of a lane that goes on is not covered yet.
        """
        return judge(self.spans(lanes, start_ms, stop_ms), start_ms, stop_ms)

    def forget(self, before_ms: int) -> None:
        """Drop all that lies before a time, and the lanes that counted only then. What is dropped counts as a gap."""
        for lane, life in list(self._lanes.items()):
            life.intervals = [(max(a, before_ms), b) for a, b in life.intervals if b > before_ms]
            if not life.going and not life.intervals:
                del self._lanes[lane]

    def to_dict(self) -> dict[str, Any]:
        """The book as plain JSON, lanes by ascending number; equal books give equal dictionaries."""
        lives = sorted(self._lanes.items())
        return {"lanes": [[n, life.began, life.going, [list(i) for i in life.intervals]] for n, life in lives]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Coverage:
        """The book that ``to_dict`` was called on."""
        book = cls()
        for lane, began, going, intervals in data["lanes"]:
            book._lanes[lane] = _Life(began, going, [(start, stop) for start, stop in intervals])
        return book


def judge(spans: Iterable[Interval], start_ms: int, stop_ms: int) -> Cover:
    """What is known of a window, from the spans that were found covered. Raises ValueError where it is empty."""
    if not NEVER <= start_ms < stop_ms <= FOREVER:
        raise ValueError(f"no window from {start_ms} to {stop_ms}")
    held = [(a, b) for a, b in spans if a < stop_ms and b > start_ms]
    if not held:
        return Cover.GAP
    whole = len(held) == 1 and held[0][0] <= start_ms and held[0][1] >= stop_ms
    return Cover.COVERED if whole else Cover.PARTLY


def _merged(intervals: Iterable[Interval]) -> list[Interval]:
    """The union of intervals, in order, without overlap."""
    merged: list[Interval] = []
    for start, stop in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
        else:
            merged.append((start, stop))
    return merged


def _without(start: int, stop: int, intervals: Iterable[Interval]) -> list[Interval]:
    """What is left of a span without some intervals, which are in order."""
    left = []
    for a, b in intervals:
        if start < a:
            left.append((start, min(a, stop)))
        start = max(start, b)
        if start >= stop:
            break
    if start < stop:
        left.append((start, stop))
    return left


def _minus(intervals: Iterable[Interval], without: list[Interval]) -> list[Interval]:
    """Intervals less others; both in order and without overlap."""
    return [part for start, stop in intervals for part in _without(start, stop, _near(without, start, stop))]


def _near(intervals: list[Interval], start: int, stop: int) -> list[Interval]:
    first = bisect_right(intervals, start, key=lambda interval: interval[1])
    last = bisect_left(intervals, stop, lo=first, key=lambda interval: interval[0])
    return intervals[first:last]
