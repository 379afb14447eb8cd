"""A run: a file of the ids of some consecutive blocks, sorted, that can be asked for an id without being read.

What stays in memory of a run is a filter (a few bits an id, which tell most of what is not there) and where its
buckets begin. The file: one line of JSON, the buckets, the filter, a note (what the owner of the runs wants to find
again), the ids, and for each id the number of its section.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.seen import Hashes, Mask

_BUCKETS = 4096
_SHIFT = np.uint64(64 - 12)
_BITS = 5
_WORDS_PER_ID = 0.375
_FORMAT = 1
# With more candidates than this, one read of the whole run takes less time than one for each.
_SINGLY = 100
_LONGEST_HEAD = 1 << 24

Offsets = npt.NDArray[np.uint32]


class DamagedRun(Exception):
    """The file is not what was written. The ids of its blocks must be read from the log."""


class Section(NamedTuple):
    """Ids of one source in a run. ``total``: how many of the source had ever been taken, these included."""

    source: str
    total: int
    low: Hashes
    high: Hashes


@dataclass(slots=True)
class Run:
    """The ids of the blocks from ``first`` to ``last``, which were received until ``received_ms`` (wall time).

    ``totals``: by its source, how many ids had ever been taken when the run was made. ``sections``: sources and totals.
    ``since_s``: when it was made, or opened, by the monotonic clock. ``note``: as it was given.
    """

    path: Path
    first: int
    last: int
    received_ms: int
    totals: Mapping[str, int]
    sections: tuple[tuple[str, int], ...]
    since_s: float
    note: bytes = b""
    _descriptor: int = -1
    _count: int = 0
    _start: int = 0
    _buckets: Offsets = field(default_factory=lambda: np.zeros(0, np.uint32))
    _filter: Hashes = field(default_factory=lambda: np.zeros(0, np.uint64))

    def __len__(self) -> int:
        return self._count

    def contains(self, low: Hashes, high: Hashes) -> Mask:
        """Which of these ids are in the run. Raises OSError where it cannot be read."""
        found = np.zeros(len(low), dtype=np.bool_)
        if not self._count:
            return found
        bits = _bits(high)
        candidates = np.flatnonzero((self._filter[_words(low, len(self._filter))] & bits) == bits)
        if len(candidates):
            find = self._find if len(candidates) <= _SINGLY else self._find_many
            found[candidates] = find(low[candidates], high[candidates])
        return found

    def take_out(self, wanted: Callable[[str, int], bool]) -> list[Section]:
        """The sections whose source and total are wanted. Raises OSError where the run cannot be read."""
        chosen = [n for n, (source, total) in enumerate(self.sections) if wanted(source, total)]
        if not chosen:
            return []
        pairs = self._pairs(0, self._count)
        numbers = np.frombuffer(self._read(self._start + 16 * self._count, 2 * self._count), "<u2")
        parts = [pairs[numbers == n] for n in chosen]
        return [Section(*self.sections[n], part[:, 0], part[:, 1]) for n, part in zip(chosen, parts, strict=True)]

    def close(self) -> None:
        """Close the file. May be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _find(self, low: Hashes, high: Hashes) -> Mask:
        found = np.zeros(len(low), dtype=np.bool_)
        buckets = (low >> _SHIFT).astype(np.int64)
        for n, bucket in enumerate(buckets.tolist()):
            start, stop = int(self._buckets[bucket]), int(self._buckets[bucket + 1])
            pairs = self._pairs(start, stop)
            found[n] = ((pairs[:, 0] == low[n]) & (pairs[:, 1] == high[n])).any()
        return found

    def _find_many(self, low: Hashes, high: Hashes) -> Mask:
        pairs = self._pairs(0, self._count)
        first = np.searchsorted(pairs[:, 0], low)
        stop = np.searchsorted(pairs[:, 0], low, side="right")
        found = np.zeros(len(low), dtype=np.bool_)
        # Nearly always one round: several ids with one low half are as good as impossible.
        while (open_ := first < stop).any():
            found[open_] |= pairs[first[open_], 1] == high[open_]
            first = first + 1
        return found

    def _pairs(self, start: int, stop: int) -> Hashes:
        data = self._read(self._start + 16 * start, 16 * (stop - start))
        pairs: Hashes = np.frombuffer(data, "<u8").reshape(-1, 2)
        return pairs

    def _read(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, offset)


