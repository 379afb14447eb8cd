"""What travels: positions, lanes, blocks, batches, and the messages that could not become events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NewType

Position = NewType("Position", int)
"""A 64-bit record number in the log, never used twice. Every non-blank line of a block has one, good or bad."""

FOREVER = 2**62
"""The watermark of a lane that has ended: later than any time that can be written."""

NEVER = -(2**62)
"""The watermark of a lane of which nothing is known yet."""

MIN_TIME_MS = -5_364_662_400_000
"""1800-01-01T00:00:00Z. An event before it is a dead letter ``time out of range``."""

MAX_TIME_MS = 7_258_118_400_000
"""2200-01-01T00:00:00Z. An event at or after it is a dead letter ``time out of range``."""


@dataclass(frozen=True, slots=True)
class Lane:
    """An ordered part of a source. In a report, a file is a lane.

    ``name`` is what people see (the path as given, ``-`` for standard input); ``identity`` is what recognises it in a
    later run: the checksum of its first block and that block's length, or the empty string for a pipe.
    """

    number: int
    name: str
    identity: str = ""


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that the reader itself refused, before any engine saw it (over ``max_line``, a broken CSV record).

    ``record`` is its place among the block's records, counted from 0, so that it has a position like any other.
    ``detail`` and ``column`` as in DeadLetter.
    """

    record: int
    offset: int
    line: int
    reason: str
    data: bytes
    length: int
    detail: str = ""
    column: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """What one lane appended at once: the unit of cursor, watermark and lateness.

    ``data`` is NDJSON: no byte order mark, every line ended by a line feed, and a refused line stands in it as the
    line ``!`` (which no engine takes for JSON), so that records keep their places. ``offset`` is the place of the
    block's first byte in the decompressed lane, ``end`` the cursor after it; for converted input (CSV, Parquet,
    arrays) both count the bytes of the original. ``first_line`` is the number of its first line in the lane, from 1
    (for arrays and Parquet: of its first element or row).
    """

    lane: Lane
    number: int
    offset: int
    end: int
    first_line: int
    data: bytes | memoryview
    refused: tuple[RefusedLine, ...] = ()
    last: bool = False
    form: str = "ndjson"
    """What the lane is made of: ``ndjson``, ``json``, ``csv`` or ``parquet``; tells how to find a record's place."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not become an event, kept with its bytes and its reason.

    ``data`` may be a prefix of the message; ``length`` is the whole length in bytes. ``line`` counts from 1 in the
    lane; ``column`` is the character at which the text stopped being JSON, from 1, or 0 where that does not apply.
    """

    position: int
    lane: str
    line: int
    offset: int
    reason: str
    detail: str = ""
    column: int = 0
    data: bytes = b""
    length: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """The whole blocks between two commits."""

    blocks: Sequence[Block] = field(default_factory=tuple)
