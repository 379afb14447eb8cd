"""The states of the primitives: how each is merged and stored. All are exact, and hold integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from streamgauge.aggregates import hyperloglog
from streamgauge.aggregates.base import State

Row = tuple[int, int, Any]
"""``(time_ms, position, value)``."""

Folded = tuple[dict[str, int], int]
"""Counts of the admitted sub-keys in the order of their admission, and the count of all others together."""

K = TypeVar("K", int, str)

_INT64 = 2**63


@dataclass(frozen=True)
class Add(State):
    """A count: an int that always fits 64 bits. numpy may add whole columns of it."""

    vector: ClassVar[str] = "add"

    def zero(self) -> int:
        """0."""
        return 0

    def merge(self, a: int, b: int) -> int:
        """Their sum."""
        return a + b

    def load(self, computed: Any) -> int:
        """The count as an int."""
        return int(computed)


@dataclass(frozen=True)
class Sum(State):
    """A sum: an int of any size."""

    def zero(self) -> int:
        """0."""
        return 0

    def merge(self, a: int, b: int) -> int:
        """Their sum."""
        return a + b

    def load(self, computed: Any) -> int:
        """The sum as an int; an engine may give a Decimal without fraction. None, of no row, is 0."""
        return 0 if computed is None else int(computed)

    def pack(self, state: int) -> int | str:
        """The int where it fits 64 bits, else its decimal text: neither msgpack nor SQLite has wider ints."""
        return state if -_INT64 <= state < _INT64 else str(state)

    def unpack(self, packed: int | str) -> int:
        """The int."""
        return int(packed)


@dataclass(frozen=True)
class Min(State):
    """The least 64-bit int, or None of none. A column of it needs a mask for None."""

    vector: ClassVar[str] = "min"

    def zero(self) -> None:
        """None."""
        return None

    def merge(self, a: int | None, b: int | None) -> int | None:
        """The lesser; None counts as greater than any."""
        return a if b is None or (a is not None and a <= b) else b

    def load(self, computed: Any) -> int | None:
        """The int, or None."""
        return None if computed is None else int(computed)


@dataclass(frozen=True)
class Max(State):
    """The greatest 64-bit int, or None of none. A column of it needs a mask for None."""

    vector: ClassVar[str] = "max"

    def zero(self) -> None:
        """None."""
        return None

    def merge(self, a: int | None, b: int | None) -> int | None:
        """The greater; None counts as less than any."""
        return a if b is None or (a is not None and a >= b) else b

    def load(self, computed: Any) -> int | None:
        """The int, or None."""
        return None if computed is None else int(computed)


class _Arg(State):
    """What ArgMin and ArgMax share: ``(time_ms, position, value)``, or None of no row."""

    def zero(self) -> None:
        """None."""
        return None

    def load(self, computed: Any) -> Row | None:
        """The three, as a tuple of Python's own values."""
        if computed is None:
            return None
        time, position, value = computed
        return int(time), int(position), value

    def pack(self, state: Row | None) -> list[Any] | None:
        """A list of the three."""
        return None if state is None else list(state)

    def unpack(self, packed: Sequence[Any] | None) -> Row | None:
        """The tuple."""
        return None if packed is None else (packed[0], packed[1], packed[2])


@dataclass(frozen=True)
class ArgMin(_Arg):
    """The value of the first row by (time, position). Positions differ, so the order is total."""

    def merge(self, a: Row | None, b: Row | None) -> Row | None:
        """The earlier of the two."""
        return a if b is None or (a is not None and a[:2] <= b[:2]) else b


@dataclass(frozen=True)
class ArgMax(_Arg):
    """The value of the last row by (time, position). Positions differ, so the order is total."""

    def merge(self, a: Row | None, b: Row | None) -> Row | None:
        """The later of the two."""
        return a if b is None or (a is not None and a[:2] >= b[:2]) else b


@dataclass(frozen=True)
class Counts(State):
    """Counts by an integer sub-key without bound: buckets, bins. A dict in any order."""

    def zero(self) -> dict[int, int]:
        """No sub-key."""
        return {}

    def merge(self, a: dict[int, int], b: dict[int, int]) -> dict[int, int]:
        """The counts of both, in ``a``'s own dict."""
        for key, count in b.items():
            a[key] = a.get(key, 0) + count
        return a

    def load(self, computed: Any) -> dict[int, int]:
        """The counts by sub-key; repeated sub-keys are added up."""
        keys, counts, _ = computed
        return _combined(_listed(keys), _listed(counts))

    def load_all(self, sub_keys: Any, counts: Any, first_positions: Any, offsets: Sequence[int]) -> list[Any]:
        """As ``load``, with one conversion for all cells."""
        keys, numbers = _listed(sub_keys), _listed(counts)
        return [_combined(keys[start:stop], numbers[start:stop]) for start, stop in pairwise(offsets)]

    def pack(self, state: dict[int, int]) -> list[int]:
        """Sub-key, count, sub-key, count... by ascending sub-key."""
        return [number for pair in sorted(state.items()) for number in pair]

    def unpack(self, packed: Sequence[int]) -> dict[int, int]:
        """The dict."""
        return dict(zip(packed[::2], packed[1::2], strict=True))


