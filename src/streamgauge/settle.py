"""What is decided about a slice in log order: positions, dead letters, duplicates, watermarks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streamgauge.codecs.explain import explain_json_error
from streamgauge.engines.base import NOT_JSON, Exclusion, Facts, Ints, Positions, Slice
from streamgauge.event import FOREVER, Block, DeadLetter
from streamgauge.log.lines import lines_of
from streamgauge.seen import SeenIds, pack_ids
from streamgauge.slices import Cut
from streamgauge.store.base import IdChunk
from streamgauge.watermark import Lanes

NO_INTS: Ints = np.zeros(0, dtype=np.int64)
NAMED_DEAD_LETTERS = 10_000
"""Dead letters of one run that are kept with their bytes; more are only counted."""

KEPT_BYTES = 4096
"""How much of a dead letter's message is kept."""


@dataclass(slots=True)
class Settled:
    """What was decided: for the engine, and for the commit."""

    exclusion: Exclusion
    watermarks: list[int]
    records: int
    events: int
    dead_letters: list[DeadLetter] = field(default_factory=list)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    ids: list[IdChunk] = field(default_factory=list)
    duplicates: Counter[str] = field(default_factory=Counter)


def count_records(block: Block) -> int:
    """How many records (lines that are not blank) a block has."""
    data = bytes(block.data)
    return data.count(b"\n") - len(_BLANK.findall(data))


_BLANK = re.compile(rb"(?m)^[ \t\r\x0b\x0c]*\n")


