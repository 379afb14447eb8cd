"""Which segments there are, as the names of the files say, oldest first.

A segment's name holds the position and the number of its first block, so that a place is found, and a missing segment
noticed, without reading any. A segment has one of two forms: the one that was written, ``.ndjson``, and the archive
that a compactor makes of it when it is closed, under the same stem. Where a crash left both, the first is the truth
until it is removed.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamgauge.errors import Mistake, StoreError
from streamgauge.log.base import LogBlock

WRITTEN = ".ndjson"
UNFINISHED = ".new"
"""What the name of a segment ends with until it is durable: never read, removed at the next start."""

ReadArchive = Callable[[Path, int], Iterator[LogBlock]]
"""Reads an archive's blocks in order, those with a number above the given one. What cannot be read is an error that is
raised in its place; with attributes ``next_block`` and ``next_position`` it says where reading can go on."""

Archives = Mapping[str, ReadArchive]
"""The forms that a closed segment may have been given, by suffix (``.parquet``)."""

_NAME = re.compile(r"segment-([0-9]{20})-([0-9]{20})(\.[a-z]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment on disk. ``position`` and ``block`` are those that its name gives to its first block.

    ``size`` is that of the file in bytes when it was listed, ``form`` its suffix. ``twin`` is the archive beside a
    written segment, from a crash or a compactor that is not done.
    """

    path: Path
    position: int
    block: int
    form: str
    size: int
    twin: Path | None = None

    @property
    def written(self) -> bool:
        """Whether it has the form that it was written in."""
        return self.form == WRITTEN


def segment_name(position: int, block: int, form: str = WRITTEN) -> str:
    """The file name of a segment that begins with this block."""
    return f"segment-{position:020d}-{block:020d}{form}"


def list_segments(folder: Path, forms: Collection[str] = ()) -> list[Segment]:
    """The segments in the folder, in order, each once. ``forms``: the suffixes of archives that can be read.

    Files of other names are not looked at. Raises StoreError where the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            found = [segment for entry in entries if (segment := _segment(entry, forms))]
    except OSError as error:
        raise StoreError(str(Mistake(f"log {folder}", f"cannot be read: {error.strerror}"))) from None
    found.sort(key=lambda segment: (segment.block, segment.position, not segment.written))
    return _without_twins(found)


def _segment(entry: os.DirEntry[str], forms: Collection[str]) -> Segment | None:
    match = _NAME.fullmatch(entry.name)
    if match is None or (match[3] != WRITTEN and match[3] not in forms):
        return None
    try:
        size = entry.stat().st_size
    except FileNotFoundError:  # removed since the folder was listed
        return None
    return Segment(Path(entry.path), int(match[1]), int(match[2]), match[3], size)


def _without_twins(found: Sequence[Segment]) -> list[Segment]:
    segments: list[Segment] = []
    for segment in found:
        before = segments[-1] if segments else None
        if before is None or before.path.stem != segment.path.stem:
            segments.append(segment)
        elif before.twin is None:
            segments[-1] = Segment(before.path, before.position, before.block, before.form, before.size, segment.path)
    return segments


def index_of_block(segments: Sequence[Segment], block: int) -> int:
    """The index of the segment that holds the block if any does; -1 where all begin later."""
    return bisect_right(segments, block, key=lambda segment: segment.block) - 1


def index_of_position(segments: Sequence[Segment], position: int) -> int:
    """The index of the segment that holds the position if any does; -1 where all begin later."""
    return bisect_right(segments, position, key=lambda segment: segment.position) - 1
