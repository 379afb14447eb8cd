"""Events from files that are being written: logs, of one name or of a pattern, through every rotation."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from streamgauge.clock import Clock
from streamgauge.codecs.base import OVER_MAX_LINE
from streamgauge.errors import DeclarationError, InputError, Mistake
from streamgauge.forms import one_of, text, whole
from streamgauge.log.base import Arrival, Incoming, Intake, LaneName
from streamgauge.sources.base import Guarantee, SourceStatus, State
from streamgauge.sources.delivery import Delivery
from streamgauge.sources.lines import LineKeeper, Lines, one_line
from streamgauge.sources.options import CommonOptions, arrival_of, setting
from streamgauge.sources.tail_files import is_packed
from streamgauge.sources.tail_forms import NO_MATCH, NOT_UTF8, CsvKeeper, Keeper, PatternKeeper, header_form
from streamgauge.sources.tail_lane import TailLane
from streamgauge.sources.tail_lanes import TailLanes

FORMATS = ("ndjson", "csv", "pattern")
_BOM = b"\xef\xbb\xbf"
_HEAD_BYTES = 1 << 20
_LONGEST_PAUSE_S = 1.0
_QUIET_MS = 2000
_AT_ONCE = 8
_READS_IN_TURN = 16


@dataclass(frozen=True, slots=True)
class TailOptions(CommonOptions):
    """Files that are being written: every line that is added to them is an event.

    Files are followed through rotation, by renaming or by copying and cutting; what a rotated file had more is read,
    also after a restart, as long as it lies beside the other and is not compressed. With a pattern (`*`, `**`, `?`),
    files that appear later are read too. A file is a lane.
    """

    path: str = setting("the file, or a pattern of files", text("a path"), required=True)
    format: str = setting(
        "what a line is: a JSON object (`ndjson`), a record of CSV whose first one names the columns (`csv`), or text "
        "that `pattern` takes apart (`pattern`)",
        one_of(FORMATS),
        "ndjson",
    )
    pattern: str = setting(
        'with `format = "pattern"`: a regular expression (Python\'s) with named groups, looked for in each line; the '
        "groups are the body's fields, texts; a line without a match is a dead letter",
        text("a regular expression"),
        "",
    )
    poll_ms: int = setting(
        "how often to look for more, at first; up to 1 s where nothing comes", whole("ms", 10, 60_000), 200
    )
    max_line_bytes: int = setting("the longest line; longer: a dead letter", whole("bytes", 1), 16 << 20)

    def check(self, what: str, place: Any) -> None:
        """Raises DeclarationError where settings do not go together."""
        if not self.path:
            raise DeclarationError(Mistake(f"{what}: path", "is empty", place("path")))
        if (self.format == "pattern") != bool(self.pattern):
            problem = "format 'pattern' needs a 'pattern'" if not self.pattern else "'pattern' needs format 'pattern'"
            hint = r"""pattern = '(?P<level>\w+) (?P<message>.*)'"""
            raise DeclarationError(Mistake(what, problem, place("pattern"), hint=hint))
        if self.pattern:
            _compiled(self.pattern, f"{what}: pattern", place("pattern"))


def _compiled(pattern: str, what: str, where: str = "") -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise DeclarationError(Mistake(what, f"is no regular expression: {error}", where, pattern)) from None
    if not compiled.groupindex:
        raise DeclarationError(Mistake(what, "has no named group", where, pattern, "name one as (?P<level>\\w+)"))
    return compiled


class TailSource:
    """Follows files.

    Its cursor is, for each file of a lane, its inode, checksums of its first and last bytes read, and the offset:
    after a resume it goes on there, also in files that were renamed, or copied and cut, meanwhile. Exactly once, as
    the cursor lies in the log beside the events. A partial last line is left until it ends (in a rotated file, until
    nothing has come for 5 s). It says ``behind`` while more is there than it has handed over. At the end of a file it
    is silent. Where the intake refuses, it reads no further; what is to be read is held open.
    """

    type = "tail"
    guarantee = Guarantee.EXACTLY_ONCE

    def __init__(self, name: str, options: TailOptions, clock: Clock) -> None:
        self.name = name
        self._options = options
        self._clock = clock
        self._arrival = arrival_of(options, f"source {name!r}")
        self._pattern = _compiled(options.pattern, f"source {name!r}: pattern") if options.pattern else None
        self._delivery = Delivery(name, self.type, clock)
        self._lanes = TailLanes(options.path, self._open)
        self._behind: set[str] = set()

    async def run(self, intake: Intake) -> None:
        """As Source.run: looks, reads what there is, and pauses where there was nothing."""
        shortest = self._options.poll_ms / 1000
        pause = shortest
        try:
            async with self._delivery as delivery:
                while True:
                    busy = await self._round(intake)
                    self._report()
                    pause = shortest if busy else min(pause * 1.25, max(shortest, _LONGEST_PAUSE_S))
                    await delivery.pause(0.0 if busy else pause)
                    await asyncio.sleep(0)
        finally:
            self._lanes.close()

    async def stop(self) -> None:
        """As Source.stop."""
        await self._delivery.stop()

    def status(self) -> SourceStatus:
        """As Source.status."""
        return self._delivery.status()

    def arrival(self, asked: Mapping[str, str]) -> Arrival:
        """As Rereads.arrival."""
        return self._arrival

    def again(self, message: bytes, reason: str) -> Lines | None:
        """As Rereads.again. A record of CSV that is no object yet cannot be read without its header."""
        most = self._options.max_line_bytes
        if self._pattern is not None and reason in (NO_MATCH, NOT_UTF8, OVER_MAX_LINE):
            return PatternKeeper(self._pattern, most, 0, 1).push(message + b"\n")
        if self._options.format == "csv" and not message.startswith(b"{"):
            return None
        return one_line(message, most)

    async def _round(self, intake: Intake) -> bool:
        """Look at all files, and read those that have more, some at a time; whether there was anything."""
        ready = await self._delivery.aside(self._look, intake)
        for start in range(0, len(ready), _AT_ONCE):
            turns = [self._advance(intake, lane) for lane in ready[start : start + _AT_ONCE]]
            for outcome in await asyncio.gather(*turns, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
        return any(lane.waiting or lane.hungry for lane in ready if not lane.problem)

    def _look(self, intake: Intake) -> list[TailLane]:
        """The lanes that have something to read, or to say. For a thread."""
        ready = self._lanes.look(self._clock.monotonic_s(), lambda path: intake.cursor(LaneName(self.name, path)))
        return ready + [lane for lane in self._lanes if lane.path in self._behind and lane not in ready]

    async def _advance(self, intake: Intake, lane: TailLane) -> None:
        """Hand over what a lane has, for one turn; then say so where nothing more is waiting."""
        for _ in range(_READS_IN_TURN):
            found = await self._delivery.aside(lane.read, self._clock.monotonic_s())
            if found is None:
                break
            incoming = self._incoming(lane, found.lines.data, found.behind)
            await self._deliver(intake, lane, replace(incoming, refused=found.lines.refused, cursor=found.cursor))
        if lane.path in self._behind and not lane.waiting:
            await self._deliver(intake, lane, self._incoming(lane, b"", behind=False))

    def _incoming(self, lane: TailLane, data: bytes, behind: bool) -> Incoming:
        return Incoming(LaneName(self.name, lane.path), self._arrival, data, behind=behind)

    async def _deliver(self, intake: Intake, lane: TailLane, incoming: Incoming) -> None:
        await self._delivery.deliver(intake, incoming)
        (self._behind.add if incoming.behind else self._behind.discard)(lane.path)

    def _open(self, descriptor: int, path: str, offset: int, line: int) -> Keeper:
        """What makes records of an open file. Raises InputError for one that is none of ours."""
        options = self._options
        head = os.pread(descriptor, _HEAD_BYTES if options.format == "csv" else 8, 0)
        if is_packed(path):
            raise InputError(f"{path}: is compressed; tail reads files as they are written")
        bom = len(_BOM) if head.startswith(_BOM) else 0
        offset = max(offset, bom)
        if self._pattern is not None:
            return PatternKeeper(self._pattern, options.max_line_bytes, offset, line)
        if options.format == "csv":
            form = header_form(head[bom:], path) if offset > bom else None
            return CsvKeeper(form, path, options.max_line_bytes, offset, line)
        return LineKeeper(options.max_line_bytes, offset, line)

    def _report(self) -> None:
        """Say in the status how it goes."""
        delivery, lanes = self._delivery, list(self._lanes)
        problems = [lane.problem for lane in lanes if lane.problem]
        missing = [] if lanes else [f"no file matches {self._options.path}"]
        notes = (*missing, *(lane.lost for lane in lanes if lane.lost), *self._lanes.skipped, *problems)
        delivery.note(lag_bytes=sum(lane.waiting for lane in lanes), notes=notes)
        state = delivery.status().state
        if problems and (state is not State.STALLED or delivery.status().last_error != problems[0]):
            delivery.fault(problems[0])
        elif state is State.STARTING or (state is State.STALLED and not problems):
            delivery.say(State.WAITING)
        delivery.rest_after(_QUIET_MS)
