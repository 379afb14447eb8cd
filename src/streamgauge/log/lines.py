"""Finding single records in a block again, to show them: dead letters and drill-down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamgauge.codecs.base import BLANKS
from streamgauge.event import Block


def lines_of(block: Block, records: Sequence[int]) -> list[tuple[int, int, bytes]]:
    """``(line number, offset, bytes)`` of the records (non-blank lines, from 0) of a block, in the order asked for.

    For ``ndjson`` all three are those of the original line, without its line end. For ``json`` they are those of the
    element, with its line feeds back in place. For ``csv`` the line is that of the record, the offset that of the
    block, and the bytes are the JSON made of it; for ``parquet`` the same, where both line and offset count rows. A
    record that the reader refused has its own line, offset and bytes. Raises IndexError for a record out of range.
    """
    wanted = set(records)
    found = {line.record: (line.line, line.offset, line.data) for line in block.refused if line.record in wanted}
    lengths = {line.record: line.length for line in block.refused}
    if wanted - found.keys():
        for record, line in _walk(block, lengths):
            if record in wanted and record not in found:
                found[record] = line
    missing = wanted - found.keys()
    if missing:
        raise IndexError(f"block {block.number} of {block.lane.name} has no record {min(missing)}")
    return [found[record] for record in records]


def next_line(block: Block) -> int:
    """The number of the line at the block's ``end``, where reading may go on."""
    data = np.frombuffer(block.data, np.uint8)
    feeds, returns = int(np.count_nonzero(data == 10)), int(np.count_nonzero(data == 13))
    lines = {"json": returns, "csv": feeds + returns}
    return block.first_line + lines.get(block.form, feeds)


def _walk(block: Block, refused: dict[int, int]) -> list[tuple[int, tuple[int, int, bytes]]]:
    """Every record with its place."""
    result: list[tuple[int, tuple[int, int, bytes]]] = []
    record = place = returns = 0
    for number, line in enumerate(bytes(block.data).split(b"\n")):
        lead = len(line) - len(line.lstrip(BLANKS))
        is_record = lead < len(line)
        if is_record:
            before = returns + line.count(b"\r", 0, lead)
            result.append((record, _locate(block, number, place, lead, before, line)))
            if record in refused:
                place += refused[record] - (len(line) - lead)
            record += 1
        returns += line.count(b"\r")
        place += len(line) + (block.form != "json")
    return result


def _locate(block: Block, number: int, place: int, lead: int, returns: int, line: bytes) -> tuple[int, int, bytes]:
    if block.form == "ndjson":
        return block.first_line + number, block.offset + place, line.removesuffix(b"\r")
    body = line.strip(BLANKS)
    if block.form == "json":
        return block.first_line + returns, block.offset + place + lead, body.replace(b"\r", b"\n")
    if block.form == "csv":
        return block.first_line + number + returns, block.offset, body
    return block.first_line + number, block.offset + number, body
