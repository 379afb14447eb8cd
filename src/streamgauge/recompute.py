"""Everything that a log says, computed again: what a store would hold whose program was never killed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streamgauge.drilldown import ARCHIVES
from streamgauge.engines.base import logged_envelope
from streamgauge.engines.duck import DuckEngine, SliceBuffer
from streamgauge.live import READER, SLICE_BYTES, check_same, settler_of
from streamgauge.log.damage import Damage
from streamgauge.log.reading import LogReader
from streamgauge.logslices import LogSlicer
from streamgauge.pipeline import COMMIT_BYTES, Pipeline
from streamgauge.step import Step, no_step
from streamgauge.store.base import ReaderState, Store
from streamgauge.store.cells import DEFAULT_LIMIT

if TYPE_CHECKING:
    from streamgauge.declare import Declarations


@dataclass(frozen=True, slots=True)
class Pace:
    """How a log is read. None of it may make a difference to what is computed."""

    slice_bytes: int = SLICE_BYTES
    commit_bytes: int = COMMIT_BYTES
    workers: int = 2
    cache_cells: int = DEFAULT_LIMIT


def recompute(
    folder: Path,
    declarations: Declarations,
    store: Store,
    *,
    until: Callable[[], int] = lambda: sys.maxsize,
    pace: Pace | None = None,
    step: Step = no_step,
    on_damage: Callable[[Damage], None] = lambda damage: None,
) -> ReaderState:
    """Bring a store to the end of the log in a folder, or to block ``until()``; returns where it then stands.

    The store may be new, or one that was left behind: it goes on from there. What cannot be read of the log is told to
    ``on_damage``, and passed over. Nobody else may write the store. Raises StoreError where it was made with other
    definitions, and where the log ends before the place that the store has reached.
    """
    pace, state = pace or Pace(), store.load_reader(READER)
    statistics, shapes = list(declarations.statistics.values()), tuple(declarations.shapes.values())
    check_same(state, statistics)
    engine = DuckEngine(statistics, shapes, logged_envelope(), pace.workers)
    settler = settler_of(state, statistics)
    pipeline = Pipeline(
        READER,
        statistics,
        engine,
        store,
        settler,
        {},
        commit_bytes=pace.commit_bytes,
        step=step,
        cache_cells=pace.cache_cells,
        newest_letters=True,
    )
    after = state.blocks - 1 if state.blocks else None
    reader = LogReader(folder, after_block=after, archives=ARCHIVES, until=until)
    slicer = LogSlicer(reader.blocks, pace.slice_bytes, SliceBuffer, on_damage)
    try:
        pipeline.run(slicer)
    finally:
        pipeline.close()
        engine.close()
        slicer.close()
        reader.close()
    return store.load_reader(READER)
