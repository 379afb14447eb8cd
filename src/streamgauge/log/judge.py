"""What becomes of every message that was handed over: an event, a duplicate, or a dead letter. Pure but for reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from streamgauge.codecs.explain import explain_json_error
from streamgauge.engines.base import NOT_JSON, Buffer, Slice
from streamgauge.event import Block, Lane
from streamgauge.expression import TimeUnit
from streamgauge.log.base import (
    IN_FUTURE,
    EnvelopeReader,
    Envelopes,
    Given,
    Incoming,
    Ints,
    LaneName,
    Refusal,
)
from streamgauge.log.compose import dead_line, event_lines, lines_of, without_blank_lines
from streamgauge.log.grouping import GROUP_BYTES, Job
from streamgauge.log.ids import Ids

FUTURE_MS = 3_600_000
"""How far ahead of the receiving clock an event may be."""

MOST_REFUSALS = 100
"""How many messages a receipt names that became dead letters."""

_LONGEST_DETAIL = 300
_FEED = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Mask = npt.NDArray[np.bool_]
_T = TypeVar("_T")


class Dead(NamedTuple):
    """A message that is no event. ``data`` None: its bytes are not to be kept."""

    record: int
    reason: str
    detail: str
    data: bytes | None
    length: int


@dataclass(slots=True)
class Part:
    """What was read of one hand-over. All is by record, of which ``good`` are events, ``fresh`` if no duplicates.

    ``plain``: each line begins and ends with a brace.
    """

    job: Job
    lines: list[bytes]
    plain: bool
    envelopes: Envelopes
    first: int
    good: Mask
    fresh: Mask
    dead: list[Dead] = field(default_factory=list)
    named: tuple[Ints, Ids] | None = None

    @property
    def incoming(self) -> Incoming:
        """What was handed over."""
        return self.job.incoming

    @property
    def refused(self) -> bool:
        """Whether all of it is refused because a message is bad."""
        return self.incoming.strict and bool(self.dead)

    @property
    def times(self) -> Ints:
        """The times of its fresh events."""
        times: Ints = self.envelopes.times[self._range][self.fresh]
        return times

    @property
    def received(self) -> int:
        """How many of its fresh events got the time of their receipt."""
        ordinals = self.envelopes.received
        mine = ordinals[(ordinals >= self.first) & (ordinals < self.first + len(self.lines))] - self.first
        return int(self.fresh[mine].sum())

    @property
    def topics(self) -> set[str]:
        """The topics of its fresh events."""
        return {topic or "" for topic in self._fresh(self.envelopes.topics)}

    def name(self) -> tuple[Ints, Ids] | None:
        """Find the records of events with an id, and their ids: ``named``, None where nothing names one."""
        if self.envelopes.hashes is None:
            return None
        named = [one is not None for one in self.envelopes.ids[self._range]]
        records = np.flatnonzero(self.good & np.array(named, dtype=np.bool_))
        low, high = self.envelopes.hashes
        at = records + self.first
        self.named = records, Ids(self.incoming.lane.source, low[at], high[at])
        return self.named

    def event_lines(self) -> bytes:
        """The lines of its fresh events."""
        found = self.envelopes
        bodies: Sequence[bytes]
        if found.bodies is None:
            bodies = self.lines if self.fresh.all() else self._chosen(self.lines)
        else:
            bodies = [(body or "").encode() for body in self._fresh(found.bodies)]
        owners = None if found.owners is None else self._fresh(found.owners)
        topics, ids = self._fresh(found.topics), self._fresh(found.ids)
        return event_lines(self.times.tolist(), topics, ids, owners, self.incoming.lane.source, bodies)

    def dead_lines(self, received_ms: int) -> bytes:
        """The lines of its dead letters."""
        return b"".join(
            dead_line(d.reason, d.detail, received_ms, d.data, d.length, self._beside(d.record)) for d in self.dead
        )

    def refusals(self) -> tuple[Refusal, ...]:
        """The first of its dead letters, as a receipt names them."""
        return tuple(Refusal(d.record + 1, d.reason, d.detail) for d in self.dead[:MOST_REFUSALS])

    def _beside(self, record: int) -> dict[str, Any]:
        """What was said of a message outside of it, without which it cannot be replayed."""
        said, given = self.incoming, self.incoming.given or Given()
        named = (("topic", given.topics), ("id", given.ids), ("time", given.times_ms))
        found = {name: values[record] for name, values in named if values and values[record] is not None}
        return {
            **({"asked": dict(said.arrival.asked)} if said.arrival.asked else {}),
            **({"given": found} if found else {}),
        }

    @property
    def _range(self) -> slice:
        return slice(self.first, self.first + len(self.lines))

    def _fresh(self, column: Sequence[str | None]) -> Sequence[str | None]:
        mine = column[self._range]
        return mine if self.fresh.all() else self._chosen(mine)

    def _chosen(self, column: Sequence[_T]) -> list[_T]:
        return [column[n] for n in np.flatnonzero(self.fresh).tolist()]


class Judge:
    """Reads the envelopes of what was handed over. For the log writer's thread."""

    def __init__(self, reader: EnvelopeReader, new_buffer: Callable[[int], Buffer], future_ms: int = FUTURE_MS) -> None:
        self._reader, self._new_buffer, self._future_ms = reader, new_buffer, future_ms
        self._buffer = new_buffer(GROUP_BYTES + (1 << 20))

    def close(self) -> None:
        """Free the memory."""
        self._buffer.close()

    def read(
        self, jobs: Sequence[Job], units: Mapping[LaneName, TimeUnit], received_ms: int, latest_ms: int
    ) -> tuple[list[Part], dict[LaneName, TimeUnit]]:
        """What each is, in the same order, and the units of lanes that were found.

        ``received_ms``: the time of receipt; ``latest_ms``: what is more than an hour ahead of it is believed no more.
        """
        parts: dict[int, Part] = {}
        found: dict[LaneName, TimeUnit] = {}
        for together in _clusters(jobs, units):
            incoming = together[0].incoming
            mine, unit = self._read(together, units.get(incoming.lane), received_ms)
            if unit is not None and incoming.lane not in units:
                found[incoming.lane] = unit
            for part in mine:
                _bury(part, latest_ms + self._future_ms)
                parts[id(part.job)] = part
        return [parts[id(job)] for job in jobs], found

    def _read(self, jobs: Sequence[Job], unit: TimeUnit | None, received_ms: int) -> tuple[list[Part], TimeUnit | None]:
        data = [job.incoming.data for job in jobs]
        lines = list(map(lines_of, data))
        given = _given(jobs, lines)
        envelopes = self._envelopes(jobs[0].incoming, data, unit, received_ms, given)
        if envelopes.records != _count(lines):
            # A source that left blank lines in; rare enough to be looked for only now.
            data = [without_blank_lines(one) for one in data]
            lines = list(map(lines_of, data))
            envelopes = self._envelopes(jobs[0].incoming, data, unit, received_ms, given)
        if envelopes.records != _count(lines):
            raise RuntimeError(f"the engine read {envelopes.records} records where {_count(lines)} lines are")
        good = np.ones(envelopes.records, dtype=np.bool_)
        good[envelopes.dead] = False
        parts, first = [], 0
        for job, (mine, plain) in zip(jobs, lines, strict=True):
            its_good = good[first : first + len(mine)]
            parts.append(Part(job, mine, plain, envelopes, first, its_good, its_good.copy()))
            first += len(mine)
        return parts, envelopes.unit

    def _envelopes(
        self, incoming: Incoming, data: Sequence[bytes], unit: TimeUnit | None, received_ms: int, given: Given | None
    ) -> Envelopes:
        size = 1 + sum(map(len, data))
        if size > self._buffer.capacity:
            self._buffer.close()
            self._buffer = self._new_buffer(size * 2)
        buffer, lane = self._buffer, Lane(0, incoming.lane.source)
        buffer.open_whole()
        buffer.view[0], end = _FEED, 1
        for one in data:
            buffer.view[end : end + len(one)] = one
            end += len(one)
        buffer.trim(size)
        blocks = [Block(lane, n, 0, len(one), 1, one) for n, one in enumerate(data)]
        slice_ = Slice(buffer.path, size, blocks, unit, incoming.lane.source)
        return self._reader.read(slice_, incoming.arrival, received_ms, given)


