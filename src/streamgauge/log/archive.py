"""Archives: closed segments as Parquet, in position order, with every byte of every block.

Anyone can read one. Its rows are, block after block, one of kind ``header``, one ``event`` for each event, and one
``dead letter`` for each of those:

========  ==========================================================================================================
kind      ``header``, ``event`` or ``dead letter``
block     the number of the block
position  of the event or dead letter; of a header, that of the block's first record
time      when it happened, UTC
topic     these five are the envelope, null where the line has none
id
source
owner
body      the message's own bytes, as they were received
odd       null, or the whole line of an event that is not in the usual form (see log.base); its body stands in here
dead      the whole line of a dead letter
header    the block's header as JSON: lane, cursor, watermark and the rest of log.base.BlockHeader
========  ==========================================================================================================

::

    SELECT topic, body->>'$.carrier' AS carrier, count(*) FROM 'segment-*.parquet'
    WHERE kind = 'event' AND time >= TIMESTAMPTZ '2026-03-02 12:00Z' GROUP BY ALL

A row group holds whole blocks. Its time range, and that of positions, blocks and topics, are in Parquet's own
statistics; the footer's key ``streamgauge.index`` has them too, with a checksum of the group's bytes. A damaged file
is refused, or the damaged row group of it, and never read as something else (see archive_seal).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path

from streamgauge.errors import InputError, Mistake
from streamgauge.log.archive_file import (
    LEVEL,
    SUFFIX,
    ArchiveFacts,
    ArchiveWriter,
    DamagedArchive,
    Group,
    open_archive,
)
from streamgauge.log.archive_rows import blocks_of, encode_header, headers_of, line_problem
from streamgauge.log.base import BlockHeader, LogBlock
from streamgauge.step import no_step

__all__ = [
    "STEPS",
    "SUFFIX",
    "UNFINISHED",
    "ArchiveFacts",
    "DamagedArchive",
    "Group",
    "discard_unfinished",
    "find",
    "read_archive",
    "read_events",
    "read_facts",
    "read_headers",
    "read_ids",
    "verify_archive",
    "write_archive",
]

UNFINISHED = ".new"
"""What an archive's name ends with until it is whole and durable. One that has it is never read."""

STEPS = ("archive_written", "archive_synced", "archive_compared", "archive_named", "archive_durable")
"""Where the writing of an archive may be killed in a test: ``step`` is called with each of these as it goes by."""


def write_archive(
    blocks: Iterable[LogBlock], path: str | Path, *, level: int = LEVEL, step: Callable[[str], None] = no_step
) -> ArchiveFacts:
    """Make an archive of a closed segment's blocks, which are in order. Memory does not grow with their number.

    1. The rows go to a file beside ``path`` that nobody takes for an archive, and that is no Parquet file without
       its footer, which comes last.
    2. It is fsynced.
    3. It is read back, and every block of it compared with what ``blocks`` gave.
    4. It is given its name, in place of an older file that had it.
    5. The folder is fsynced. Only when this function has returned may the segment be deleted.

    Raises InputError where blocks are missing, out of order or not made of the lines that they claim; DamagedArchive
    where what was read back differs; OSError where it cannot be written (a full disk). Then nothing has changed.
    Raises ValueError where there is no block.
    """
    path = Path(path)
    unfinished = path.with_name(path.name + UNFINISHED)
    try:
        sums = _write(blocks, unfinished, path, level)
        step("archive_written")
        _sync(unfinished)
        step("archive_synced")
        facts = _compare(unfinished, sums)
        step("archive_compared")
        unfinished.replace(path)
    except Exception:
        unfinished.unlink(missing_ok=True)
        raise
    step("archive_named")
    _sync(path.parent)
    step("archive_durable")
    return replace(facts, path=path)


def read_archive(path: str | Path, after_block: int = -1) -> Iterator[LogBlock]:
    """The blocks of an archive with a number above ``after_block``, in order, byte for byte as they were.

    Raises DamagedArchive before anything of a damaged row group is given; whoever wants what follows it asks again
    with ``after_block`` of its last block. Raises OSError where it cannot be opened, StoreError for a later version's.
    """
    with open_archive(path) as archive:
        for group in archive.facts.groups:
            if group.last_block > after_block:
                yield from (b for b in blocks_of(archive.read(group)) if b.header.number > after_block)


def read_events(path: str | Path, groups: Iterable[Group]) -> Iterator[LogBlock]:
    """The blocks of some row groups, for a drill-down: their events may match, each has still to be looked at.

    The event in line n of a block, from 0, has the position ``header.position + n``. Raises as ``read_archive``.
    """
    with open_archive(path) as archive:
        for group in groups:
            yield from blocks_of(archive.read(group))


