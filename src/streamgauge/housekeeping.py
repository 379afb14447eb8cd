"""What is done to the log beside writing and reading it: closed segments become archives, old ones go."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from streamgauge.clock import Clock
from streamgauge.errors import InputError, StreamgaugeError
from streamgauge.live import READER, Live
from streamgauge.log.archive import SUFFIX, discard_unfinished, read_archive, verify_archive, write_archive
from streamgauge.log.base import LogBlock
from streamgauge.log.catalog import Segment, list_segments
from streamgauge.log.damage import Damage
from streamgauge.log.inspection import Inspection
from streamgauge.log.retention import Decision, Holder, Policy, decide
from streamgauge.log.segment_reader import read_segment
from streamgauge.log.writer import LogWriter
from streamgauge.step import no_step

LOOK_S = 5.0

STEPS = ("segment_archived", "segment_removed", "before_prune", "archive_removed")
"""Where it may be killed in a test, beside archive.STEPS: ``step`` is called with each of these as it goes by."""

_log = logging.getLogger(__name__)


class Housekeeping:
    """A thread of low urgency. ``problem`` says why the log is larger or older than the policy allows, if it is."""

    def __init__(
        self,
        writer: LogWriter,
        live: Live,
        policy: Policy,
        clock: Clock,
        look_s: float = LOOK_S,
        step: Callable[[str], None] = no_step,
    ) -> None:
        self.problem, self.held, self._step = "", "", step
        self._writer, self._live, self._policy, self._clock, self._look_s = writer, live, policy, clock, look_s
        self._left_alone: set[Path] = set()
        self._inspection = Inspection({SUFFIX: read_archive})
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    @property
    def damages(self) -> list[str]:
        """What is wrong with closed segments, as far as is known."""
        return self._inspection.damages

    def start(self) -> None:
        """Start the thread."""
        discard_unfinished(self._writer.folder)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; an archive that is half written is thrown away."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(4.0)

    def _run(self) -> None:
        while not self._stopping.wait(self._look_s):
            failed = ""
            # Each by itself: where there is no room for an archive, pruning makes some.
            for work in (self.compact, self.prune, self.inspect):
                try:
                    work()
                except _Stopping:
                    return
                except (OSError, StreamgaugeError) as error:
                    failed = failed or str(error)
                except Exception as error:
                    # A log that nobody keeps in order fills the disk: this thread must not end by a fault of ours.
                    _log.exception("housekeeping has failed")
                    failed = failed or f"housekeeping has failed: {error!r}"
            if failed and failed != self.problem:
                _log.error("the log is not kept in order: %s", failed)
            self.problem = failed or self.held

    def compact(self) -> None:
        """Make archives of the closed segments that the pipeline has read, oldest first."""
        segments = list_segments(self._writer.folder, [SUFFIX])
        for segment, following in pairwise(segments):
            # What the pipeline has still to read is read faster as it was written.
            if not segment.written or following.block > self._live.progress.block or segment.path in self._left_alone:
                continue
            archive = segment.path.with_suffix(SUFFIX)
            if not self._archived(segment, archive):
                continue
            self._inspection.trust(archive)
            self._step("segment_archived")
            segment.path.unlink()
            self._step("segment_removed")

    def prune(self) -> Decision:
        """Delete what the policy does not keep and nobody needs."""
        progress = self._live.progress
        reader = Holder(f"reader {READER}", progress.position, progress.block - 1)
        segments, writer = list_segments(self._writer.folder, [SUFFIX]), self._writer
        files = self._inspection.look(segments, (writer.next_block, writer.next_position), self._left_alone)
        decision = decide(files, self._policy, [reader], self._clock.now_ms())
        if decision.delete:
            self._step("before_prune")
        for file in decision.delete:
            (self._writer.folder / file.name).unlink(missing_ok=True)
            self._step("archive_removed")
        self.held = decision.problem
        return decision

    def inspect(self) -> None:
        """Read one archive that was not read since the start, and say if it is damaged."""
        before = set(self.damages)
        segments, writer = list_segments(self._writer.folder, [SUFFIX]), self._writer
        self._inspection.read_one(segments)
        self._inspection.look(segments, (writer.next_block, writer.next_position), self._left_alone)
        for damage in self.damages:
            if damage not in before:
                _log.error("the log is damaged: %s", damage)

    def _archived(self, segment: Segment, archive: Path) -> bool:
        """Write the archive of a segment; a damaged one stays as it is, so that nothing of it is lost."""
        try:
            if next(self._blocks(segment), None) is None:
                self._left_alone.add(segment.path)
                return False
            if not self._has_twin(segment):
                write_archive(self._blocks(segment), archive, step=self._step)
        except _Damaged as error:
            _log.error("%s is not archived: %s", segment.path, error)
            self._left_alone.add(segment.path)
            self._inspection.note(segment.path, str(error))
            return False
        return True

    def _has_twin(self, segment: Segment) -> bool:
        """Whether a crash left the archive of a segment beside it, and all of the segment is in that."""
        if segment.twin is None:
            return False
        try:
            verify_archive(segment.twin, self._blocks(segment))
        except InputError as error:
            _log.warning("%s is made anew: %s", segment.twin, error)
            return False
        return True

    def _blocks(self, segment: Segment) -> Iterator[LogBlock]:
        for item in read_segment(segment):
            if self._stopping.is_set():
                raise _Stopping
            if isinstance(item, Damage):
                raise _Damaged(str(item))
            yield item


class _Stopping(Exception):
    """The program is being stopped."""


class _Damaged(Exception):
    """A segment cannot be read whole."""
