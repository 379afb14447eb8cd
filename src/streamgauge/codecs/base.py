"""What every codec of a file takes (decompressed bytes, in order) and gives (pieces that become blocks)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from streamgauge.event import RefusedLine

KEPT_BYTES = 4096
"""How much of a refused line is kept to show it."""

BLANKS = b" \t\n\r\x0b\x0c"
"""What makes a line blank: exactly what the engine's JSON reader skips. A NUL is not blank."""

OVER_MAX_LINE = "line over max_line"
"""The reason of a line, record or array element that is longer than ``max_line``."""


class ByteSource(Protocol):
    """Decompressed bytes of one lane, from ``offset`` on."""

    @property
    def offset(self) -> int:
        """Place of the next byte in the decompressed lane."""
        ...

    @property
    def remaining(self) -> int | None:
        """How many bytes are left, where that is known without reading them."""
        ...

    def fill(self, view: memoryview) -> int:
        """Fill ``view`` from its start; fewer bytes than it holds are returned only at the end.

        Never raises for damaged input: the end comes early, and the source keeps the reason.
        """
        ...


@dataclass(frozen=True, slots=True)
class Piece:
    """One block as a codec makes it; the fields mean what they mean in ``event.Block``."""

    offset: int
    end: int
    first_line: int
    data: bytes | memoryview
    refused: tuple[RefusedLine, ...] = ()
    last: bool = False


class Codec(Protocol):
    """Turns the bytes of a lane into pieces, in order, cut by their content only."""

    def next_piece(self) -> Piece | None:
        """The next piece, or None at the end of the lane. A piece has at least one record."""
        ...


class Window:
    """The bytes that a codec is looking at: a part of the lane that grows at its end and is dropped at its start."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.data = b""
        self.offset = source.offset
        self.ended = False

    def grow(self, size: int) -> None:
        """Hold at least ``size`` bytes, or all that are left; then ``ended`` is true if nothing is left behind them."""
        missing = size + 1 - len(self.data)
        if missing <= 0 or self.ended:
            return
        fresh = bytearray(missing)
        count = self._source.fill(memoryview(fresh))
        self.ended = count < missing
        self.data += bytes(memoryview(fresh)[:count])

    def drop(self, count: int) -> None:
        """Forget the first ``count`` bytes."""
        self.data = self.data[count:]
        self.offset += count
