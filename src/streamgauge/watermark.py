"""Lanes and their watermarks: up to what time the events of a source are believed complete. Pure; reads no clock.

A watermark moves only between blocks, so everything here is a function of the sequence of blocks and ticks. What is
decided **inside** a block (the newest time, the pending jumps) does not depend on where blocks are cut.

**Jumps.** An event more than ``jump`` ahead of its lane's newest time is a *candidate*: it is counted like any other,
but moves nothing. Each later event within ``jump`` of a candidate, before or after it, agrees with it, be that event
itself a candidate or not. With the 16th agreement the newest time becomes the latest of the candidate and those that
agreed. A candidate is forgotten when the newest time reaches it by other ways, or when 32 newer candidates are
pending. A lane's first event has nothing to be ahead of, and sets the newest time.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamgauge.event import FOREVER, NEVER

JUMP_MS = 86_400_000
"""How far ahead of its lane an event may be and still be believed at once."""

AGREEMENTS = 16
"""How many later events must lie near one that jumped before it is believed."""

MOST_CANDIDATES = 32
"""How many jumps may be pending in a lane; the oldest are forgotten."""


class LaneState(StrEnum):
    """Where a lane is in its life."""

    WAITING = "waiting"
    """Declared, no block yet: it holds the watermark where its own is."""
    ACTIVE = "active"
    """Has had a block: its watermark counts."""
    RESTING = "resting"
    """Idle or exhausted for now: holds nobody back, keeps its mark, may go on."""
    ENDED = "ended"
    """Will bring no more."""


HOLDING = (LaneState.WAITING, LaneState.ACTIVE)
"""Lanes that the reader's watermark waits for."""


class Candidate(NamedTuple):
    """A jump that is not believed yet: its time, how many agreed with it, and the latest of it and those."""

    time: int
    agreed: int
    latest: int


