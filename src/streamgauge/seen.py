"""The ids seen of late, by which a duplicate is decided when its block is appended.

An id is forgotten only when more than GENERATION newer ones exist. Ids are kept in two generations: when the newer one
is full at the start of a block, the older is forgotten whole. So what is known depends on the sequence of blocks alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

GENERATION = 1_000_000


class HashTable:
    """An open-addressing hash set of 128-bit hashes, filled and asked by whole arrays."""

    def __init__(self, slots: int = 2**16) -> None:
        self.low: Hashes = np.zeros(slots, dtype=np.uint64)
        self.high: Hashes = np.zeros(slots, dtype=np.uint64)
        self.used: Mask = np.zeros(slots, dtype=np.bool_)
        self.owner = np.zeros(slots, dtype=np.int32)
        self.size = 0

    def contains(self, low: Hashes, high: Hashes) -> Mask:
        """Which of these hashes are there."""
        found = np.zeros(len(low), dtype=np.bool_)
        pending = np.arange(len(low))
        slot = (low & np.uint64(len(self.low) - 1)).astype(np.int64)
        while len(pending):
            at = slot[pending]
            same = self.used[at] & (self.low[at] == low[pending]) & (self.high[at] == high[pending])
            found[pending[same]] = True
            pending = pending[self.used[at] & ~same]
            slot[pending] = (slot[pending] + 1) & (len(self.low) - 1)
        return found

    def add(self, low: Hashes, high: Hashes) -> None:
        """Add hashes that are all different and none of which is there."""
        while (self.size + len(low)) * 2 > len(self.low):
            self._grow()
        self._place(low, high)
        self.size += len(low)

    def _grow(self) -> None:
        low, high = self.low[self.used], self.high[self.used]
        self.__init__(len(self.low) * 4)  # type: ignore[misc]
        self._place(low, high)
        self.size = len(low)

    def _place(self, low: Hashes, high: Hashes) -> None:
        pending = np.arange(len(low), dtype=np.int32)
        owner = self.owner
        slot = (low & np.uint64(len(self.low) - 1)).astype(np.int64)
        while len(pending):
            at = slot[pending]
            free = ~self.used[at]
            # Several may want one free slot: the last to write its number there takes it.
            owner[at[free]] = pending[free]
            won = np.zeros(len(pending), dtype=np.bool_)
            won[free] = owner[at[free]] == pending[free]
            taken, winners = at[won], pending[won]
            self.low[taken], self.high[taken], self.used[taken] = low[winners], high[winners], True
            pending = pending[~won]
            slot[pending] = (slot[pending] + 1) & (len(self.low) - 1)


@dataclass(slots=True)
class SeenIds:
    """Decides duplicates. ``first_block`` and ``older_block`` are where the generations began."""

    generation: int = GENERATION
    first_block: int = 0
    older_block: int = 0
    _newer: HashTable = field(default_factory=HashTable)
    _older: HashTable = field(default_factory=HashTable)

    def add(self, block: int, counts: Sequence[int], low: Hashes, high: Hashes) -> Mask:
        """Take the ids of consecutive blocks, ``counts`` of them each, the first block being ``block``.

        Returns which of the ids are duplicates of an earlier one, of the same blocks or before.
        """
        if self._newer.size + len(low) <= self.generation:
            return self._take(low, high)
        found, start = [], 0
        for n, count in enumerate(counts):
            self._start_block(block + n)
            found.append(self._take(low[start : start + count], high[start : start + count]))
            start += count
        return np.concatenate(found) if found else np.zeros(0, dtype=np.bool_)

    def _start_block(self, block: int) -> None:
        if self._newer.size > self.generation:
            self._older, self._newer = self._newer, HashTable()
            self.older_block, self.first_block = self.first_block, block

    def _take(self, low: Hashes, high: Hashes) -> Mask:
        fresh = ~(self._newer.contains(low, high) | self._older.contains(low, high))
        fresh &= first_of_each(low, high)
        self._newer.add(low[fresh], high[fresh])
        return ~fresh

    def restore(self, block: int, low: Hashes, high: Hashes) -> None:
        """Take ids that were fresh when ``block`` was read, after a restart."""
        if block < self.first_block:
            self._older.add(low, high)
        else:
            self._newer.add(low, high)


def first_of_each(low: Hashes, high: Hashes) -> Mask:
    """Which of these hashes are not those of an earlier one among them."""
    order = np.argsort(low, kind="stable")
    ascending = low[order]
    once = np.ones(len(low), dtype=np.bool_)
    again = ascending[1:] == ascending[:-1]
    if again.any():
        pairs = np.rec.fromarrays([low, high]).view(np.dtype("V16"))
        once[:] = False
        once[np.unique(pairs, return_index=True)[1]] = True
    return once


def pack_ids(low: Hashes, high: Hashes) -> bytes:
    """16 bytes an id, one after another."""
    return np.stack([low, high], axis=1).astype("<u8").tobytes()


def unpack_ids(packed: bytes) -> tuple[Hashes, Hashes]:
    """What ``pack_ids`` was given."""
    pairs = np.frombuffer(packed, dtype="<u8").reshape(-1, 2)
    return pairs[:, 0].astype(np.uint64), pairs[:, 1].astype(np.uint64)
