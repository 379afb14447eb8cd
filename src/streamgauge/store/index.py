"""Where a cell is in its table: windows as dense slots, and rows by (slot, key)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from streamgauge.partial import Ints
from streamgauge.store.columns import Bools, Vector

KEY_BITS = 32
KEY_MASK = (1 << KEY_BITS) - 1
"""A cell's code is its window's slot above these bits, and its key's number in them."""


class RowIndex:
    """Rows of a table by code. A sorted array: 16 bytes a cell, where a dict takes 130."""

    def __init__(self, codes: Ints | None = None) -> None:
        codes = np.zeros(0, dtype=np.int64) if codes is None else codes
        self._rows: Ints = np.argsort(codes)
        self._codes: Ints = codes[self._rows]

    def find(self, codes: Ints) -> Ints:
        """The row of each code, or -1."""
        if not len(self._codes):
            return np.full(len(codes), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        return np.where(self._codes[at] == codes, self._rows[at], -1)

    def add(self, codes: Ints, rows: Ints) -> None:
        """Add codes that are ascending and not there yet."""
        at = np.searchsorted(self._codes, codes)
        self._codes = np.insert(self._codes, at, codes)
        self._rows = np.insert(self._rows, at, rows)


class Windows:
    """The windows of a table that have cells in memory.

    ``whole`` says that the store holds no cell of the window that is not in memory too; ``keys`` counts the window's
    named keys, in memory or not (kept only where the table has a bound on them).
    """

    def __init__(self, last_stored: int) -> None:
        self._last_let_go = last_stored
        self._slots: dict[int, int] = {}
        self.start, self.age, self.keys, self.whole = Vector(), Vector(), Vector(), Vector(np.bool_)

    def surely_new(self, start: int) -> bool:
        """Whether the store cannot hold a cell of this window, which has none in memory."""
        return start > self._last_let_go

    def unknown(self, starts: Ints) -> list[int]:
        """Those of the starts that have no slot."""
        return [start for start in starts.tolist() if start not in self._slots]

    def slots(self, starts: Ints) -> Ints:
        """The slot of each start."""
        return np.fromiter(map(self._slots.__getitem__, starts.tolist()), np.int64, len(starts))

    def add(self, starts: Sequence[int], stored_keys: Mapping[int, int]) -> None:
        """Give slots to windows; ``stored_keys`` is how many named keys the store holds of each."""
        self._slots.update(zip(starts, range(self.start.size, self.start.size + len(starts)), strict=True))
        self.start.extend(len(starts), starts)
        self.age.extend(len(starts))
        self.keys.extend(len(starts), [stored_keys.get(start, 0) for start in starts])
        self.whole.extend(len(starts), [self.surely_new(start) for start in starts])

    def keep(self, codes: Ints, mask: Bools) -> Ints:
        """Let go of cells; slots are dealt anew. Returns the new codes of those kept."""
        slots = codes >> KEY_BITS
        self.whole.values[slots[~mask]] = False
        used = np.zeros(self.start.size, dtype=np.bool_)
        used[slots[mask]] = True
        if not used.all():
            self._last_let_go = max(self._last_let_go, int(self.start.values[~used].max()))
        renumbered = np.cumsum(used) - 1
        for vector in (self.start, self.age, self.keys, self.whole):
            vector.keep(used)
        self._slots = {start: slot for slot, start in enumerate(self.start.values.tolist())}
        kept: Ints = (renumbered[slots[mask]] << KEY_BITS) | (codes[mask] & KEY_MASK)
        return kept
