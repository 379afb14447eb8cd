"""The one loop: read, compute, merge, commit, publish."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from streamgauge.bound import BoundStatistic
from streamgauge.engines.base import Computed, Engine, Facts
from streamgauge.event import DeadLetter
from streamgauge.log.lines import next_line
from streamgauge.merge import Merger
from streamgauge.settle import Settled, Settler
from streamgauge.slices import Cut, Slicer
from streamgauge.store.base import Cells, Commit, IdChunk, LaneState, Store, TallyKey, Version
from streamgauge.store.cells import DEFAULT_LIMIT, CellCache

COMMIT_BYTES = 128 * 2**20
COMMIT_CELLS = 200_000
"""A commit comes after so many bytes, or when so many cells differ from the store."""

STEPS = ("read", "decoded", "settled", "computed", "merged", "before_commit", "committed")
"""Where a run may be killed in a test: ``step`` is called with each of these names as it goes by."""

Step = Callable[[str], None]


def no_step(name: str) -> None:
    """Nothing happens between two steps."""


@dataclass(slots=True)
class Progress:
    """How far a run is: bytes (decompressed) and records merged."""

    bytes: int = 0
    records: int = 0


@dataclass(slots=True)
class _Pending:
    """What the next commit writes beside cells and keys."""

    bytes: int = 0
    counters: Counter[str] = field(default_factory=Counter)
    tallies: Counter[TallyKey] = field(default_factory=Counter)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    ids: list[IdChunk] = field(default_factory=list)
    lanes: dict[int, LaneState] = field(default_factory=dict)


@dataclass(slots=True)
class _Read:
    """What is kept of a slice whose bytes are gone: how many they were, and how far they bring each lane."""

    bytes: int
    lanes: dict[int, LaneState] = field(default_factory=dict)


class Pipeline:
    """One reader: its lanes, its statistics, its position. Everything but decoding happens in the calling thread.

    ``lanes`` are the states of the lanes that are read, by number. ``book`` is kept with the reader as it is. Nobody
    goes on from a ``temporary`` store: cells are written to it only when they must make room in memory, and stay there
    otherwise (``cells`` has them).
    """

    def __init__(
        self,
        reader: str,
        statistics: Sequence[BoundStatistic],
        engine: Engine,
        store: Store,
        settler: Settler,
        lanes: Mapping[int, LaneState],
        book: Mapping[str, Any],
        commit_bytes: int = COMMIT_BYTES,
        step: Step = no_step,
        cache_cells: int = DEFAULT_LIMIT,
        temporary: bool = False,
    ) -> None:
        self.reader, self.statistics, self.engine, self.store, self.settler = reader, statistics, engine, store, settler
        self.commit_bytes, self.step, self.book, self.temporary = commit_bytes, step, dict(book), temporary
        self.cache = CellCache(store, limit=cache_cells)
        self.merger = Merger(statistics, self.cache)
        self.progress = Progress()
        self._lanes = dict(lanes)
        # The first commit writes every lane, so that a run that was stopped finds the numbers of all of them again.
        self._pending = _Pending(lanes=dict(lanes))
        self._workers = [ThreadPoolExecutor(1, f"decode-{n}") for n in range(engine.workers)]
        self._versions = [Version(s.name, s.version, s.definition) for s in statistics]
        self._decoding: deque[tuple[int, Cut, Future[Facts]]] = deque()
        self._computing: deque[tuple[_Read, Settled, Future[Computed]]] = deque()

    def run(self, slicer: Slicer, on_progress: Callable[[Progress], None] | None = None) -> None:
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
            decoded = self._workers[worker].submit(self.engine.decode, worker, cut.slice, self.settler.bounded)
            self._decoding.append((worker, cut, decoded))
            while len(self._computing) > 1:
                self._merge()
            self._commit_if_due(on_progress)
        while self._decoding:
            self._settle(slicer)
        self._drain()
        self.commit()

    @property
    def cells(self) -> Cells:
        """Where all cells are, after ``run``."""
        return self.store if self.cache.written or not self.temporary else self.cache

    def finish(self) -> None:
        """Take the final tick, after which every window is final."""
        self.settler.lanes.finish()
        self.commit()

    def close(self) -> None:
        """Stop the workers. What is not committed is forgotten."""
        for worker in self._workers:
            worker.shutdown(cancel_futures=True)

    def commit(self) -> None:
        """Write in one transaction everything up to the last slice that was settled; it must be merged."""
        stays = self.temporary and not self.cache.written and not self.cache.full
        cells, keys = ([], []) if stays else self.cache.changes()
        pending, seen = self._pending, self.settler.seen
        self.step("before_commit")
        self.store.commit(
            Commit(
                reader=self.reader,
                position=self.settler.position,
                blocks=self.settler.block,
                book={
                    **self.book,
                    "lanes": self.settler.lanes.to_dict(),
                    "ids": [seen.older_block, seen.first_block],
                },
                versions=self._versions,
                lanes=list(pending.lanes.values()),
                cells=cells,
                keys=keys,
                dead_letters=pending.dead_letters,
                ids=pending.ids,
                forget_blocks=seen.older_block,
                counters=pending.counters,
                tallies=pending.tallies,
            )
        )
        if not stays:
            self.cache.committed()
        self._pending = _Pending()
        self.step("committed")

    def _settle(self, slicer: Slicer) -> None:
        """Settle the oldest decoded slice, and have its worker compute it: its bytes are needed no more."""
        worker, cut, decoded = self._decoding.popleft()
        facts = decoded.result()
        self.step("decoded")
        settled = self.settler.settle(cut, facts)
        self.step("settled")
        computed = self._workers[worker].submit(self.engine.compute, worker, settled.exclusion)
        self._computing.append((self._read_states(cut), settled, computed))
        slicer.give_back(cut.buffer)

    def _merge(self) -> None:
        """Merge the oldest computed slice."""
        read, settled, computing = self._computing.popleft()
        computed = computing.result()
        self.step("computed")
        self.merger.merge(computed.results, settled.watermarks, self._pending.counters)
        self._note(read, settled, computed)
        self.step("merged")

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

    def _note(self, read: _Read, settled: Settled, computed: Computed) -> None:
        """Remember what the commit must say of a merged slice."""
        pending, size = self._pending, read.bytes
        pending.bytes += size
        self.progress.bytes += size
        self.progress.records += settled.records
        pending.counters.update(records=settled.records, bytes=size, events=settled.events, unused=computed.unused)
        pending.counters.update({f"wrong:{name}": n for name, n in computed.wrong.items()})
        pending.tallies.update({TallyKey(lane, reason): n for (lane, reason), n in settled.reasons.items()})
        pending.tallies.update({TallyKey(lane, "duplicate"): n for lane, n in settled.duplicates.items()})
        pending.dead_letters.extend(settled.dead_letters)
        if not self.temporary:
            pending.ids.extend(settled.ids)
        pending.lanes.update(read.lanes)

    def _read_states(self, cut: Cut) -> _Read:
        """How far each lane has been read when this slice is merged."""
        read = _Read(sum(len(block.data) for block in cut.slice.blocks))
        for lane in cut.opened:
            state = self._lanes[lane.number]
            read.lanes[lane.number] = replace(
                state, name=lane.name, identity=state.identity or lane.identity, form=lane.form
            )
        self._lanes.update(read.lanes)
        for number, block in {b.lane.number: b for b in cut.slice.blocks}.items():
            # The unit of the slice, and not of the lane, which may have been read further by now.
            unit = cut.slice.unit.value if cut.slice.unit is not None else self._lanes[number].time_unit
            read.lanes[number] = replace(self._lanes[number], cursor=block.end, line=next_line(block), time_unit=unit)
        self._lanes.update(read.lanes)
        return read
