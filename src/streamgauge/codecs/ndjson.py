"""Newline-delimited JSON: blocks are cut at line feeds and go to the engine as they are.

The fast path moves every byte once, from the file into the engine's buffer, and looks only at the end of a block and
(to count them) at its line feeds. Lines over ``max_line`` are found by hopping from line feed to line feed in steps
of ``max_line``, so that a file of good lines costs nothing.
"""

from __future__ import annotations

import numpy as np

from streamgauge.codecs.base import BLANKS, KEPT_BYTES, OVER_MAX_LINE, ByteSource, Piece
from streamgauge.codecs.scan import is_balanced_object
from streamgauge.event import RefusedLine

_LOOK_BACK = 4096
_STEP = 1 << 18


class NoRoom(Exception):
    """The next block needs ``needed`` bytes of room. Nothing was consumed; the same block comes again."""

    def __init__(self, needed: int) -> None:
        self.needed = needed
        super().__init__(f"the next block needs {needed} bytes of room")


def last_feed(view: memoryview, start: int, end: int) -> int:
    """Index of the last line feed in ``view[start:end]``, or -1; copies only the end of it."""
    size = _LOOK_BACK
    while start < end:
        low = max(start, end - size)
        found = bytes(view[low:end]).rfind(b"\n")
        if found >= 0:
            return low + found
        end, size = low, size * 4
    return -1


def count_feeds(view: memoryview | bytes) -> int:
    """Number of line feeds."""
    return int(np.count_nonzero(np.frombuffer(view, np.uint8) == 10))


class LineCutter:
    """Cuts a lane of NDJSON into blocks of ``block_bytes``, back to the last line feed; a longer line extends one.

    With ``resumable``, an unterminated last line that is no whole JSON object is left for a later run, and
    ``left_over`` says how many bytes that is.
    """

    def __init__(
        self, source: ByteSource, block_bytes: int, max_line: int, *, resumable: bool = False, first_line: int = 1
    ) -> None:
        self._source = source
        self._block_bytes = block_bytes
        self._max_line = max_line
        self._resumable = resumable
        self._offset = source.offset
        self._line = first_line
        self._held = b""
        self._ended = False
        self.left_over = 0

    def read_into(self, into: memoryview) -> Piece | None:
        """The next block, written to the start of ``into``; None at the end. Raises NoRoom and changes nothing."""
        while True:
            self._need_room(into)
            size = self._fill(into)
            if size == 0:
                return None
            cut = self._cut(into, size)
            piece = self._whole_lines(into, size, cut) if cut else self._long_line(into)
            if piece is None or not self._blank(piece):
                return piece

    def _need_room(self, into: memoryview) -> None:
        needed = self._block_bytes
        left = self._source.remaining
        if left is not None:
            needed = min(needed, left + len(self._held))
        if self._ended:
            needed = min(needed, len(self._held))
        if needed and len(into) < needed + 1:
            raise NoRoom(needed + 1)

    def _fill(self, into: memoryview) -> int:
        """Put the next ``block_bytes`` (fewer only at the end) at the start of ``into``; ``_held`` keeps the rest."""
        held = len(self._held)
        if held >= self._block_bytes:
            into[: self._block_bytes] = self._held[: self._block_bytes]
            self._held = self._held[self._block_bytes :]
            return self._block_bytes
        into[:held] = self._held
        self._held = b""
        room = min(self._block_bytes, len(into) - 1)
        if self._ended or held >= room:
            return held
        fresh = self._source.fill(into[held:room])
        self._ended = held + fresh < self._block_bytes
        return held + fresh

    def _cut(self, into: memoryview, size: int) -> int:
        """Where the block ends in ``into``; what is behind goes back to ``_held``. 0: no line ends within it."""
        feed = last_feed(into, 0, size)
        cut = feed + 1
        if self._ended and not self._held and cut < size:
            line = bytes(into[cut:size])
            whole = not self._resumable or not line.strip(BLANKS) or is_balanced_object(line)
            if whole and len(line) <= self._max_line:
                return size
        self._held = bytes(into[cut:size]) + self._held
        return cut

    def _whole_lines(self, into: memoryview, size: int, cut: int) -> Piece | None:
        """The block of ``into[:cut]``, whose lines all end within it."""
        length = cut
        if into[cut - 1] != 10:
            into[cut] = 10
            length += 1
        start, first_line = self._offset, self._line
        self._line += count_feeds(into[:length])
        self._offset += cut
        refused: tuple[RefusedLine, ...] = ()
        if length - 1 > self._max_line:
            length, refused = _refuse_long(into, length, self._max_line, start, first_line)
        return Piece(start, self._offset, first_line, into[:length], refused, last=self._at_end())

    def _at_end(self) -> bool:
        """Whether nothing comes after; looks one byte ahead where that is not known yet."""
        if not self._held and not self._ended:
            probe = bytearray(1)
            self._ended = self._source.fill(memoryview(probe)) == 0
            self._held = b"" if self._ended else bytes(probe)
        if not self._ended or not self._held:
            return self._ended
        return self._resumable and b"\n" not in self._held and not is_balanced_object(self._held)

    def _blank(self, piece: Piece) -> bool:
        """Whether a block has no record at all: it is passed over."""
        if bytes(piece.data[:1]) not in (b"\n", b"\r", b" ", b"\t", b"\x0b", b"\x0c"):
            return False
        return not bytes(piece.data).strip(BLANKS)

    def _long_line(self, into: memoryview) -> Piece | None:
        """The block of one line that is longer than ``block_bytes``, or of a last line without a line feed."""
        feed = self._held.find(b"\n")
        parts, size = [self._held], len(self._held)
        while feed < 0 and not self._ended and size <= self._max_line:
            fresh = self._read_more()
            at = fresh.find(b"\n")
            feed = size + at if at >= 0 else -1
            parts.append(fresh)
            size += len(fresh)
        self._held = b"".join(parts)
        length = feed if feed >= 0 else size
        if length > self._max_line:
            return self._refuse_one(into, feed)
        if feed < 0 and self._resumable and not is_balanced_object(self._held):
            self._leave()
            return None
        if len(into) < length + 1:
            raise NoRoom(length + 1)
        into[:length] = self._held[:length]
        into[length] = 10
        return self._advance(into[: length + 1], length + (feed >= 0))

    def _read_more(self) -> bytes:
        buffer = bytearray(_STEP)
        count = self._source.fill(memoryview(buffer))
        self._ended = count < _STEP
        return bytes(memoryview(buffer)[:count])

    def _leave(self) -> None:
        self.left_over, self._held = len(self._held), b""

    def _advance(self, data: memoryview, consumed: int, refused: tuple[RefusedLine, ...] = ()) -> Piece:
        """The block of one line, ``consumed`` bytes of the lane, all of them at the start of ``_held``."""
        start, first_line = self._offset, self._line
        self._held = self._held[consumed:]
        self._offset += consumed
        self._line += 1
        return Piece(start, self._offset, first_line, data, refused, last=self._at_end())

    def _refuse_one(self, into: memoryview, feed: int) -> Piece | None:
        """Pass over a line longer than ``max_line``, holding none of it but its start."""
        if len(into) < 2:
            raise NoRoom(2)
        kept, length = self._held, len(self._held)
        if feed >= 0:
            length, rest, terminated = feed, self._held[feed + 1 :], True
        else:
            kept, length, rest, terminated = self._pass_over()
        if not terminated and self._resumable:
            self.left_over, self._held = length, b""
            return None
        self._held = rest
        into[:2] = b"!\n"
        refused = RefusedLine(0, self._offset, self._line, OVER_MAX_LINE, kept[: min(length, KEPT_BYTES)], length)
        start, first_line = self._offset, self._line
        self._offset += length + terminated
        self._line += 1
        return Piece(start, self._offset, first_line, into[:2], (refused,), last=self._at_end())

    def _pass_over(self) -> tuple[bytes, int, bytes, bool]:
        """Read to the end of the line: its start, length, what was read behind it, and if a line feed ended it."""
        kept, length = self._held, len(self._held)
        while not self._ended:
            fresh = self._read_more()
            feed = fresh.find(b"\n")
            if len(kept) < KEPT_BYTES:
                kept += fresh[:KEPT_BYTES]
            if feed >= 0:
                return kept, length + feed, fresh[feed + 1 :], True
            length += len(fresh)
        return kept, length, b"", False


