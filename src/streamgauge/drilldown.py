"""From a number to the very messages that it counted: reads the log where a cell's events may be."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from streamgauge.bound import BoundStatistic
from streamgauge.clock import Clock
from streamgauge.engines.base import Buffer, Ints, Slice
from streamgauge.errors import StoreError
from streamgauge.event import FOREVER, NEVER, Block, Lane
from streamgauge.expression import TimeUnit
from streamgauge.log.archive import SUFFIX, DamagedArchive, find, read_archive, read_events
from streamgauge.log.base import BlockHeader, LogBlock
from streamgauge.log.catalog import Segment, index_of_block, index_of_position, list_segments
from streamgauge.log.damage import Damage
from streamgauge.log.segment_reader import read_segment
from streamgauge.scope import Scope
from streamgauge.serve.base import CellName, Gone, LoggedEvent
from streamgauge.store.base import ALL_TEXT, OTHER_TEXT, key_text

ARCHIVES = {SUFFIX: read_archive}

ATTEMPTS = 20
"""How often the log is looked at again when a file of it was removed between its listing and its opening."""

Span = tuple[int, int] | None
"""The times ``[start, stop)`` in ms of the events that are looked for; None where they may have any."""


class Finder(Protocol):
    """Finds the events of one statistic in a slice (see engines.duck.find)."""

    def find(self, slice_: Slice, start_ms: int, stop_ms: int, wants: Callable[[tuple[object, ...]], bool]) -> Ints:
        """The ordinals of the events in these windows whose key is wanted, ascending."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


@dataclass(frozen=True, slots=True)
class _Deadline:
    clock: Clock
    at_s: float

    def check(self) -> None:
        if self.clock.monotonic_s() > self.at_s:
            raise TimeoutError


class LogEvents:
    """See serve.base.EventLog. ``until`` says the first block that must not be read yet.

    ``keys_of`` names the keys that the store keeps of a window, by which the events of ``other`` are told. ``counted``
    says the first block that no cell has counted yet; that of ``until`` unless told.
    """

    def __init__(
        self,
        folder: Path,
        new_finder: Callable[[BoundStatistic, bool], Finder],
        new_buffer: Callable[[int], Buffer],
        keys_of: Callable[[CellName], set[str]],
        clock: Clock,
        until: Callable[[], int] = lambda: 2**62,
        counted: Callable[[], int] | None = None,
    ) -> None:
        self._counted = counted or until
        self._folder, self._new_finder, self._new_buffer = folder, new_finder, new_buffer
        self._keys_of, self._clock, self._until = keys_of, clock, until
        self._finders: dict[tuple[str, bool], Finder] = {}
        self._one_at_a_time = threading.Lock()

    def close(self) -> None:
        """Give everything back."""
        with self._one_at_a_time:
            for finder in self._finders.values():
                finder.close()
            self._finders.clear()

    def events_of(self, cell: CellName, after: int, limit: int, scope: Scope, limit_s: float) -> Sequence[LoggedEvent]:
        """See EventLog.events_of."""
        deadline = _Deadline(self._clock, self._clock.monotonic_s() + limit_s)
        wants, found = self._wants(cell), list[LoggedEvent]()
        for block in self._candidates(cell, after, deadline):
            header = block.header
            if header.position + header.events <= after + 1:
                continue
            lines = None
            for n in self._ordinals(cell, block, wants).tolist():
                if header.position + n <= after:
                    continue
                lines = lines or block.events.split(b"\n")
                event = logged_event(header.position + n, lines[n])
                if scope.sees(event.owner):
                    found.append(event)
                if len(found) == limit:
                    return found
        return found

    def event(self, position: int, scope: Scope, limit_s: float) -> LoggedEvent | None:
        """See EventLog.event."""
        deadline = _Deadline(self._clock, self._clock.monotonic_s() + limit_s)
        for _ in range(ATTEMPTS):
            try:
                block = self._block_of(position, deadline)
            except FileNotFoundError:
                continue
            if block is None:
                return None
            event = logged_event(position, block.events.split(b"\n")[position - block.header.position])
            return event if scope.sees(event.owner) else None
        raise self._removed()

    def _block_of(self, position: int, deadline: _Deadline) -> LogBlock | None:
        """The block that has the event at a position. Raises FileNotFoundError where its file was just removed."""
        segments, until = self._segments(), self._until()
        if segments and position < segments[0].position:
            raise Gone(f"the log is kept from position {segments[0].position} on")
        at = index_of_position(segments, position)
        for item in _items(segments[at : at + 1]):
            deadline.check()
            if isinstance(item, Damage):
                if item.position is not None and item.position <= position < (item.next_position or 2**63):
                    raise StoreError(str(item))
                continue
            header = item.header
            if header.position <= position < header.position + header.events and header.number < until:
                return item
        return None

    def _segments(self) -> list[Segment]:
        return list_segments(self._folder, ARCHIVES.keys())

    def _wants(self, cell: CellName) -> Callable[[tuple[object, ...]], bool]:
        if cell.key == OTHER_TEXT:
            named = self._keys_of(cell)
            return lambda key: key_text(key) not in named
        if cell.key == ALL_TEXT:
            return lambda key: True
        return lambda key: key_text(key) == cell.key

    def _candidates(self, cell: CellName, after: int, deadline: _Deadline) -> Iterator[LogBlock]:
        """Blocks that may hold events of the cell, in order. What is removed meanwhile is looked for again."""
        last = -1
        for _ in range(ATTEMPTS):
            try:
                for block in self._blocks_from(cell, after, last, deadline):
                    last = block.header.number
                    yield block
                return
            except FileNotFoundError:
                continue
        raise self._removed()

    def _blocks_from(self, cell: CellName, after: int, last: int, deadline: _Deadline) -> Iterator[LogBlock]:
        """The same, of the blocks past ``last``. Raises FileNotFoundError where a file was just removed."""
        segments, until = self._segments(), self._counted()
        if segments and segments[0].block and not self._kept(segments[0], cell.start_ms):
            raise Gone(f"the log of this window is not kept any more; it is from position {segments[0].position} on")
        # A statistic with a time of its own counts events of any time.
        span = None if cell.statistic.time else (cell.start_ms, cell.stop_ms)
        behind = max(0, index_of_position(segments, after + 1), index_of_block(segments, last + 1))
        doubt = _Doubt(span)
        for item in _items(segments[behind:], span):
            deadline.check()
            if isinstance(item, Damage):
                doubt.note(item, until)
                continue
            if item.header.number >= until:
                break
            if item.header.number > last and item.header.events:
                doubt.passed(item.header)
                if _overlaps(item.header, span):
                    yield item
        doubt.end()

    def _removed(self) -> StoreError:
        return StoreError(f"log {self._folder}: its segments are removed faster than they can be read")

    def _kept(self, first: Segment, start_ms: int) -> bool:
        """Whether the log reaches back before the window; what came late may be gone all the same."""
        headers = (item.header for item in _items([first]) if isinstance(item, LogBlock))
        oldest = next((header.oldest_ms for header in headers if header.oldest_ms is not None), None)
        return oldest is not None and oldest <= start_ms

    def _ordinals(self, cell: CellName, block: LogBlock, wants: Callable[[tuple[object, ...]], bool]) -> Ints:
        slice_, buffer = slice_of(block, self._new_buffer)
        totals = cell.key == ALL_TEXT
        try:
            with self._one_at_a_time:
                known = (cell.statistic.version, totals)
                if known not in self._finders:
                    self._finders[known] = self._new_finder(cell.statistic, totals)
                return self._finders[known].find(slice_, cell.start_ms, cell.stop_ms, wants)
        finally:
            slice_.blocks.clear()
            buffer.close()