def _count(lines: Sequence[tuple[list[bytes], bool]]) -> int:
    return sum(len(mine) for mine, _ in lines)


def _given(jobs: Sequence[Job], lines: Sequence[tuple[list[bytes], bool]]) -> Given | None:
    """What is given of all their records; None where nothing is. Raises ValueError where it is not one a record."""
    if jobs[0].incoming.given is None:
        return None
    columns: tuple[list[Any], ...] = ([], [], [])
    for job, (mine, _) in zip(jobs, lines, strict=True):
        said = job.incoming.given or Given()
        for column, values in zip(columns, (said.topics, said.ids, said.times_ms), strict=True):
            if len(values) not in (0, len(mine)):
                raise ValueError(f"{job.incoming.lane} gives {len(values)} topics, ids or times of {len(mine)} records")
            column += values or [None] * len(mine)
    return Given(*columns)


def _clusters(jobs: Sequence[Job], units: Mapping[LaneName, TimeUnit]) -> list[list[Job]]:
    """Which of them are read in one slice: of one source, with one unit; a lane without a known unit is alone."""
    found: dict[object, list[Job]] = {}
    for job in jobs:
        lane = job.incoming.lane
        key = (job.incoming.arrival, lane.source, units.get(lane, lane), job.incoming.given is None)
        found.setdefault(key, []).append(job)
    return list(found.values())


