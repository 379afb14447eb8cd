"""Events from a file, played again: at the pace at which they happened, faster, or as fast as can be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from streamgauge.clock import Clock
from streamgauge.errors import DeclarationError, Mistake
from streamgauge.event import RefusedLine
from streamgauge.expression import TimeUnit
from streamgauge.forms import one_of, text, whole
from streamgauge.log.base import Incoming, Intake, LaneName
from streamgauge.log.detect import FORMS
from streamgauge.log.files import InputOptions, LaneReader, NoRoom, identify, open_lane
from streamgauge.sources.base import Guarantee, SourceStatus
from streamgauge.sources.delivery import Delivery
from streamgauge.sources.lines import tidy, without_lead
from streamgauge.sources.options import CommonOptions, arrival_of, path_of, setting
from streamgauge.sources.replay_times import DEFAULT_PATHS, TimeField

_BLOCK_BYTES = 1 << 20
_TOGETHER_S = 0.05
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ReplayOptions(CommonOptions):
    """A file, played as if its events came now: any form that `streamgauge report` reads, also compressed.

    The pace is that of the events' times, in the order of the file. With `times = "shifted"`, the time in each body is
    replaced by the moment at which it is played, in the same unit; nothing else of the body changes. For both, `time`
    must be a path such as `body.start` (unset: `body.time`, else `body.timestamp`). An event without a usable time is
    played with the one before it.
    """

    path: str = setting("the file", text("a path"), required=True)
    input: str = setting("its form; unset: told from its content", one_of(FORMS), "")
    speed: str = setting("`1x` is its own pace, `60x` plays an hour in a minute, `max` does not wait", text(), "1x")
    times: str = setting("whether events keep their times or happen now", one_of(("kept", "shifted")), "kept")
    max_line_bytes: int = setting("the longest line; longer: a dead letter", whole("bytes", 1), 16 << 20)

    def check(self, what: str, place: Any) -> None:
        """Raises DeclarationError where settings do not go together."""
        if not self.path:
            raise DeclarationError(Mistake(f"{what}: path", "is empty", place("path")))
        speed = factor(self.speed, f"{what}: speed", place("speed"))
        if speed is None and self.times == "shifted":
            problem = "'max' has no moments to shift times to"
            raise DeclarationError(Mistake(f"{what}: times", problem, place("times"), hint="give a speed, as 100x"))
        if self.time and speed is not None:
            path_of(self.time, f"{what}: time", place("time"))


def factor(speed: str, what: str = "speed", where: str = "") -> float | None:
    """How many times faster than its own pace; None for as fast as can be. Raises DeclarationError.

    >>> factor("1x"), factor("0.5x"), factor("max")
    (1.0, 0.5, None)
    """
    if speed == "max":
        return None
    try:
        value = float(speed.removesuffix("x"))
    except ValueError:
        value = 0.0
    if not 1e-6 <= value <= 1e9:
        raise DeclarationError(Mistake(what, "is no speed", where, speed, "write 1x, 60x or max"))
    return value


@dataclass(frozen=True, slots=True)
class _Part:
    """Lines that are played at one moment, ``at_ms`` of the recording; None where that is not known.

    ``refused`` as in Incoming.
    """

    at_ms: int | None
    data: bytes
    records: int
    refused: tuple[RefusedLine, ...] = ()


@dataclass(slots=True)
class _Pace:
    """Which moment of the clock belongs to which of the recording."""

    factor: float
    start_s: float
    start_ms: int
    first_ms: int | None = None
    latest_ms: int = 0

    def played_after_s(self, at_ms: int | None) -> float:
        """How long after the start a moment is played. A step back in the recording is played at once."""
        if at_ms is not None:
            if self.first_ms is None:
                self.first_ms = self.latest_ms = at_ms
            self.latest_ms = max(self.latest_ms, at_ms)
        return 0.0 if self.first_ms is None else (self.latest_ms - self.first_ms) / 1000 / self.factor

    def shifted_ms(self, at_ms: int) -> int:
        """The wall time of a moment of the recording, also of one out of order."""
        first = at_ms if self.first_ms is None else self.first_ms
        return self.start_ms + round((at_ms - first) / self.factor)


class ReplaySource:
    """Plays one file to its end.

    Its cursor is the number of records played, with what recognises the file: after a resume it goes on behind them,
    at the pace that begins then. Exactly once. The lane is ``last`` at the end of the file, and ``run`` returns. At
    speed ``max`` it is ``behind`` until then; at a pace it is not, as nothing more has happened yet. Where the intake
    refuses, it waits, and then plays what it has missed at once.
    """

    type = "replay"
    guarantee = Guarantee.EXACTLY_ONCE

    def __init__(self, name: str, options: ReplayOptions, clock: Clock) -> None:
        self.name = name
        self._options = options
        self._clock = clock
        self._arrival = arrival_of(options, f"source {name!r}")
        self._factor = factor(options.speed)
        paths = (path_of(options.time, "time"),) if options.time and self._factor is not None else DEFAULT_PATHS
        unit = TimeUnit(options.time_unit) if options.time_unit else None
        self._field = TimeField(paths, unit, options.zone)
        self._delivery = Delivery(name, self.type, clock)
        self._identity = ""
        self._played = 0

    async def run(self, intake: Intake) -> None:
        """As Source.run. Raises InputError where the file cannot be read."""
        async with self._delivery as delivery:
            reader = await delivery.aside(self._open, intake.cursor(self._lane))
            try:
                await self._play(intake, reader)
                if reader.problem is not None:
                    raise reader.problem
            finally:
                reader.close()

    async def stop(self) -> None:
        """As Source.stop."""
        await self._delivery.stop()

    def status(self) -> SourceStatus:
        """As Source.status."""
        return self._delivery.status()

    @property
    def _lane(self) -> LaneName:
        return LaneName(self.name, self._options.path)

    def _open(self, cursor: Any) -> LaneReader:
        known = cursor if isinstance(cursor, dict) else {}
        path, options = self._options.path, self._options
        how = InputOptions(options.input or None, options.max_line_bytes, _BLOCK_BYTES)
        if known.get("file") and identify(path, how, [known["file"]]) == known["file"]:
            self._played, self._identity = known["records"], known["file"]
        elif known:
            self._delivery.note(notes=(f"{path}: is not the file that was played before; it is played from its start",))
        reader = open_lane(path, 0, how, identity=self._identity or None)
        self._identity = reader.lane.identity
        return reader

    async def _play(self, intake: Intake, reader: LaneReader) -> None:
        delivery = self._delivery
        pace: _Pace | None = None
        skip, blocks = self._played, _Blocks(reader)
        while (part := await delivery.aside(blocks.next)) is not None:
            part, skip = _without_first(part, skip)
            if not part.records:
                continue
            if self._factor is None:
                await self._hand_over(intake, [part], behind=True)
                continue
            if pace is None:
                pace = _Pace(self._factor, self._clock.monotonic_s(), self._clock.now_ms())
            await self._play_block(intake, await delivery.aside(self._timed, part), pace)
        await delivery.deliver(intake, self._incoming(b"", (), behind=False, last=True))

    async def _play_block(self, intake: Intake, parts: list[_Part], pace: _Pace) -> None:
        """The lines of a block, each when it is due; those due within a moment together."""
        held: list[_Part] = []
        size = 0
        due_s = 0.0
        for part in parts:
            after_s = pace.played_after_s(part.at_ms)
            if held and (after_s > due_s + _TOGETHER_S or size > _MOST_BYTES):
                await self._hand_over_at(intake, held, pace, due_s)
                held, size = [], 0
            if not held:
                due_s = after_s
            held.append(self._moved(part, pace))
            size += len(part.data)
        if held:
            await self._hand_over_at(intake, held, pace, due_s)

    async def _hand_over_at(self, intake: Intake, parts: list[_Part], pace: _Pace, due_s: float) -> None:
        await self._delivery.pause(pace.start_s + due_s - self._clock.monotonic_s())
        await self._hand_over(intake, parts, behind=False)

    def _moved(self, part: _Part, pace: _Pace) -> _Part:
        if self._options.times == "kept" or part.at_ms is None:
            return part
        return _Part(part.at_ms, self._field.shifted(part.data, pace.shifted_ms(part.at_ms)), 1, part.refused)

    async def _hand_over(self, intake: Intake, parts: list[_Part], behind: bool) -> None:
        refused: list[RefusedLine] = []
        records = 0
        for part in parts:
            refused += (replace(line, record=line.record + records) for line in part.refused)
            records += part.records
        self._played += records
        data = b"".join(part.data for part in parts)
        await self._delivery.deliver(intake, self._incoming(data, tuple(refused), behind=behind))

    def _incoming(self, data: bytes, refused: tuple[RefusedLine, ...], *, behind: bool, last: bool = False) -> Incoming:
        cursor = {"file": self._identity, "records": self._played}
        return Incoming(self._lane, self._arrival, data, refused, cursor, behind=behind, last=last)

    def _timed(self, part: _Part) -> list[_Part]:
        """The lines of a block one by one, with their times."""
        lines = _split(part.data)
        self._field.learn(lines)
        refused = {line.record: replace(line, record=0) for line in part.refused}
        return [
            _Part(self._field.time_ms(line), line, 1, (refused[n],) if n in refused else ())
            for n, line in enumerate(lines)
        ]


class _Blocks:
    """The blocks of a file as parts, one after the other."""

    def __init__(self, reader: LaneReader) -> None:
        self._reader = reader
        self._buffer = bytearray(_BLOCK_BYTES + 1)

    def next(self) -> _Part | None:
        """The next block; None at the end. For a thread."""
        while True:
            try:
                block = self._reader.read_block(memoryview(self._buffer))
            except NoRoom as more:
                self._buffer = bytearray(more.needed)
                continue
            if block is None:
                return None
            data = bytes(block.data)
            lines = tidy(data if block.form == "ndjson" else without_lead(data), len(data))
            return _Part(None, lines.data, lines.data.count(b"\n"), block.refused)


def _split(data: bytes) -> list[bytes]:
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def _without_first(part: _Part, skip: int) -> tuple[_Part, int]:
    """The part without as many records, and how many are still to be left out."""
    if not skip:
        return part, 0
    if skip >= part.records:
        return _Part(None, b"", 0), skip - part.records
    refused = tuple(replace(r, record=r.record - skip) for r in part.refused if r.record >= skip)
    return _Part(None, b"".join(_split(part.data)[skip:]), part.records - skip, refused), 0
