"""What the service needs of a running program, or of a store alone; ``app`` says what it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from streamgauge.aggregates.base import State
from streamgauge.bound import BoundStatistic
from streamgauge.scope import Scope
from streamgauge.store.base import CellBatch, KeptLetter, LaneState, LetterFilter
from streamgauge.windows import Length

Interval = tuple[int, int]
"""``[start, stop)`` in ms."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the reader of a statistic stands. Results are the same while all of it is the same.

    ``watermark`` as in windows: NEVER where nothing is known, FOREVER where nothing more comes.
    """

    position: int
    blocks: int
    watermark: int


@dataclass(frozen=True, slots=True)
class CellName:
    """One cell: a window of one length, and the canonical JSON text of its key, which may be ``"all"``, ``"other"``."""

    statistic: BoundStatistic
    every: Length
    start_ms: int
    stop_ms: int
    key: str


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event as the log has it. ``body`` is JSON, the message's own bytes where these are JSON."""

    position: int
    time_ms: int
    topic: str
    source: str
    body: bytes
    id: str = ""
    owner: str = ""


class EventLog(Protocol):
    """The log, as far as it is read by position. Both methods may block, for at most ``limit_s`` seconds.

    They raise TimeoutError then, and see only what the scope sees.
    """

    def events_of(self, cell: CellName, after: int, limit: int, scope: Scope, limit_s: float) -> Sequence[LoggedEvent]:
        """The events that the cell counted past the position ``after`` (-1: from the first), at most ``limit``.

        In order of position. Raises Gone where the log of the window is not retained any more.
        """
        ...

    def event(self, position: int, scope: Scope, limit_s: float) -> LoggedEvent | None:
        """The event at a position; None where there is none, or a dead letter. Raises Gone."""
        ...


class Gone(Exception):
    """The log had it, and has deleted it by its retention. The text says since when it is kept."""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """What is known of one source. None where it is not known; ``lanes`` as plain JSON."""

    name: str
    kind: str
    state: str
    lag_ms: int | None = None
    events_per_s: float | None = None
    last_event_ms: int | None = None
    watermark_ms: int | None = None
    last_error: str = ""
    dead_letters: int | None = None
    duplicates: int | None = None
    owner: str = ""
    lanes: Sequence[Mapping[str, Any]] = ()


class Condition(StrEnum):
    """How a part of the program is."""

    OK = "ok"
    DEGRADED = "degraded"
    """It works, but somebody should look: a source is gone, the log is kept longer than its retention..."""
    FAILING = "failing"
    """It does not do its work."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part, how it is, and why in a sentence."""

    name: str
    condition: Condition
    why: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """How the program is. ``ready`` is False while it is starting, or too far behind to be asked; ``why`` says so."""

    parts: Sequence[Part]
    ready: bool = True
    why: str = ""

    @property
    def condition(self) -> Condition:
        """The worst of the parts."""
        worst = [Condition.OK, Condition.DEGRADED, Condition.FAILING]
        return max((part.condition for part in self.parts), key=worst.index, default=Condition.OK)


@dataclass(frozen=True, slots=True)
class ReplayQuery:
    """Which dead letters are to be appended again: those with which nothing was done yet, that agree with all of it.

    ``after < position < before``, at most ``limit`` of them, in order.
    """

    reason: str | None = None
    source: str | None = None
    position: int | None = None
    after: int = -1
    before: int | None = None
    limit: int = 10_000


@dataclass(slots=True)
class Replayed:
    """What became of dead letters that were appended again, each once.

    ``replayed`` is ``accepted``, ``duplicates`` and ``still_bad``, which are dead letters of their own. What could not
    be appended again stays as it is (``not_replayable``); ``refused`` says why, by position, of the first of them.
    ``remaining``: how many more there are that agree, from ``next`` on (see ReplayQuery.after), up to ``before``.
    """

    replayed: int = 0
    accepted: int = 0
    duplicates: int = 0
    still_bad: int = 0
    not_replayable: int = 0
    remaining: int = 0
    next: int | None = None
    before: int = 0
    refused: dict[int, str] = field(default_factory=dict)


class CannotReplay(Exception):
    """Nothing can be appended here. The text says why."""


