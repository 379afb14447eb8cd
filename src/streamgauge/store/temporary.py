"""A store that nobody goes on from: in memory, until cells must make room for others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TextIO, TypeVar

from streamgauge.event import NEVER, DeadLetter
from streamgauge.store import base
from streamgauge.store.base import (
    ALL_LETTERS,
    CellRow,
    Commit,
    Extent,
    IdChunk,
    KeptLetter,
    LetterFilter,
    ReaderState,
    Store,
    StoredCell,
    TallyKey,
)

K = TypeVar("K")


class TemporaryStore(Store):
    """What is committed is kept as it is; the first commit with cells makes it a temporary SQLite.

    A report whose cells fit into memory so never opens a database, which would take longer than to read a small file.
    """

    def __init__(self) -> None:
        self._commits: list[Commit] = []
        self._database: Store | None = None

    def close(self) -> None:
        """Forget everything."""
        self._commits.clear()
        if self._database is not None:
            self._database.close()

    def load_reader(self, name: str) -> ReaderState:
        """See Store.load_reader."""
        return ReaderState(name) if self._in_memory else self._opened().load_reader(name)

    def commit(self, changes: Commit) -> None:
        """See Store.commit."""
        kept = replace(changes, cells=list(changes.cells))
        if self._database is None and not kept.cells:
            self._commits.append(kept)
        else:
            self._opened().commit(kept)

    def cells(
        self, version: str, every: str, start: int | None = None, stop: int | None = None
    ) -> Iterator[list[CellRow]]:
        """See Store.cells."""
        return iter(()) if self._in_memory else self._opened().cells(version, every, start, stop)

    def load_cells(self, version: str, every: str, wanted: Sequence[tuple[int, bytes]]) -> Iterator[StoredCell]:
        """See Store.load_cells."""
        return iter(()) if self._in_memory else self._opened().load_cells(version, every, wanted)

    def window_keys(self, version: str, every: str, starts: Sequence[int]) -> dict[int, int]:
        """See Store.window_keys."""
        return {} if self._in_memory else self._opened().window_keys(version, every, starts)

    def last_start(self, version: str, every: str) -> int:
        """See Store.last_start."""
        return NEVER if self._in_memory else self._opened().last_start(version, every)

    def extent(self, version: str, every: str) -> Extent | None:
        """See Store.extent."""
        return None if self._in_memory else self._opened().extent(version, every)

    def ids(self, reader: str) -> Iterator[IdChunk]:
        """See Store.ids."""
        return (chunk for c in self._of(reader) for chunk in c.ids) if self._in_memory else self._opened().ids(reader)

    def dead_letters(self, reader: str) -> Iterator[DeadLetter]:
        """See Store.dead_letters."""
        if not self._in_memory:
            return self._opened().dead_letters(reader)
        return islice(_within(d for c in self._of(reader) for d in c.dead_letters), base.MAX_DEAD_LETTERS)

    def find_letters(
        self, reader: str, wanted: LetterFilter = ALL_LETTERS, after: int = -1, limit: int = 100
    ) -> list[KeptLetter]:
        """See Store.find_letters."""
        return self._opened().find_letters(reader, wanted, after, limit)

    def letter(self, reader: str, position: int) -> KeptLetter | None:
        """See Store.letter."""
        return self._opened().letter(reader, position)

    def forget_keys(self, spared: Container[bytes] = (), limit: int = 100_000) -> int:
        """See Store.forget_keys."""
        return 0 if self._in_memory else self._opened().forget_keys(spared, limit)

    def counters(self, reader: str) -> dict[str, int]:
        """See Store.counters."""
        if not self._in_memory:
            return self._opened().counters(reader)
        return _total(c.counters for c in self._of(reader))

    def tallies(self, reader: str) -> dict[TallyKey, int]:
        """See Store.tallies."""
        if not self._in_memory:
            return self._opened().tallies(reader)
        return _total(c.tallies for c in self._of(reader))

    def dump(self, out: TextIO) -> None:
        """See Store.dump."""
        self._opened().dump(out)

    @property
    def _in_memory(self) -> bool:
        return self._database is None

    def _of(self, reader: str) -> Iterator[Commit]:
        return (c for c in self._commits if c.reader == reader)

    def _opened(self) -> Store:
        """The database, with all that was committed."""
        if self._database is None:
            from streamgauge.store.sql import SqlStore

            self._database = SqlStore.open(None)
            for held in self._commits:
                self._database.commit(held)
            self._commits.clear()
        return self._database


def _total(counts: Iterable[Mapping[K, int]]) -> dict[K, int]:
    total: Counter[K] = Counter()
    for more in counts:
        total.update(more)
    return dict(sorted(total.items()))


def _within(letters: Iterator[DeadLetter]) -> Iterator[DeadLetter]:
    """The first letters, as many as have room; one that has none leaves it to smaller ones."""
    size = 0
    for letter in letters:
        if size + len(letter.data) <= base.MAX_DEAD_LETTER_BYTES:
            size += len(letter.data)
            yield letter
