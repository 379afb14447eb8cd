"""Reading one segment file as it is: block after block, and past what is damaged."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from streamgauge.log.base import BlockHeader, LogBlock
from streamgauge.log.segment import Flaw, Head, decode_head, decode_header, decode_lanes, decode_payload

_CHUNK = 1 << 20
_SECTOR = 512
_LONGEST_HEADER = 1 << 24
# A header begins a line; where it was the line feed before it that was damaged, it follows a sealed line.
_BLOCK_START = re.compile(rb'(?:\n|"\}.)(?=\{"block":)', re.DOTALL)
_START_BYTES = len('"}.{"block":')


class Placed(NamedTuple):
    """An intact block and its place. ``write``: the first block that was written at once with it."""

    block: LogBlock
    write: int
    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class Bad:
    """Bytes that are no intact block. ``header`` is the block's, where that at least is intact.

    ``end`` is where the line or the block ends that is bad, as far as can be told. ``short``: the file ends before the
    block does, as after a write that did not finish.
    """

    offset: int
    end: int
    problem: str
    header: BlockHeader | None = None
    short: bool = False


class Window:
    """Bytes of an open file by their place. They are read in large parts, and kept until ``forget``."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._start = 0
        self._data = b""

    @property
    def size(self) -> int:
        """How long the file is now."""
        return os.fstat(self._descriptor).st_size

    def forget(self) -> None:
        """Read afresh: the file may have changed."""
        self._data = b""

    def take(self, offset: int, size: int) -> bytes:
        """That many bytes, fewer only at the end of the file."""
        at = offset - self._start
        if not 0 <= at <= len(self._data) - size:
            if size > _CHUNK:
                return self._read(offset, size)
            self._start, self._data, at = offset, self._read(offset, _CHUNK), 0
        return self._data[at : at + size]

    def line(self, offset: int) -> bytes | None:
        """The line that begins there, its line feed included; None where the file ends before the line does."""
        at = offset - self._start
        if 0 <= at < len(self._data) and (end := self._data.find(b"\n", at)) >= 0:
            return self._data[at : end + 1]
        parts: list[bytes] = []
        while part := self.take(offset, _CHUNK):
            end = part.find(b"\n")
            if end >= 0:
                return b"".join(parts) + part[: end + 1]
            parts.append(part)
            offset += len(part)
        return None

    def block_starts(self, offset: int) -> Iterator[int]:
        """Every place behind ``offset`` where a block may begin."""
        while len(part := self.take(offset, _CHUNK)) >= _START_BYTES:
            for match in _BLOCK_START.finditer(part):
                yield offset + match.end()
            if len(part) < _CHUNK:
                return
            offset += len(part) - _START_BYTES

    def has_hole(self, start: int, end: int) -> bool:
        """Whether a whole sector between the two places is zeros: it was never written, as after a loss of power."""
        data = self.take(start, end - start)
        edges = [0, *range(_SECTOR - start % _SECTOR, len(data), _SECTOR), len(data)]
        return any(b > a and data.count(0, a, b) == b - a for a, b in pairwise(edges))

    def _read(self, offset: int, size: int) -> bytes:
        parts: list[bytes] = []
        size = min(size, self.size - offset)
        while size > 0 and (part := os.pread(self._descriptor, size, offset)):
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Opening(NamedTuple):
    """How a segment begins: its first two lines (None where damaged), where its blocks begin, what is wrong."""

    head: Head | None
    lanes: dict[int, BlockHeader] | None
    end: int
    bad: Bad | None


def read_opening(window: Window, file: str) -> Opening:
    """The first two lines of a segment. Raises StoreError where it is of a later version."""
    first = window.line(0)
    try:
        if first is None:
            raise Flaw("it is not whole" if window.size else "the file is empty")
        head = decode_head(first, file)
    except Flaw as flaw:
        return Opening(None, None, 0, Bad(0, len(first or b""), f"the first line of the segment is damaged: {flaw}"))
    second = window.line(len(first))
    try:
        if second is None:
            raise Flaw("it is not whole")
        return Opening(head, decode_lanes(second), len(first) + len(second), None)
    except Flaw as flaw:
        end = len(first) + len(second or b"")
        return Opening(head, None, len(first), Bad(len(first), end, f"the line of the lanes is damaged: {flaw}"))


def read_block(window: Window, offset: int, block: int, position: int) -> Placed | Bad | None:
    """The block at this place, verified; None at the end of the file.

    ``block`` and ``position`` are the least that it may have: an older one does not belong here, intact or not.
    """
    found = read_header(window, offset, block, position)
    if found is None or isinstance(found, Bad):
        return found
    start = offset + len(found.line)
    data = window.take(start, found.end - start)
    try:
        return Placed(decode_payload(found.header, data), found.write, offset, found.end)
    except Flaw as flaw:
        short = len(data) < found.end - start
        return Bad(offset, found.end, f"block {found.header.number} is damaged: {flaw}", found.header, short)


class Skimmed(NamedTuple):
    """An intact header; what follows it was not looked at, and the file may end before ``end``."""

    line: bytes
    header: BlockHeader
    write: int
    end: int


def read_header(window: Window, offset: int, block: int, position: int) -> Skimmed | Bad | None:
    """The header of the block at this place; None at the end of the file. ``block``, ``position``: see read_block."""
    line = window.line(offset)
    if line is None:
        return _unfinished(window, offset)
    try:
        sealed = decode_header(line)
    except Flaw as flaw:
        return Bad(offset, offset + len(line), f"the header of block {block} is damaged: {flaw}")
    header, end = sealed.header, offset + len(line) + sealed.header.dead_size + sealed.header.size
    if header.number < block or header.position < position:
        return Bad(offset, end, f"block {header.number} stands where block {block} was expected")
    return Skimmed(line, header, sealed.write, end)


def _unfinished(window: Window, offset: int) -> Bad | None:
    """What to make of a file's end without a line feed: the begin of a header, or one whose line feed was damaged."""
    rest = window.take(offset, _LONGEST_HEADER)
    if not rest:
        return None
    end = window.size
    try:
        header = decode_header(rest[:-1] + b"\n").header
    except Flaw:
        return Bad(offset, end, "the file ends inside of a block's header", short=True)
    return Bad(offset, end, f"the header of block {header.number} is damaged: its line is not ended", header)


def next_intact(window: Window, bad: Bad, block: int, position: int) -> Placed | None:
    """The first intact block behind a bad place; None without any. ``block`` and ``position``: see read_block."""
    if bad.header is not None and isinstance(found := read_block(window, bad.end, block, position), Placed):
        return found
    for start in window.block_starts(bad.offset):
        if isinstance(found := read_block(window, start, block, position), Placed):
            return found
    return None
