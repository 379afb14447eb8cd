"""What a store promises, and what travels to and from it."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self, TextIO

import msgpack

from streamgauge.aggregates.base import State
from streamgauge.errors import RetryableError, StoreError
from streamgauge.event import NEVER, DeadLetter

ALL_TEXT = '"all"'
"""The key text of the row that counts every event of a window once. No list of values can read so."""

OTHER_TEXT = '"other"'
"""The key text of the row that the keys past ``max_keys`` are folded into."""

MAX_DEAD_LETTERS = 10_000
MAX_DEAD_LETTER_BYTES = 64 * 2**20

NEW = "new"
"""The state of a dead letter that nothing was done with."""

REPLAYED = "replayed"
"""The state of a dead letter that was appended to the log again."""


class StoreUnavailable(StoreError, RetryableError):
    """The store cannot be written or read just now (a full disk, a server that is gone): the same call may succeed.

    Nothing was written, or all of it was and nobody could say so; to commit the very same again is safe.
    """


def key_text(values: Sequence[object]) -> str:
    """Canonical JSON of a key's values in ``by`` order: ASCII, so that NUL and lone surrogates survive anywhere."""
    return "[" + ",".join(map(_key_part, values)) + "]"


def _key_part(value: object) -> str:
    if isinstance(value, str):
        return encode_basestring_ascii(value)  # what json.dumps does in the end, at a third of its cost
    return json.dumps(value + 0.0 if isinstance(value, float) else value, allow_nan=False)


def key_id(text: str) -> bytes:
    """The 16 bytes that name a key in primary keys: the md5 of its text."""
    return hashlib.md5(text.encode("ascii"), usedforsecurity=False).digest()


def pack_blob(value: object) -> bytes:
    """Canonical msgpack: equal values give equal bytes (mappings must come sorted)."""
    packed: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogatepass")
    return packed


def unpack_blob(blob: bytes) -> Any:
    """What ``pack_blob`` was given, tuples as lists."""
    return msgpack.unpackb(blob, raw=False, strict_map_key=False, unicode_errors="surrogatepass")


class CellRow(NamedTuple):
    """A cell as stored. ``key`` is its canonical JSON text; ``states`` are packed, see ``cells.unpack_states``."""

    start: int
    key: str
    events: int
    late: int
    revision: int | None
    wrong: dict[str, int]
    states: list[Any]


class StoredCell(NamedTuple):
    """A cell as the cache asks for it, by the key's id."""

    start: int
    key_id: bytes
    events: int
    late: int
    revision: int | None
    wrong: dict[str, int]
    states: list[Any]


@dataclass(slots=True)
class CellBatch:
    """Cells column by column, in the order (start, key text).

    ``states``: for each primitive, the cells' states as they were before they were packed. ``wrong`` is empty where no
    cell has any.
    """

    starts: Sequence[int]
    keys: Sequence[str]
    events: Sequence[int]
    late: Sequence[int]
    revisions: Sequence[int | None]
    wrong: Sequence[Mapping[str, int]]
    states: Sequence[Sequence[Any]]

    def __len__(self) -> int:
        return len(self.starts)

    def part(self, begin: int, end: int) -> CellBatch:
        """Some of the cells."""
        if begin == 0 and end >= len(self):
            return self
        cut = slice(begin, end)
        return CellBatch(
            self.starts[cut],
            self.keys[cut],
            self.events[cut],
            self.late[cut],
            self.revisions[cut],
            self.wrong[cut],
            [column[cut] for column in self.states],
        )

    @classmethod
    def of(cls, rows: Sequence[CellRow], states: Sequence[State]) -> CellBatch:
        """Stored cells, unpacked."""
        starts, keys, events, late, revisions, wrong, packed = zip(*rows, strict=True)
        columns = list(zip(*packed, strict=True))
        unpacked = [_unpacked(state, column) for state, column in zip(states, columns, strict=True)]
        return cls(starts, keys, events, late, revisions, wrong if any(wrong) else (), unpacked)


def _unpacked(state: State, column: Sequence[Any]) -> Sequence[Any]:
    return column if type(state).unpack is State.unpack else list(map(state.unpack, column))