class Settler:
    """Keeps what the decisions depend on: the next position, the seen ids, the lanes' watermarks.

    ``bounded``: some lane has a lateness, so events' times move watermarks. ``rests``: a lane that is read to its end
    may go on in a later run. ``own_times``: some statistic chooses its windows by another time than the event's. Not
    for two threads at once.
    """

    def __init__(
        self,
        lanes: Lanes,
        seen: SeenIds,
        position: int = 0,
        block: int = 0,
        bounded: bool = False,
        rests: bool = False,
        own_times: bool = False,
    ) -> None:
        self.lanes, self.seen, self.position, self.block = lanes, seen, position, block
        self.bounded, self.rests, self.own_times = bounded, rests, own_times
        self.named = 0

    def settle(self, cut: Cut, facts: Facts) -> Settled:
        """Decide about the next slice, in log order."""
        blocks = cut.slice.blocks
        needs_records = self.bounded or facts.ids is not None or len(facts.dead)
        firsts = self._firsts(blocks, facts.records) if needs_records else []
        exclusion = Exclusion(Positions.at(self.position), NO_INTS)
        settled = Settled(exclusion, [], facts.records, facts.records - len(facts.dead))
        if len(facts.dead):
            self._bury(cut.slice, facts, firsts, settled)
        if facts.ids is not None:
            self._drop_duplicates(blocks, facts, firsts, settled)
        settled.watermarks = self._follow(cut, facts, firsts)
        if self.bounded:
            settled.exclusion.watermarks = self._suspects(facts, firsts, settled.watermarks)
        self.position += facts.records
        self.block += len(blocks)
        return settled

    def _firsts(self, blocks: Sequence[Block], records: int) -> list[int]:
        """The ordinal of each block's first record, and the number of all."""
        counts = [count_records(block) for block in blocks]
        firsts = [0, *np.cumsum(counts).tolist()]
        if firsts[-1] != records:
            raise RuntimeError(f"the engine read {records} records where {firsts[-1]} lines are")
        return firsts

    def _bury(self, slice_: Slice, facts: Facts, firsts: Sequence[int], settled: Settled) -> None:
        """Name the lines that are no events."""
        for number, block in enumerate(slice_.blocks):
            low, high = np.searchsorted(facts.dead, [firsts[number], firsts[number + 1]])
            if low == high:
                continue
            ordinals = facts.dead[low:high] - firsts[number]
            refused = {line.record: line for line in block.refused}
            room = max(0, NAMED_DEAD_LETTERS - self.named)
            named = dict(zip(ordinals[:room].tolist(), lines_of(block, ordinals[:room].tolist()), strict=True))
            for n, record in enumerate(ordinals.tolist()):
                raw = facts.raw_times[low + n]
                reason = refused[record].reason if record in refused else facts.reasons[low + n]
                if record in named:
                    letter = self._letter(block, record, named[record], reason, raw, self.position + firsts[number])
                    settled.dead_letters.append(letter)
                    reason = letter.reason
                settled.reasons[block.lane.name, reason] += 1
            self.named += len(named)

    def _letter(
        self, block: Block, record: int, line: tuple[int, int, bytes], reason: str, raw: str | None, base: int
    ) -> DeadLetter:
        number, offset, data = line
        refused = next((r for r in block.refused if r.record == record), None)
        detail, column, length = "", 0, len(data)
        if refused is not None:
            number, offset, data, length = refused.line, refused.offset, refused.data, refused.length
            detail, column = refused.detail, refused.column
        elif reason == NOT_JSON:
            detail, column = explain_json_error(data)
        elif raw is not None:
            detail = f"got {raw[:100]!r}"
        return DeadLetter(
            base + record, block.lane.name, number, offset, reason, detail, column, data[:KEPT_BYTES], length
        )

    def _drop_duplicates(self, blocks: Sequence[Block], facts: Facts, firsts: Sequence[int], settled: Settled) -> None:
        assert facts.ids is not None
        low, high, has_id = facts.ids
        ordinals = np.flatnonzero(has_id)
        edges = np.searchsorted(ordinals, firsts)
        again = self.seen.add(self.block, np.diff(edges).tolist(), low[ordinals], high[ordinals])
        settled.exclusion.duplicates = ordinals[again]
        settled.events -= int(again.sum())
        for n, block in enumerate(blocks):
            part = slice(edges[n], edges[n + 1])
            mine, fresh = ordinals[part], ~again[part]
            if fresh.any():
                settled.ids.append(IdChunk(self.block + n, pack_ids(low[mine[fresh]], high[mine[fresh]])))
            if not fresh.all():
                settled.duplicates[block.lane.name] += int((~fresh).sum())

    def _follow(self, cut: Cut, facts: Facts, firsts: Sequence[int]) -> list[int]:
        """Move the lanes' watermarks through the slice; returns the watermark before each block."""
        before: list[int] = []
        ended = sorted(cut.ended, key=lambda e: e[0])
        for n, block in enumerate(cut.slice.blocks):
            self._end(lane.number for at, lane in ended if at == n)
            before.append(self.lanes.watermark)
            self.lanes.observe(block.lane.number, self._times(facts, firsts, n))
        self._end(lane.number for at, lane in ended if at == len(cut.slice.blocks))
        return before

    def _end(self, lanes: object) -> None:
        for lane in lanes:  # type: ignore[attr-defined]
            if self.rests:
                self.lanes.rest(lane)
            else:
                self.lanes.end(lane)

    def _times(self, facts: Facts, firsts: Sequence[int], n: int) -> Ints:
        if facts.times is None:
            return NO_INTS
        good = np.ones(facts.records, dtype=np.bool_)
        good[facts.dead] = False
        part = slice(firsts[n], firsts[n + 1])
        return facts.times[part][good[part]]

    def _suspects(self, facts: Facts, firsts: Sequence[int], before: Sequence[int]) -> list[tuple[int, int]]:
        """Per block its first ordinal and the watermark before it; nothing where no event can be late."""
        oldest = (
            int(times.min()) if len(times := self._times(facts, firsts, n)) else FOREVER for n in range(len(before))
        )
        if not self.own_times and all(old >= watermark for old, watermark in zip(oldest, before, strict=True)):
            return []
        return [(firsts[n], watermark) for n, watermark in enumerate(before)]
