"""From what was judged to the blocks that are appended: headers, marks, answers, receipts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from streamgauge.event import FOREVER
from streamgauge.expression import TimeUnit
from streamgauge.log.answers import said_of
from streamgauge.log.base import BlockHeader, LaneName, LogBlock, Receipt
from streamgauge.log.ids import Ids
from streamgauge.log.judge import Part
from streamgauge.watermark import LaneMark, LaneState, end, observe, tick

LETTERS = "dead_letters"
"""In the cursor of a header: the positions of the dead letters that the block's messages were."""

MOST_TOPICS = 256
"""How many topics a header names; of a block with more it says ``*``."""


@dataclass(frozen=True, slots=True)
class LaneNow:
    """What the next block of a lane goes on from. ``covered_from_ms`` as in a header."""

    number: int
    name: LaneName
    mark: LaneMark = field(default_factory=LaneMark)
    unit: TimeUnit | None = None
    cursor: Any = None
    covered_from_ms: int | None = None


@dataclass(slots=True)
class Draft:
    """A block to append, how its lane stands after it, the receipts of its parts, and the ids of its events.

    ``behind``: what its source said last; None for a tick.
    """

    block: LogBlock
    lane: LaneNow
    receipts: list[Receipt] = field(default_factory=list)
    ids: list[Ids] = field(default_factory=list)
    behind: bool | None = None

    @property
    def brings(self) -> bool:
        """Whether it has events, or would have, if they had been good and new."""
        header = self.block.header
        return bool(header.events or header.dead or header.duplicates)


def lane_at_start(header: BlockHeader) -> LaneNow:
    """A lane as its last header says. Without a cursor to go on from, it is not covered: what came since is missed."""
    return LaneNow(
        header.lane,
        LaneName(header.source, header.name),
        LaneMark.from_dict(header.mark) if header.mark else LaneMark(),
        TimeUnit(header.unit) if header.unit else None,
        header.cursor,
        header.covered_from_ms if header.cursor is not None else None,
    )


def draft_block(
    parts: Sequence[Part], lane: LaneNow, unit: TimeUnit | None, block: int, position: int, received_ms: int
) -> Draft:
    """The block of these parts of one lane, whose duplicates are decided."""
    counts = [int(part.fresh.sum()) for part in parts]
    cursor = next((p.incoming.cursor for p in reversed(parts) if p.incoming.cursor is not None), None)
    letters = [position for part in parts for position in part.incoming.letters]
    if letters:
        cursor, unit = {LETTERS: letters}, None
    times = np.concatenate([part.times for part in parts])
    covered = lane.covered_from_ms
    if covered is None and len(times) and not letters:
        covered = int(times.min())
    duplicates = sum(int(part.good.sum()) for part in parts) - sum(counts)
    dead = b"".join(part.dead_lines(received_ms) for part in parts)
    brings = bool(len(times) or dead or duplicates)
    now = replace(
        lane,
        mark=_mark(lane.mark, parts, times, brings=brings),
        unit=lane.unit or unit,
        cursor=lane.cursor if cursor is None else cursor,
        covered_from_ms=covered,
    )
    receipts = _receipts(parts, counts, block, position)
    header = replace(
        _header(now, block, position, received_ms),
        events=len(times),
        dead=sum(len(part.dead) for part in parts),
        duplicates=duplicates,
        cursor=cursor,
        answers={p.incoming.key: said_of(r) for p, r in zip(parts, receipts, strict=True) if p.incoming.key},
        oldest_ms=int(times.min()) if len(times) else None,
        newest_ms=int(times.max()) if len(times) else None,
        topics=_topics(parts),
    )
    events = b"".join(part.event_lines() for part in parts)
    return Draft(LogBlock(header, events, dead), now, receipts, _ids(parts), parts[-1].incoming.behind)


def draft_tick(lane: LaneNow, mark: LaneMark, block: int, position: int, received_ms: int) -> Draft:
    """The block that tells a lane's mark, and nothing else."""
    now = replace(lane, mark=mark)
    return Draft(LogBlock(_header(now, block, position, received_ms), b"", b""), now)


def _header(lane: LaneNow, block: int, position: int, received_ms: int) -> BlockHeader:
    return BlockHeader(
        number=block,
        lane=lane.number,
        source=lane.name.source,
        name=lane.name.name,
        position=position,
        received_ms=received_ms,
        mark=lane.mark.to_dict(),
        unit=lane.unit.value if lane.unit else "",
        covered_from_ms=lane.covered_from_ms,
    )


def _mark(mark: LaneMark, parts: Sequence[Part], times: Any, *, brings: bool) -> LaneMark:
    """The mark after a block: its events are observed, then what the source knows, at last its end."""
    mark = replace(mark, lateness_ms=parts[-1].incoming.arrival.lateness_ms)
    if parts[-1].incoming.letters:
        # What was missed before says nothing of what is to come.
        return replace(mark, state=LaneState.ENDED)
    if brings:
        mark = observe(mark, times)
    elif mark.state is LaneState.WAITING:
        # A lane that never had an event must not hold anybody back.
        mark = replace(mark, state=LaneState.RESTING)
    complete = [p.incoming.complete_to_ms for p in parts if p.incoming.complete_to_ms is not None]
    if complete:
        mark = tick(mark, min(FOREVER, max(complete)))
    return end(mark) if parts[-1].incoming.last else mark


def _receipts(parts: Sequence[Part], counts: Sequence[int], block: int, position: int) -> list[Receipt]:
    receipts = []
    for part, accepted in zip(parts, counts, strict=True):
        receipt = Receipt(
            accepted=accepted,
            duplicates=int(part.good.sum()) - accepted,
            malformed=len(part.dead),
            position=position if accepted else -1,
            block=block,
            receipt_times=part.received,
            refusals=part.refusals(),
        )
        receipts.append(receipt)
        position += accepted
    return receipts


def _topics(parts: Sequence[Part]) -> tuple[str, ...]:
    topics: set[str] = set().union(*(part.topics for part in parts))
    return tuple(sorted(topics)) if len(topics) <= MOST_TOPICS else ("*",)


def _ids(parts: Sequence[Part]) -> list[Ids]:
    found = []
    for part in parts:
        if part.named is not None:
            records, ids = part.named
            fresh = part.fresh[records]
            found.append(Ids(ids.source, ids.low[fresh], ids.high[fresh]))
    return found


def numbers_of(lanes: Mapping[LaneName, LaneNow]) -> int:
    """The number that the next new lane gets."""
    return max((lane.number for lane in lanes.values()), default=-1) + 1