def run_name(first: int, last: int) -> str:
    """The name of the file of a run."""
    return f"ids-{first:020d}-{last:020d}.run"


def write_run(
    folder: Path,
    blocks: tuple[int, int],
    received_ms: int,
    totals: Mapping[str, int],
    sections: Sequence[Section],
    note: bytes,
    now_s: float,
) -> Run:
    """Write the ids of blocks (the first and the last); durable, or not there. Raises OSError."""
    low = np.concatenate([np.zeros(0, np.uint64), *(section.low for section in sections)])
    high = np.concatenate([np.zeros(0, np.uint64), *(section.high for section in sections)])
    numbers = np.repeat(np.arange(len(sections), dtype="<u2"), [len(section.low) for section in sections])
    order = np.argsort(low)
    low, high, numbers = low[order], high[order], numbers[order]
    buckets = np.searchsorted(low >> _SHIFT, np.arange(_BUCKETS + 1, dtype=np.uint64)).astype("<u4")
    filter_ = _filter(low, high)
    kept = buckets.tobytes() + filter_.tobytes() + note
    said = {
        "format": _FORMAT,
        "first": blocks[0],
        "last": blocks[1],
        "received_ms": received_ms,
        "totals": dict(totals),
        "sections": [section[:2] for section in sections],
        "ids": len(low),
        "words": len(filter_),
        "note": len(note),
        "checksum": zlib.crc32(kept),
    }
    path = folder / run_name(*blocks)
    head = json.dumps(said).encode()
    line = b"%s %08x\n" % (head, zlib.crc32(head))
    _write(path, [line, kept, np.stack([low, high], axis=1).astype("<u8").tobytes(), numbers.tobytes()])
    return open_run(path, now_s)


def open_run(path: Path, now_s: float) -> Run:
    """Open the run of a file. Raises DamagedRun, and OSError."""
    with open(path, "rb") as file:
        line = file.readline(_LONGEST_HEAD)
        head, _, checksum = line.rstrip(b"\n").rpartition(b" ")
        if checksum != b"%08x" % zlib.crc32(head):
            raise DamagedRun(path)
        said = json.loads(head)
        sizes = [4 * (_BUCKETS + 1), 8 * said["words"], said["note"]]
        kept = file.read(sum(sizes))
        size = os.fstat(file.fileno()).st_size
        descriptor = os.dup(file.fileno())
    start = len(line) + sum(sizes)
    if said["format"] != _FORMAT or zlib.crc32(kept) != said["checksum"] or size != start + 18 * said["ids"]:
        os.close(descriptor)
        raise DamagedRun(path)
    return Run(
        path,
        said["first"],
        said["last"],
        said["received_ms"],
        said["totals"],
        tuple((source, total) for source, total in said["sections"]),
        now_s,
        kept[sizes[0] + sizes[1] :],
        descriptor,
        said["ids"],
        start,
        np.frombuffer(kept[: sizes[0]], "<u4"),
        np.frombuffer(kept[sizes[0] : sizes[0] + sizes[1]], "<u8"),
    )


def _filter(low: Hashes, high: Hashes) -> Hashes:
    words = np.zeros(max(1, int(len(low) * _WORDS_PER_ID)), dtype=np.uint64)
    np.bitwise_or.at(words, _words(low, len(words)), _bits(high))
    return words


def _words(low: Hashes, count: int) -> npt.NDArray[np.int64]:
    return ((low >> np.uint64(32)) * np.uint64(count) >> np.uint64(32)).astype(np.int64)


def _bits(high: Hashes) -> Hashes:
    found = np.zeros(len(high), dtype=np.uint64)
    for n in range(_BITS):
        found |= np.uint64(1) << (high >> np.uint64(6 * n) & np.uint64(63))
    return found


def _write(path: Path, parts: Sequence[bytes]) -> None:
    unfinished = path.with_suffix(".unfinished")
    with open(unfinished, "wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
