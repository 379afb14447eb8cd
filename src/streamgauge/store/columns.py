"""Columns of merged states in memory, and how the rows of a partial are grouped into cells."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from streamgauge.aggregates.base import State
from streamgauge.aggregates.states import Sum
from streamgauge.partial import Ints, SubRows

Bools = npt.NDArray[np.bool_]

_LEAST = np.iinfo(np.int64).min
_MOST = np.iinfo(np.int64).max


class Vector:
    """A numpy array that grows at its end."""

    __slots__ = ("_data", "size")

    def __init__(self, dtype: npt.DTypeLike = np.int64) -> None:
        self._data: npt.NDArray[Any] = np.zeros(16, dtype=dtype)
        self.size = 0

    @property
    def values(self) -> npt.NDArray[Any]:
        """The array itself, not a copy; growing makes it stale."""
        return self._data[: self.size]

    def extend(self, count: int, value: object = 0) -> None:
        """Add ``count`` entries: one value for all, or an array of them."""
        wanted = self.size + count
        if wanted > len(self._data):
            data = np.zeros(max(wanted, len(self._data) * 3 // 2), dtype=self._data.dtype)
            data[: self.size] = self.values
            self._data = data
        self._data[self.size : wanted] = value
        self.size = wanted

    def keep(self, mask: Bools) -> None:
        """Drop the entries that are not in the mask, and the room that they took."""
        self._data = self.values[mask]
        self.size = len(self._data)

    def widen(self) -> None:
        """Hold Python ints of any size from now on."""
        self._data = self._data.astype(object)


class Groups:
    """The rows of a partial, grouped by cell: ``codes`` are the cells, ascending, each once."""

    def __init__(self, codes: Ints) -> None:
        self.order = np.argsort(codes, kind="stable")
        ordered = codes[self.order]
        first = np.ones(len(ordered), dtype=np.bool_)
        np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
        self.begins = np.flatnonzero(first)
        self.codes = ordered[self.begins]
        self.sizes = np.diff(self.begins, append=len(ordered))
        self._single = len(self.begins) == len(ordered)

    def __len__(self) -> int:
        return len(self.codes)

    def of_rows(self) -> Ints:
        """The group of each row of the partial."""
        groups = np.empty(len(self.order), dtype=np.int64)
        groups[self.order] = np.repeat(np.arange(len(self)), self.sizes)
        return groups

    def reduce(self, how: np.ufunc, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """One value per group."""
        ordered = values[self.order]
        reduced: npt.NDArray[Any] = ordered if self._single else how.reduceat(ordered, self.begins)
        return reduced

    def total(self, values: Ints | Sequence[int]) -> npt.NDArray[Any]:
        """The exact sum of each group: int64 where every sum surely fits, else Python ints."""
        array = _narrow(values)
        if array.dtype != object and largest(array) * int(self.sizes.max(initial=0)) > _MOST:
            array = array.astype(object)
        return self.reduce(np.add, array)


def largest(values: npt.NDArray[Any]) -> int:
    """The greatest magnitude, 0 of nothing."""
    return max(int(values.max()), -int(values.min())) if len(values) else 0


def _narrow(values: Ints | Sequence[int]) -> npt.NDArray[Any]:
    if isinstance(values, np.ndarray) and values.dtype != object:
        return values.astype(np.int64, copy=False)
    try:
        return np.array(values, dtype=np.int64)
    except OverflowError:
        return np.array(values, dtype=object)


class StateColumn(ABC):
    """One primitive's states, one per row of a table of cells."""

    def __init__(self, state: State) -> None:
        self.state = state

    @abstractmethod
    def extend(self, count: int) -> None:
        """Add rows that hold zero."""

    @abstractmethod
    def put(self, rows: Ints, packed: Sequence[Any]) -> None:
        """Set rows to states as they were stored."""

    @abstractmethod
    def merge(self, rows: Ints, column: Any, groups: Groups) -> None:
        """Merge a partial's column; ``rows`` is the row of each group."""

    @abstractmethod
    def states(self, rows: Ints) -> list[Any]:
        """The states of rows. Not to be changed."""

    def packed(self, rows: Ints) -> list[Any]:
        """The states of rows, as msgpack can write them."""
        states = self.states(rows)
        return states if type(self.state).pack is State.pack else list(map(self.state.pack, states))

    @abstractmethod
    def keep(self, mask: Bools) -> None:
        """Drop the rows that are not in the mask."""

    def sizes(self) -> Ints | int:
        """How many entries each row's state holds beside its place in the column."""
        return 0

    def _unpack(self, packed: Sequence[Any]) -> Sequence[Any]:
        if type(self.state).unpack is State.unpack:
            return packed
        return list(map(self.state.unpack, packed))


