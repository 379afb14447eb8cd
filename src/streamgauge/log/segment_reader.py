"""Reading the blocks of one segment, in any of its forms, and what is missing in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from streamgauge.errors import StoreError, StreamgaugeError
from streamgauge.log.base import BlockHeader, LogBlock
from streamgauge.log.catalog import Archives, ReadArchive, Segment, segment_name
from streamgauge.log.damage import Damage
from streamgauge.log.scan import Bad, Placed, Window, next_intact, read_block, read_header, read_opening

Item = LogBlock | Damage


class Expected:
    """Which block comes next, if none is missing."""

    def __init__(self, block: int, position: int) -> None:
        self.block = block
        self.position = position

    def missing(self, file: Path, place: tuple[int, int], problem: str, then: tuple[int, int]) -> Damage:
        """What is missing before ``then`` (block, position), which comes next now. ``place``: the bytes concerned."""
        damage = Damage(str(file), *place, problem, self.block, then[0], self.position, then[1])
        self.block, self.position = then
        return damage

    def unknown(self, file: Path, place: tuple[int, int], problem: str) -> Damage:
        """Damage of which it is not known what comes behind it."""
        return Damage(str(file), *place, problem, self.block, None, self.position, None)

    def passed(self, header: BlockHeader) -> None:
        """This block has come."""
        self.block, self.position = header.number + 1, header.next_position


class SegmentReader(Protocol):
    """Reads the blocks of one segment. ``expected`` may be set: what the segment before led to."""

    segment: Segment
    expected: Expected

    def read(self, following: Segment | None, *, closed: bool = False) -> Item | None:
        """The next block or damage; None where there is no more now.

        ``following`` is the segment after this one; without one, ``closed`` says that nothing is being written to it.
        Otherwise what is not whole at the end may still become so, and is no damage. Raises StoreError for the log of a
        later version.
        """
        ...

    def skip_while(self, before: Callable[[BlockHeader], bool], block: int) -> bool:
        """Go on at the first block that is not ``before``. False where the segment ends cleanly without one.

        Every block with a number below ``block`` is known to be ``before``.
        """
        ...

    def forget(self) -> None:
        """Read afresh: the file may have changed."""
        ...

    def close(self) -> None:
        """Close the file. May be called again."""
        ...


class WrittenSegment:
    """Reads a segment in the form that it was written in, also while it grows. Raises OSError where it cannot."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.expected = Expected(segment.block, segment.position)
        self._descriptor = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        self._window = Window(self._descriptor)
        self._bad: Bad | None = None
        self._offset = -1

    def read(self, following: Segment | None, *, closed: bool = False) -> Item | None:
        found = self._look()
        if isinstance(found, Bad):
            # What a writer is just cutting off or writing may have been read half in its old, half in its new form.
            self.forget()
            found = self._look()
        if isinstance(found, Placed):
            return self._arrived(found)
        if isinstance(found, Bad):
            return self._damaged(found, following, closed or following is not None)
        return None if following is None else _missing_between(self, following)

    def skip_while(self, before: Callable[[BlockHeader], bool], block: int) -> bool:
        while not isinstance(found := self._skim(before, block), bool):
            self._offset, self._bad = found, None
        return found

    def forget(self) -> None:
        self._window.forget()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _look(self) -> Placed | Bad | None:
        self._open()
        if self._bad is not None:
            return self._bad
        return read_block(self._window, self._offset, self.expected.block, self.expected.position)

    def _open(self) -> None:
        """At the first time, and until it is past what is bad there: the segment's first lines."""
        if self._offset < 0 or self._bad is not None:
            opening = read_opening(self._window, str(self.segment.path))
            self._bad, self._offset = opening.bad, opening.bad.offset if opening.bad else opening.end

    def _arrived(self, found: Placed) -> Item:
        header = found.block.header
        if header.number != self.expected.block:
            return _not_expected(self, header, found.offset)
        self.expected.passed(header)
        self._offset = found.end
        return found.block

    def _damaged(self, bad: Bad, following: Segment | None, closed: bool) -> Damage | None:
        if bad.short and not closed:
            return None
        after = next_intact(self._window, bad, self.expected.block, self.expected.position)
        if after is None and not closed:
            return None
        self._bad, self._offset = None, after.offset if after else max(self._window.size, bad.end)
        place = (bad.offset, self._offset)
        if after is not None:
            then = (after.block.header.number, after.block.header.position)
        elif following is not None:
            then = (max(following.block, self.expected.block), max(following.position, self.expected.position))
        else:
            return self.expected.unknown(self.segment.path, place, bad.problem)
        return self.expected.missing(self.segment.path, place, bad.problem, then)

    def _skim(self, before: Callable[[BlockHeader], bool], block: int) -> int | bool:
        """Where the next block to skip ends; otherwise whether what is looked for begins here."""
        self._open()
        if self._bad is not None:
            return self._skip_bad(self._bad, before, block)
        found = read_header(self._window, self._offset, self.expected.block, self.expected.position)
        if found is None:
            return False
        if isinstance(found, Bad):
            return self._skip_bad(found, before, block)
        if found.end > self._window.size or not before(found.header):
            return True
        self.expected.passed(found.header)
        return found.end

    def _skip_bad(self, bad: Bad, before: Callable[[BlockHeader], bool], block: int) -> int | bool:
        """As ``_skim``, at a bad place. It is passed where nothing is missing in it but what was to be skipped."""
        after = next_intact(self._window, bad, self.expected.block, self.expected.position)
        if after is None:
            return True
        header = after.block.header
        if before(header):
            self.expected.passed(header)
            return after.end
        if header.number > block:
            return True
        self.expected.block, self.expected.position = header.number, header.position
        return after.offset


