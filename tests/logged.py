"""Makes logs by the real intake, computes them at any pace, and says what the store then holds."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from streamgauge.clock import Clock, SystemClock
from streamgauge.declare import Declarations
from streamgauge.drilldown import ARCHIVES
from streamgauge.engines.base import logged_envelope
from streamgauge.engines.duck import DuckEngine, SliceBuffer
from streamgauge.engines.duck.envelope import DuckEnvelope
from streamgauge.live import SLICE_BYTES, Live
from streamgauge.log.archive import SUFFIX, write_archive
from streamgauge.log.base import Arrival, Incoming, LogBlock, Receipt
from streamgauge.log.catalog import list_segments
from streamgauge.log.idle import IdleRules
from streamgauge.log.intake import LogIntake
from streamgauge.log.reading import LogReader
from streamgauge.log.recall import Recall
from streamgauge.log.segment_reader import read_segment
from streamgauge.log.writer import LogWriter, WriterOptions
from streamgauge.output.present import Presenter, Query
from streamgauge.recompute import Pace, recompute
from streamgauge.step import Step, no_step
from streamgauge.store import open_store
from streamgauge.store.base import Store
from streamgauge.testing.kill_points import Killed
from tests.log.taking import BY_ID, LANE, WAIT_S, HandClock
from tests.running import T

DAY = 86_400_000
LONG = 400 * DAY
"""A lateness by which nothing is late."""

LATER = T + 36_500 * DAY
"""A wall clock by which nothing that is made up is of the future."""


class Intaking:
    """A log in a folder that is appended to through the real intake, one block for each ``take``."""

    def __init__(self, folder: Path, declarations: Declarations, segment_blocks: int = 20_000) -> None:
        clock = HandClock(LATER)
        self.clock, self.folder = clock, folder
        options = WriterOptions(segment_blocks=segment_blocks)
        self.writer = LogWriter.open(folder, clock, options, archives=ARCHIVES)
        self.recall = Recall(folder, clock)
        self.recall.restore(self.writer.next_block, lambda first: blocks_of(folder, first))
        self.envelope = DuckEnvelope(tuple(declarations.shapes.values()))
        rules = IdleRules(tick_s=60)
        self.intake = LogIntake(self.writer, self.envelope, SliceBuffer, clock, self.recall, rules=rules)
        self.intake.start()

    def take(self, *lines: bytes, arrival: Arrival = BY_ID, **more: Any) -> Receipt:
        """Append these lines, and wait until that is done."""
        data = b"".join(line + b"\n" for line in lines)
        given = {"lane": LANE, **more}
        return self.intake.submit(Incoming(arrival=arrival, data=data, **given)).result(WAIT_S)

    def __enter__(self) -> Intaking:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.intake.stop()
        self.envelope.close()
        self.recall.close()
        self.writer.close()


def write_blocks(
    folder: Path,
    declarations: Declarations,
    blocks: Sequence[Sequence[bytes]],
    lateness_ms: int = LONG,
    arrival: Arrival = BY_ID,
    segment_blocks: int = 20_000,
) -> Path:
    """A log of these blocks; its folder."""
    arrival = replace(arrival, lateness_ms=lateness_ms)
    with Intaking(folder / "log", declarations, segment_blocks) as log:
        for lines in blocks:
            log.take(*lines, arrival=arrival)
    return folder / "log"


def cut_up(lines: Sequence[bytes], sizes: Iterable[int]) -> list[list[bytes]]:
    """The lines in blocks of these sizes, the last of which is repeated; blank lines are left out, as sources do."""
    left, blocks, size = [line for line in lines if line.strip()], list[list[bytes]](), 1
    endless = iter(sizes)
    while left:
        size = next(endless, size)
        blocks.append(left[:size])
        left = left[size:]
    return blocks


def archive_segments(folder: Path, which: Iterable[int]) -> None:
    """Make archives of these segments, by their ordinals, in the place of what was written."""
    segments = list_segments(folder, [SUFFIX])
    for n in which:
        path = segments[n].path
        write_archive(
            (item for item in read_segment(segments[n]) if isinstance(item, LogBlock)), path.with_suffix(SUFFIX)
        )
        path.unlink()


def blocks_of(folder: Path, first: int = 0) -> list[LogBlock]:
    """All blocks of a log that is whole."""
    with LogReader(folder, after_block=first - 1 if first else None, archives=ARCHIVES) as reader:
        items = list(reader.blocks())
    found = [item for item in items if isinstance(item, LogBlock)]
    assert len(found) == len(items), items
    return found


def computed(
    folder: Path,
    declarations: Declarations,
    store: Path,
    steps: Sequence[Step] = (),
    pace: Pace | None = None,
    stops: Sequence[int] = (),
) -> str:
    """The dump after runs over a log that stopped before each of the blocks ``stops``, were killed by each of ``steps``
    in turn, and then left alone."""
    for until in sorted(stops):
        with open_store(store) as opened:
            recompute(folder, declarations, opened, until=lambda until=until: until, pace=pace)  # type: ignore[misc]
    for step in steps:
        try:
            with open_store(store) as opened:
                recompute(folder, declarations, opened, pace=pace, step=step)
        except Killed:
            pass
    with open_store(store) as opened:
        recompute(folder, declarations, opened, pace=pace)
        return dump(opened)


def dump(store: Store) -> str:
    """What a store holds that two runs must have in common."""
    out = io.StringIO()
    store.dump(out)
    return out.getvalue()


def presented(store: Store, declarations: Declarations, without: Sequence[str] = ()) -> dict[str, list[dict[str, Any]]]:
    """The cells of every statistic and length as people see them."""
    found = {}
    for statistic in declarations.statistics.values():
        for length in statistic.lengths:
            rows = Presenter(statistic, store, 0).rows(Query(every=length.text))
            found[f"{statistic.name} {length.text}"] = [
                {name: value for name, value in row.items() if name not in without} for row in rows
            ]
    return found


@contextmanager
def live(
    folder: Path,
    declarations: Declarations,
    store: Store,
    durable: Any,
    step: Step = no_step,
    clock: Clock | None = None,
    start: bool = True,
    slice_bytes: int = SLICE_BYTES,
) -> Iterator[Live]:
    """The pipeline of a running program over a log."""
    statistics, shapes = list(declarations.statistics.values()), tuple(declarations.shapes.values())
    made = Live(
        statistics,
        lambda: DuckEngine(statistics, shapes, logged_envelope()),
        SliceBuffer,
        store,
        folder,
        ARCHIVES,
        durable,
        clock or SystemClock(),
        step,
        slice_bytes=slice_bytes,
    )
    try:
        if start:
            made.start()
        yield made
    finally:
        assert made.stop(20)