def slice_of(block: LogBlock, new_buffer: Callable[[int], Buffer]) -> tuple[Slice, Buffer]:
    """A slice of one block, and the buffer that holds it."""
    size = len(block.events) + 1
    buffer = new_buffer(size)
    buffer.view[0] = ord("\n")
    buffer.view[1:size] = block.events
    buffer.trim(size)
    lane = Lane(block.header.lane, block.header.name)
    whole = Block(lane, block.header.number, 1, size, 1, block.events)
    return Slice(buffer.path, size, [whole], TimeUnit.MS, ""), buffer


def logged_event(position: int, line: bytes) -> LoggedEvent:
    """The event of a line of the log; its body as the message's own bytes."""
    head, _, body = line.partition(b',"body":')
    # The envelope is ours: a text in it that looks like the start of a body has its quotes escaped.
    envelope: Mapping[str, object] = json.loads(head + b"}")
    return LoggedEvent(
        position=position,
        time_ms=int(str(envelope["time"])),
        topic=str(envelope["topic"]),
        source=str(envelope["source"]),
        body=body[:-1],
        id=str(envelope.get("id", "")),
        owner=str(envelope.get("owner", "")),
    )


class _Doubt:
    """Whether what cannot be read of a log may concern a span of time: as the blocks around it may.

    Raises StoreError where it may, so that nobody takes a part for the whole.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        self._damage: Damage | None = None
        self._before: BlockHeader | None = None

    def note(self, damage: Damage, until: int) -> None:
        """This cannot be read. What has no events, or was not counted, concerns nobody."""
        empty = damage.position is not None and damage.position == damage.next_position
        if not empty and damage.first_block < until:
            self._damage = self._damage or damage

    def passed(self, header: BlockHeader) -> None:
        """A block with events comes next."""
        self._check(header)
        self._before = header

    def end(self) -> None:
        """There is no more."""
        self._check(None)

    def _check(self, after: BlockHeader | None) -> None:
        damage, span, around = self._damage, self._span, (self._before, after)
        self._damage = None
        if damage is None:
            return
        oldest = [header.oldest_ms for header in around if header is not None]
        newest = [header.newest_ms for header in around if header is not None]
        begins = min((ms for ms in oldest if ms is not None), default=NEVER) if self._before else NEVER
        ends = max((ms for ms in newest if ms is not None), default=FOREVER) if after else FOREVER
        if span is None or (begins < span[1] and ends >= span[0]):
            raise StoreError(str(damage))


def _overlaps(header: BlockHeader, span: Span) -> bool:
    oldest, newest = header.oldest_ms, header.newest_ms
    if span is None or oldest is None or newest is None:
        return True
    return oldest < span[1] and newest >= span[0]


def _items(segments: Sequence[Segment], span: Span = None) -> Iterator[LogBlock | Damage]:
    """What is in segments, in order; of archives only the row groups that may hold events of the span.

    Raises FileNotFoundError where a segment was removed, StoreError where such a row group is damaged.
    """
    for segment in segments:
        if segment.written or span is None:
            for item in read_segment(segment, ARCHIVES):
                if isinstance(item, Damage) and not segment.path.exists():
                    raise FileNotFoundError(segment.path)
                yield item
        else:
            yield from _archived(segment, span)


def _archived(segment: Segment, span: tuple[int, int]) -> Iterator[LogBlock | Damage]:
    try:
        groups = find(segment.path, *span)
    except DamagedArchive as error:
        yield Damage(str(segment.path), 0, segment.size, error.problem, segment.block, None, segment.position)
        return
    try:
        yield from read_events(segment.path, groups)
    except DamagedArchive as error:
        raise StoreError(str(error)) from error