@dataclass(frozen=True, slots=True)
class LaneMark:
    """What is known of one lane between two blocks. Times in ms since 1970 UTC.

    ``lateness_ms`` None is unlimited: the watermark then moves only by a tick. ``candidates`` are the pending jumps in
    order of arrival, at most MOST_CANDIDATES.
    """

    lateness_ms: int | None = None
    newest: int | None = None
    candidates: tuple[Candidate, ...] = ()
    state: LaneState = LaneState.WAITING
    watermark: int = NEVER

    def to_dict(self) -> dict[str, Any]:
        """The mark as plain JSON; equal marks give equal dictionaries, keys in the same order."""
        return {
            "state": self.state.value,
            "watermark": self.watermark,
            "newest": self.newest,
            "lateness_ms": self.lateness_ms,
            "candidates": [list(candidate) for candidate in self.candidates],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LaneMark:
        """The mark that ``to_dict`` was called on."""
        return cls(
            lateness_ms=data["lateness_ms"],
            newest=data["newest"],
            candidates=tuple(Candidate(*candidate) for candidate in data["candidates"]),
            state=LaneState(data["state"]),
            watermark=data["watermark"],
        )


def observe(mark: LaneMark, times: NDArray[np.int64], jump_ms: int = JUMP_MS) -> LaneMark:
    """The mark after one block. ``times`` are those of the block's good events, in their order; may be empty.

    The lane becomes active. Its watermark becomes its newest time less its lateness, if that is not less than before.
    """
    follower = _Follower(mark, jump_ms)
    follower.follow(np.asarray(times, dtype=np.int64))
    return _advanced(
        replace(mark, newest=follower.newest, candidates=tuple(follower.candidates), state=LaneState.ACTIVE)
    )


def tick(mark: LaneMark, complete_to_ms: int) -> LaneMark:
    """The mark after a tick: the lane's source knows, or its idleness says, that it is complete up to a time."""
    return replace(mark, watermark=max(mark.watermark, complete_to_ms))


def rest(mark: LaneMark) -> LaneMark:
    """The mark of a lane that brings nothing for now. All that is known is kept, pending jumps too."""
    return replace(mark, state=LaneState.RESTING)


def end(mark: LaneMark) -> LaneMark:
    """The mark of a lane that brings nothing more: pending jumps are believed, as nothing can contradict them."""
    if mark.newest is None:
        return replace(mark, state=LaneState.ENDED)
    newest = max([mark.newest, *(candidate.time for candidate in mark.candidates)])
    return _advanced(replace(mark, newest=newest, candidates=(), state=LaneState.ENDED))


def _advanced(mark: LaneMark) -> LaneMark:
    if mark.newest is None or mark.lateness_ms is None:
        return mark
    return replace(mark, watermark=max(mark.watermark, mark.newest - mark.lateness_ms))


class _Follower:
    """Follows the times of a lane one by one in meaning, and by whole arrays where nothing jumps or agrees."""

    # events taken one by one after a jump or an agreement, before whole arrays are tried again
    _STRIDE = 64

    def __init__(self, mark: LaneMark, jump_ms: int) -> None:
        self.newest = mark.newest
        self.candidates = list(mark.candidates)
        self.jump_ms = jump_ms

    def follow(self, times: NDArray[np.int64]) -> None:
        done = 0
        while done < len(times):
            done += self._quiet(times[done:])
            for time in times[done : done + self._STRIDE].tolist():
                self._one(time)
            done += self._STRIDE

    def _quiet(self, times: NDArray[np.int64]) -> int:
        """Take the times ahead of the first one that jumps or may agree with a candidate; return how many."""
        if self.newest is None:
            self.newest = int(times[0])
        nearest = min((candidate.time for candidate in self.candidates), default=FOREVER) - self.jump_ms
        if int(times.max()) < min(nearest, self.newest + self.jump_ms + 1):
            self.newest = max(self.newest, int(times.max()))
            return len(times)
        newest = np.maximum(np.maximum.accumulate(times), self.newest)
        before = np.concatenate(([self.newest], newest[:-1]))
        loud = (times - before > self.jump_ms) | (times >= nearest)
        quiet = int(loud.argmax()) if loud.any() else len(times)
        if quiet:
            self.newest = int(newest[quiet - 1])
        return quiet

    def _one(self, time: int) -> None:
        newest = time if self.newest is None else self.newest
        jumped = time - newest > self.jump_ms
        if not jumped:
            newest = max(newest, time)
        if self.candidates:
            newest = self._agree(time, newest)
        if jumped and time > newest:
            self.candidates.append(Candidate(time, 0, time))
            del self.candidates[:-MOST_CANDIDATES]
        self.newest = newest

    def _agree(self, time: int, newest: int) -> int:
        agreed = [
            Candidate(c.time, c.agreed + 1, max(c.latest, time)) if abs(time - c.time) <= self.jump_ms else c
            for c in self.candidates
        ]
        newest = max([newest, *(c.latest for c in agreed if c.agreed >= AGREEMENTS)])
        self.candidates = [c for c in agreed if c.time > newest]
        return newest


class Lanes:
    """The book of all lanes that one reader reads, and the watermark of what is computed from them.

    ``watermark`` is the least of the watermarks of all waiting and active lanes, and never moves back. Where no lane
    is waiting or active, it follows the one that was last: to its end, and to its ticks. Lanes are known by their
    numbers; a lane must be declared before anything else is said of it (KeyError). A change costs O(log lanes).
    """

    def __init__(self, jump_ms: int = JUMP_MS) -> None:
        self.jump_ms = jump_ms
        self._marks: dict[int, LaneMark] = {}
        self._watermark = NEVER
        self._last: int | None = None
        # the holding lanes by watermark; an entry that is no longer its lane's mark is dropped when it is met
        self._heap: list[tuple[int, int]] = []

    @property
    def watermark(self) -> int:
        """The time up to which all events are believed to be here; NEVER where nothing is known, FOREVER at last."""
        return self._watermark

    @property
    def marks(self) -> Mapping[int, LaneMark]:
        """The mark of every lane, by its number. Not to be changed."""
        return self._marks

    def holding(self) -> bool:
        """Whether any lane is waiting or active."""
        return self._least() is not None

    def declare(self, lane: int, lateness_ms: int | None) -> None:
        """Add a lane that will bring blocks, or wake one that rested: it waits, with what is known of it."""
        known, watermark = self._marks.get(lane, LaneMark()), self._watermark
        self._set(lane, replace(known, lateness_ms=lateness_ms, state=LaneState.WAITING))
        # One that wakes brings nothing new; others, of which less is known, may be declared next.
        self._watermark = watermark

    def take(self, lane: int, mark: LaneMark) -> None:
        """Take what the header of a block says of its lane, which need not be declared."""
        self._set(lane, mark)

    def observe(self, lane: int, times: NDArray[np.int64]) -> None:
        """Take one block of a lane: see the function of the same name."""
        self._set(lane, observe(self._marks[lane], times, self.jump_ms))

    def tick(self, lane: int, complete_to_ms: int) -> None:
        """Take a tick of a lane."""
        self._set(lane, tick(self._marks[lane], complete_to_ms))

    def rest(self, lane: int) -> None:
        """The lane is exhausted for now and holds the others back no longer."""
        self._set(lane, rest(self._marks[lane]))

    def end(self, lane: int) -> None:
        """The lane has ended: it holds nobody back, and its pending jumps are believed."""
        self._set(lane, end(self._marks[lane]))

    def finish(self) -> None:
        """Take the final tick, at +infinity: every window is final."""
        self._watermark = FOREVER

    def to_dict(self) -> dict[str, Any]:
        """The book as plain JSON, lanes by ascending number; equal books give equal dictionaries."""
        return {
            "jump_ms": self.jump_ms,
            "watermark": self._watermark,
            "last": self._last,
            "lanes": [[lane, self._marks[lane].to_dict()] for lane in sorted(self._marks)],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Lanes:
        """The book that ``to_dict`` was called on."""
        lanes = cls(data["jump_ms"])
        lanes._watermark = data["watermark"]
        lanes._last = data["last"]
        lanes._marks = {lane: LaneMark.from_dict(mark) for lane, mark in data["lanes"]}
        lanes._rebuild()
        return lanes

    def _set(self, lane: int, mark: LaneMark) -> None:
        known = self._marks.get(lane)
        self._marks[lane] = mark
        held = known is not None and _holds(known)
        if _holds(mark) and not (held and known and known.watermark == mark.watermark):
            heapq.heappush(self._heap, (mark.watermark, lane))
        least = self._least()
        if least is None and held:
            self._last = lane
        if least is None and self._last == lane:
            least = mark.watermark
        if least is not None:
            self._watermark = max(self._watermark, least)

    def _least(self) -> int | None:
        if len(self._heap) > 2 * len(self._marks) + 64:
            self._rebuild()
        while self._heap:
            watermark, lane = self._heap[0]
            mark = self._marks[lane]
            if _holds(mark) and mark.watermark == watermark:
                return watermark
            heapq.heappop(self._heap)
        return None

    def _rebuild(self) -> None:
        self._heap = [(mark.watermark, lane) for lane, mark in self._marks.items() if _holds(mark)]
        heapq.heapify(self._heap)


def _holds(mark: LaneMark) -> bool:
    return mark.state in HOLDING
