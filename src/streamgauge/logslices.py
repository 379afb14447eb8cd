"""Cuts a log into slices: whole blocks, their events end to end in a buffer that an engine reads as a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from streamgauge.engines.base import Buffer, Slice
from streamgauge.event import Block, Lane
from streamgauge.expression import TimeUnit
from streamgauge.log.base import LogBlock
from streamgauge.log.damage import Damage
from streamgauge.slices import Cut

MOST_BLOCKS = 4096
"""Blocks of one slice: many small ones cost more by their number than by their bytes."""


@dataclass(slots=True)
class LogCut(Cut):
    """A slice of a log; ``logged`` are its blocks as they were read, in the order of ``slice.blocks``."""

    logged: list[LogBlock] = field(default_factory=list)


class LogSlicer:
    """Takes what is there of a log, and when asked again, what is there then.

    ``items`` gives blocks, and in the place of what cannot be read a Damage, which is told to ``on_damage``.
    """

    def __init__(
        self,
        items: Callable[[], Iterable[LogBlock | Damage]],
        size: int,
        new_buffer: Callable[[int], Buffer],
        on_damage: Callable[[Damage], None],
    ) -> None:
        self.items, self.size, self.new_buffer, self.on_damage = items, size, new_buffer, on_damage
        self._free: list[Buffer] = []
        self._made: list[Buffer] = []

    def give_back(self, buffer: Buffer) -> None:
        """The slice in this buffer is done with."""
        self._free.append(buffer)

    def close(self) -> None:
        """Free all buffers: nobody may use a slice any more."""
        for buffer in self._made:
            buffer.close()
        self._made.clear()
        self._free.clear()

    def cuts(self) -> Iterator[Cut]:
        """What is there, in order."""
        cut: LogCut | None = None
        for item in self.items():
            if isinstance(item, Damage):
                self.on_damage(item)
                continue
            if cut is not None and not self._fits(cut, item):
                yield self._done(cut)
                cut = None
            if cut is None:
                cut = self._begun(len(item.events))
            _put(cut, item)
        if cut is not None:
            yield self._done(cut)

    def _fits(self, cut: LogCut, block: LogBlock) -> bool:
        size = cut.slice.size + len(block.events)
        return size <= min(self.size, cut.buffer.capacity) and len(cut.logged) < MOST_BLOCKS

    def _begun(self, first: int) -> LogCut:
        """An empty slice with room for its first block at least."""
        buffer = self._buffer(max(self.size, first + 1))
        buffer.open_whole()
        buffer.view[0] = ord("\n")
        return LogCut(Slice(buffer.path, 1, [], TimeUnit.MS, ""), buffer)

    def _buffer(self, size: int) -> Buffer:
        for n, buffer in enumerate(self._free):
            if buffer.capacity >= size:
                return self._free.pop(n)
        self._made.append(self.new_buffer(size))
        return self._made[-1]

    def _done(self, cut: LogCut) -> LogCut:
        cut.buffer.trim(cut.slice.size)
        return cut


def _put(cut: LogCut, logged: LogBlock) -> None:
    header, start = logged.header, cut.slice.size
    view = cut.buffer.view[start : start + len(logged.events)]
    view[:] = logged.events
    lane = Lane(header.lane, header.name)
    cut.slice.blocks.append(Block(lane, header.number, start, start + len(view), 1, view))
    cut.slice.size += len(view)
    cut.logged.append(logged)
