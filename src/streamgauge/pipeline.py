"""The one loop: read, compute, merge, commit, publish."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from streamgauge.bound import BoundStatistic
from streamgauge.engines.base import Buffer, Computed, Engine, Facts
from streamgauge.event import FOREVER, NEVER, DeadLetter
from streamgauge.merge import Merger
from streamgauge.settle import NO_INTS, Decider, Settled
from streamgauge.slices import Cut
from streamgauge.step import Step, no_step
from streamgauge.store.base import Cells, Commit, Expire, IdChunk, LaneState, Store, TallyKey, Version
from streamgauge.store.cells import DEFAULT_LIMIT, CellCache

COMMIT_BYTES = 128 * 2**20
COMMIT_CELLS = 200_000
"""A commit comes after so many bytes, or when so many cells differ from the store."""

STEPS = ("read", "decoded", "settled", "computed", "merged", "before_commit", "committed")
"""Where a run may be killed in a test: ``step`` is called with each of these names as it goes by."""

T = TypeVar("T")

_NOTHING_READ = Facts(0, NO_INTS, [], [])
_NOTHING_COMPUTED = Computed([], {}, 0)


@dataclass(slots=True)
class Progress:
    """How far a run is: bytes (decompressed) and records merged."""

    bytes: int = 0
    records: int = 0


@dataclass(slots=True)
class _Pending:
    """What the next commit writes beside cells and keys.

    ``slices``: how many were settled since the last one. A slice without records may say that a lane has ended.
    """

    slices: int = 0
    bytes: int = 0
    counters: Counter[str] = field(default_factory=Counter)
    tallies: Counter[TallyKey] = field(default_factory=Counter)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    ids: list[IdChunk] = field(default_factory=list)
    lanes: dict[int, LaneState] = field(default_factory=dict)
    replayed: list[int] = field(default_factory=list)


class Cutter(Protocol):
    """Where slices come from."""

    def cuts(self) -> Iterator[Cut]:
        """What is there to read, in order."""
        ...

    def give_back(self, buffer: Buffer) -> None:
        """The slice in this buffer is done with."""
        ...


class Pipeline:
    """One reader: its lanes, its statistics, its position. Everything but decoding happens in the calling thread.

    ``book`` is kept with the reader as it is. Nobody goes on from a ``temporary`` store: cells are written to it only
    when they must make room in memory, and stay there otherwise (``cells`` has them).
    """

    def __init__(
        self,
        reader: str,
        statistics: Sequence[BoundStatistic],
        engine: Engine,
        store: Store,
        settler: Decider,
        book: Mapping[str, Any],
        commit_bytes: int = COMMIT_BYTES,
        step: Step = no_step,
        cache_cells: int = DEFAULT_LIMIT,
        temporary: bool = False,
        newest_letters: bool = False,
    ) -> None:
        self.reader, self.statistics, self.engine, self.store, self.settler = reader, statistics, engine, store, settler
        self.commit_bytes, self.step, self.book, self.temporary = commit_bytes, step, dict(book), temporary
        self.newest_letters = newest_letters
        self.cache = CellCache(store, limit=cache_cells)
        self.merger = Merger(statistics, self.cache)
        self.progress = Progress()
        self._begun = False
        # The first commit writes every lane, so that a run that was stopped finds the numbers of all of them again.
        self._pending = _Pending(lanes=dict(settler.states))
        self._workers = [ThreadPoolExecutor(1, f"decode-{n}") for n in range(engine.workers)]
        self._versions = [Version(s.name, s.version, s.definition) for s in statistics]
        self._decoding: deque[tuple[int, Cut, Future[Facts]]] = deque()
        self._computing: deque[tuple[Settled, Future[Computed]]] = deque()

    def run(self, slicer: Cutter, on_progress: Callable[[Progress], None] | None = None) -> None:
        """Read every lane of the slicer to its end.

        1. Whole blocks after the reader's position are read into a slice.
        2. A worker decodes the slice.
        3. In log order, positions, dead letters, duplicates and watermarks are settled.
        4. The worker computes the partials of every statistic.
        5. In log order, partials are merged into the cells of every length.
        6. After enough of that, one transaction writes what changed, and the position.
        """
        for number, cut in enumerate(slicer.cuts()):
            self.step("read")
            worker = number % self.engine.workers
            if len(self._decoding) == self.engine.workers:
                self._settle(slicer)
            decode = partial(self.engine.decode, worker, cut.slice, self.settler.wants_times(cut))
            self._decoding.append((worker, cut, self._do(worker, cut, decode, _NOTHING_READ)))
            while len(self._computing) > 1:
                self._merge()
            self._commit_if_due(on_progress)
        while self._decoding:
            self._settle(slicer)
        self._drain()
        if self._pending.slices or not self._begun:
            self.commit()

    @property
    def cells(self) -> Cells:
        """Where all cells are, after ``run``."""
        return self.store if self.cache.written or not self.temporary else self.cache

    def close(self) -> None:
        """Stop the workers. What is not committed is forgotten."""
        for worker in self._workers:
            worker.shutdown(cancel_futures=True)

    def commit(self) -> None:
        """Write in one transaction everything up to the last slice that was settled; it must be merged."""
        stays = self.temporary and not self.cache.written and not self.cache.full
        cells, keys = ([], []) if stays else self.cache.changes()
        pending, settler, expired = self._pending, self.settler, self.expired()
        self.step("before_commit")
        self.store.commit(
            Commit(
                reader=self.reader,
                position=settler.position,
                blocks=settler.block,
                book={**self.book, **settler.book()},
                versions=self._versions,
                lanes=list(pending.lanes.values()),
                cells=cells,
                keys=keys,
                dead_letters=pending.dead_letters,
                ids=pending.ids,
                forget_blocks=settler.forget_blocks,
                counters=pending.counters,
                tallies=pending.tallies,
                expire=expired,
                replayed=pending.replayed,
                newest_letters=self.newest_letters,
            )
        )
        self._begun = True
        if not stays:
            self.cache.committed()
            self.cache.expire(expired)
        self._pending = _Pending()
        self.step("committed")

    def expired(self) -> list[Expire]:
        """What is kept no longer. Where the last tick was taken, the end of time says nothing about that."""
        watermark = self.settler.watermark
        if self.temporary or not NEVER < watermark < FOREVER:
            return []
        kept = ((s, length) for s in self.statistics for length in s.lengths if length.text in s.keep_ms)
        return [Expire(s.version, length.text, s.kept_from(length, watermark)) for s, length in kept]

    def _settle(self, slicer: Cutter) -> None:
        """Settle the oldest decoded slice, and have its worker compute it: its bytes are needed no more."""
        worker, cut, decoded = self._decoding.popleft()
        facts = decoded.result()
        self.step("decoded")
        settled = self.settler.settle(cut, facts)
        self.step("settled")
        compute = partial(self.engine.compute, worker, settled.exclusion)
        self._computing.append((settled, self._do(worker, cut, compute, _NOTHING_COMPUTED)))
        slicer.give_back(cut.buffer)

    def _merge(self) -> None:
        """Merge the oldest computed slice."""
        settled, computing = self._computing.popleft()
        computed = computing.result()
        self.step("computed")
        self.merger.merge(computed.results, settled.watermarks, self._pending.counters)
        self._note(settled, computed)
        self.step("merged")

    def _do(self, worker: int, cut: Cut, work: Callable[[], T], nothing: T) -> Future[T]:
        """What a worker finds in a slice; where the slice has no records, as one of ticks, that is known."""
        if any(len(block.data) for block in cut.slice.blocks):
            return self._workers[worker].submit(work)
        known: Future[T] = Future()
        known.set_result(nothing)
        return known

    def _drain(self) -> None:
        while self._computing:
            self._merge()

    def _commit_if_due(self, on_progress: Callable[[Progress], None] | None) -> None:
        if on_progress is not None:
            on_progress(self.progress)
        enough = self._pending.bytes >= self.commit_bytes or self.cache.changed >= COMMIT_CELLS
        if self.cache.full if self.temporary else enough:
            # What is settled must be merged, because positions and watermarks include it.
            self._drain()
            self.commit()

    def _note(self, settled: Settled, computed: Computed) -> None:
        """Remember what the commit must say of a merged slice."""
        pending, size = self._pending, settled.bytes
        pending.slices += 1
        pending.bytes += size
        self.progress.bytes += size
        self.progress.records += settled.records
        pending.counters.update(records=settled.records, bytes=size, events=settled.events, unused=computed.unused)
        pending.counters.update({f"wrong:{name}": n for name, n in computed.wrong.items()})
        pending.tallies.update(settled.tallies)
        pending.dead_letters.extend(settled.dead_letters)
        pending.replayed.extend(settled.replayed)
        if not self.temporary:
            pending.ids.extend(settled.ids)
        pending.lanes.update(settled.lanes)
