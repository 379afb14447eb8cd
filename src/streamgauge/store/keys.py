"""The keys of one run, as dense numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from streamgauge.partial import Ints
from streamgauge.store.base import ALL_TEXT, OTHER_TEXT, key_id, key_text

ALL = 0
"""The number of the row that counts every event of a window once."""

OTHER = 1
"""The number of the row that keys past ``max_keys`` are folded into."""

_PLAIN = {str, int, type(None)}


class _Index(dict[object, int]):
    """Numbers by key; asking for an unknown one makes it."""

    def __init__(self, owner: KeyDictionary) -> None:
        super().__init__()
        self._owner = owner

    def __missing__(self, key: object) -> int:
        number = self[key] = self._owner._admit(key)
        return number


class KeyDictionary:
    """Numbers for tuples of key values, for one run, one thread and all of its statistics.

    The values of a key are str, int, float, bool or None, and types are kept apart: 1, True, 1.0 and "1" are four
    keys, as they are four JSON texts. 0 is the key ``all``, 1 the key ``other``.
    """

    def __init__(self) -> None:
        self._index = _Index(self)
        self._values: list[object] = []
        self._free: list[int] = []
        self._ids: npt.NDArray[np.void] = np.zeros(1024, dtype="V16")
        self._stored = np.zeros(1024, dtype=np.bool_)
        for text in (ALL_TEXT, OTHER_TEXT):
            self._index[text.encode()]

    def __len__(self) -> int:
        return len(self._index)

    def numbers(self, columns: Sequence[Sequence[object]], count: int) -> Ints:
        """The number of each of ``count`` keys, given as one sequence of values per ``by`` column."""
        items: Iterable[object]
        if any(not _PLAIN.issuperset(map(type, column)) for column in columns):
            items = map(_item, zip(*columns, strict=True))
        elif len(columns) == 1:
            items = columns[0]
        else:
            items = zip(*columns, strict=True) if columns else [()] * count
        return np.fromiter(map(self._index.__getitem__, items), np.int64, count)

    def text(self, number: int) -> str:
        """The canonical JSON text of a key."""
        return _text_of(self._values[number])

    def ids(self, numbers: Ints) -> list[bytes]:
        """The 16-byte ids of keys."""
        ids: list[bytes] = self._ids[numbers].tolist()
        return ids

    def order(self, numbers: Ints) -> npt.NDArray[np.uint64]:
        """The first 8 bytes of the ids, as numbers that sort as the ids do."""
        return self._ids[numbers].view(">u8")[::2].astype(np.uint64)

    def unstored(self, parts: Sequence[Ints]) -> Ints:
        """Those of the numbers, each once and ascending, whose text is not known to be in the store."""
        return np.flatnonzero(self._among(parts) & ~self._stored[: len(self._values)])

    def mark_stored(self, numbers: Ints) -> None:
        """The texts of these keys were committed."""
        self._stored[numbers] = True

    def forget_except(self, parts: Sequence[Ints]) -> None:
        """Forget all but these keys: their numbers will be given to others, so nobody may hold them any more."""
        for number in np.flatnonzero(~self._among([*parts, np.array([ALL, OTHER])])).tolist():
            value = self._values[number]
            if self._index.get(value) == number:
                del self._index[value]
                self._values[number] = None
                self._free.append(number)

    def _among(self, parts: Sequence[Ints]) -> npt.NDArray[np.bool_]:
        mask = np.zeros(len(self._values), dtype=np.bool_)
        for numbers in parts:
            mask[numbers] = True
        return mask

    def _admit(self, key: object) -> int:
        if self._free:
            number = self._free.pop()
            self._values[number] = key
        else:
            number = len(self._values)
            self._values.append(key)
            if number == len(self._ids):
                self._ids = np.concatenate([self._ids, np.zeros_like(self._ids)])
                self._stored = np.concatenate([self._stored, np.zeros_like(self._stored)])
        self._ids[number] = np.void(key_id(_text_of(key)))
        self._stored[number] = False
        return number


def _item(values: tuple[object, ...]) -> object:
    # True and 1.0 equal 1 in a dict: a key with such a value stands there as its text, in bytes.
    if not _PLAIN.issuperset(map(type, values)):
        return key_text(values).encode()
    return values[0] if len(values) == 1 else values


def _text_of(key: object) -> str:
    if isinstance(key, bytes):
        return key.decode()
    return key_text(key if isinstance(key, tuple) else (key,))
