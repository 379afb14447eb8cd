"""What a writer must know of a log that it opens, and what is wrong with a log.

**A torn tail** is what a write leaves that did not finish: the process or the power ended before its fsync returned.
It is the end of the newest segment. After the end of the process it is the begin of the write; after a loss of power,
any sectors of the write may be missing, which then read as zeros. So the first bad block of a tail is torn if the file
ends inside of it, or a sector of it is zeros, and if no block follows it that was written later: such a block would
prove that the bad one had been durable. All from there on was never acknowledged, and is cut. Anything else is damage:
it is reported, and nothing is cut; what follows goes to a new segment.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from streamgauge.errors import Mistake, StoreError
from streamgauge.log.base import BlockHeader, LogBlock
from streamgauge.log.catalog import UNFINISHED, WRITTEN, Archives, Segment, list_segments
from streamgauge.log.damage import Cut, Damage
from streamgauge.log.scan import Bad, Placed, Window, next_intact, read_block, read_opening
from streamgauge.log.segment_reader import Expected, SegmentReader, open_segment, read_segment

_SHORTEST_BLOCK = 64
"""No block is shorter, in bytes: so many may have stood in damaged bytes."""


@dataclass(slots=True)
class Recovered:
    """What stands in the newest segment. ``size``: its bytes that count; ``next_block`` and ``next_position`` are free.

    ``lanes``: as in LogWriter.lanes, None where the line that says how they stood before is damaged; ``seen`` are those
    of this segment only. Where ``damages`` are named, nothing may be appended to this segment.
    """

    next_block: int
    next_position: int
    size: int = 0
    made_ms: int = 0
    lanes: dict[int, BlockHeader] | None = None
    seen: dict[int, BlockHeader] = field(default_factory=dict)
    damages: list[Damage] = field(default_factory=list)
    cut: Cut | None = None


@dataclass(slots=True)
class Verified:
    """What a log holds, and every place where it is not as it was written."""

    segments: int = 0
    blocks: int = 0
    events: int = 0
    dead: int = 0
    damages: list[Damage] = field(default_factory=list)


def note(lanes: dict[int, BlockHeader], header: BlockHeader) -> None:
    """Set a lane's last header. It keeps the cursor of the last block that had one."""
    before = lanes.get(header.lane)
    if header.cursor is None and before is not None and before.cursor is not None:
        header = replace(header, cursor=before.cursor)
    lanes[header.lane] = header


def recover(segment: Segment) -> Recovered:
    """Read the newest segment, in the form that it was written in, and find its torn tail. Changes nothing.

    Raises StoreError for the log of a later version, OSError where the file cannot be read.
    """
    descriptor = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _Recovery(segment, Window(descriptor)).run()
    finally:
        os.close(descriptor)


class _Recovery:
    """One reading of the newest segment."""

    def __init__(self, segment: Segment, window: Window) -> None:
        self.path = segment.path
        self.window = window
        self.expected = Expected(segment.block, segment.position)
        self.found = Recovered(segment.block, segment.position)
        self.write = 0
        """The write of the newest block that was read: whatever belongs to an earlier one was durable."""

    def run(self) -> Recovered:
        opening = read_opening(self.window, str(self.path))
        self.found.made_ms = opening.head.made_ms if opening.head else 0
        self.found.lanes = None if opening.lanes is None else dict(opening.lanes)
        offset: int | None = opening.end
        if opening.bad is not None:
            offset = self._past(opening.bad)
        while offset is not None:
            offset = self._step(offset)
        return self.found

    def _step(self, offset: int) -> int | None:
        """Take the block at this place; where to go on, None at the end."""
        found = read_block(self.window, offset, self.expected.block, self.expected.position)
        if isinstance(found, Placed):
            self._pass(found)
            return found.end
        if found is None:
            self._end(offset)
            return None
        if self._is_torn(found):
            self.found.cut = Cut(str(self.path), offset, self.window.size, self.expected.block)
            self._end(offset)
            return None
        return self._past(found)

    def _pass(self, placed: Placed) -> None:
        header = placed.block.header
        if header.number != self.expected.block:
            problem = f"block {header.number} stands where block {self.expected.block} was expected"
            place, then = (placed.offset, placed.offset), (header.number, header.position)
            self.found.damages.append(self.expected.missing(self.path, place, problem, then))
        self.expected.passed(header)
        for lanes in (self.found.seen, self.found.lanes):
            if lanes is not None:
                note(lanes, header)

    def _end(self, offset: int) -> None:
        self.found.size = offset
        self.found.next_block, self.found.next_position = self.expected.block, self.expected.position

    def _is_torn(self, bad: Bad) -> bool:
        if not bad.short and not self.window.has_hole(bad.offset, bad.end):
            return False
        after, block = next_intact(self.window, bad, self.expected.block, self.expected.position), self.expected.block
        while after is not None:
            if after.write > block:
                return False
            header = after.block.header
            after = self._intact_behind(after.end, header)
        return True

    def _intact_behind(self, offset: int, header: BlockHeader) -> Placed | None:
        found = read_block(self.window, offset, header.number + 1, header.next_position)
        if isinstance(found, Bad):
            return next_intact(self.window, found, header.number + 1, header.next_position)
        return found

    def _past(self, bad: Bad) -> int | None:
        """Where to go on behind damage. At the file's end, numbers are left out that what is damaged may have had."""
        after = next_intact(self.window, bad, self.expected.block, self.expected.position)
        if after is not None:
            then, end = (after.block.header.number, after.block.header.position), after.offset
        else:
            then, end = self._unused(bad), self.window.size
        self.found.damages.append(self.expected.missing(self.path, (bad.offset, end), bad.problem, then))
        if after is None:
            self._end(end)
            return None
        return end

    def _unused(self, bad: Bad) -> tuple[int, int]:
        """A block number and a position that no block in or behind the bad place can have had."""
        if bad.header is None:
            block, position, rest = self.expected.block + 1, self.expected.position, self.window.size - bad.offset
        else:
            block, position = bad.header.number + 1, bad.header.next_position
            rest = max(0, self.window.size - bad.end)
        return block + rest // _SHORTEST_BLOCK, position + rest


