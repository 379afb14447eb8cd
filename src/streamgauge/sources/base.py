"""What a source promises: the one contract of everything that brings events in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol, runtime_checkable

from streamgauge.log.base import Arrival, Intake
from streamgauge.sources.lines import Lines

STOP_WITHIN_S = 5.0
"""How long ``stop`` may take."""


class Guarantee(StrEnum):
    """How often an event is counted that reached the source, if this program may be killed at any moment."""

    EXACTLY_ONCE = "exactly once"
    """The place to go on from lies in the log beside the events, so that the two never disagree."""
    AT_LEAST_ONCE = "at least once"
    """Whoever sends keeps a message until it is acknowledged; an id, or a key, makes of that exactly once."""
    WHILE_IT_RUNS = "while it runs"
    """What was taken and not yet appended when the program was killed is gone: nobody else has it."""


class State(StrEnum):
    """What a source is doing."""

    STARTING = "starting"
    """It has not begun to read."""
    RUNNING = "running"
    """Messages come."""
    WAITING = "waiting"
    """Nothing is there to read, and nothing is wrong."""
    STALLED = "stalled"
    """Something hinders it (a full disk, a file that may not be read). It tries again by itself."""
    FAILED = "failed"
    """It cannot go on until the operator acts; ``last_error`` says on what."""
    STOPPED = "stopped"
    """It was asked to stop, or has come to its end."""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """What a source says of itself. Times are of the wall clock, in ms since 1970 UTC; None where not known.

    ``since_ms``: when it came to its state. ``received`` messages were handed over and are durable since the start;
    ``rate``: how many a second, lately. ``last_received_ms``: when the last of them became durable. ``lag_*``: what
    waits at the bus. ``last_error`` stays when it has passed; ``notes`` are facts for the operator that are no errors.
    """

    name: str
    type: str
    state: State = State.STARTING
    since_ms: int = 0
    received: int = 0
    malformed: int = 0
    duplicates: int = 0
    rate: float = 0.0
    last_received_ms: int | None = None
    last_error: str = ""
    last_error_ms: int | None = None
    lag_messages: int | None = None
    lag_bytes: int | None = None
    lag_s: float | None = None
    notes: tuple[str, ...] = ()

    def in_state(self, state: State, since_ms: int) -> SourceStatus:
        """The same, in another state since then; itself where that is its state already."""
        return self if state is self.state else replace(self, state=state, since_ms=since_ms)


class Source(Protocol):
    """Brings messages from outside to the log, lane by lane, in order.

    - **It never blocks the event loop.** ``run`` is a coroutine; what may block (a disk, a pipe) is done in a thread.
    - **One lane, one hand-over at a time.** The next messages of a lane are submitted when the receipt for the last is
      there, so that a refusal never changes their order. Lanes are independent of one another.
    - **The bus is told only after the receipt**, which is after the fsync: an HTTP answer, an acknowledgement.
    - **A cursor** (where the bus has one) goes with the messages and says where to go on *after* them. On a start, the
      source asks ``intake.cursor(lane)`` and goes on there; the log is the only place in which a cursor is kept.
      None means from the beginning, as its options define that.
    - **Its guarantee** is ``guarantee``. Messages that are not acknowledged come again, with the same cursors and ids.
    - **Back-pressure**: where the intake refuses with RetryableError, the source keeps what it has, takes nothing more
      from the bus, is ``stalled``, and hands the same over again after ``retry_after_s``. It never drops a message.
    - **It ticks** only where it knows more than silence tells: ``behind`` with each hand-over behind which more is
      waiting, and one without (empty, if need be) when nothing is; ``last`` where a lane ends for ever;
      ``complete_to_ms`` where it knows that. Silence itself is the log writer's to judge: a source sends nothing.
    - **On stop** it takes nothing more, waits for receipts that are on their way and returns, within 5 s whatever the
      intake does. What it could not hand over stays at the bus.
    - **It fails** only where the operator must act: ``run`` raises StoreError or InputError, and ``status`` says why.
      A message that it cannot read is no failure but a refused line.
    """

    name: str
    guarantee: Guarantee

    async def run(self, intake: Intake) -> None:
        """Bring everything in; returns when stopped, or at the end of what cannot grow. Called once."""
        ...

    async def stop(self) -> None:
        """Make ``run`` return, and wait for that, at most STOP_WITHIN_S. Harmless before ``run`` and when repeated."""
        ...

    def status(self) -> SourceStatus:
        """What it is doing. Cheap; for any thread."""
        ...


@runtime_checkable
class Rereads(Protocol):
    """A source that can say how a message of its, which became a dead letter, is to be read now."""

    def arrival(self, asked: Mapping[str, str]) -> Arrival:
        """How it becomes an event; ``asked`` as its Arrival had it then. Raises where that means nothing any more."""
        ...

    def again(self, message: bytes, reason: str) -> Lines | None:
        """The line of it, or what it is refused for now; None where it cannot be read without what stood around it.

        ``reason`` is what it was refused for.
        """
        ...
