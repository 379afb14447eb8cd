"""What an engine promises: the primitives of every statistic over a slice, the same on every engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from streamgauge.event import Block
from streamgauge.expression import Expression, SqlType, TimeUnit
from streamgauge.expression.types import EnvelopePath, Node

Ints = npt.NDArray[np.int64]

NOT_JSON = "not JSON"
NO_TIME = "no time"
UNFIT_TIME = "time does not fit its unit"
OUT_OF_RANGE = "time out of range"


@dataclass(frozen=True, slots=True)
class Envelope:
    """How the envelope of a foreign event is found, where the operator says it.

    ``time`` None: the matching producer's, else ``body.time``, else ``body.timestamp``. ``time_unit`` is that of
    ``time`` (or of the default); None: found from each lane's first block. ``zone`` is for ISO times without one.
    ``source``: None is the lane's name. ``logged``: the lines are those of a log, where the body stands under ``body``.
    """

    time: Expression | None = None
    topic: Expression | None = None
    id: Expression | None = None
    time_unit: TimeUnit | None = None
    zone: str = "UTC"
    source: Expression | None = None
    logged: bool = False


def logged_envelope() -> Envelope:
    """The envelope of the lines of a log (see log.base)."""

    def found(name: str) -> Expression:
        path = EnvelopePath((name,))
        node = Node("path", SqlType.VARCHAR, value=path)
        return Expression(str(path), str(path), node.type, frozenset({path}), frozenset(), (), node)

    return Envelope(found("time"), found("topic"), found("id"), TimeUnit.MS, "UTC", found("source"), True)


class Buffer(Protocol):
    """Memory that has a path (see SliceBuffer)."""

    capacity: int
    path: str
    view: memoryview

    def trim(self, size: int) -> None:
        """Let the reader of ``path`` see the first ``size`` bytes."""

    def open_whole(self) -> None:
        """Make all of ``view`` writable again."""

    def close(self) -> None:
        """Free the memory."""


@dataclass(slots=True)
class Slice:
    """The part of a batch that one worker decodes: whole blocks of lanes with one time unit, end to end in memory.

    ``path`` is where the engine reads the ``size`` bytes (NDJSON); the first of them is a line feed, so that a byte
    order mark at the start of a block is never taken for that of a file. ``source`` is the lane's name.
    """

    path: str
    size: int
    blocks: list[Block]
    unit: TimeUnit | None
    source: str


@dataclass(slots=True)
class Facts:
    """What the pipeline must know of a slice before its statistics are computed. Ordinals count records from 0.

    ``records``: non-blank lines. ``dead``: ordinals of those that are no events. ``reasons``, parallel to it:
    NOT_JSON, NO_TIME, UNFIT_TIME or OUT_OF_RANGE. ``raw_times``, too: the time's text, if there is one. ``times``: of
    all records in order (0 where dead), None unless asked for. ``ids``: the low and the high half of each record's
    128-bit id hash, and a mask of the records that have an id; None where nothing names one.
    """

    records: int
    dead: Ints
    reasons: Sequence[str]
    raw_times: Sequence[str | None]
    times: Ints | None = None
    ids: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.bool_]] | None = None


@dataclass(frozen=True, slots=True)
class Positions:
    """Where the records of a slice are: from each of ``firsts`` on (ordinals, ascending from 0), ordinals plus a shift.

    In a report there is one run of positions; in a log, dead letters have positions between those of the blocks.
    """

    firsts: Ints
    shifts: Ints

    @classmethod
    def at(cls, position: int) -> Positions:
        """All in a row from this one on."""
        return cls(np.zeros(1, dtype=np.int64), np.array([position], dtype=np.int64))

    def of(self, ordinals: Ints) -> Ints:
        """The positions of records."""
        found: Ints = ordinals + self.shifts[np.searchsorted(self.firsts, ordinals, side="right") - 1]
        return found

    def one(self, ordinal: int) -> int:
        """The position of one record."""
        return int(self.of(np.array([ordinal], dtype=np.int64))[0])


@dataclass(slots=True)
class Exclusion:
    """What the pipeline decided about a slice: where it is, ordinals of duplicates, which rows may be late.

    ``watermarks``: per block of the slice, its first ordinal and the watermark before it (an event before that may be
    late); empty where nothing can be late.
    """

    positions: Positions
    duplicates: Ints
    watermarks: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a result's rows: each distinct one once, and which of them each row has.

    ``columns``: one sequence of values per ``by`` column, as long as there are keys. ``count``: how many there are.
    """

    columns: Sequence[Sequence[Any]]
    count: int
    of_row: Ints


@dataclass(slots=True)
class GroupResult:
    """The primitives of one statistic over one slice, per base window and key.

    ``starts``: base windows' starts in ms. ``keys``: None for the row of all keys. ``block``: the slice's block that
    the row's events came in, or -1 where none of them can be late. ``last`` and ``first``: positions of the row's last
    and first event, 0 where nothing can be late and no keys are bounded. ``columns`` as in Partial.
    """

    statistic: int
    starts: Ints
    keys: Keys | None
    events: Ints
    block: Ints
    first: Ints
    last: Ints
    wrong: Mapping[str, Ints]
    columns: Sequence[Any]


@dataclass(slots=True)
class Computed:
    """A slice's results.

    ``wrong``: events per field whose value had the wrong type. ``unused``: events that no statistic counted.
    """

    results: Sequence[GroupResult]
    wrong: Mapping[str, int]
    unused: int


class Engine(Protocol):
    """Computes slices. One call at a time per worker; ``workers`` of them may run side by side."""

    workers: int

    def sniff(self, slice_: Slice) -> TimeUnit | None:
        """The unit of the times that nothing declares, from a lane's first block; None where none is usable."""
        ...

    def decode(self, worker: int, slice_: Slice, want_times: bool) -> Facts:
        """Decode a slice and keep it until ``compute`` of the same worker."""
        ...

    def compute(self, worker: int, exclusion: Exclusion) -> Computed:
        """The primitives of every statistic over the slice that this worker decoded last."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...