class Reads(Protocol):
    """What can be asked of the store within one transaction; see store.sql_query for the meaning of each.

    Every method may raise TimeoutError when the time is up, and the errors of the store.
    """

    def left_s(self) -> float: ...
    def check(self) -> None: ...
    def standing(self, reader: str) -> tuple[int, int, Mapping[str, Any]]: ...
    def lanes(self, reader: str) -> list[LaneState]: ...
    def counters(self, reader: str) -> dict[str, int]: ...
    def tallies(self, reader: str, start: int | None = ..., stop: int | None = ...) -> dict[tuple[str, bool], int]: ...
    def cells(
        self,
        version: str,
        every: str,
        states: Sequence[tuple[int, State]],
        limit: int,
        start: int | None = ...,
        stop: int | None = ...,
        after: tuple[int, str] | None = ...,
        descending: bool = ...,
        ids: Sequence[bytes] | None = ...,
        containing: Sequence[Sequence[str]] = ...,
    ) -> CellBatch: ...
    def latest(
        self,
        version: str,
        every: str,
        states: Sequence[tuple[int, State]],
        limit: int,
        since: int | None = ...,
        after: str | None = ...,
        ids: Sequence[bytes] | None = ...,
        containing: Sequence[Sequence[str]] = ...,
    ) -> CellBatch: ...
    def keys(
        self,
        version: str,
        every: str,
        limit: int,
        start: int | None = ...,
        stop: int | None = ...,
        after: str | None = ...,
        ids: Sequence[bytes] | None = ...,
        containing: Sequence[Sequence[str]] = ...,
    ) -> list[tuple[str, int]]: ...
    def known(self, ids: Sequence[bytes]) -> dict[bytes, str]: ...
    def next_start(self, version: str, every: str, at: int, descending: bool = ...) -> int | None: ...
    def count(self, version: str, every: str) -> int: ...
    def find_letters(
        self, reader: str, wanted: LetterFilter = ..., after: int = ..., limit: int = ...
    ) -> list[KeptLetter]: ...
    def letter(self, reader: str, position: int) -> KeptLetter | None: ...


class Readings(Protocol):
    """Read-only connections to a store. Safe to use from many threads."""

    def within(self, limit_s: float) -> AbstractContextManager[Reads]:
        """One transaction of at most so many seconds."""
        ...


class Station(Protocol):
    """What is served: a running program, or a store that nobody writes.

    Methods that take ``reads`` may block as it does; the others return at once. Safe to use from many threads.
    """

    @property
    def statistics(self) -> Mapping[str, BoundStatistic]:
        """What is declared, by name."""
        ...

    @property
    def readings(self) -> Readings:
        """The store."""
        ...

    @property
    def log(self) -> EventLog | None:
        """The log; None where there is none, and then ``no_log`` says why."""
        ...

    @property
    def no_log(self) -> str:
        """Why there is no log, in a sentence."""
        ...

    def standing(self, reads: Reads, statistic: BoundStatistic) -> Standing:
        """Where the reader of the statistic stands, in this transaction."""
        ...

    def coverage(
        self, reads: Reads, statistic: BoundStatistic, start_ms: int, stop_ms: int
    ) -> Sequence[Interval] | None:
        """When all lanes of the statistic were covered, ascending, at least within the range; None: not known."""
        ...

    def tallies(self, reads: Reads, start_ms: int | None, stop_ms: int | None) -> Mapping[tuple[str, bool], int]:
        """Dead letters and duplicates of a range; see SqlReads.tallies."""
        ...

    def dead_letters(
        self, reads: Reads, scope: Scope, wanted: LetterFilter, after: int, limit: int
    ) -> Sequence[KeptLetter]:
        """Dead letters past a position, by position."""
        ...

    def dead_letter(self, reads: Reads, scope: Scope, position: int) -> KeptLetter | None:
        """One dead letter with all bytes that were kept."""
        ...

    def replay(self, wanted: ReplayQuery, limit_s: float) -> Replayed:
        """Append dead letters to the log again, for about ``limit_s`` seconds. May block for longer where a disk does.

        Raises CannotReplay where no log is written here, RetryableError where nothing can be appended just now.
        """
        ...

    def sources(self, reads: Reads, scope: Scope) -> Sequence[SourceStatus]:
        """Every source, by name."""
        ...

    def health(self) -> Health:
        """How the program is, beside what the service finds out itself (whether the store can be read)."""
        ...


@dataclass(frozen=True, slots=True)
class Token:
    """Who may come in: the name of the token, its sha256 in hexadecimal, and what it allows."""

    name: str
    sha256: str
    read: bool = True
    write: bool = False


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How to serve.

    ``hosts`` are names under which clients may reach it beside those of loopback, ``origins`` pages of other origins
    that may (``https://board.example``). ``insecure``: nobody is asked for a token although it does not listen on
    loopback. ``metrics``: statistics whose newest final cells /metrics shows. ``limit_s`` is the longest that one
    request may read; ``threads`` read at once, ``waiting`` more requests may wait for them.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    tokens: tuple[Token, ...] = ()
    insecure: bool = False
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    limit_s: float = 10.0
    threads: int = 4
    waiting: int = 64
