"""What travels to and from the log of a running program: what a source hands over and gets back, what a block says.

A **segment** is a file of blocks. A block is one header line and, after it, its dead letters and its events, one line
each. An event's line is ``{"time": ms, "topic": ..., "id": ..., "source": ..., "body": ...}`` (``id`` only where there
is one, ``owner`` only where it is declared), keys in this order, without blanks; ``body`` stands last, as the message's
own bytes, so that nothing in it can be taken for the envelope.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from streamgauge.engines.base import Envelope, Slice
from streamgauge.event import RefusedLine
from streamgauge.expression import TimeUnit

Ints = npt.NDArray[np.int64]

IN_FUTURE = "time in the future"
"""The reason of an event that is further ahead of the receiving clock than is believed."""

CANNOT_MASK = "cannot be masked"
"""The reason of a message of a source with a mask that no masked body can be made of."""


@dataclass(frozen=True, slots=True)
class LaneName:
    """A lane of a running program: its source's configured name, and its own in it (a path, a partition, or empty)."""

    source: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.source}:{self.name}" if self.name else self.source


@dataclass(frozen=True, slots=True)
class Arrival:
    """How the events of a source become events: its envelope, and what it promises of time.

    ``asked``: what a sender said of that beside the source's settings; kept with each dead letter, to be replayed so.

    ``lateness_ms``: how far behind its newest event an event of a lane may be. ``receipt_time``: an event without any
    time gets that of its receipt, instead of becoming a dead letter. ``owner`` and ``mask`` as declared: an SQL
    expression's text, and paths (``body.to``); empty where there are none.
    """

    envelope: Envelope = field(default_factory=Envelope)
    lateness_ms: int = 0
    receipt_time: bool = False
    owner: str = ""
    mask: tuple[str, ...] = ()
    keep_bytes: bool = True
    asked: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """What messages said of their events outside of their bodies: a routing key, a CloudEvents attribute.

    Each is parallel to the records of ``Incoming.data``, or empty where nothing says it; None where one record lacks
    it. What is given goes before what the arrival's expressions (or a producer's) find.
    """

    topics: Sequence[str | None] = ()
    ids: Sequence[str | None] = ()
    times_ms: Sequence[int | None] = ()


@dataclass(frozen=True, slots=True)
class Incoming:
    """Messages of one lane, handed over at once: they become one block, or a part of one, or nothing at all.

    ``data`` is NDJSON of bodies, every line ended by a line feed, none blank; a refused line stands in it as ``!``
    (see event.Block). ``cursor`` is where the source goes on after these (JSON; None where it has none of its own),
    written in the block's header. ``key`` is an idempotency key: what comes again with it gets the first answer.
    ``strict``: one bad message refuses all. ``behind``: the source knows that more is waiting, so that its lane must
    not be taken for idle. ``complete_to_ms``: the source knows that everything before is here.
    ``letters``: the records are these dead letters, by position; the header's cursor names them, and neither watermark
    nor coverage of the lane moves.
    """

    lane: LaneName
    arrival: Arrival
    data: bytes
    refused: tuple[RefusedLine, ...] = ()
    cursor: Any = None
    key: str = ""
    strict: bool = False
    behind: bool = False
    complete_to_ms: int | None = None
    last: bool = False
    given: Given | None = None
    letters: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """One message that became a dead letter: ``line`` counts the incoming records from 1."""

    line: int
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer for one Incoming, given after the fsync. ``position`` is that of its first event, -1 without any.

    ``receipt_times``: how many events got the time of their receipt. ``refusals``: the first 100. ``again``: this is
    the stored answer of an earlier one with the same key. ``kept`` False: strict, and refused; nothing was appended.
    """

    accepted: int
    duplicates: int
    malformed: int
    position: int = -1
    block: int = -1
    receipt_times: int = 0
    refusals: tuple[Refusal, ...] = ()
    again: bool = False
    kept: bool = True


class Intake(Protocol):
    """Where sources put what they received. Safe to call from any thread."""

    def submit(self, incoming: Incoming) -> Future[Receipt]:
        """Queue it; the future is done when it is durable.

        It fails with streamgauge.errors.RetryableError where there is no room (a full disk, a full queue): nothing was
        appended, and the source waits ``retry_after_s`` and hands the same over again. With StoreError where the
        operator must act.
        """
        ...

    def cursor(self, lane: LaneName) -> Any:
        """The cursor of the lane's last durable block that had one; None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Envelopes:
    """What the log writer must know of each record, in order. Ordinals count records from 0.

    ``times`` in ms, 0 where dead. ``topics``, ``ids``, ``owners``: texts, None where there is none. ``dead``,
    ``reasons``, ``raw_times`` as in engines.base.Facts. ``received``: ordinals that got the time of receipt.
    ``bodies``: canonical JSON of each body after masking; None where nothing is masked. ``hashes``: the low and the
    high half of the MD5 of each id (of its UTF-8, read as one little-endian number), 0 without an id; None where
    nothing names one. ``unit``: that of the slice, or the one that was found.
    """

    records: int
    times: Ints
    topics: Sequence[str | None]
    ids: Sequence[str | None]
    dead: Ints
    reasons: Sequence[str]
    raw_times: Sequence[str | None]
    received: Ints
    owners: Sequence[str | None] | None = None
    bodies: Sequence[str | None] | None = None
    hashes: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]] | None = None
    unit: TimeUnit | None = None


class EnvelopeReader(Protocol):
    """Evaluates envelope, owner and mask expressions over a slice of raw bodies. For one thread."""

    def read(self, slice_: Slice, arrival: Arrival, received_ms: int, given: Given | None = None) -> Envelopes:
        """The envelopes of every record of the slice. ``slice_.unit`` None: found from the slice.

        ``given`` is parallel to the records of the slice.
        """
        ...


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """What a block says of itself. Positions are record numbers: its events', then its dead letters'.

    ``number``: ordinal of the block in the log. ``lane``: the lane's number, the same for ever. ``position``: that of
    its first event. ``events``, ``dead``, ``duplicates``: how many. ``size``, ``dead_size``: bytes of the event lines
    and of the dead letter lines. ``checksum``: of both, see segment. ``received_ms``: wall time. ``mark``: the lane's
    LaneMark.to_dict() after this block. ``unit``: the lane's time unit, empty where not known yet. ``cursor``: see
    Incoming. ``answers``: idempotency keys and their answers. ``covered_from_ms``: the lane is covered since then; None
    where it is not.
    A **tick** has no events and no dead letters.
    """

    number: int
    lane: int
    source: str
    name: str
    position: int
    events: int = 0
    dead: int = 0
    duplicates: int = 0
    size: int = 0
    dead_size: int = 0
    checksum: str = ""
    received_ms: int = 0
    mark: Mapping[str, Any] = field(default_factory=dict)
    unit: str = ""
    cursor: Any = None
    answers: Mapping[str, Any] = field(default_factory=dict)
    covered_from_ms: int | None = None
    oldest_ms: int | None = None
    newest_ms: int | None = None
    topics: tuple[str, ...] = ()

    @property
    def next_position(self) -> int:
        """The position after the block."""
        return self.position + self.events + self.dead


@dataclass(frozen=True, slots=True)
class LogBlock:
    """A block as it is read back: its header, its event lines, its dead letter lines (each ended by a line feed)."""

    header: BlockHeader
    events: bytes
    dead: bytes