def last_headers(segments: Sequence[Segment], archives: Archives) -> dict[int, BlockHeader]:
    """Each lane's last header after these segments, read from the last line of lanes that is intact.

    Raises StoreError, OSError.
    """
    begin, lanes = 0, dict[int, BlockHeader]()
    for index in range(len(segments) - 1, -1, -1):
        standing = _standing(segments[index])
        if standing is not None:
            begin, lanes = index, standing
            break
    for segment in segments[begin:]:
        for item in read_segment(segment, archives):
            if isinstance(item, LogBlock):
                note(lanes, item.header)
    return lanes


def archived_end(segment: Segment, archives: Archives) -> tuple[int, int]:
    """The block and the position after an archive that is whole. Raises StoreError for one that is not, OSError."""
    end = (segment.block, segment.position)
    for item in read_segment(segment, archives):
        if isinstance(item, Damage):
            hint = "restore this file, or begin with another folder"
            raise StoreError(str(Mistake(str(item), "the log cannot go on after it", hint=hint)))
        end = (item.header.number + 1, item.header.next_position)
    return end


def _standing(segment: Segment) -> dict[int, BlockHeader] | None:
    """How the lanes stood when this segment was begun, if it says so."""
    if not segment.written:
        return None
    descriptor = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return read_opening(Window(descriptor), str(segment.path)).lanes
    finally:
        os.close(descriptor)


def verify(folder: Path, archives: Archives | None = None) -> Verified:
    """Read all of a log and say what is wrong with it; reads on past everything that is damaged.

    While a writer is at work, the end of its newest segment may be unfinished, and is then named too. Raises StoreError
    where the folder cannot be read.
    """
    result, known = Verified(), archives or {}
    expected: Expected | None = None
    for segment, following in pairwise([*list_segments(folder, known.keys()), None]):
        if segment is not None:
            expected = _verify(result, segment, following, expected, known)
    for name in sorted(path.name for path in folder.glob(f"segment-*{WRITTEN}{UNFINISHED}")):
        problem = "a segment that was not finished, removed at the next start"
        result.damages.append(Damage(str(folder / name), 0, 0, problem, 0, 0))
    return result


def _verify(
    result: Verified, segment: Segment, following: Segment | None, expected: Expected | None, archives: Archives
) -> Expected:
    """Verify one segment; what the next one must begin with."""
    result.segments += 1
    reader: SegmentReader | None = None
    try:
        reader = open_segment(segment, archives)
        reader.expected = expected or reader.expected
        while (item := reader.read(following, closed=True)) is not None:
            _count(result, item)
        return reader.expected
    except (StoreError, OSError) as error:
        lost = (reader.expected if reader else expected) or Expected(segment.block, segment.position)
        place, problem = (0, segment.size), f"it cannot be read: {error}"
        if following is None:
            result.damages.append(lost.unknown(segment.path, place, problem))
        else:
            then = (following.block, following.position)
            result.damages.append(lost.missing(segment.path, place, problem, then))
        return lost
    finally:
        if reader is not None:
            reader.close()


def _count(result: Verified, item: LogBlock | Damage) -> None:
    if isinstance(item, Damage):
        result.damages.append(item)
        return
    result.blocks += 1
    result.events += item.header.events
    result.dead += item.header.dead
