"""The file of an archive: its row groups, the index of them in its footer, and how both are written and opened."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from streamgauge.errors import InputError, Mistake, StoreError
from streamgauge.event import FOREVER, NEVER
from streamgauge.log import archive_seal
from streamgauge.log.archive_rows import EVENT, SCHEMA, Rows
from streamgauge.log.base import BlockHeader, LogBlock

FORMAT = 1
SUFFIX = ".parquet"

GROUP_ROWS = 1 << 15
GROUP_BYTES = 16 << 20
"""A row group ends with the block that brings it to so many rows or bytes of lines."""

MOST_TOPICS = 256
"""A row group with more topics than these names none, and any may be in it."""

LEVEL = 3
"""Of zstd: 9 makes archives a seventh smaller, and takes twice the time for them."""

_INDEX = "streamgauge.index"


class DamagedArchive(InputError):
    """An archive, or a row group of it, is not as it was written; the rest can be read.

    Missing are the blocks from ``first_block`` up to, not including, ``next_block``, and the positions likewise; None
    where the whole file cannot be read.
    """

    def __init__(self, path: Path, problem: str, group: Group | None = None) -> None:
        self.path = path
        self.problem = problem
        self.first_block = group.first_block if group else None
        self.next_block = group.last_block + 1 if group else None
        self.position = group.position if group else None
        self.next_position = group.next_position if group else None
        what = f"archive {path}" + (f": blocks {group.first_block} to {group.last_block}" if group else "")
        hint = "put back a copy of this file; the rest of the log is not affected"
        super().__init__(str(Mistake(what, f"cannot be read: {problem}", hint=hint)))


class Group(NamedTuple):
    """A row group: which blocks and positions it holds (``next_position`` not included), and what may be in it.

    ``oldest_ms`` and ``newest_ms`` are None where it has no events. ``topics`` is None where any may be in it; a null
    in it stands for an event without topic. ``start`` and ``end`` are its bytes, ``checksum`` the sum of them.
    """

    number: int
    first_block: int
    last_block: int
    position: int
    next_position: int
    oldest_ms: int | None
    newest_ms: int | None
    topics: tuple[str | None, ...] | None
    start: int
    end: int
    checksum: int

    def may_hold(self, start_ms: int, stop_ms: int, wanted: Callable[[str | None], bool] | None = None) -> bool:
        """Whether an event in ``[start_ms, stop_ms)`` of a wanted topic may be in it. False is certain."""
        if self.oldest_ms is None or self.newest_ms is None or self.oldest_ms >= stop_ms or self.newest_ms < start_ms:
            return False
        return wanted is None or self.topics is None or any(map(wanted, self.topics))


@dataclass(frozen=True, slots=True)
class ArchiveFacts:
    """What an archive is, from its footer alone. ``size`` of the file, ``raw_size`` of the lines in it, in bytes.

    ``newest_received_ms``: when its youngest block was received. Times are None where it has no events.
    """

    path: Path
    size: int
    raw_size: int
    blocks: int
    events: int
    dead: int
    newest_received_ms: int
    groups: tuple[Group, ...]

    @property
    def first_block(self) -> int:
        """The number of its first block."""
        return self.groups[0].first_block

    @property
    def last_block(self) -> int:
        """The number of its last block."""
        return self.groups[-1].last_block

    @property
    def position(self) -> int:
        """The position of its first record."""
        return self.groups[0].position

    @property
    def next_position(self) -> int:
        """The position after its last record."""
        return self.groups[-1].next_position

    @property
    def oldest_ms(self) -> int | None:
        """The time of its oldest event."""
        return min((group.oldest_ms for group in self.groups if group.oldest_ms is not None), default=None)

    @property
    def newest_ms(self) -> int | None:
        """The time of its newest event."""
        return max((group.newest_ms for group in self.groups if group.newest_ms is not None), default=None)

    def find(self, start_ms: int, stop_ms: int, topics: Collection[str] | None = None) -> list[Group]:
        """The row groups that may hold an event in ``[start_ms, stop_ms)`` of one of the topics; see archive.find."""
        wanted = None if topics is None else _matcher(topics)
        return [group for group in self.groups if group.may_hold(start_ms, stop_ms, wanted)]

    def at(self, position: int) -> list[Group]:
        """The row group that holds a position, if one does."""
        return [group for group in self.groups if group.position <= position < group.next_position]


def _matcher(topics: Collection[str]) -> Callable[[str | None], bool]:
    """Whether a topic matches one of the patterns. ``*`` alone, or nothing, matches an event without topic too."""
    if not {"", "*"}.isdisjoint(topics):
        return lambda topic: True
    pattern = re.compile("|".join(re.escape(topic).replace(r"\*", ".*") for topic in topics) or r"(?!)", re.DOTALL)
    return lambda topic: topic is not None and pattern.fullmatch(topic) is not None


class ArchiveWriter:
    """Writes blocks as row groups, and the index of these into the footer. ``file`` is open to read and write."""

    def __init__(self, file: IO[bytes], level: int) -> None:
        self._file = file
        self._sink = archive_seal.Sink(file)
        self._parquet = pq.ParquetWriter(
            self._sink,
            SCHEMA,
            compression="zstd",
            compression_level=level,
            use_dictionary=["kind", "topic", "source", "owner"],
            column_encoding=dict.fromkeys(("block", "position", "time"), "DELTA_BINARY_PACKED"),
            write_statistics=["block", "position", "time", "topic"],
            write_page_checksum=True,
            store_schema=False,
        )
        self._sink.checksum()  # the magic number at the start belongs to no row group
        self._rows = Rows()
        self._headers: list[BlockHeader] = []
        self._groups: list[Group] = []
        self._raw_size = self._blocks = self._events = self._dead = self._received_ms = 0

    def add(self, block: LogBlock) -> None:
        """Take the next block, in order, and with the lines that its header says."""
        self._rows.add(block)
        self._headers.append(block.header)
        self._raw_size += len(block.events) + len(block.dead)
        self._blocks += 1
        self._events += block.header.events
        self._dead += block.header.dead
        self._received_ms = max(self._received_ms, block.header.received_ms)
        if self._rows.count >= GROUP_ROWS or self._rows.bytes >= GROUP_BYTES:
            self._end_group()

    def close(self) -> None:
        """Write what is left, and the footer with its checksum. Raises ValueError where there was no block."""
        if self._headers:
            self._end_group()
        if not self._groups:
            raise ValueError("an archive of no blocks")
        index = {
            "format": FORMAT,
            "raw_size": self._raw_size,
            "blocks": self._blocks,
            "events": self._events,
            "dead": self._dead,
            "newest_received_ms": self._received_ms,
            "groups": [group[1:] for group in self._groups],
        }
        self._parquet.add_key_value_metadata({_INDEX: json.dumps(index, separators=(",", ":"))})
        self._parquet.add_key_value_metadata({archive_seal.KEY: archive_seal.PLACEHOLDER})
        self._parquet.close()
        archive_seal.seal(self._file)

    def abandon(self) -> None:
        """Let pyarrow finish without touching the file any more, which is of no use."""
        self._sink.mute()
        self._parquet.close()

    def _end_group(self) -> None:
        table, headers = self._rows.table(), self._headers
        start = self._sink.offset
        self._parquet.write_table(table, row_group_size=table.num_rows)
        oldest, newest, topics = _reach(table)
        self._groups.append(
            Group(
                number=len(self._groups),
                first_block=headers[0].number,
                last_block=headers[-1].number,
                position=headers[0].position,
                next_position=headers[-1].next_position,
                oldest_ms=oldest,
                newest_ms=newest,
                topics=topics,
                start=start,
                end=self._sink.offset,
                checksum=self._sink.checksum(),
            )
        )
        self._rows, self._headers = Rows(), []


def _reach(table: pa.Table) -> tuple[int | None, int | None, tuple[str | None, ...] | None]:
    """The oldest and the newest time of a table's events, and their topics; all, where one cannot be read."""
    events = table.select(["time", "topic", "odd"]).filter(pc.equal(table.column("kind"), EVENT))
    if not events.num_rows:
        return None, None, ()
    times = pc.min_max(events.column("time").cast(pa.int64()), skip_nulls=False).as_py()
    oldest, newest = (NEVER, FOREVER) if times["min"] is None else (times["min"], times["max"])
    topics = tuple(pc.unique(events.column("topic")).to_pylist())
    unread = pc.and_(pc.is_valid(events.column("odd")), pc.is_null(events.column("topic")))
    if len(topics) > MOST_TOPICS or pc.any(unread).as_py():
        return oldest, newest, None
    return oldest, newest, tuple(sorted(topics, key=lambda topic: (topic is not None, topic or "")))