def _bury(part: Part, latest_ms: int) -> None:
    """Name its dead letters, those among them that only the log writer knows of."""
    envelopes, stop = part.envelopes, part.first + len(part.lines)
    low, high = np.searchsorted(envelopes.dead, [part.first, stop])
    refused = {line.record: line for line in part.incoming.refused}
    for n in range(low, high):
        record = int(envelopes.dead[n]) - part.first
        if record in refused:
            line = refused[record]
            part.dead.append(Dead(record, line.reason, line.detail, line.data, line.length))
        else:
            part.dead.append(_dead(part.lines[record], record, envelopes.reasons[n], envelopes.raw_times[n]))
    times = envelopes.times[part.first : stop]
    for record in np.flatnonzero(part.good & (times > latest_ms)).tolist():
        said = f"{_shown(int(times[record]))} is ahead of the clock, which allows {_shown(latest_ms)}"
        part.dead.append(_dead(part.lines[record], record, IN_FUTURE, None, said))
    for record in () if part.plain else np.flatnonzero(part.good).tolist():
        text = part.lines[record]
        if not (text.startswith(b"{") and text.endswith(b"}")):
            part.dead.append(_dead(text, record, NOT_JSON, None))
    if part.dead:
        _finish(part)


def _finish(part: Part) -> None:
    arrival = part.incoming.arrival
    part.dead = sorted({dead.record: dead for dead in part.dead}.values())
    if letters := part.incoming.letters:
        part.dead = [d._replace(detail=_again(letters[d.record], d.detail)) for d in part.dead]
    if arrival.mask and not arrival.keep_bytes:
        part.dead = [d._replace(data=None, detail=d.detail if d.reason == NOT_JSON else "") for d in part.dead]
    part.good[[dead.record for dead in part.dead]] = False
    part.fresh &= part.good


def _dead(line: bytes, record: int, reason: str, raw: str | None, said: str = "") -> Dead:
    if reason == NOT_JSON:
        problem, column = explain_json_error(line)
        said = f"{problem} at character {column}" if column else problem
    elif raw is not None:
        said = f"got {raw[:100]!r}"
    return Dead(record, reason, said[:_LONGEST_DETAIL], line, len(line))


def _again(position: int, detail: str) -> str:
    """What is said of a dead letter that was replayed, and is none the better."""
    return f"dead letter {position}, replayed{f': {detail}' if detail else ''}"[:_LONGEST_DETAIL]


def _shown(ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
