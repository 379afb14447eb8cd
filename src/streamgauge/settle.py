"""What is decided about a slice in log order: positions, dead letters, duplicates, watermarks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from streamgauge.codecs.explain import explain_json_error
from streamgauge.engines.base import NOT_JSON, Exclusion, Facts, Ints, Positions, Slice
from streamgauge.event import FOREVER, Block, DeadLetter
from streamgauge.log.lines import lines_of, next_line
from streamgauge.seen import SeenIds, pack_ids
from streamgauge.slices import Cut
from streamgauge.store.base import IdChunk, LaneState, TallyKey
from streamgauge.watermark import Lanes

NO_INTS: Ints = np.zeros(0, dtype=np.int64)
NAMED_DEAD_LETTERS = 10_000
"""Dead letters of one run that are kept with their bytes; more are only counted."""

KEPT_BYTES = 4096
"""How much of a dead letter's message is kept."""


@dataclass(slots=True)
class Settled:
    """What was decided: for the engine, and for the commit. ``lanes``: how far each lane is read with this slice.

    ``replayed``: positions of the dead letters that messages of the slice were before.
    """

    exclusion: Exclusion
    watermarks: list[int]
    records: int
    events: int
    bytes: int = 0
    lanes: dict[int, LaneState] = field(default_factory=dict)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    ids: list[IdChunk] = field(default_factory=list)
    tallies: Counter[TallyKey] = field(default_factory=Counter)
    replayed: list[int] = field(default_factory=list)


class Decider(Protocol):
    """Decides about slices in log order. What it says of its state goes up to the last slice that was settled."""

    @property
    def position(self) -> int:
        """The next position."""

    @property
    def block(self) -> int:
        """The ordinal of the next block."""

    @property
    def watermark(self) -> int:
        """Up to what time all is believed to be here."""

    @property
    def forget_blocks(self) -> int:
        """Ids of blocks below this are forgotten."""

    @property
    def states(self) -> Mapping[int, LaneState]:
        """How far each lane is read."""

    def book(self) -> dict[str, Any]:
        """What must be kept to go on from here, as JSON."""

    def wants_times(self, cut: Cut) -> bool:
        """Whether the engine must say the times of this slice. Asked once of each, in log order."""

    def settle(self, cut: Cut, facts: Facts) -> Settled:
        """Decide about the next slice."""


def count_records(block: Block) -> int:
    """How many records (lines that are not blank) a block has."""
    data = bytes(block.data)
    return data.count(b"\n") - len(_BLANK.findall(data))


_BLANK = re.compile(rb"(?m)^[ \t\r\x0b\x0c]*\n")


class Settler:
    """Keeps what the decisions depend on: the next position, the seen ids, the lanes' watermarks.

    ``bounded``: some lane has a lateness, so events' times move watermarks. ``rests``: a lane that is read to its end
    may go on in a later run. ``states``: how far lanes were read before. ``own_times``: some statistic chooses its
    windows by another time than the event's. Not for two threads at once.
    """

    def __init__(
        self,
        lanes: Lanes,
        seen: SeenIds,
        states: Mapping[int, LaneState],
        position: int = 0,
        block: int = 0,
        bounded: bool = False,
        rests: bool = False,
        own_times: bool = False,
    ) -> None:
        self.lanes, self.seen, self.position, self.block = lanes, seen, position, block
        self.states = dict(states)
        self.bounded, self.rests, self.own_times = bounded, rests, own_times
        self.named = 0

    @property
    def watermark(self) -> int:
        """See Decider.watermark."""
        return self.lanes.watermark

    @property
    def forget_blocks(self) -> int:
        """See Decider.forget_blocks."""
        return self.seen.older_block

    def book(self) -> dict[str, Any]:
        """See Decider.book."""
        return {"lanes": self.lanes.to_dict(), "ids": [self.seen.older_block, self.seen.first_block]}

    def wants_times(self, cut: Cut) -> bool:
        """See Decider.wants_times."""
        return self.bounded

    def settle(self, cut: Cut, facts: Facts) -> Settled:
        """See Decider.settle."""
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
        settled.bytes = sum(len(block.data) for block in blocks)
        settled.lanes = self._read_states(cut)
        return settled

    def _read_states(self, cut: Cut) -> dict[int, LaneState]:
        """How far each lane has been read with this slice."""
        read: dict[int, LaneState] = {}
        for lane in cut.opened:
            state = self.states[lane.number]
            identity = state.identity or lane.identity
            read[lane.number] = replace(state, name=lane.name, identity=identity, form=lane.form)
        self.states.update(read)
        for number, block in {b.lane.number: b for b in cut.slice.blocks}.items():
            # The unit of the slice, and not of the lane, which may have been read further by now.
            unit = cut.slice.unit.value if cut.slice.unit is not None else self.states[number].time_unit
            read[number] = replace(self.states[number], cursor=block.end, line=next_line(block), time_unit=unit)
        self.states.update(read)
        return read

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
                settled.tallies[TallyKey(block.lane.name, reason)] += 1
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
                settled.tallies[TallyKey(block.lane.name, "duplicate")] += int((~fresh).sum())

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
