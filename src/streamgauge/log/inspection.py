"""What is known of the closed segments of a log: where each ends, and which of them is damaged or gone.

Archives are read once after a start, one at a time, so that damage is said before somebody needs what is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from streamgauge.errors import StreamgaugeError
from streamgauge.log.archive import read_facts
from streamgauge.log.catalog import Archives, Segment
from streamgauge.log.damage import Damage
from streamgauge.log.retention import LogFile
from streamgauge.log.segment_reader import read_segment

State = tuple[Path, int]
"""A file, and its size."""


class Inspection:
    """For one thread; ``damages`` may be read from any: what is wrong with closed segments, in their order."""

    def __init__(self, archives: Archives) -> None:
        self.damages: list[str] = []
        self._archives = archives
        self._files: dict[State, LogFile] = {}
        self._wrong: dict[Path, str] = {}
        self._read: set[Path] = set()

    def note(self, path: Path, problem: str) -> None:
        """A closed segment is damaged."""
        self._wrong[path] = problem

    def trust(self, path: Path) -> None:
        """An archive was just made and compared, and need not be read."""
        self._read.add(path)

    def look(self, segments: Sequence[Segment], end: tuple[int, int], alone: Collection[Path]) -> list[LogFile]:
        """The files that may be pruned, in order: archives, and written segments that are left ``alone``.

        ``segments`` are all of the log, ``end`` is the block and the position after it. Brings ``damages`` up to date.
        """
        known, self._files = self._files, {}
        found: list[LogFile] = []
        gaps: list[str] = []
        ends = [*((s.block, s.position) for s in segments[1:]), end][: len(segments)]
        for segment, (block, position) in zip(segments, ends, strict=True):
            if segment.written and segment.path not in alone:
                break
            state = (segment.path, segment.size)
            file = known.get(state) or self._file(segment, block, position)
            self._files[state] = file
            found.append(file)
        for one, other in pairwise(found):
            if one.next_position != other.position:
                gaps.append(f"the log has no positions {one.next_position} to {other.position - 1}: a segment is gone")
        self._tell(segments, gaps)
        return found

    def read_one(self, segments: Sequence[Segment]) -> None:
        """Read one archive that was not read since the start, if there is one, and note if it is damaged."""
        segment = next((s for s in segments if not s.written and s.path not in self._read), None)
        if segment is None:
            return
        self._read.add(segment.path)
        damage = next(self._damages(segment), "")
        if damage:
            self.note(segment.path, damage)

    def _damages(self, segment: Segment) -> Iterator[str]:
        try:
            yield from (str(item) for item in read_segment(segment, self._archives) if isinstance(item, Damage))
        except (OSError, StreamgaugeError) as error:
            yield f"{segment.path}: {error}"

    def _file(self, segment: Segment, block: int, position: int) -> LogFile:
        """What its footer says; of what cannot be read, what its name and that of the next one say."""
        modified_ms = segment.path.stat().st_mtime_ns // 1_000_000
        place = (segment.block, block - 1, segment.position, position)
        file = LogFile(segment.path.name, *place, segment.size, modified_ms)
        if segment.written:
            return file
        try:
            facts = read_facts(segment.path)
        except (OSError, StreamgaugeError) as error:
            self.note(segment.path, str(error))
            return file
        return replace(
            file,
            first_block=facts.first_block,
            last_block=facts.last_block,
            position=facts.position,
            next_position=facts.next_position,
            received_ms=facts.newest_received_ms,
            newest_ms=facts.newest_ms,
        )

    def _tell(self, segments: Sequence[Segment], gaps: Sequence[str]) -> None:
        there = {segment.path for segment in segments}
        self._wrong = {path: problem for path, problem in self._wrong.items() if path in there}
        self.damages = [*(self._wrong[path] for path in sorted(self._wrong)), *gaps]
