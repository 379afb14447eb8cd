"""What the pipeline decides about a slice of a log: all of it stands in the blocks' headers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from streamgauge.engines.base import Exclusion, Facts, Positions
from streamgauge.event import FOREVER
from streamgauge.log.base import BlockHeader, LogBlock
from streamgauge.log.coverage import Coverage
from streamgauge.log.letters import letters_in, replayed_in
from streamgauge.logslices import LogCut
from streamgauge.settle import KEPT_BYTES, NO_INTS, Settled
from streamgauge.slices import Cut
from streamgauge.store.base import KeptLetter, LaneState, TallyKey
from streamgauge.watermark import LaneMark, Lanes

MINUTE_MS = 60_000


class LogSettler:
    """A Decider for a log: positions, duplicates, dead letters and marks were decided when its blocks were appended.

    ``own_times``: some statistic chooses its windows by another time than the event's.
    """

    def __init__(
        self,
        lanes: Lanes,
        coverage: Coverage,
        states: Mapping[int, LaneState],
        position: int = 0,
        block: int = 0,
        own_times: bool = False,
    ) -> None:
        self.lanes, self.coverage, self.states = lanes, coverage, dict(states)
        self.position, self.block, self.own_times = position, block, own_times
        self.forget_blocks = 0
        self._ahead = Lanes.from_dict(lanes.to_dict())

    @property
    def watermark(self) -> int:
        """See Decider.watermark."""
        return self.lanes.watermark

    def book(self) -> dict[str, Any]:
        """See Decider.book."""
        return {"lanes": self.lanes.to_dict(), "coverage": self.coverage.to_dict()}

    def wants_times(self, cut: Cut) -> bool:
        """See Decider.wants_times. Where an event may be late, the slice is not computed before it is settled."""
        headers = _headers(cut)
        return self._suspicious(headers, _follow(self._ahead, headers))

    def settle(self, cut: Cut, facts: Facts) -> Settled:
        """See Decider.settle. Raises RuntimeError where the engine finds other events than the headers count."""
        headers = _headers(cut)
        self._check(headers, facts)
        firsts = np.concatenate([[0], np.cumsum([h.events for h in headers])])
        before = _follow(self.lanes, headers)
        exclusion = Exclusion(_positions(headers, firsts), NO_INTS)
        if self._suspicious(headers, before):
            exclusion.watermarks = list(zip(firsts[:-1].tolist(), before, strict=True))
        settled = Settled(exclusion, before, facts.records, facts.records)
        settled.bytes = sum(len(block.data) for block in cut.slice.blocks)
        for logged in _logged(cut):
            self._take(logged, settled)
        self.states.update(settled.lanes)
        self.position, self.block = headers[-1].next_position, headers[-1].number + 1
        return settled

    def _check(self, headers: Sequence[BlockHeader], facts: Facts) -> None:
        told = sum(header.events for header in headers)
        if told == facts.records and not len(facts.dead):
            return
        blocks = f"blocks {headers[0].number} to {headers[-1].number} of the log"
        raise RuntimeError(f"{blocks} have {told} events, but {facts.records - len(facts.dead)} could be read")

    def _suspicious(self, headers: Sequence[BlockHeader], before: Sequence[int]) -> bool:
        """Whether some event may be behind the watermark before its block."""
        oldest = [FOREVER if header.oldest_ms is None else header.oldest_ms for header in headers]
        return self.own_times or any(old < watermark for old, watermark in zip(oldest, before, strict=True))

    def _take(self, logged: LogBlock, settled: Settled) -> None:
        """Note what one block says beside its events."""
        header = logged.header
        self.coverage.add(header)
        name, minute = lane_name(header), header.received_ms // MINUTE_MS * MINUTE_MS
        if header.duplicates:
            settled.tallies[TallyKey(name, "duplicate", minute)] += header.duplicates
        for letter in letters_of(logged):
            settled.dead_letters.append(letter)
            settled.tallies[TallyKey(name, letter.reason, minute)] += 1
        settled.replayed += replayed_in(header)
        settled.lanes[header.lane] = LaneState(
            number=header.lane,
            name=name,
            cursor=header.next_position,
            time_unit=header.unit,
            mark=header.mark,
            coverage=tuple(self.coverage.intervals(header.lane)),
        )


def lane_name(header: BlockHeader) -> str:
    """What people call a lane: its source, and its own name where it has one."""
    return f"{header.source}:{header.name}" if header.name else header.source


def letters_of(logged: LogBlock) -> Iterator[KeptLetter]:
    """The dead letters of a block, whose positions come after those of its events."""
    for letter in letters_in(logged):
        yield KeptLetter(
            position=letter.position,
            lane=lane_name(logged.header),
            line=0,
            offset=0,
            reason=letter.reason,
            detail=letter.detail,
            data=(letter.data or b"")[:KEPT_BYTES],
            length=letter.length,
            source=letter.source,
            received_ms=letter.received_ms,
        )


def _logged(cut: Cut) -> list[LogBlock]:
    if not isinstance(cut, LogCut):
        raise TypeError("a slice of a log is wanted here")
    return cut.logged


def _headers(cut: Cut) -> list[BlockHeader]:
    return [logged.header for logged in _logged(cut)]


def _follow(lanes: Lanes, headers: Sequence[BlockHeader]) -> list[int]:
    """Take the marks that the headers tell; returns the watermark before each of them."""
    before = []
    for header in headers:
        before.append(lanes.watermark)
        lanes.take(header.lane, LaneMark.from_dict(header.mark))
    return before


def _positions(headers: Sequence[BlockHeader], firsts: Any) -> Positions:
    shifts = [header.position - first for header, first in zip(headers, firsts[:-1].tolist(), strict=True)]
    return Positions(firsts[:-1], np.array(shifts, dtype=np.int64))
