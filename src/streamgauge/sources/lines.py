"""Bytes as they come, made into the NDJSON that the log takes: whole lines, none blank, none too long.

What is done to good input costs a few operations on the whole of it, and nothing for each line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streamgauge.codecs.base import BLANKS, KEPT_BYTES, OVER_MAX_LINE
from streamgauge.event import RefusedLine

Places = NDArray[np.int64]
Bytes = NDArray[np.uint8]

_MANY = 1000
_AROUND = re.compile(rb"(?m)^[ \t\r\x0b\x0c]++|(?<![ \t\r\x0b\x0c])[ \t\r\x0b\x0c]++$")
_BLANK = np.zeros(256, np.bool_)
_BLANK[list(BLANKS)] = True


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines, as ``log.base.Incoming`` wants them. ``count`` is that of the line feeds they were made of."""

    data: bytes = b""
    refused: tuple[RefusedLine, ...] = ()
    count: int = 0


def tidy(data: bytes, max_line: int, offset: int = 0, first_line: int = 1) -> Lines:
    """Lines without blank ones, each ended by one line feed, and ``!`` for each that is longer than ``max_line``.

    A last line may lack its line feed. ``offset`` and ``first_line`` are the place of the first byte.
    """
    if not data:
        return Lines()
    if not data.endswith(b"\n"):
        data += b"\n"
    text = np.frombuffer(data, np.uint8)
    feeds = np.flatnonzero(text == 10)
    starts = np.concatenate((np.zeros(1, np.int64), feeds[:-1] + 1))
    if (_BLANK[text[starts]] | (feeds - starts > max_line)).any():
        return _mend(data, text, starts, feeds, max_line, offset, first_line)
    return Lines(_bare(data), (), len(feeds))


def one_line(message: bytes, max_line: int) -> Lines:
    """A message that was one record, as a line: a line feed in it becomes a carriage return, blank in JSON too."""
    return tidy(message.strip(BLANKS).replace(b"\n", b"\r"), max_line)


def _bare(data: bytes) -> bytes:
    """The lines without the carriage returns that some systems end them with."""
    return data.replace(b"\r\n", b"\n") if b"\r\n" in data else data


def _mend(
    data: bytes, text: Bytes, starts: Places, feeds: Places, max_line: int, offset: int, first_line: int
) -> Lines:
    """Leave out blank lines and refuse long ones. Only long ones, which are few, are looked at one by one."""
    filled = np.logical_or.reduceat(~_BLANK[text], starts)
    keep = np.repeat(filled, feeds + 1 - starts)
    places = np.flatnonzero(filled & (feeds - starts > max_line))
    records = np.cumsum(filled) - 1 if places.size else places
    refused: list[RefusedLine] = []
    parts: list[bytes] = []
    done = 0
    for at in places.tolist():
        start, end = int(starts[at]), int(feeds[at])
        line = data[start:end].removesuffix(b"\r")
        if len(line) > max_line:
            parts += (text[done:start][keep[done:start]].tobytes(), b"!\n")
            done = end + 1
            place = (int(records[at]), offset + start, first_line + at)
            refused.append(RefusedLine(*place, OVER_MAX_LINE, line[:KEPT_BYTES], len(line)))
    parts.append(text[done:][keep[done:]].tobytes())
    return Lines(_bare(b"".join(parts)), tuple(refused), len(feeds))


def without_lead(data: bytes) -> bytes:
    """The lines of a codec without the blanks around them, which tell the places of what a file holds."""
    return _AROUND.sub(b"", data)


class BytesSource:
    """Bytes in memory as codecs read them (codecs.base.ByteSource)."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self.offset = 0

    @property
    def remaining(self) -> int:
        """How many are left."""
        return len(self._data) - self.offset

    def fill(self, view: memoryview) -> int:
        """Fill ``view``; fewer bytes than it holds only at the end."""
        count = min(len(view), self.remaining)
        view[:count] = self._data[self.offset : self.offset + count]
        self.offset += count
        return count


class LineKeeper:
    """Keeps what has come of a line that has not ended, for input that comes in parts.

    ``offset`` and ``line`` are the place behind the lines given out: of the next line's first byte.
    """

    def __init__(self, max_line: int, offset: int = 0, line: int = 1) -> None:
        self._max_line = max_line
        self._parts: list[bytes] = []
        self._size = 0
        self.offset = offset
        self.line = line

    @property
    def kept(self) -> int:
        """How many bytes have come of the line that has not ended."""
        return self._size

    def push(self, data: bytes) -> Lines:
        """The lines that end in ``data``, the first of them with what was kept."""
        cut = data.rfind(b"\n") + 1
        if not cut:
            self._keep(data)
            return Lines()
        lines = self._take(data[:cut])
        self._keep(data[cut:])
        return lines

    def settle(self) -> Lines:
        """A line is whole when it ends, however long that takes."""
        return Lines()

    def end(self) -> Lines:
        """The last line, which no line feed ends."""
        return self._take(b"") if self._size else Lines()

    def _keep(self, data: bytes) -> None:
        # Of a line that is too long already, only its length matters, and if a carriage return ends it.
        if data:
            enough = self._size > self._max_line + 1
            self._parts.append(data[-1:] if enough else data[: self._max_line + 1] + data[self._max_line + 1 :][-1:])
            self._size += len(data)
        if len(self._parts) > _MANY:
            self._parts = [b"".join(self._parts)]

    def _take(self, data: bytes) -> Lines:
        feed = data.find(b"\n")
        length = self._size + max(feed, 0)
        head = b"".join(self._parts)
        if self._size and length > self._max_line + 1:
            lines = self._refuse(head + data[: max(feed, 0)], length, data[feed + 1 :])
        else:
            lines = tidy(head + data, self._max_line, self.offset, self.line)
        self.offset += self._size + len(data)
        self.line += lines.count
        self._parts, self._size = [], 0
        return lines

    def _refuse(self, head: bytes, length: int, rest: bytes) -> Lines:
        """A first line that is too long, and the lines behind it."""
        bare = length - head.endswith(b"\r")
        refused = RefusedLine(0, self.offset, self.line, OVER_MAX_LINE, head[: min(bare, KEPT_BYTES)], bare)
        lines = tidy(rest, self._max_line, self.offset + length + 1, self.line + 1)
        moved = tuple(replace(line, record=line.record + 1) for line in lines.refused)
        return Lines(b"!\n" + lines.data, (refused, *moved), lines.count + 1)
