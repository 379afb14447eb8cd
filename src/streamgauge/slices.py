"""Cuts lanes into slices: whole blocks, end to end in a buffer that an engine reads as a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from streamgauge.engines.base import Buffer, Slice
from streamgauge.errors import InputError
from streamgauge.event import Block, Lane
from streamgauge.expression import TimeUnit
from streamgauge.log.files import NoRoom

FIRST_BYTES = 2 * 2**20
"""The size of the first slice, which doubles from slice to slice: so all workers soon have something to do."""


class Reader(Protocol):
    """What is read of a lane (see log.files.LaneReader)."""

    lane: Lane
    form: str

    @property
    def problem(self) -> InputError | None:
        """Why the lane ended early."""

    @property
    def notes(self) -> list[str]:
        """What the operator should know of the lane, once it has ended."""

    @property
    def left_over(self) -> int:
        """Bytes of an unfinished last line, left for the next run."""

    def read_block(self, into: memoryview) -> Block | None:
        """The next block, in ``into``; None at the end. Raises NoRoom."""

    def close(self) -> None:
        """Give the file back."""


@dataclass(slots=True)
class LaneInput:
    """A lane to read: ``open`` is called when its turn comes. ``unit`` None: not known yet.

    ``identity`` and ``form`` are known once it is open.
    """

    number: int
    name: str
    open: Callable[[], Reader]
    unit: TimeUnit | None = None
    reader: Reader | None = None
    identity: str = ""
    form: str = ""


@dataclass(slots=True)
class Cut:
    """A slice, the buffer that holds it, and what happens to its lanes.

    ``opened``: lanes that begin in it; ``ended``: lanes that end after so many of its blocks: ``(blocks, lane)``.
    """

    slice: Slice
    buffer: Buffer
    opened: list[LaneInput] = field(default_factory=list)
    ended: list[tuple[int, LaneInput]] = field(default_factory=list)


class Slicer:
    """Reads lanes one after another into slices of about ``size`` bytes, the first ones smaller.

    A slice spans lanes only where they have the same time unit, and where no declaration asks for the lane's name.
    """

    def __init__(
        self,
        lanes: Sequence[LaneInput],
        size: int,
        new_buffer: Callable[[int], Buffer],
        sniff: Callable[[Slice], TimeUnit | None] | None,
        span_lanes: bool,
    ) -> None:
        self.size, self.new_buffer, self.sniff, self.span_lanes = size, new_buffer, sniff, span_lanes
        self.free: list[Buffer] = []
        self.problems: list[InputError] = []
        self.notes: list[str] = []
        self._buffers: list[Buffer] = []
        self._next_size = min(size, FIRST_BYTES)
        self._waiting = list(lanes)
        self._lane: LaneInput | None = None

    def give_back(self, buffer: Buffer) -> None:
        """The slice in this buffer is done with."""
        self.free.append(buffer)

    def close(self) -> None:
        """Close the lane being read and free all buffers: nobody may use a slice any more."""
        if self._lane is not None and self._lane.reader is not None:
            self._lane.reader.close()
        for cut_off in self._buffers:
            cut_off.close()
        self._buffers.clear()
        self.free.clear()

    def cuts(self) -> Iterator[Cut]:
        """All slices, in order. The last may have no blocks, when lanes end without any."""
        while self._lane is not None or self._waiting:
            cut = self._cut()
            if cut.slice.blocks or cut.ended:
                yield cut
            else:
                self.give_back(cut.buffer)

    def _cut(self) -> Cut:
        buffer = self.free.pop() if self.free else self._made(self.size + self.size // 8 + 1)
        buffer.open_whole()
        buffer.view[0] = _FEED
        cut = Cut(Slice(buffer.path, 1, [], None, ""), buffer)
        size, self._next_size = self._next_size, min(self.size, self._next_size * 2)
        while cut.slice.size <= size:
            lane = self._next_lane(cut)
            if lane is None:
                break
            block = self._read(cut, lane)
            if block is None:
                self._end(cut, lane)
            elif not self._take(cut, lane, block):
                break
        cut.buffer.trim(cut.slice.size)
        return cut

    def _next_lane(self, cut: Cut) -> LaneInput | None:
        """The lane to read on; None where there is none, or where it must not share this slice."""
        while self._lane is None and self._waiting:
            lane = self._waiting[0]
            if cut.slice.blocks and not self.span_lanes:
                return None
            self._waiting.pop(0)
            try:
                lane.reader = lane.open()
            except InputError as e:
                # A new one: the frames of the old one would keep views of buffers that must be closed.
                self.problems.append(InputError(str(e)))
                cut.ended.append((len(cut.slice.blocks), lane))
                continue
            lane.identity, lane.form = lane.reader.lane.identity, lane.reader.form
            cut.opened.append(lane)
            self._lane = lane
        return self._lane

    def _read(self, cut: Cut, lane: LaneInput) -> Block | None:
        assert lane.reader is not None
        while True:
            try:
                return lane.reader.read_block(cut.buffer.view[cut.slice.size :])
            except NoRoom as e:
                if cut.slice.blocks:
                    return _FULL
                self._enlarge(cut, e.needed)

    def _made(self, size: int) -> Buffer:
        self._buffers.append(self.new_buffer(size))
        return self._buffers[-1]

    def _enlarge(self, cut: Cut, needed: int) -> None:
        self._buffers.remove(cut.buffer)
        cut.buffer.close()
        cut.buffer = self._made(needed + 1024)
        cut.buffer.view[0] = _FEED
        cut.slice.path = cut.buffer.path

    def _take(self, cut: Cut, lane: LaneInput, block: Block) -> bool:
        """Add a block to the slice; False where the slice is complete without it."""
        if block is _FULL:
            return False
        if lane.unit is None and self.sniff is not None:
            lane.unit = self._sniffed(lane, block)
        if not cut.slice.blocks:
            cut.slice.unit, cut.slice.source = lane.unit, lane.name
        elif cut.slice.unit is not lane.unit:
            self._push_back(block)
            return False
        cut.slice.blocks.append(block)
        cut.slice.size += len(block.data)
        return True

    def _push_back(self, block: Block) -> None:
        kept = replace(block, data=bytes(block.data))
        lane = self._lane
        assert lane is not None
        assert lane.reader is not None
        lane.reader = _Ahead(kept, lane.reader)

    def _sniffed(self, lane: LaneInput, block: Block) -> TimeUnit | None:
        assert self.sniff is not None
        size = 1 + len(block.data)
        buffer = self.new_buffer(size)
        buffer.view[0], buffer.view[1:size] = _FEED, block.data
        buffer.trim(size)
        unit = self.sniff(Slice(buffer.path, size, [block], None, lane.name))
        buffer.close()
        return unit

    def _end(self, cut: Cut, lane: LaneInput) -> None:
        assert lane.reader is not None
        if lane.reader.problem is not None:
            self.problems.append(lane.reader.problem)
        self.notes += lane.reader.notes
        if size := lane.reader.left_over:
            self.notes.append(f"{lane.name}: its last {size} bytes are unfinished, and left for the next run")
        lane.reader.close()
        cut.ended.append((len(cut.slice.blocks), lane))
        self._lane = None


_FEED = 10
_FULL = Block(Lane(-1, ""), -1, 0, 0, 0, b"")


class _Ahead:
    """A reader of which one block was read already."""

    def __init__(self, block: Block, reader: Reader) -> None:
        self.block: Block | None = block
        self.reader = reader
        self.lane = reader.lane
        self.form = reader.form

    @property
    def problem(self) -> InputError | None:
        return self.reader.problem

    @property
    def notes(self) -> list[str]:
        return self.reader.notes

    @property
    def left_over(self) -> int:
        return self.reader.left_over

    def read_block(self, into: memoryview) -> Block | None:
        if self.block is None:
            return self.reader.read_block(into)
        if len(self.block.data) > len(into):
            raise NoRoom(len(self.block.data))
        into[: len(self.block.data)] = self.block.data
        block, self.block = replace(self.block, data=into[: len(self.block.data)]), None
        return block

    def close(self) -> None:
        self.reader.close()
