"""The cells in memory: partials are merged into them, changes are committed, and what is not in use is let go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgpack
import numpy as np

from streamgauge.aggregates.base import State
from streamgauge.partial import Ints, Partial
from streamgauge.store.base import CellBatch, CellChange, Expire, Extent, RawCell, Store, StoredCell, pack_blob
from streamgauge.store.columns import Bools, Groups, Vector, column_of
from streamgauge.store.index import KEY_BITS, KEY_MASK, RowIndex, Windows
from streamgauge.store.keys import OTHER, KeyDictionary

DEFAULT_LIMIT = 500_000
"""How many cells are kept in memory over all tables, counted as plain ones."""

_CHUNK = 8192
_ENTRIES_PER_CELL = 2  # entries of a state of many (buckets, sub-keys) that take the room of a plain cell


def unpack_states(states: Sequence[State], packed: Sequence[Any]) -> list[Any]:
    """The states of a stored cell, in the order of the primitives."""
    return [state.unpack(value) for state, value in zip(states, packed, strict=True)]


class CellTable:
    """The cells of one version and window length. Made by CellCache.table.

    What it holds after a merge is a function of the partials given so far, wherever batches ended and whatever was
    let go: a cell that may be in the store is read back before anything is merged into it.
    """

    def __init__(
        self, store: Store, keys: KeyDictionary, version: str, every: str, states: Sequence[State], max_keys: int
    ) -> None:
        self.version, self.every, self.max_keys = version, every, max_keys
        self._store, self._keys = store, keys
        self._windows = Windows(store.last_start(version, every))
        self._index = RowIndex()
        self._codes, self._events, self._late, self._revision = Vector(), Vector(), Vector(), Vector()
        self._changed, self._age = Vector(np.bool_), Vector()
        self._wrong: dict[str, Vector] = {}
        self._columns = [column_of(state) for state in states]

    def __len__(self) -> int:
        return self._codes.size

    @property
    def changed(self) -> int:
        """How many cells differ from the store."""
        return int(np.count_nonzero(self._changed.values))

    def merge(self, partial: Partial, age: int = 0) -> None:
        """Merge what one slice added. Slices come in log order; ``age`` is a number that grows with commits."""
        if not len(partial.starts):
            return
        slots = self._slots(partial.starts, age)
        codes = (slots << KEY_BITS) | partial.keys
        groups = Groups(codes)
        rows = self._find(groups.codes)
        if self.max_keys and (rows < 0).any():
            groups = Groups(self._fold(groups, rows, partial.first_position))
            rows = self._find(groups.codes)
        rows = self._add_missing(groups.codes, rows)
        self._merge_quality(rows, partial, groups)
        for column, values in zip(self._columns, partial.columns, strict=True):
            column.merge(rows, values, groups)
        self._changed.values[rows] = True
        self._age.values[rows] = age

    def changes(self) -> CellChange:
        """The cells that differ from the store. They are read when the chunks are."""
        return CellChange(self.version, self.every, self._changed_chunks())

    def changed_keys(self) -> Ints:
        """The key numbers of cells that differ from the store."""
        numbers: Ints = self._codes.values[self._changed.values] & KEY_MASK
        return numbers

    def key_numbers(self) -> Ints:
        """The key numbers of all cells in memory."""
        numbers: Ints = self._codes.values & KEY_MASK
        return numbers

    def committed(self) -> None:
        """The store has all changes."""
        self._changed.values[:] = False

    def weights(self) -> Ints:
        """What each cell takes, a plain one being 1."""
        entries = np.zeros(len(self), dtype=np.int64)
        for column in self._columns:
            entries += column.sizes()
        return 1 + entries // _ENTRIES_PER_CELL

    def ages(self) -> tuple[Ints, Ints, Ints]:
        """For each cell: the age of the last change of its window, of itself, and its window's start."""
        slots = self._codes.values >> KEY_BITS
        return self._windows.age.values[slots], self._age.values, self._windows.start.values[slots]

    def keep(self, mask: Bools) -> None:
        """Let go of the cells that are not in the mask. None of them may differ from the store."""
        codes = self._windows.keep(self._codes.values, mask)
        for vector in (self._events, self._late, self._revision, self._changed, self._age, *self._wrong.values()):
            vector.keep(mask)
        for column in self._columns:
            column.keep(mask)
        self._codes = Vector()
        self._codes.extend(len(codes), codes)
        self._index = RowIndex(codes)

    def expire(self, before_ms: int) -> None:
        """Let go of the cells whose window starts before."""
        starts = self._windows.start.values[self._codes.values >> KEY_BITS]
        if (starts < before_ms).any():
            self.keep(starts >= before_ms)

    def _slots(self, starts: Ints, age: int) -> Ints:
        distinct, inverse = np.unique(starts, return_inverse=True)
        new = self._windows.unknown(distinct)
        if new:
            old = [s for s in new if not self._windows.surely_new(s)] if self.max_keys else []
            self._windows.add(new, self._store.window_keys(self.version, self.every, old) if old else {})
        slots = self._windows.slots(distinct)
        self._windows.age.values[slots] = age
        return slots[inverse]

    def _find(self, codes: Ints) -> Ints:
        """Rows of the cells, those in the store read back first; -1 where a cell is in neither."""
        rows = self._index.find(codes)
        asked = codes[(rows < 0) & ~self._windows.whole.values[codes >> KEY_BITS]]
        if not len(asked):
            return rows
        starts = self._windows.start.values[asked >> KEY_BITS].tolist()
        wanted = list(zip(starts, self._keys.ids(asked & KEY_MASK), strict=True))
        number = dict(zip(wanted, asked.tolist(), strict=True))
        found = list(self._store.load_cells(self.version, self.every, wanted))
        if found:
            self._put_back(found, np.array([number[c.start, c.key_id] for c in found], dtype=np.int64))
        return self._index.find(codes)

    def _put_back(self, cells: list[StoredCell], codes: Ints) -> None:
        order = np.argsort(codes)
        cells, codes = [cells[i] for i in order.tolist()], codes[order]
        rows = self._append(codes)
        self._events.values[rows] = [c.events for c in cells]
        self._late.values[rows] = [c.late for c in cells]
        self._revision.values[rows] = [-1 if c.revision is None else c.revision for c in cells]
        for field in sorted({name for c in cells for name in c.wrong}):
            self._wrong_of(field).values[rows] = [c.wrong.get(field, 0) for c in cells]
        for i, column in enumerate(self._columns):
            column.put(rows, [c.states[i] for c in cells])

    def _fold(self, groups: Groups, rows: Ints, first_position: Ints) -> Ints:
        """The codes of the partial's rows, keys that find no room in their window replaced by ``other``.

        Room is given by first position, and among the keys of one event by key id.
        """
        codes = groups.codes.copy()
        new = np.flatnonzero((rows < 0) & ((codes & KEY_MASK) > OTHER))
        first = groups.reduce(np.minimum, first_position)[new]
        slots = codes[new] >> KEY_BITS
        order = np.lexsort((self._keys.order(codes[new] & KEY_MASK), first, slots))
        new, slots = new[order], slots[order]
        rank = np.arange(len(new)) - np.searchsorted(slots, slots)
        admitted = rank < self.max_keys - self._windows.keys.values[slots]
        self._create(np.sort(codes[new[admitted]]))
        folded = new[~admitted]
        codes[folded] = (codes[folded] & ~KEY_MASK) | OTHER
        return codes[groups.of_rows()]

    def _add_missing(self, codes: Ints, rows: Ints) -> Ints:
        if not (rows < 0).any():
            return rows
        self._create(codes[rows < 0])
        return self._index.find(codes)

    def _create(self, codes: Ints) -> None:
        self._append(codes)
        named = codes[(codes & KEY_MASK) > OTHER]
        np.add.at(self._windows.keys.values, named >> KEY_BITS, 1)

    def _append(self, codes: Ints) -> Ints:
        rows = np.arange(len(self), len(self) + len(codes))
        self._codes.extend(len(codes), codes)
        for vector in (self._events, self._late, self._changed, self._age, *self._wrong.values()):
            vector.extend(len(codes))
        self._revision.extend(len(codes), -1)
        for column in self._columns:
            column.extend(len(codes))
        self._index.add(codes, rows)
        return rows

    def _merge_quality(self, rows: Ints, partial: Partial, groups: Groups) -> None:
        self._events.values[rows] += groups.reduce(np.add, partial.events)
        if partial.late is not None:
            self._late.values[rows] += groups.reduce(np.add, partial.late)
        if partial.revision is not None:
            newest = groups.reduce(np.maximum, partial.revision)
            self._revision.values[rows] = np.maximum(self._revision.values[rows], newest)
        for field, counts in partial.wrong.items():
            if counts.any():
                self._wrong_of(field).values[rows] += groups.reduce(np.add, counts)

    def _wrong_of(self, field: str) -> Vector:
        if field not in self._wrong:
            self._wrong[field] = Vector()
            self._wrong[field].extend(len(self))
        return self._wrong[field]

    def _changed_chunks(self) -> Iterator[Sequence[RawCell]]:
        rows = np.flatnonzero(self._changed.values)
        codes = self._codes.values[rows]
        starts = self._windows.start.values[codes >> KEY_BITS]
        order = np.lexsort((self._keys.order(codes & KEY_MASK), starts))
        for begin in range(0, len(rows), _CHUNK):
            part = order[begin : begin + _CHUNK]
            yield self._raw(rows[part], starts[part], codes[part] & KEY_MASK)

    def _raw(self, rows: Ints, starts: Ints, keys: Ints) -> Sequence[RawCell]:
        revisions = self._revisions(rows)
        events, late = self._events.values[rows].tolist(), self._late.values[rows].tolist()
        columns = (starts.tolist(), self._keys.ids(keys), events, late, revisions, self._raw_wrong(rows))
        return list(zip(*columns, self._raw_states(rows), strict=True))

    def _raw_states(self, rows: Ints) -> list[bytes]:
        if not self._columns:
            return [pack_blob([])] * len(rows)
        pack = msgpack.Packer(use_bin_type=True, unicode_errors="surrogatepass").pack
        return list(map(pack, zip(*(column.packed(rows) for column in self._columns), strict=True)))

    def _raw_wrong(self, rows: Ints) -> list[bytes | None]:
        counts = self._wrong_counts(rows)
        return [pack_blob(wrong) if wrong else None for wrong in counts] if counts else [None] * len(rows)

    def batches(self, start: int | None, stop: int | None) -> Iterator[CellBatch]:
        """The cells in memory with ``start <= window start < stop``, in the order (start, key text)."""
        starts = self._windows.start.values[self._codes.values >> KEY_BITS]
        rows = np.flatnonzero(_within(starts, start, stop))
        keys = self._codes.values[rows] & KEY_MASK
        numbers, inverse = np.unique(keys, return_inverse=True)
        texts = self._keys.texts(numbers.tolist())
        order = sorted(range(len(texts)), key=texts.__getitem__)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        in_order = np.lexsort((rank[inverse], starts[rows]))
        for begin in range(0, len(rows), _CHUNK):
            part = in_order[begin : begin + _CHUNK]
            yield self._batch(rows[part], starts[rows[part]], [texts[n] for n in inverse[part].tolist()])

    def extent(self) -> Extent | None:
        """Counts over the cells in memory, as Store.extent has them."""
        if not len(self):
            return None
        starts = self._windows.start.values
        keys = int(np.count_nonzero(np.bincount(self.key_numbers())))
        return Extent(int(starts.min()), int(starts.max()), len(self), len(starts), keys)

    def _batch(self, rows: Ints, starts: Ints, texts: list[str]) -> CellBatch:
        return CellBatch(
            starts.tolist(),
            texts,
            self._events.values[rows].tolist(),
            self._late.values[rows].tolist(),
            self._revisions(rows),
            self._wrong_counts(rows),
            [column.states(rows) for column in self._columns],
        )

    def _revisions(self, rows: Ints) -> list[int | None]:
        return [None if r < 0 else r for r in self._revision.values[rows].tolist()]

    def _wrong_counts(self, rows: Ints) -> list[dict[str, int]]:
        """For each row the fields that had the wrong type, by name; empty where no row has any."""
        counts = {field: self._wrong[field].values[rows].tolist() for field in sorted(self._wrong)}
        if not any(map(any, counts.values())):
            return []
        return [{f: n for f, n in zip(counts, row, strict=True) if n} for row in zip(*counts.values(), strict=True)]