class _Failure(NamedTuple):
    """An archive, or a part of it, could not be read. The block and the position behind it, where they are known."""

    problem: str
    then: tuple[int, int] | None


class ArchivedSegment:
    """Reads a segment in a form that it was given later."""

    def __init__(self, segment: Segment, read: ReadArchive) -> None:
        self.segment = segment
        self.expected = Expected(segment.block, segment.position)
        self._read = read
        self._after = -1
        self._blocks: Iterator[LogBlock] | None = None
        self._next: LogBlock | None = None
        self._failure: _Failure | None = None

    def read(self, following: Segment | None, *, closed: bool = False) -> Item | None:
        block = self._peek()
        if block is not None:
            return self._arrived(block)
        if self._failure is None:
            return None if following is None else _missing_between(self, following)
        if following is None and not closed:
            return None
        return self._failed(self._failure, following)

    def skip_while(self, before: Callable[[BlockHeader], bool], block: int) -> bool:
        self._after = max(self._after, block - 1)
        while (found := self._peek()) is not None:
            if not before(found.header):
                return True
            self.expected.passed(found.header)
            self._next = None
        return self._failure is not None

    def forget(self) -> None:
        """An archive never changes."""

    def close(self) -> None:
        self._blocks = iter(())

    def _peek(self) -> LogBlock | None:
        if self._next is None and self._failure is None:
            self._after = max(self._after, self.expected.block - 1)
            try:
                self._blocks = self._blocks or self._read(self.segment.path, self._after)
                self._next = next(self._blocks, None)
            except StoreError:
                raise
            except (StreamgaugeError, OSError, ValueError) as error:
                then = (getattr(error, "next_block", None), getattr(error, "next_position", None))
                known = None if then[0] is None or then[1] is None else (then[0], then[1])
                self._failure = _Failure(str(error), known)
        return self._next

    def _arrived(self, block: LogBlock) -> Item:
        header = block.header
        if header.number != self.expected.block:
            return _not_expected(self, header, 0)
        self.expected.passed(header)
        self._next = None
        return block

    def _failed(self, failure: _Failure, following: Segment | None) -> Damage:
        """The damage of what could not be read; reading goes on behind it, where that is known."""
        path, place = self.segment.path, (0, self.segment.size)
        self._failure, self._blocks = None, iter(())
        if failure.then is not None and failure.then[0] > self.expected.block:
            self._blocks, self._after = None, failure.then[0] - 1
            return self.expected.missing(path, place, failure.problem, failure.then)
        if following is not None:
            return self.expected.missing(path, place, failure.problem, (following.block, following.position))
        return self.expected.unknown(path, place, failure.problem)


def _not_expected(reader: SegmentReader, header: BlockHeader, offset: int) -> Damage:
    """What is missing before a block that is intact and not the one expected; it comes next."""
    problem = f"block {header.number} stands where block {reader.expected.block} was expected"
    then = (header.number, header.position)
    return reader.expected.missing(reader.segment.path, (offset, offset), problem, then)


def _missing_between(reader: SegmentReader, following: Segment) -> Damage | None:
    """What is missing at the end of a segment that is read to its end; None where the following one goes on."""
    expected, segment = reader.expected, reader.segment
    if following.block <= expected.block:
        return None
    missing = segment.path.with_name(segment_name(expected.position, expected.block))
    problem = f"no such segment: it was removed, or {segment.path.name}, the one before, was cut short"
    return expected.missing(missing, (0, 0), problem, (following.block, following.position))


def open_segment(segment: Segment, archives: Archives) -> SegmentReader:
    """A reader of one segment, from its first block. Raises OSError where it cannot be opened."""
    if segment.written:
        return WrittenSegment(segment)
    return ArchivedSegment(segment, archives[segment.form])


def read_segment(segment: Segment, archives: Archives | None = None) -> Iterator[Item]:
    """All that is in one closed segment, without regard to the others. Raises OSError, StoreError."""
    reader = open_segment(segment, archives or {})
    try:
        while (item := reader.read(None, closed=True)) is not None:
            yield item
    finally:
        reader.close()
