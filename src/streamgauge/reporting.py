"""A report: files in, cells out, through the one pipeline."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from streamgauge.errors import InputError, StoreError, UsageError, nearest
from streamgauge.event import NEVER, DeadLetter
from streamgauge.store.base import Cells, LaneState, Store

if TYPE_CHECKING:
    import pyarrow as pa

    from streamgauge.bound import BoundStatistic
    from streamgauge.declare import Declarations
    from streamgauge.output.present import Presenter
    from streamgauge.pipeline import Progress
    from streamgauge.settle import Settler
    from streamgauge.slices import LaneInput
    from streamgauge.step import Step
    from streamgauge.watermark import Lanes

READER = "report"


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """How inputs are read and computed. Expressions are SQL over one event; durations are texts such as ``30s``.

    ``lateness`` empty is unlimited. ``store`` None is a temporary one. ``finish`` makes every window final although a
    store is kept. ``workers``, ``slice_bytes``, ``commit_bytes`` and ``cache_cells``
    (how many cells are kept in memory) change speed and memory, never a result.
    """

    form: str | None = None
    time: str = ""
    time_unit: str = ""
    topic: str = ""
    id: str = ""
    zone: str = "UTC"
    lateness: str = ""
    max_line: int = 16 * 2**20
    block_bytes: int = 2**20
    store: str | Path | None = None
    finish: bool = False
    workers: int = 2
    slice_bytes: int = 24 * 2**20
    commit_bytes: int = 128 * 2**20
    cache_cells: int = 500_000


@dataclass(slots=True)
class Inputs:
    """The lanes of a run, and what could not be opened."""

    lanes: list[LaneInput] = field(default_factory=list)
    states: dict[int, LaneState] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    total_bytes: int | None = 0


class Report:
    """What a run found. Reads from its store until ``close`` (or the end of a ``with``)."""

    def __init__(
        self, declarations: Declarations, store: Store, cells: Cells, summary: Mapping[str, Any], watermark: int
    ) -> None:
        self.declarations, self.store, self.cells = declarations, store, cells
        self.summary, self.watermark = summary, watermark

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the store back; a temporary one is deleted."""
        self.store.close()

    def statistic(self, name: str) -> BoundStatistic:
        """The statistic of this name. Raises UsageError with the nearest one."""
        known = self.declarations.statistics
        if name not in known:
            hint = nearest(name, known) or f"known: {', '.join(known)}"
            raise UsageError(f"unknown statistic {name!r}; {hint}")
        return known[name]

    def presenter(self, name: str) -> Presenter:
        """What presents a statistic's cells."""
        from streamgauge.output.present import Presenter

        return Presenter(self.statistic(name), self.cells, self.watermark)

    def rows(self, name: str, every: str | None = None, **query: Any) -> list[dict[str, Any]]:
        """The cells of a statistic as flat dictionaries. ``query`` as in output.present.Query."""
        from streamgauge.output.present import Query

        return list(self.presenter(name).rows(Query(every=every, **query)))

    def table(self, name: str, every: str | None = None, **query: Any) -> pa.Table:
        """The cells of a statistic as an Arrow table. ``query`` as in output.present.Query."""
        from streamgauge.output.arrow import arrow_table
        from streamgauge.output.present import Query

        return arrow_table(self.presenter(name), Query(every=every, **query))

    def dead_letters(self) -> Iterator[DeadLetter]:
        """The messages that could not become events: the first 10 000, in order."""
        return self.store.dead_letters(READER)


def run_report(
    files: Sequence[str],
    declarations: Declarations,
    options: ReportOptions,
    stdin: BinaryIO | None = None,
    on_progress: Callable[[Progress, int | None], None] | None = None,
    step: Step | None = None,
) -> Report:
    """Compute a report. Inputs that cannot be read are named in its summary, and the others are reported.

    Raises DeclarationError or UsageError for what is asked wrongly, StoreError for a store that cannot be used.
    """
    from streamgauge.clock import SystemClock
    from streamgauge.store import open_store

    clock = SystemClock()
    started = clock.monotonic_s()
    envelope = _envelope(options)
    store = open_store(options.store)
    try:
        run = _Run(declarations, options, envelope, store, step)
        run.read(files, stdin, on_progress)
        return run.report(clock.monotonic_s() - started)
    except BaseException:
        store.close()
        raise