def read_headers(path: str | Path, after_block: int = -1) -> Iterator[BlockHeader]:
    """The headers of the blocks above ``after_block``, without decoding any event. Raises as ``read_archive``."""
    with open_archive(path) as archive:
        for group in archive.facts.groups:
            if group.last_block > after_block:
                yield from (h for h in headers_of(archive.read(group, ["header"])) if h.number > after_block)


def read_ids(path: str | Path, after_block: int = -1) -> Iterator[tuple[BlockHeader, list[str | None]]]:
    """For each block above ``after_block`` its header and its events' ids. Raises as ``read_archive``."""
    with open_archive(path) as archive:
        for group in archive.facts.groups:
            if group.last_block <= after_block:
                continue
            table = archive.read(group, ["header", "id"])
            ids, row = table.column("id").to_pylist(), 0
            for header in headers_of(table):
                found = ids[row + 1 : row + 1 + header.events]
                row += 1 + header.events + header.dead
                if header.number > after_block:
                    yield header, found


def read_facts(path: str | Path) -> ArchiveFacts:
    """What an archive is, from its footer. Raises as ``read_archive``."""
    with open_archive(path) as archive:
        return archive.facts


def find(path: str | Path, start_ms: int, stop_ms: int, topics: Collection[str] | None = None) -> list[Group]:
    """The row groups that may hold an event in ``[start_ms, stop_ms)`` of one of the topics: none of the others do.

    ``topics`` are patterns, in which ``*`` stands for any characters; None is every topic. Raises as ``read_archive``.
    """
    return read_facts(path).find(start_ms, stop_ms, topics)


def verify_archive(path: str | Path, blocks: Iterable[LogBlock]) -> None:
    """Compare an archive with the blocks of its segment; say InputError with the first block that differs.

    For a start that finds both, left by a crash. Raises as ``read_archive``.
    """
    for ours, theirs in zip_longest(read_archive(path), blocks):
        if ours is None or theirs is None or _sum(ours) != _sum(theirs):
            number = (ours or theirs).header.number
            problem = "is not the same as in its segment" if ours and theirs else "is in only one of them"
            raise InputError(str(Mistake(f"archive {path}", f"block {number} {problem}", hint="make it anew")))


def discard_unfinished(folder: str | Path) -> list[Path]:
    """Remove what killed compactions left in a folder, and return it. Not while one is running there."""
    left = sorted(Path(folder).glob(f"*{SUFFIX}{UNFINISHED}"))
    for path in left:
        path.unlink(missing_ok=True)
    return left


def _sum(block: LogBlock) -> bytes:
    """What two blocks have in common only if they are equal."""
    found = sha256(encode_header(block.header).encode())
    found.update(b"\n%d\n" % len(block.events))
    found.update(block.events)
    found.update(block.dead)
    return found.digest()


def _write(blocks: Iterable[LogBlock], unfinished: Path, path: Path, level: int) -> list[bytes]:
    """Write the file; return the sum of every block."""
    sums: list[bytes] = []
    with unfinished.open("w+b") as file:
        writer = ArchiveWriter(file, level)
        try:
            for block in _in_order(blocks, path):
                writer.add(block)
                sums.append(_sum(block))
            writer.close()
        except BaseException:
            writer.abandon()
            raise
    return sums


def _in_order(blocks: Iterable[LogBlock], path: Path) -> Iterator[LogBlock]:
    """The blocks as they come, as long as each follows the one before without a hole. Raises InputError."""
    expected: tuple[int, int] | None = None
    for block in blocks:
        header = block.header
        problem = line_problem(block)
        if expected is not None and expected != (header.number, header.position):
            problem = f"stands at position {header.position}, expected block {expected[0]} at position {expected[1]}"
        if problem:
            hint = "its segment is damaged: keep it"
            raise InputError(str(Mistake(f"archive {path}", f"block {header.number}: {problem}", hint=hint)))
        expected = header.number + 1, header.next_position
        yield block


def _compare(unfinished: Path, sums: list[bytes]) -> ArchiveFacts:
    """Read the file back. Raises DamagedArchive where a block is not the one that was to be written."""
    number = -1
    for expected, block in zip_longest(sums, read_archive(unfinished)):
        if block is None or expected is None:
            raise DamagedArchive(unfinished, f"{len(sums)} blocks were written, it ends after block {number}")
        number = block.header.number
        if _sum(block) != expected:
            raise DamagedArchive(unfinished, f"block {number} is not as it was written")
    return read_facts(unfinished)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