class OpenArchive:
    """An archive that is open. Its footer was found whole, its row groups are looked at when they are read."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file = file
        self._path = path
        try:
            archive_seal.check_seal(file)
            self._parquet = pq.ParquetFile(file)
        except (archive_seal.Flaw, pa.ArrowException, OSError, ValueError) as error:
            raise DamagedArchive(path, str(error)) from None
        index = json.loads((self._parquet.metadata.metadata or {}).get(_INDEX.encode(), b"{}"))
        if index.get("format") != FORMAT:
            problem = f"is an archive of format {index.get('format')}, this version of streamgauge reads {FORMAT}"
            raise StoreError(str(Mistake(f"archive {path}", problem, hint="upgrade streamgauge")))
        self.facts = _facts(path, file.seek(0, 2), index)

    def read(self, group: Group, columns: Sequence[str] | None = None) -> pa.Table:
        """A row group's table, or some columns of it. Raises DamagedArchive."""
        try:
            archive_seal.check_range(self._file, group.start, group.end, group.checksum)
            return self._parquet.read_row_group(group.number, columns=columns, use_threads=False)
        except (archive_seal.Flaw, pa.ArrowException, OSError, ValueError) as error:
            raise DamagedArchive(self._path, str(error), group) from None


@contextmanager
def open_archive(path: str | Path) -> Iterator[OpenArchive]:
    """Open an archive. Raises OSError where it cannot be opened, StoreError for a later version's, DamagedArchive."""
    with open(path, "rb") as file:
        yield OpenArchive(file, Path(path))


def _facts(path: Path, size: int, index: Mapping[str, Any]) -> ArchiveFacts:
    groups = []
    for number, said in enumerate(index["groups"]):
        group = Group(number, *said)
        groups.append(group._replace(topics=None if group.topics is None else tuple(group.topics)))
    return ArchiveFacts(
        path=path,
        size=size,
        raw_size=index["raw_size"],
        blocks=index["blocks"],
        events=index["events"],
        dead=index["dead"],
        newest_received_ms=index["newest_received_ms"],
        groups=tuple(groups),
    )
