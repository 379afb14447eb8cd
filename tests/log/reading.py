"""Reading whole lanes in tests: blocks with their bytes copied, whatever the buffers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from streamgauge.codecs.base import BLANKS
from streamgauge.event import Block
from streamgauge.log import InputOptions, LaneReader, NoRoom, open_lane


def blocks_of(reader: LaneReader, sizes: Iterable[int] = ()) -> list[Block]:
    """All blocks. Each is first asked for with a buffer of the next of ``sizes``, then with what it needs."""
    offered = iter(sizes)
    blocks: list[Block] = []
    while True:
        room = next(offered, 1 << 16)
        while True:
            try:
                block = reader.read_block(memoryview(bytearray(room)))
                break
            except NoRoom as error:
                if error.needed <= room:
                    raise
                room = error.needed
        if block is None:
            return blocks
        blocks.append(replace(block, data=bytes(block.data)))


def read(path: Path, sizes: Iterable[int] = (), cursor: int = 0, first_line: int = 1, **options: Any) -> list[Block]:
    with open_lane(str(path), 0, InputOptions(**options), cursor=cursor, first_line=first_line) as reader:
        return blocks_of(reader, sizes)


def read_bytes(folder: Path, data: bytes, sizes: Iterable[int] = (), **options: Any) -> list[Block]:
    path = folder / "input"
    path.write_bytes(data)
    return read(path, sizes, **options)


def records(blocks: Iterable[Block]) -> list[bytes]:
    """The non-blank lines of all blocks, without blanks around them."""
    return [line.strip(BLANKS) for block in blocks for line in bytes(block.data).split(b"\n") if line.strip(BLANKS)]