def _envelope(options: ReportOptions) -> Any:
    from streamgauge.engines.base import Envelope
    from streamgauge.expression import TimeUnit, parse
    from streamgauge.log.detect import FORMS
    from streamgauge.windows import check_zone

    def expression(name: str, text: str) -> Any:
        return parse(text, columns={}, what=f"--{name}") if text else None

    if options.form and options.form not in FORMS:
        hint = nearest(options.form, FORMS) or f"one of {', '.join(FORMS)}"
        raise UsageError(f"--input {options.form!r}: unknown form; {hint}")
    if options.time_unit and options.time_unit not in list(TimeUnit):
        raise UsageError(f"--time-unit: unknown unit {options.time_unit!r}; one of {', '.join(TimeUnit)}")
    return Envelope(
        time=expression("time", options.time),
        topic=expression("topic", options.topic),
        id=expression("id", options.id),
        time_unit=TimeUnit(options.time_unit) if options.time_unit else None,
        zone=check_zone(options.zone, "--zone"),
    )


class _Run:
    def __init__(
        self, declarations: Declarations, options: ReportOptions, envelope: Any, store: Store, step: Step | None
    ) -> None:
        self.declarations, self.options, self.envelope, self.store = declarations, options, envelope, store
        self.step = step
        self.statistics = list(declarations.statistics.values())
        self.state = store.load_reader(READER)
        self.book = {"envelope": self._envelope_text(), "zone": options.zone}
        self._check_same()
        self.inputs = Inputs()

    def _envelope_text(self) -> list[str]:
        e, o = self.envelope, self.options
        return [*(x.normal if x is not None else "" for x in (e.time, e.topic, e.id)), o.time_unit, str(o.block_bytes)]

    def _check_same(self) -> None:
        """A store goes on only with what it was made with. Raises StoreError."""
        if not self.state.versions:
            return
        known, now = ({v.hash: v.name for v in self.state.versions}, {s.version: s.name for s in self.statistics})
        different = sorted(
            {n for h, n in known.items() if h not in now} | {n for h, n in now.items() if h not in known}
        )
        if different:
            hint = "give the same declarations, or another --store"
            raise StoreError(f"{self.options.store}: was made with other definitions of {', '.join(different)}; {hint}")
        if {**self.book, **self.state.book} != {**self.state.book, **self.book}:
            hint = "give the same --time, --time-unit, --topic, --id and --zone, or another --store"
            raise StoreError(f"{self.options.store}: was made with another envelope; {hint}")

    def read(
        self, files: Sequence[str], stdin: BinaryIO | None, on_progress: Callable[[Progress, int | None], None] | None
    ) -> None:
        from streamgauge.engines.duck import DuckEngine, SliceBuffer
        from streamgauge.pipeline import Pipeline
        from streamgauge.slices import Slicer
        from streamgauge.step import no_step

        lanes = self._lanes()
        self._open(files, stdin, lanes)
        settler = self._settler(lanes)
        engine = DuckEngine(self.statistics, self.declarations.shapes.values(), self.envelope, self.options.workers)
        span = "source" not in engine.plan.reads
        sniff = engine.sniff if engine.needs_unit else None
        slicer = Slicer(self.inputs.lanes, self.options.slice_bytes, SliceBuffer, sniff, span)
        pipeline = Pipeline(
            READER,
            self.statistics,
            engine,
            self.store,
            settler,
            self.book,
            self.options.commit_bytes,
            self.step or no_step,
            self.options.cache_cells,
            temporary=self.options.store is None,
        )
        total = self.inputs.total_bytes
        try:
            pipeline.run(slicer, (lambda p: on_progress(p, total)) if on_progress else None)
            if self.options.store is None or self.options.finish:
                settler.lanes.finish()
                pipeline.commit()
        finally:
            pipeline.close()
            slicer.close()
            engine.close()
        self.progress, self.cells = pipeline.progress, pipeline.cells
        self.inputs.problems += [str(p) for p in slicer.problems]
        self.inputs.notes += slicer.notes
        self.watermark = settler.lanes.watermark

    def _lanes(self) -> Lanes:
        from streamgauge.watermark import Lanes

        return Lanes.from_dict(self.state.book["lanes"]) if "lanes" in self.state.book else Lanes()

    def _settler(self, lanes: Lanes) -> Settler:
        from streamgauge.seen import SeenIds, unpack_ids
        from streamgauge.settle import Settler

        older, first = self.state.book.get("ids", (0, 0))
        seen = SeenIds(first_block=first, older_block=older)
        for chunk in self.store.ids(READER):
            seen.restore(chunk.block, *unpack_ids(chunk.ids))
        return Settler(
            lanes,
            seen,
            self.inputs.states,
            self.state.position,
            self.state.blocks,
            # Where an earlier run has moved the watermark, events behind it are late, whatever this run's lateness is.
            bounded=bool(self.options.lateness) or lanes.watermark > NEVER,
            rests=self.options.store is not None and not self.options.finish,
            own_times=any(s.time for s in self.statistics),
        )

    def _open(self, files: Sequence[str], stdin: BinaryIO | None, lanes: Lanes) -> None:
        from streamgauge.log.files import InputOptions, expand
        from streamgauge.watermark import HOLDING
        from streamgauge.windows import parse_duration_ms

        repeated: list[str] = []
        names = expand(files, repeated)
        self.inputs.notes += [f"{name}: named twice, read once" for name in repeated]
        options = InputOptions(
            self.options.form,
            self.options.max_line,
            self.options.block_bytes,
            resumable=self.options.store is not None and not self.options.finish,
        )
        lateness = parse_duration_ms(self.options.lateness, "--lateness") if self.options.lateness else None
        known = self._known(names, options)
        number = 1 + max((lane.number for lane in self.state.lanes), default=-1)
        for name in names:
            state = known.get(name) or LaneState(number, name)
            number = max(number, state.number + 1)
            replaced = self._replaced(name, known) if name not in known else None
            self.inputs.states[state.number] = state
            self.inputs.lanes.append(self._lane(name, state, options, stdin, replaced))
            lanes.declare(state.number, lateness)
            self._add_size(name)
        for lane in [n for n, mark in lanes.marks.items() if n not in self.inputs.states and mark.state in HOLDING]:
            # A run that was stopped waited for it, but this one does not read it.
            lanes.rest(lane)

    def _known(self, names: Sequence[str], options: Any) -> dict[str, LaneState]:
        """The lanes of an earlier run that are these files: by name and content, then never opened, then by content.

        A lane belongs to one file, so that two files that begin alike stay two.
        """
        found: dict[str, LaneState] = {}
        free = {lane.number: lane for lane in self.state.lanes}
        for same_name, opened in ((True, True), (True, False), (False, True)):
            for name in names:
                fits = [
                    lane
                    for lane in free.values()
                    if bool(lane.identity) == opened and (lane.name == name or not same_name)
                ]
                lane = _content(name, fits, options) if opened else next((n for n in fits if not n.cursor), None)
                if name not in found and lane is not None:
                    found[name] = free.pop(lane.number)
        return found

    def _replaced(self, name: str, known: Mapping[str, LaneState]) -> InputError | None:
        """Why a file is not read that was longer under this name before: read anew, it may count twice.

        A log that was rotated is another matter where its old content is there too, under any name.
        """
        there = {lane.number for lane in known.values()}
        gone = (n for n in self.state.lanes if n.name == name and n.identity and n.number not in there)
        lane = max(gone, key=lambda n: n.cursor, default=None)
        if lane is None or lane.form == "parquet" or name.endswith((".gz", ".zst")) or not os.path.exists(name):
            return None  # a cursor counts rows, or decompressed bytes
        if os.path.getsize(name) >= lane.cursor:
            return None
        problem = f"is not the file of which {lane.cursor} bytes were read under this name before"
        return InputError(f"{name}: {problem}; if it is a new file, give it a name of its own")

    def _lane(
        self, name: str, state: LaneState, options: Any, stdin: BinaryIO | None, replaced: InputError | None
    ) -> LaneInput:
        from streamgauge.expression import TimeUnit
        from streamgauge.log.files import open_lane
        from streamgauge.slices import LaneInput

        def open_() -> Any:
            if replaced is not None:
                raise replaced
            return open_lane(name, state.number, options, stdin, state.cursor, state.line, state.identity or None)

        unit = TimeUnit(state.time_unit) if state.time_unit else None
        return LaneInput(state.number, name, open_, unit)

    def _add_size(self, name: str) -> None:
        try:
            size = os.stat(name).st_size if name != "-" and not name.endswith((".gz", ".zst")) else 0
        except (OSError, ValueError):
            size = 0  # opening it will say what is wrong
        known = self.inputs.total_bytes is not None and size > 0
        self.inputs.total_bytes = (self.inputs.total_bytes or 0) + size if known else None

    def report(self, seconds: float) -> Report:
        return Report(self.declarations, self.store, self.cells, self._summary(seconds), self.watermark)

    def _summary(self, seconds: float) -> dict[str, Any]:
        counters, tallies = self.store.counters(READER), self.store.tallies(READER)
        letters = {(t.lane, t.reason): n for t, n in tallies.items() if t.reason != "duplicate"}
        return {
            "events": counters.get("events", 0),
            "records": counters.get("records", 0),
            "bytes": counters.get("bytes", 0),
            "seconds": seconds,
            "read_records": self.progress.records,
            "read_bytes": self.progress.bytes,
            "dead_letters": letters,
            "first_dead_letters": _first(self.store.dead_letters(READER), 5) if letters else [],
            "duplicates": sum(n for t, n in tallies.items() if t.reason == "duplicate"),
            "late": _named(counters, "late:"),
            "expired": _named(counters, "expired:"),
            "wrong_types": _named(counters, "wrong:"),
            "unused": counters.get("unused", 0),
            "cells": self._cells(),
            "time_units": {lane.name: lane.unit.value for lane in self.inputs.lanes if lane.unit is not None},
            "problems": self.inputs.problems,
            "notes": self.inputs.notes,
        }

    def _cells(self) -> dict[str, dict[str, tuple[int, int, int]]]:
        found: dict[str, dict[str, tuple[int, int, int]]] = {}
        for statistic in self.statistics:
            for length in statistic.lengths:
                extent = self.cells.extent(statistic.version, length.text)
                if extent is not None:
                    found.setdefault(statistic.name, {})[length.text] = (extent.windows, extent.keys, extent.cells)
        return found


def _content(name: str, lanes: Sequence[LaneState], options: Any) -> LaneState | None:
    """That of the lanes which this file continues."""
    from streamgauge.log.files import identify

    if name == "-" or not lanes:
        return None
    try:
        identity = identify(name, options, [lane.identity for lane in lanes])
    except InputError:
        return None  # opening it will say why
    return next((lane for lane in lanes if lane.identity == identity), None)


def _first(letters: Iterator[DeadLetter], count: int) -> list[DeadLetter]:
    """The first of each reason, what is no JSON before what has no time; then the first of all."""
    kept = list(letters)
    of_reason = {letter.reason: letter for letter in reversed(kept)}
    firsts = sorted(of_reason.values(), key=lambda letter: ("time" in letter.reason, letter.position))
    return list(dict.fromkeys([*firsts, *kept]))[:count]


def _named(counters: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): n for name, n in counters.items() if name.startswith(prefix) and n}