class Cells(Protocol):
    """Where cells are read from to be presented: a store, or the memory of a run that keeps none."""

    def batches(
        self, version: str, every: str, states: Sequence[State], start: int | None = None, stop: int | None = None
    ) -> Iterator[CellBatch]:
        """Cells with ``start <= window start < stop``, in the order (start, key text)."""
        ...

    def extent(self, version: str, every: str) -> Extent | None:
        """See Store.extent."""
        ...


RawCell = tuple[int, bytes, int, int, int | None, bytes | None, bytes]
"""A cell to write: start, key id, events, late, revision, ``wrong`` packed (None if empty), states packed."""


@dataclass(frozen=True, slots=True)
class Version:
    """One definition of a statistic, named by a hash of what it computes."""

    name: str
    hash: str
    definition: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LaneState:
    """How far a reader has read a lane. ``number`` is the lane's, the same in every run of the reader.

    ``cursor`` is the offset after the last block read, ``line`` the number of the next line. ``mark`` is what windows
    know of the lane (newest time, jump state), as JSON. ``coverage``: the intervals ``[start, end)``, in ms and
    ascending, in which the lane was healthy and its watermark passed.
    """

    number: int
    name: str
    identity: str = ""
    cursor: int = 0
    line: int = 1
    time_unit: str = ""
    form: str = ""
    mark: Mapping[str, Any] = field(default_factory=dict)
    coverage: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class ReaderState:
    """Where a reader stands: the next position, the ordinal of the next block, and its watermark book as JSON."""

    name: str
    position: int = 0
    blocks: int = 0
    book: Mapping[str, Any] = field(default_factory=dict)
    versions: tuple[Version, ...] = ()
    lanes: tuple[LaneState, ...] = ()


@dataclass(frozen=True, slots=True)
class IdChunk:
    """The ids that one block brought: 16-byte hashes, one after another, in log order. ``block`` is its ordinal."""

    block: int
    ids: bytes


class TallyKey(NamedTuple):
    """What is counted by lane and minute: a dead letter's reason, or ``duplicate``. ``minute_ms`` may be unknown."""

    lane: str
    reason: str
    minute_ms: int = NEVER


@dataclass(frozen=True, slots=True)
class CellChange:
    """The changed cells of one version and length, in chunks, sorted by (start, key id)."""

    version: str
    every: str
    chunks: Iterable[Sequence[RawCell]]


@dataclass(frozen=True, slots=True)
class Expire:
    """The cells of one version and length whose window starts before ``before_ms``: they are no longer kept."""

    version: str
    every: str
    before_ms: int


