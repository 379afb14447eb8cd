"""The keys of one run, as dense numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import repeat

import numpy as np
import numpy.typing as npt

from streamgauge.partial import Ints
from streamgauge.store.base import ALL_TEXT, OTHER_TEXT, key_id, key_text

ALL = 0
"""The number of the row that counts every event of a window once."""

OTHER = 1
"""The number of the row that keys past ``max_keys`` are folded into."""

_PLAIN = {str, int, type(None)}
_UNPLAIN = re.compile(r"[^ !#-\[\]-~]")
"""What does not stand in a JSON text as it is."""


class KeyDictionary:
    """Numbers for tuples of key values, for one run, one thread and all of its statistics.

    The values of a key are str, int, float, bool or None, and types are kept apart: 1, True, 1.0 and "1" are four
    keys, as they are four JSON texts. 0 is the key ``all``, 1 the key ``other``.
    """

    def __init__(self) -> None:
        self._index: dict[object, int] = {}
        self._values: list[object] = []
        self._free: list[int] = []
        self._ids: npt.NDArray[np.void] = np.zeros(1024, dtype="V16")
        self._identified = np.zeros(1024, dtype=np.bool_)
        self._stored = np.zeros(1024, dtype=np.bool_)
        self._admit([ALL_TEXT.encode(), OTHER_TEXT.encode()])

    def __len__(self) -> int:
        return len(self._index)

    def numbers(self, columns: Sequence[Sequence[object]], count: int) -> Ints:
        """The number of each of ``count`` keys, given as one sequence of values per ``by`` column."""
        items: Sequence[object]
        if any(not _PLAIN.issuperset(map(type, column)) for column in columns):
            items = [*map(_item, zip(*columns, strict=True))]
        elif len(columns) == 1:
            items = columns[0]
        else:
            items = [*zip(*columns, strict=True)] if columns else [()] * count
        numbers = np.fromiter(map(self._index.get, items, repeat(-1)), np.int64, count)
        if len(unknown := np.flatnonzero(numbers < 0)):
            new = [items[n] for n in unknown.tolist()]
            self._admit(list(dict.fromkeys(new)))
            numbers[unknown] = np.fromiter(map(self._index.__getitem__, new), np.int64, len(new))
        return numbers

    def texts(self, numbers: Sequence[int]) -> list[str]:
        """The canonical JSON texts of keys."""
        values = [self._values[number] for number in numbers]
        plain = not _UNPLAIN.search("".join(value for value in values if isinstance(value, str)))
        return [f'["{value}"]' if plain and isinstance(value, str) else _text_of(value) for value in values]

    def ids(self, numbers: Ints) -> list[bytes]:
        """The 16-byte ids of keys."""
        self._identify(numbers)
        ids: list[bytes] = self._ids[numbers].tolist()
        return ids

    def order(self, numbers: Ints) -> npt.NDArray[np.uint64]:
        """The first 8 bytes of the ids, as numbers that sort as the ids do."""
        self._identify(numbers)
        return self._ids[numbers].view(">u8")[::2].astype(np.uint64)

    def unstored(self, parts: Sequence[Ints]) -> Ints:
        """Those of the numbers, each once and ascending, whose text is not known to be in the store."""
        return np.flatnonzero(self._among(parts) & ~self._stored[: len(self._values)])

    def mark_stored(self, numbers: Ints) -> None:
        """The texts of these keys were committed."""
        self._stored[numbers] = True

    def stored_ids(self) -> set[bytes]:
        """The ids of the keys that are taken for stored."""
        return set(self.ids(np.flatnonzero(self._stored[: len(self._values)])))

    def forget_except(self, parts: Sequence[Ints]) -> None:
        """Forget all but these keys: their numbers will be given to others, so nobody may hold them any more."""
        for number in np.flatnonzero(~self._among([*parts, np.array([ALL, OTHER])])).tolist():
            value = self._values[number]
            if self._index.get(value) == number:
                del self._index[value]
                self._values[number] = None
                self._stored[number] = False
                self._free.append(number)

    def _among(self, parts: Sequence[Ints]) -> npt.NDArray[np.bool_]:
        mask = np.zeros(len(self._values), dtype=np.bool_)
        for numbers in parts:
            mask[numbers] = True
        return mask

    def _identify(self, numbers: Ints) -> None:
        """Make the ids of keys when they are first asked for, as a run that keeps no store never does."""
        new = np.flatnonzero(self._among([numbers]) & ~self._identified[: len(self._values)])
        if len(new):
            digests = b"".join(map(key_id, self.texts(new.tolist())))
            self._ids[new] = np.frombuffer(digests, dtype="V16")
            self._identified[new] = True

    def _admit(self, keys: Sequence[object]) -> None:
        """Give numbers to keys that are all different and have none; those that were given back go first."""
        reused = [self._free.pop() for _ in range(min(len(keys), len(self._free)))]
        for number, key in zip(reused, keys, strict=False):
            self._values[number] = key
        first = len(self._values)
        self._values.extend(keys[len(reused) :])
        numbers = [*reused, *range(first, len(self._values))]
        self._index.update(zip(keys, numbers, strict=True))
        while len(self._values) > len(self._ids):
            self._ids = np.concatenate([self._ids, np.zeros_like(self._ids)])
            self._identified = np.concatenate([self._identified, np.zeros_like(self._identified)])
            self._stored = np.concatenate([self._stored, np.zeros_like(self._stored)])
        self._stored[numbers] = self._identified[numbers] = False


def _item(values: tuple[object, ...]) -> object:
    # True and 1.0 equal 1 in a dict: a key with such a value stands there as its text, in bytes.
    if not _PLAIN.issuperset(map(type, values)):
        return key_text(values).encode()
    return values[0] if len(values) == 1 else values


def _text_of(key: object) -> str:
    if isinstance(key, bytes):
        return key.decode()
    return key_text(key if isinstance(key, tuple) else (key,))