class AddColumn(StateColumn):
    """Counts and sums: int64 until one might not fit, Python ints from then on."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._sums = Vector()

    def extend(self, count: int) -> None:
        self._sums.extend(count)

    def put(self, rows: Ints, packed: Sequence[Any]) -> None:
        self._set(rows, _narrow(self._unpack(packed)))

    def merge(self, rows: Ints, column: Any, groups: Groups) -> None:
        more, old = groups.total(column), self._sums.values[rows]
        if old.dtype != object and more.dtype != object and largest(old) + largest(more) > _MOST:
            old = old.astype(object)
        self._set(rows, old + more)

    def states(self, rows: Ints) -> list[Any]:
        sums: list[Any] = self._sums.values[rows].tolist()
        return sums

    def keep(self, mask: Bools) -> None:
        self._sums.keep(mask)

    def _set(self, rows: Ints, sums: npt.NDArray[Any]) -> None:
        if sums.dtype == object and self._sums.values.dtype != object:
            self._sums.widen()
        # tolist: an int64 put into an object column must become a Python int, which cannot overflow.
        wide = self._sums.values.dtype == object and sums.dtype != object
        self._sums.values[rows] = sums.astype(object) if wide else sums


class ExtremeColumn(StateColumn):
    """Least or greatest: an int64 and whether there is one."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        least = state.vector == "min"
        self._how: np.ufunc = np.minimum if least else np.maximum
        self._none = _MOST if least else _LEAST
        self._values = Vector()
        self._valid = Vector(np.bool_)

    def extend(self, count: int) -> None:
        self._values.extend(count, self._none)
        self._valid.extend(count, False)

    def put(self, rows: Ints, packed: Sequence[Any]) -> None:
        states = self._unpack(packed)
        self._values.values[rows] = [self._none if s is None else s for s in states]
        self._valid.values[rows] = [s is not None for s in states]

    def merge(self, rows: Ints, column: Any, groups: Groups) -> None:
        values, valid = column
        values = groups.reduce(self._how, np.where(valid, values, self._none))
        self._values.values[rows] = self._how(self._values.values[rows], values)
        self._valid.values[rows] |= groups.reduce(np.logical_or, valid)

    def states(self, rows: Ints) -> list[Any]:
        states: list[Any] = self._values.values[rows].tolist()
        valid = self._valid.values[rows]
        if not valid.all():
            states = [s if v else None for s, v in zip(states, valid.tolist(), strict=True)]
        return states

    def keep(self, mask: Bools) -> None:
        self._values.keep(mask)
        self._valid.keep(mask)


class ObjectColumn(StateColumn):
    """Any other state: Python objects, touched only where something changed."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._states: list[Any] = []
        self._sizes = Vector()

    def extend(self, count: int) -> None:
        self._states.extend(self.state.zero() for _ in range(count))
        self._sizes.extend(count)

    def put(self, rows: Ints, packed: Sequence[Any]) -> None:
        self._set(rows.tolist(), list(self._unpack(packed)))

    def merge(self, rows: Ints, column: Any, groups: Groups) -> None:
        loaded = self._loaded(column, groups) if isinstance(column, SubRows) else self._listed(column, groups)
        row_of, states, merge = rows.tolist(), self._states, self.state.merge
        changed: dict[int, Any] = {}
        for group, more in loaded:
            row = row_of[group]
            changed[row] = states[row] = merge(states[row], more)
        self._set(list(changed), list(changed.values()))

    def states(self, rows: Ints) -> list[Any]:
        return [self._states[row] for row in rows.tolist()]

    def keep(self, mask: Bools) -> None:
        self._states = list(compress(self._states, mask.tolist()))
        self._sizes.keep(mask)

    def sizes(self) -> Ints | int:
        return self._sizes.values

    def _set(self, rows: list[int], states: list[Any]) -> None:
        for row, state in zip(rows, states, strict=True):
            self._states[row] = state
        self._sizes.values[rows] = list(map(_entries, states))

    def _loaded(self, sub: SubRows, groups: Groups) -> Iterator[tuple[int, Any]]:
        """The state of each group that has sub-rows, all rows of the group gathered first."""
        group = groups.of_rows()[sub.row]
        order = np.argsort(group, kind="stable")
        group = group[order]
        begins = np.flatnonzero(np.diff(group, prepend=-1))
        texts = isinstance(sub.sub_key, list)
        keys = [sub.sub_key[i] for i in order.tolist()] if texts else sub.sub_key[order]
        offsets = [*begins.tolist(), len(group)]
        states = self.state.load_all(keys, sub.count[order], sub.position[order], offsets) if len(group) else []
        return zip(group[begins].tolist(), states, strict=True)

    def _listed(self, column: Any, groups: Groups) -> Iterator[tuple[int, Any]]:
        """The state of each row that has something, with its group, in the order of the rows."""
        values = column.tolist() if isinstance(column, np.ndarray) else column
        load = self.state.load
        return ((g, load(v)) for g, v in zip(groups.of_rows().tolist(), values, strict=True) if v is not None)


def _entries(state: Any) -> int:
    """Roughly how many entries of a dict a state takes the room of."""
    if isinstance(state, np.ndarray):
        return state.nbytes // 128
    if isinstance(state, tuple):
        return len(state) + sum(len(part) for part in state if isinstance(part, dict))
    return len(state) if isinstance(state, dict) else 1


def column_of(state: State) -> StateColumn:
    """The column that suits a state. A sum is no int64, but the columns of counts know what to do then."""
    if state.vector == "add" or isinstance(state, Sum):
        return AddColumn(state)
    return ExtremeColumn(state) if state.vector else ObjectColumn(state)