def _within(starts: Ints, start: int | None, stop: int | None) -> Bools:
    wanted = np.ones(len(starts), dtype=np.bool_)
    if start is not None:
        wanted &= starts >= start
    if stop is not None:
        wanted &= starts < stop
    return wanted


class CellCache:
    """All tables of a run: a bounded number of cells in memory, the store holding the rest.

    ``limit`` counts plain cells; one with states of many entries counts as several. It is kept after each commit, so
    between two commits a run may hold as many more as a batch changes: commit when ``changed`` grows large.
    """

    def __init__(self, store: Store, keys: KeyDictionary | None = None, limit: int = DEFAULT_LIMIT) -> None:
        self.keys = keys or KeyDictionary()
        self._store, self._limit, self._age = store, limit, 0
        self.written = False
        self._tables: dict[tuple[str, str], CellTable] = {}

    def table(self, version: str, every: str, states: Sequence[State], max_keys: int = 0) -> CellTable:
        """The table of a version (its hash) and length, made when first asked for. ``max_keys`` 0 is no bound."""
        key = (version, every)
        if key not in self._tables:
            self._tables[key] = CellTable(self._store, self.keys, version, every, states, max_keys)
        return self._tables[key]

    def merge(self, version: str, every: str, partial: Partial) -> None:
        """Merge a partial into the table of that version and length, which must have been made."""
        self._tables[version, every].merge(partial, self._age)

    @property
    def changed(self) -> int:
        """How many cells differ from the store."""
        return sum(table.changed for table in self._tables.values())

    def changes(self) -> tuple[list[CellChange], list[tuple[bytes, str]]]:
        """For a Commit: the changed cells, and the keys that the store may not know."""
        numbers = self._new_keys()
        pairs = sorted(zip(self.keys.ids(numbers), self.keys.texts(numbers.tolist()), strict=True))
        return [table.changes() for table in self._tables.values()], pairs

    def committed(self) -> None:
        """The changes are in the store: forget the difference, and cells and keys not in use past the limit.

        No partial that is not yet merged may hold a key number when this is called.
        """
        self.written = True
        self.keys.mark_stored(self._new_keys())
        for table in self._tables.values():
            table.committed()
        self._age += 1
        self._evict()
        if len(self.keys) > self._limit:
            self.keys.forget_except([table.key_numbers() for table in self._tables.values()])

    @property
    def full(self) -> bool:
        """Whether more cells are in memory than the limit says, so that a commit should make room."""
        return sum(int(table.weights().sum()) for table in self._tables.values()) > self._limit

    def batches(
        self, version: str, every: str, states: Sequence[State], start: int | None = None, stop: int | None = None
    ) -> Iterator[CellBatch]:
        """The cells in memory (see store.base.Cells), which are all there are where nothing was ``written``."""
        return self._tables[version, every].batches(start, stop)

    def extent(self, version: str, every: str) -> Extent | None:
        """See Store.extent; of the cells in memory."""
        return self._tables[version, every].extent()

    def expire(self, expired: Sequence[Expire]) -> None:
        """Let go of cells that the store deleted; nothing may differ from it."""
        for gone in expired:
            self._tables[gone.version, gone.every].expire(gone.before_ms)

    def stored_keys(self) -> set[bytes]:
        """The ids of the keys that it takes for stored; all others may be forgotten in the store.

        Keys that no cell in memory has are forgotten here, too: as in ``committed``, no partial may hold one.
        """
        self.keys.forget_except([table.key_numbers() for table in self._tables.values()])
        return self.keys.stored_ids()

    def _new_keys(self) -> Ints:
        return self.keys.unstored([table.changed_keys() for table in self._tables.values()])

    def _evict(self) -> None:
        # Down to three quarters, so that not every commit has to; whole windows first, the longest unchanged first.
        tables = list(self._tables.values())
        weights = [table.weights() for table in tables]
        if sum(int(w.sum()) for w in weights) <= self._limit:
            return
        window_age, age, start = (np.concatenate(parts) for parts in zip(*(t.ages() for t in tables), strict=True))
        newest_first = np.lexsort((start, age, window_age))[::-1]
        room = np.cumsum(np.concatenate(weights)[newest_first]) <= self._limit * 3 // 4
        keep = np.zeros(len(age), dtype=np.bool_)
        keep[newest_first[room]] = True
        ends = np.cumsum([len(table) for table in tables])[:-1]
        for table, mask in zip(tables, np.split(keep, ends), strict=True):
            if not mask.all():
                table.keep(mask)