def _refuse_long(
    view: memoryview, size: int, max_line: int, offset: int, first_line: int
) -> tuple[int, tuple[RefusedLine, ...]]:
    """Replace each line of ``view[:size]`` over ``max_line`` by ``!``: the new size, and what was refused."""
    spans = _long_spans(view, size, max_line)
    if not spans:
        return size, ()
    data = bytes(view[:size])
    parts: list[bytes] = []
    refused: list[RefusedLine] = []
    done = records = feeds = 0
    for start, end in spans:
        before = data[done:start]
        records += sum(1 for line in before.split(b"\n") if line.strip(BLANKS))
        feeds += before.count(b"\n")
        line = data[start:end]
        parts += (before, b"!\n")
        refused.append(
            RefusedLine(records, offset + start, first_line + feeds, OVER_MAX_LINE, line[:KEPT_BYTES], end - start)
        )
        records, feeds, done = records + 1, feeds + 1, end + 1
    parts.append(data[done:])
    whole = b"".join(parts)
    view[: len(whole)] = whole
    return len(whole), tuple(refused)


def _long_spans(view: memoryview, size: int, max_line: int) -> list[tuple[int, int]]:
    """``(start, end)`` of the lines longer than ``max_line``, without their line feeds."""
    spans: list[tuple[int, int]] = []
    start = 0
    while size - start > max_line:
        feed = last_feed(view, start, min(size, start + max_line + 1))
        if feed < 0:
            feed = _next_feed(view, start + max_line, size)
            spans.append((start, feed))
        start = feed + 1
    return spans


def _next_feed(view: memoryview, start: int, size: int) -> int:
    """Index of the first line feed from ``start`` on; ``size`` where there is none."""
    while start < size:
        found = bytes(view[start : start + _LOOK_BACK]).find(b"\n")
        if found >= 0:
            return start + found
        start += _LOOK_BACK
    return size
