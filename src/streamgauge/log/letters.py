"""Dead letters as the log has them: with all bytes that were kept, and what was said of them beside."""

from __future__ import annotations

import json
from base64 import b64decode
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamgauge.log.base import BlockHeader, LogBlock
from streamgauge.log.catalog import Archives, Segment, index_of_position, list_segments
from streamgauge.log.draft import LETTERS
from streamgauge.log.segment_reader import open_segment


@dataclass(frozen=True, slots=True)
class LoggedLetter:
    """A dead letter of a block. ``data`` None: its bytes were not to be kept; ``length``: those of the whole message.

    ``asked`` as in Arrival, ``given``: of topic, id and time, those that the message said outside of its body.
    ``unit``: that of its lane's times, empty where it was not known yet.
    """

    position: int
    source: str
    lane: str
    reason: str
    detail: str
    received_ms: int
    length: int
    data: bytes | None
    unit: str = ""
    asked: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cut(self) -> bool:
        """Whether only the start of the message was kept."""
        return self.data is not None and len(self.data) < self.length


def letters_in(logged: LogBlock) -> Iterator[LoggedLetter]:
    """The dead letters of a block, whose positions come after those of its events."""
    header = logged.header
    for n, line in enumerate(logged.dead.splitlines()):
        said = json.loads(line)
        yield LoggedLetter(
            position=header.position + header.events + n,
            source=header.source,
            lane=header.name,
            reason=said["reason"],
            detail=said["detail"],
            received_ms=said["time"],
            length=said["length"],
            data=_bytes(said),
            unit=header.unit,
            asked=said.get("asked", {}),
            given=said.get("given", {}),
        )


def replayed_in(header: BlockHeader) -> Sequence[int]:
    """The positions of the dead letters that the block's messages were before; empty for what came from outside."""
    cursor = header.cursor
    return cursor.get(LETTERS, ()) if isinstance(cursor, Mapping) else ()


def read_letters(folder: Path, positions: Sequence[int], archives: Archives) -> dict[int, LoggedLetter]:
    """Those of the letters that the log still has and that are not damaged, by position; ``positions`` ascend.

    Reads no more than the blocks that they are in, and the headers before these. Raises OSError, StoreError.
    """
    segments, found = list_segments(folder, archives.keys()), dict[int, LoggedLetter]()
    by_segment: dict[int, list[int]] = {}
    for position in positions:
        by_segment.setdefault(index_of_position(segments, position), []).append(position)
    for at, wanted in by_segment.items():
        if at >= 0:
            found.update(_of_segment(segments[at], wanted, archives))
    return found


def _of_segment(segment: Segment, wanted: Sequence[int], archives: Archives) -> Iterator[tuple[int, LoggedLetter]]:
    """The wanted ones of a segment, with their positions."""
    reader = open_segment(segment, archives)
    n = 0
    try:
        while n < len(wanted):
            if not reader.skip_while(_before(wanted[n]), segment.block):
                return
            item = reader.read(None, closed=True)
            if item is None:
                return
            if isinstance(item, LogBlock):
                inside = {letter.position: letter for letter in letters_in(item)}
                yield from ((p, inside[p]) for p in wanted[n:] if p in inside)
                n = bisect_left(wanted, item.header.next_position)
    finally:
        reader.close()


def _before(position: int) -> Callable[[BlockHeader], bool]:
    return lambda header: header.next_position <= position


def _bytes(said: Mapping[str, Any]) -> bytes | None:
    if "raw" in said:
        return str(said["raw"]).encode()
    return b64decode(said["base64"]) if "base64" in said else None
