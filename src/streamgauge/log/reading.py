"""Reading a log: its blocks in order, over all segments, and in the place of what is damaged, what is missing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from streamgauge.errors import Mistake, StoreError
from streamgauge.log.base import BlockHeader
from streamgauge.log.catalog import Archives, Segment, index_of_block, index_of_position, list_segments
from streamgauge.log.damage import Damage
from streamgauge.log.segment_reader import Item, SegmentReader, open_segment

_ATTEMPTS = 20


class LogReader:
    """Reads the log in a folder, from a place on, and again for what has come since.

    It begins behind ``after_block``, or with the block that holds ``position``, or with the oldest. ``archives``: the
    forms that closed segments may have. ``until``: says the number of the first block that may not be read yet. Whoever
    commits what it reads must give ``lambda: writer.next_block``: without it, blocks are seen that are whole but not
    durable yet, and may be gone after a loss of power. For one thread.
    """

    def __init__(
        self,
        folder: Path,
        *,
        after_block: int | None = None,
        position: int | None = None,
        archives: Archives | None = None,
        until: Callable[[], int] | None = None,
    ) -> None:
        self._folder = folder
        self._block = None if after_block is None else after_block + 1
        self._position = position
        self._archives = archives or {}
        self._until = until
        self._reader: SegmentReader | None = None

    @property
    def next_block(self) -> int | None:
        """The number of the block that comes next; None before the first where none was asked for."""
        return self._reader.expected.block if self._reader else self._block

    def blocks(self) -> Iterator[Item]:
        """What is there now, in order; asked again, what is there then. May be left at any item.

        Raises StoreError for the log of a later version, where the folder cannot be read, and where the log ends before
        the block that it was to go on behind; OSError where a file cannot be read.
        """
        until = self._until() if self._until else sys.maxsize
        if self._reader is not None:
            self._reader.forget()
        elif (self._block or 0) < until and (lost := self._begin(until)) is not None:
            yield lost
        while self._reader is not None and self._reader.expected.block < until:
            item = self._next(self._reader)
            if item is None:
                return
            yield item

    def close(self) -> None:
        """Close the file that is open. May be called again."""
        if self._reader is not None:
            self._reader.close()

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _next(self, reader: SegmentReader) -> Item | None:
        while True:
            item = reader.read(None)
            if item is not None:
                return item
            following = self._following(reader.segment)
            if following is None:
                self._leave_removed(reader)
                return None
            item = reader.read(following)  # It is closed by now, but may not have been when it was read.
            if item is not None:
                return item
            reader = self._move(reader, following.block)

    def _leave_removed(self, reader: SegmentReader) -> None:
        """Begin again the next time where a writer took back the segment that it had just begun (without ``until``)."""
        if not reader.segment.path.exists():
            reader.close()
            self._reader, self._block, self._position = None, reader.expected.block, None

    def _following(self, segment: Segment) -> Segment | None:
        segments = self._list()
        index = index_of_block(segments, segment.block) + 1
        return segments[index] if index < len(segments) else None

    def _move(self, reader: SegmentReader, block: int) -> SegmentReader:
        moved = self._open(lambda segments: max(0, index_of_block(segments, block)))
        if moved is None:
            raise StoreError(str(Mistake(f"log {self._folder}", "its segments were removed while it was read")))
        moved.expected = reader.expected
        reader.close()
        self._reader = moved
        return moved

    def _begin(self, until: int) -> Damage | None:
        """Open the segment to begin in, at its place; without a log, none yet. What was pruned before it, if any."""
        reader = self._open(self._first)
        if reader is None:
            if self._block:
                raise self._ends(0)
            return None
        found = reader.skip_while(lambda header: header.number < until and self._is_before(header), self._block or 0)
        self._reader, expected = reader, reader.expected
        if self._block is None or expected.block == self._block:
            return None
        if expected.block > self._block:
            problem = f"it begins with block {expected.block}, what was before is no longer kept"
            return Damage(str(self._folder), 0, 0, problem, self._block, expected.block)
        if not found and self._following(reader.segment) is None:
            raise self._ends(expected.block)
        expected.block = self._block
        return None

    def _is_before(self, header: BlockHeader) -> bool:
        if self._block is not None:
            return header.number < self._block
        return self._position is not None and header.next_position <= self._position

    def _first(self, segments: list[Segment]) -> int:
        if self._block is not None:
            return max(0, index_of_block(segments, self._block))
        return 0 if self._position is None else max(0, index_of_position(segments, self._position))

    def _open(self, choose: Callable[[list[Segment]], int]) -> SegmentReader | None:
        """A reader of the segment of this index; None where there are none.

        A compactor or retention may remove a file between its listing and its opening: then it is chosen again.
        """
        for _ in range(_ATTEMPTS):
            segments = self._list()
            if not segments:
                return None
            try:
                return open_segment(segments[choose(segments)], self._archives)
            except FileNotFoundError:
                continue
        raise StoreError(str(Mistake(f"log {self._folder}", "its segments are removed faster than they can be read")))

    def _list(self) -> list[Segment]:
        return list_segments(self._folder, self._archives.keys())

    def _ends(self, block: int) -> StoreError:
        problem = f"ends before block {block}, but was to be read from block {self._block} on"
        hint = "it was cut short or replaced: restore it, or begin with a new store"
        return StoreError(str(Mistake(f"log {self._folder}", problem, hint=hint)))