@dataclass(frozen=True, slots=True)
class KeptLetter(DeadLetter):
    """A dead letter of a running program: the configured name of its source, when it came, and its state.

    In its source's stead an older one has its lane; ``received_ms`` is 0 where it is not known.
    """

    source: str = ""
    received_ms: int = 0
    state: str = NEW


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which dead letters are asked for: all that agree with what is given, ``from_ms <= received_ms < to_ms``."""

    reason: str | None = None
    source: str | None = None
    state: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None


@dataclass(slots=True)
class Commit:
    """Everything that one transaction writes. ``counters`` and ``tallies`` are added to what is stored.

    Ids of blocks below ``forget_blocks`` are forgotten. ``expire`` is done after all cells are written, and completely,
    so that what is left depends on the last commit and not on how many there were. ``replayed`` are the positions of
    dead letters whose state becomes ``replayed``. ``newest_letters``: where dead letters find no room, the oldest make
    it; otherwise those that came first stay.
    """

    reader: str
    position: int
    blocks: int = 0
    book: Mapping[str, Any] = field(default_factory=dict)
    versions: Sequence[Version] = ()
    lanes: Sequence[LaneState] = ()
    cells: Iterable[CellChange] = ()
    keys: Sequence[tuple[bytes, str]] = ()
    dead_letters: Sequence[DeadLetter] = ()
    ids: Sequence[IdChunk] = ()
    forget_blocks: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)
    tallies: Mapping[TallyKey, int] = field(default_factory=dict)
    expire: Sequence[Expire] = ()
    replayed: Sequence[int] = ()
    newest_letters: bool = False


class Extent(NamedTuple):
    """What is stored of one version and length. ``first`` and ``last`` are the starts of windows; keys are distinct."""

    first: int
    last: int
    cells: int
    windows: int
    keys: int


ALL_LETTERS = LetterFilter()


class Store(ABC):
    """Results and positions, written together. One writer at a time; every method may block on a disk.

    Versions are named by their hash. Every method raises StoreError where the operator must act.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Give the store back; a temporary one is deleted. May be called twice."""

    @abstractmethod
    def load_reader(self, name: str) -> ReaderState:
        """Where the reader stands; of an unknown one, the beginning."""

    @abstractmethod
    def commit(self, changes: Commit) -> None:
        """Write all of it in one transaction, or nothing.

        Raises StoreUnavailable where the same commit may succeed later, StoreError where the operator must act. A
        connection may break when nobody knows whether the transaction was made: the next commit finds out. The same
        one again (by reader, position, blocks and counts) is then not made twice; another one is refused with a
        StoreError, since it may hold what is already there: its reader must start again from the stored position.
        """

    @abstractmethod
    def cells(
        self, version: str, every: str, start: int | None = None, stop: int | None = None
    ) -> Iterator[list[CellRow]]:
        """Batches of cells with ``start <= window start < stop``, in the order (start, key text).

        What is committed while this is being read may or may not be seen, and may have to wait for the reading.
        """

    def batches(
        self, version: str, every: str, states: Sequence[State], start: int | None = None, stop: int | None = None
    ) -> Iterator[CellBatch]:
        """The same, unpacked and column by column."""
        return (CellBatch.of(rows, states) for rows in self.cells(version, every, start, stop) if rows)

    @abstractmethod
    def load_cells(self, version: str, every: str, wanted: Sequence[tuple[int, bytes]]) -> Iterator[StoredCell]:
        """Those of the wanted (start, key id) that are stored, in any order."""

    @abstractmethod
    def window_keys(self, version: str, every: str, starts: Sequence[int]) -> dict[int, int]:
        """How many keys each window has, but for ``all`` and ``other``; a window without any is absent."""

    @abstractmethod
    def last_start(self, version: str, every: str) -> int:
        """The latest window start stored, or NEVER. Quick."""

    @abstractmethod
    def extent(self, version: str, every: str) -> Extent | None:
        """Counts over all cells, or None where there are none. Reads all of them."""

    @abstractmethod
    def ids(self, reader: str) -> Iterator[IdChunk]:
        """The ids that are not forgotten, in log order."""

    @abstractmethod
    def dead_letters(self, reader: str) -> Iterator[DeadLetter]:
        """Those kept (10 000, and 64 MB of bytes), in order of position."""

    @abstractmethod
    def find_letters(
        self, reader: str, wanted: LetterFilter = ALL_LETTERS, after: int = -1, limit: int = 100
    ) -> list[KeptLetter]:
        """Dead letters past the position ``after`` that the filter wants, by position, at most ``limit``."""

    @abstractmethod
    def letter(self, reader: str, position: int) -> KeptLetter | None:
        """One dead letter, or None where there is none (any more)."""

    @abstractmethod
    def forget_keys(self, spared: Container[bytes] = (), limit: int = 100_000) -> int:
        """Delete texts of keys that no cell has any more, at most ``limit`` of them; how many were deleted.

        For the writer, now and then: reads all cells. ``spared`` are the ids that a cache takes for stored.
        """

    @abstractmethod
    def counters(self, reader: str) -> dict[str, int]:
        """All counters, by name."""

    @abstractmethod
    def tallies(self, reader: str) -> dict[TallyKey, int]:
        """All tallies, in order."""

    @abstractmethod
    def dump(self, out: TextIO) -> None:
        """Write what two runs over the same blocks must have in common, as ordered lines of JSON.

        No surrogate numbers, no wall times, no seen ids (when these are forgotten depends on commits), no texts of keys
        without cells (they go when there is time), not what was done with dead letters.
        """
