"""Makes blocks, and logs of them, for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from streamgauge.log.base import BlockHeader, LogBlock
from streamgauge.log.catalog import Archives
from streamgauge.log.damage import Damage
from streamgauge.log.reading import LogReader
from streamgauge.log.segment_reader import Item
from streamgauge.log.writer import LogWriter

T = 1_700_000_000_000


class StillClock:
    """A clock that stands until it is moved."""

    def __init__(self, now_ms: int = T) -> None:
        self.ms = now_ms

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000


def event(position: int, size: int = 0) -> bytes:
    """An event's line, told apart by its position."""
    body = {"n": position, "fill": "x" * size}
    return json.dumps({"time": T + position, "topic": "call", "source": "http", "body": body}).encode() + b"\n"


def block(
    number: int, position: int, events: int = 2, dead: int = 0, lane: int = 0, size: int = 0, **more: Any
) -> LogBlock:
    """A block of so many events, each filled up by ``size`` bytes; without events and dead letters it is a tick."""
    lines = b"".join(event(position + n, size) for n in range(events))
    letters = b"".join(b'{"reason":"not JSON","raw":"%d"}\n' % n for n in range(dead))
    values = {"source": "http", "name": f"lane{lane}", "received_ms": T, **more}
    return LogBlock(BlockHeader(number, lane, position=position, events=events, dead=dead, **values), lines, letters)


def blocks(shapes: Iterable[tuple[int, int]], number: int = 0, position: int = 0, **more: Any) -> list[LogBlock]:
    """One block after another; each shape is its numbers of events and of dead letters."""
    made: list[LogBlock] = []
    for events, dead in shapes:
        made.append(block(number, position, events, dead, **more))
        number, position = number + 1, made[-1].header.next_position
    return made


def add(writer: LogWriter, *shapes: tuple[int, int], **more: Any) -> list[LogBlock]:
    """Append blocks of these shapes, in one write."""
    made = blocks(shapes, writer.next_block, writer.next_position, **more)
    writer.append(made)
    return made


def write_log(folder: Path, writes: Sequence[Sequence[tuple[int, int]]], **more: Any) -> list[LogBlock]:
    """A log of one segment, of these writes; its blocks."""
    with LogWriter.open(folder, StillClock()) as writer:
        return [made for write in writes for made in add(writer, *write, **more)]


def read_log(folder: Path, archives: Archives | None = None, **start: Any) -> list[Item]:
    with LogReader(folder, archives=archives, **start) as reader:
        return list(reader.blocks())


def plain(items: Iterable[Item]) -> list[tuple[int, int, bytes, bytes]]:
    """What tells blocks apart: number, position, events, dead letters. Raises TypeError for damage."""
    result = []
    for item in items:
        if isinstance(item, Damage):
            raise TypeError(f"damaged: {item}")
        result.append((item.header.number, item.header.position, item.events, item.dead))
    return result


def only_segment(folder: Path) -> Path:
    (path,) = folder.glob("segment-*.ndjson")
    return path


def places(path: Path, log: list[LogBlock]) -> list[tuple[int, int]]:
    """Where each block of a segment begins and ends."""
    data, found = path.read_bytes(), []
    starts = [data.index(b'{"block":%d,' % block.header.number) for block in log]
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        found.append((start, end))
    return found