@dataclass(frozen=True)
class Tally(State):
    """Counts of at most ``limit`` texts, admitted by first position; all others are counted together.

    ``load`` admits everything, since a text that a slice would fold may be one that the cell has admitted already.
    ``merge`` and ``pack`` apply the limit. Once ``limit`` texts are in, no other is admitted, so what a cell holds
    depends on the log alone, and not on how it was cut.
    """

    limit: int = 1000
    bounded: ClassVar[bool] = True

    def zero(self) -> Folded:
        """No sub-key, and no others."""
        return {}, 0

    def merge(self, a: Folded, b: Folded) -> Folded:
        """The cell ``a``, in its own dict, with all of ``b`` added in order."""
        admitted, other = self._bounded(a)
        other += b[1]
        for key, count in b[0].items():
            if key in admitted:
                admitted[key] += count
            elif len(admitted) < self.limit:
                admitted[key] = count
            else:
                other += count
        return admitted, other

    def load(self, computed: Any) -> Folded:
        """Every sub-key, by first position; repeated ones are added up under their least position."""
        keys, counts, positions = computed
        order = np.argsort(np.asarray(positions, dtype=np.int64), kind="stable").tolist()
        texts, numbers = _listed(keys), _listed(counts)
        return _combined([texts[i] for i in order], [numbers[i] for i in order]), 0

    def pack(self, state: Folded) -> list[Any]:
        """Sub-keys in the order of admission, their counts, and the count of the others."""
        admitted, other = self._bounded(state)
        return [list(admitted), list(admitted.values()), other]

    def unpack(self, packed: Sequence[Any]) -> Folded:
        """The dict and the count of the others."""
        keys, counts, other = packed
        return dict(zip(keys, counts, strict=True)), other

    def _bounded(self, state: Folded) -> Folded:
        """``state``, or a copy of it within the limit."""
        admitted, other = state
        if len(admitted) <= self.limit:
            return state
        items = list(admitted.items())
        return dict(items[: self.limit]), other + sum(count for _, count in items[self.limit :])


@dataclass(frozen=True)
class Hashes(State):
    """A set of 64-bit hashes: all of them, sorted, up to ``exact``; then HyperLogLog registers made of them.

    The registers of a set do not depend on the order or grouping of its members, and a set is exact if and only if it
    has at most ``exact`` members, so the state depends on the set alone. ``exact`` must be below 2048: it is by its
    length that a packed set is told from registers.
    """

    exact: int = 1024

    def zero(self) -> npt.NDArray[Any]:
        """The empty set."""
        return np.empty(0, dtype=np.uint64)

    def merge(self, a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The union. Neither array is changed."""
        if a.dtype == np.uint64 and b.dtype == np.uint64:
            return self._of(np.concatenate((a, b)))
        if a.dtype == np.uint64:
            a, b = b, a
        union: npt.NDArray[Any] = np.maximum(a, b if b.dtype == np.uint8 else hyperloglog.registers_of(b))
        return union

    def load(self, computed: Any) -> npt.NDArray[Any]:
        """The set of the sub-keys."""
        return self._of(_hashes(computed[0]))

    def load_all(self, sub_keys: Any, counts: Any, first_positions: Any, offsets: Sequence[int]) -> list[Any]:
        """As ``load``, with one conversion for all cells."""
        hashes = _hashes(sub_keys)
        return [self._of(hashes[start:stop]) for start, stop in pairwise(offsets)]

    def pack(self, state: npt.NDArray[Any]) -> bytes:
        """The hashes or registers, little-endian."""
        return state.astype(state.dtype.newbyteorder("<"), copy=False).tobytes()

    def unpack(self, packed: bytes) -> npt.NDArray[Any]:
        """The array, which is read-only."""
        if len(packed) == hyperloglog.REGISTERS:
            return np.frombuffer(packed, dtype=np.uint8)
        return np.frombuffer(packed, dtype="<u8").astype(np.uint64, copy=False)

    def _of(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[Any]:
        if len(hashes) > 4 * self.exact:
            # Sorting many costs more than this, and a register that is not empty stands for at least one hash.
            registers = hyperloglog.registers_of(hashes)
            if np.count_nonzero(registers) > self.exact:
                return registers
        distinct = np.unique(hashes)
        return distinct if len(distinct) <= self.exact else hyperloglog.registers_of(distinct)


def _hashes(sub_keys: Any) -> npt.NDArray[np.uint64]:
    if isinstance(sub_keys, np.ndarray) and sub_keys.dtype == np.int64:
        return sub_keys.view(np.uint64)
    return np.asarray(sub_keys, dtype=np.uint64)


def _listed(values: Any) -> list[Any]:
    """Python's own values: numpy's integers are neither JSON nor msgpack."""
    return list(values.tolist() if isinstance(values, np.ndarray) else values)


def _combined(keys: Sequence[K], counts: Sequence[int]) -> dict[K, int]:
    combined = dict(zip(keys, counts, strict=True))
    if len(combined) < len(keys):
        combined = dict.fromkeys(keys, 0)
        for key, count in zip(keys, counts, strict=True):
            combined[key] += count
    return combined
