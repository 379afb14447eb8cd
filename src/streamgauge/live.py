"""The pipeline of a running program: it reads the log as it grows, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from streamgauge.bound import BoundStatistic
from streamgauge.clock import Clock
from streamgauge.engines.base import Buffer, Engine
from streamgauge.errors import RetryableError, StoreError
from streamgauge.event import FOREVER, MAX_TIME_MS, MIN_TIME_MS, NEVER
from streamgauge.log.catalog import Archives
from streamgauge.log.coverage import Coverage
from streamgauge.log.damage import Damage
from streamgauge.log.reading import LogReader
from streamgauge.log.segment_reader import Item
from streamgauge.logsettle import LogSettler
from streamgauge.logslices import LogSlicer
from streamgauge.pipeline import Pipeline
from streamgauge.step import Step, no_step
from streamgauge.store.base import Expire, ReaderState, Store
from streamgauge.store.cells import DEFAULT_LIMIT
from streamgauge.watermark import Lanes
from streamgauge.windows import Length, Windows

READER = "live"

SLICE_BYTES = 24 * 2**20
PAUSE_S = 0.05
"""The shortest time between two commits, so that a trickle of events does not make a commit of each."""

LOOK_S = 0.25
"""How often the log is looked at when nobody said that something came."""

FORGET_S = 3600.0
"""How often keys are looked for that no cell has any more."""

FINISH_S = 1.5
"""How long the end of the program waits for the last events to be counted."""

MOST_DAMAGES = 100

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Progress:
    """Where the pipeline stands: the next block and position, the watermark, and why it does not go on, if so.

    ``newest``: the begin of the latest window of events that were counted since the start.
    """

    block: int = 0
    position: int = 0
    watermark: int = NEVER
    newest: int = NEVER
    problem: str = ""
    failed: bool = False
    damages: list[Damage] = field(default_factory=list)


class Live:
    """Turns a growing log into cells. ``durable`` says the first block that may not be read yet.

    Where the store cannot be written it begins again from what the store has, after a while, for as long as it takes.
    """

    def __init__(
        self,
        statistics: Sequence[BoundStatistic],
        new_engine: Callable[[], Engine],
        new_buffer: Callable[[int], Buffer],
        store: Store,
        folder: Path,
        archives: Archives,
        durable: Callable[[], int],
        clock: Clock,
        step: Step = no_step,
        cache_cells: int = DEFAULT_LIMIT,
        slice_bytes: int = SLICE_BYTES,
    ) -> None:
        self.statistics, self.store, self.folder, self.archives = statistics, store, folder, archives
        self.progress = Progress()
        self._new_engine, self._new_buffer, self._durable = new_engine, new_buffer, durable
        self._clock, self._step, self._cache_cells, self._slice_bytes = clock, step, cache_cells, slice_bytes
        self._told, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="pipeline", daemon=True)
        self._ends = ends_of(statistics)
        self._read_to = 0
        self._forget_at_s, self._expired = clock.monotonic_s() + FORGET_S, list[Expire]()
        self._stand(store.load_reader(READER))

    def start(self) -> None:
        """Start the thread. Raises StoreError where the store was made with other definitions."""
        check_same(self.store.load_reader(READER), self.statistics)
        self._thread.start()

    def notify(self) -> None:
        """Something was appended. For any thread."""
        self._told.set()

    def finish(self, within_s: float = FINISH_S) -> None:
        """Wait until all that is durable is counted, or for as long; what is left is counted after the next start."""
        until_s = self._clock.monotonic_s() + within_s
        self._told.set()
        while self.behind and self._thread.is_alive() and not self.progress.problem:
            if self._clock.monotonic_s() > until_s or self._stopping.wait(0.01):
                return

    def stop(self, within_s: float = 4.0) -> bool:
        """Commit what is under way, and end the thread; whether it has ended."""
        self._stopping.set()
        self._told.set()
        if self._thread.ident is not None:
            self._thread.join(within_s)
        return not self._thread.is_alive()

    def closes(self, after_ms: int, newest_ms: int) -> int:
        """When the first window becomes final after this time that may hold an event. For any thread.

        ``newest_ms``: the newest time of all events. Where a statistic has times of its own, the newest of those that
        were counted since the start is taken, if it is later.
        """
        return next_end(self._ends, after_ms, max(newest_ms, self.progress.newest))

    @property
    def behind(self) -> int:
        """How many durable blocks wait to be read."""
        # Of what is damaged at the end of the log nothing is left to be read, and it is not counted.
        return max(0, self._durable() - max(self.progress.block, self._read_to))

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except (RetryableError, StoreError, OSError) as error:
                self._say(str(error))
                self._stopping.wait(error.retry_after_s if isinstance(error, RetryableError) else 5.0)
            except Exception as error:
                self._say(f"the pipeline has failed: {error!r}")
                self.progress.failed = True
                _log.exception("the pipeline has failed")
                self._stopping.wait(5.0)

    def _say(self, problem: str) -> None:
        if problem != self.progress.problem:
            _log.error("statistics stand still: %s", problem)
        self.progress.problem = problem

    def _follow(self) -> None:
        """Go on from what the store has, until stopped or until something goes wrong."""
        self._read_to = 0
        state = self.store.load_reader(READER)
        self._stand(state)
        settler = settler_of(state, self.statistics)
        after = state.blocks - 1 if state.blocks else None
        with ExitStack() as closing:
            reader = LogReader(self.folder, after_block=after, archives=self.archives, until=self._durable)
            closing.callback(reader.close)
            slicer = LogSlicer(
                lambda: self._until_stopped(reader), self._slice_bytes, self._new_buffer, self.say_damaged
            )
            closing.callback(slicer.close)
            engine = self._new_engine()
            closing.callback(engine.close)
            pipeline = self._pipeline(engine, settler)
            closing.callback(pipeline.close)
            while not self._stopping.is_set():
                self._turn(pipeline, slicer, settler)

    def _pipeline(self, engine: Engine, settler: LogSettler) -> Pipeline:
        def step(name: str) -> None:
            if name == "committed":
                self._note(settler)
            self._step(name)

        return Pipeline(
            READER,
            self.statistics,
            engine,
            self.store,
            settler,
            {},
            step=step,
            cache_cells=self._cache_cells,
            newest_letters=True,
        )

    def _until_stopped(self, reader: LogReader) -> Iterator[Item]:
        """What is there to read; no more of it once the program is to end, however far behind it is."""
        return takewhile(lambda _: not self._stopping.is_set(), reader.blocks())

    def _turn(self, pipeline: Pipeline, slicer: LogSlicer, settler: LogSettler) -> None:
        began_s, block, until = self._clock.monotonic_s(), settler.block, self._durable()
        self._told.clear()
        pipeline.run(slicer)
        self._read_to = self._read_to if self._stopping.is_set() else until
        progress = self.progress
        self._note(settler)
        progress.newest = max(progress.newest, pipeline.merger.newest)
        if progress.problem:
            _log.warning("statistics go on")
        progress.problem, progress.failed = "", False
        self._forget_keys(pipeline)
        # What is damaged at the end of the log is no progress, until something comes behind it.
        if settler.block in (block, self._durable()):
            self._told.wait(LOOK_S)
            self._stopping.wait(max(0.0, PAUSE_S - (self._clock.monotonic_s() - began_s)))

    def _forget_keys(self, pipeline: Pipeline) -> None:
        """Now and then, where cells have gone, delete the texts of keys that no cell has any more."""
        now_s, expired = self._clock.monotonic_s(), pipeline.expired()
        if now_s < self._forget_at_s:
            return
        self._forget_at_s = now_s + FORGET_S
        if expired == self._expired:
            return
        count = self.store.forget_keys(pipeline.cache.stored_keys())
        self._expired = expired
        if count:
            _log.info("%d keys are forgotten, no cell has them any more", count)

    def _note(self, settler: LogSettler) -> None:
        """This is committed."""
        progress = self.progress
        progress.block, progress.position, progress.watermark = settler.block, settler.position, settler.watermark

    def _stand(self, state: ReaderState) -> None:
        self.progress.block, self.progress.position = state.blocks, state.position
        self.progress.watermark = state.book.get("lanes", {}).get("watermark", NEVER)

    def say_damaged(self, damage: Damage) -> None:
        """Log it, and keep it for whoever asks how the log is."""
        _log.error("the log is damaged: %s", damage)
        if len(self.progress.damages) < MOST_DAMAGES and damage not in self.progress.damages:
            self.progress.damages.append(damage)


class Ends(NamedTuple):
    """The windows of one length: final when the watermark is ``more_ms`` past their end."""

    windows: Windows
    length: Length
    more_ms: int


def ends_of(statistics: Sequence[BoundStatistic]) -> tuple[Ends, ...]:
    """Of all windows that some statistic has, each way of ending once."""
    found = {
        (s.windows.zone if length.calendar else "", length, more): Ends(s.windows, length, more)
        for s in statistics
        for length in s.lengths
        for more in (s.delay_ms + s.lateness_ms,)
    }
    return tuple(found.values())


def next_end(ends: Sequence[Ends], after_ms: int, newest_ms: int) -> int:
    """When the first window becomes final after a time, of those that begin by the newest; FOREVER where none does."""
    found = FOREVER
    for windows, length, more_ms in ends:
        within = after_ms - more_ms
        if not MIN_TIME_MS <= within < MAX_TIME_MS:
            continue
        if length.calendar:
            start = windows.start(length, within)
            stop = windows.stop(length, start)
        else:
            start = within // length.nominal_ms * length.nominal_ms
            stop = start + length.nominal_ms
        if start <= newest_ms:
            found = min(found, stop + more_ms)
    return found


def check_same(state: ReaderState, statistics: Sequence[BoundStatistic]) -> None:
    """A store goes on only with the definitions that it was made with. Raises StoreError."""
    known, now = {v.hash: v.name for v in state.versions}, {s.version: s.name for s in statistics}
    different = sorted({n for h, n in known.items() if h not in now} | {n for h, n in now.items() if h not in known})
    if state.versions and different:
        hint = "give the same declarations, or another store"
        raise StoreError(f"the store was made with other definitions of {', '.join(different)}; {hint}")


def settler_of(state: ReaderState, statistics: Sequence[BoundStatistic]) -> LogSettler:
    """What goes on deciding from where a reader stands."""
    book: Mapping[str, Any] = state.book
    lanes = Lanes.from_dict(book["lanes"]) if "lanes" in book else Lanes()
    coverage = Coverage.from_dict(book["coverage"]) if "coverage" in book else Coverage()
    known = {lane.number: lane for lane in state.lanes}
    own_times = any(statistic.time for statistic in statistics)
    return LogSettler(lanes, coverage, known, state.position, state.blocks, own_times)
