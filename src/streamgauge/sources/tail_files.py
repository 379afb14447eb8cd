"""The files behind one name: the one that is written now, and those that it was before it was rotated."""

from __future__ import annotations

import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from streamgauge.sources.tail_forms import Keeper

_MARK_BYTES = 256
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_ROTATED = re.compile(r"[.\-_](?:\d[\d.TZt:_-]*|old|prev|bak)")
_PACKED_NAMES = (".gz", ".zst", ".bz2", ".xz", ".lz4", ".zip")
_PACKED_MAGIC = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ", b"\x04\x22\x4d\x18", b"PK\x03\x04")

OpenKeeper = Callable[[int, str, int, int], Keeper]
"""Makes the keeper of an open file: its descriptor, its path, and the place (offset, line) to go on at."""


Known = Callable[[str, os.stat_result], bool]


@dataclass(slots=True)
class Place:
    """How far a file was read, and what tells it from every other: what a cursor holds of it.

    ``inode`` alone is not enough, as it is given again to a later file: ``head`` and ``near`` are checksums of the
    first bytes and of those before ``offset`` (at most 256 each). ``seen_ns`` is when it had last been written to.
    """

    inode: int
    offset: int = 0
    line: int = 1
    head: int = 0
    near: int = 0
    seen_ns: int = 0

    def to_list(self) -> list[int]:
        """As JSON."""
        return [self.inode, self.offset, self.line, self.head, self.near, self.seen_ns]

    def mark(self, descriptor: int) -> None:
        """Remember the bytes around the place."""
        self.head, self.near = _checksums(descriptor, self.offset)

    def fits(self, descriptor: int) -> bool:
        """Whether an open file has the same bytes there. Every file fits a place at its beginning."""
        if not self.offset:
            return True
        # Shorter than the place: its last bytes cannot be the same, though their checksum might be.
        if os.fstat(descriptor).st_size < self.offset:
            return False
        return _checksums(descriptor, self.offset) == (self.head, self.near)

    def begins_like(self, descriptor: int) -> bool:
        """Whether an open file may be a copy of this one, perhaps one that is being made."""
        if os.fstat(descriptor).st_size < self.offset:
            size = min(_MARK_BYTES, self.offset)
            head = os.pread(descriptor, size, 0)
            return len(head) < size or zlib.crc32(head) == self.head
        return self.offset > 0 and self.fits(descriptor)


def _checksums(descriptor: int, offset: int) -> tuple[int, int]:
    size = min(_MARK_BYTES, offset)
    head = zlib.crc32(os.pread(descriptor, size, 0))
    return head, zlib.crc32(os.pread(descriptor, size, offset - size))


@dataclass(slots=True, eq=False)
class Followed:
    """One file that is read, or was. ``path`` is where it was found; empty where it is not known (any more).

    ``read_to`` is behind ``place.offset`` by what is no whole record yet. ``over``: nothing more is expected of it.
    """

    place: Place
    path: str = ""
    descriptor: int = -1
    keeper: Keeper | None = None
    read_to: int = 0
    size: int = 0
    changed_s: float = 0.0
    stamp: tuple[int, int] = field(default=(-1, -1))
    over: bool = False
    refused: tuple[int, int] | None = None
    """The ``stamp`` with which it could not be understood: it is tried again when that has changed."""

    @property
    def waiting(self) -> int:
        """Bytes that were written and not read."""
        return (
            0 if self.over or self.refused == self.stamp else max(0, self.size - max(self.read_to, self.place.offset))
        )

    def open(self, make: OpenKeeper) -> bool:
        """Open it to go on reading, if it is closed; False where it is another file by now. Raises OSError."""
        if self.descriptor >= 0:
            return True
        descriptor = os.open(self.path, _FLAGS)
        try:
            status = os.fstat(descriptor)
            same = status.st_ino == self.place.inode and self.place.fits(descriptor)
            if same:
                self.keeper = make(descriptor, self.path, self.place.offset, self.place.line)
                self.read_to = self.keeper.offset
        except BaseException:
            os.close(descriptor)
            raise
        if not same:
            os.close(descriptor)
            return False
        self.descriptor = descriptor
        return True

    def look(self, now_s: float) -> bool:
        """See how long it is; False where it cannot be seen (any more)."""
        try:
            status = os.fstat(self.descriptor) if self.descriptor >= 0 else os.stat(self.path)
        except OSError:
            return False
        if status.st_ino != self.place.inode:
            return False
        stamp = (status.st_size, status.st_mtime_ns)
        if stamp != self.stamp:
            self.stamp, self.changed_s = stamp, now_s
        self.size = status.st_size
        return True

    def was_cut(self, status: os.stat_result) -> bool:
        """Whether the file, of which this is the newest status, has lost what was read of it."""
        if status.st_size < max(self.read_to, self.place.offset):
            return True
        if (status.st_size, status.st_mtime_ns) == self.stamp:
            return False
        if self.descriptor >= 0:
            return not self.place.fits(self.descriptor)
        with suppress(OSError), opened(self.path) as descriptor:
            # Renamed since: then this says nothing.
            return os.fstat(descriptor).st_ino == status.st_ino and not self.place.fits(descriptor)
        return False

    def close(self) -> None:
        """Give the file back; what was read of an unfinished record will be read again."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor, self.keeper, self.read_to = -1, None, self.place.offset


def is_packed(path: str) -> bool:
    """Whether a file is compressed, by its name or its first bytes."""
    if path.endswith(_PACKED_NAMES):
        return True
    with suppress(OSError), opened(path) as descriptor:
        return os.pread(descriptor, 8, 0).startswith(_PACKED_MAGIC)
    return False


def rotated_from(path: str) -> str:
    """The name that a file was probably rotated from, as ``app.log`` for ``app.log.1``; itself where there is none."""
    folder, name = os.path.split(path)
    for found in _ROTATED.finditer(name):
        if found.end() == len(name) and found.start():
            return os.path.join(folder, name[: found.start()])
    return path


def siblings(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """The regular files beside ``path`` (itself included), and what is known of them."""
    try:
        with os.scandir(os.path.dirname(path) or ".") as entries:
            for entry in entries:
                with suppress(OSError):
                    status = entry.stat()
                    if stat.S_ISREG(status.st_mode):
                        yield os.path.join(os.path.dirname(path), entry.name), status
    except OSError:
        return


def find_again(path: str, place: Place, taken: Sequence[int] = ()) -> tuple[str, int] | None:
    """Where a file is now that had this name: ``(path, inode)``. By inode and content, else a copy by its content.

    A copy (made before the file was cut, or by a move to another disk) must be named as a rotated one, and not be one
    of the inodes ``taken``. A compressed one is none.
    """
    copies: list[tuple[str, int]] = []
    for name, status in sorted(siblings(path)):
        same = status.st_ino == place.inode
        copy = place.offset and status.st_ino not in taken and rotated_from(name) == path != name
        if (same or copy) and status.st_size >= place.offset and fits(name, place):
            if same:
                return name, status.st_ino
            copies.append((name, status.st_ino))
    return copies[0] if copies else None


def never_seen(path: str, place: Place, known: Known) -> list[tuple[str, os.stat_result]]:
    """The rotated files that came after the one at ``place``, oldest first, those ``known`` left out.

    They were the current file for so short a time, or while nobody looked, that they were never seen as that.
    """
    found = [
        (name, status)
        for name, status in siblings(path)
        if rotated_from(name) == path != name
        and status.st_mtime_ns >= place.seen_ns
        and status.st_size
        and not is_packed(name)
        and not known(name, status)
    ]
    return sorted(found, key=lambda item: (item[1].st_mtime_ns, item[0]))


def fits(path: str, place: Place, *, loosely: bool = False) -> bool:
    """Whether the file at ``path`` has the bytes of the place; ``loosely``: or begins as if it were to have them."""
    with suppress(OSError), opened(path) as descriptor:
        return place.begins_like(descriptor) if loosely else place.fits(descriptor)
    return False


def is_start_of(path: str, other: str) -> bool:
    """Whether what one file has stands at the start of another: it is a copy that was made of it."""
    with suppress(OSError), opened(path) as descriptor, opened(other) as whole:
        place = Place(-1, os.fstat(descriptor).st_size)
        place.mark(descriptor)
        return place.fits(whole)
    return False


@contextmanager
def opened(path: str) -> Iterator[int]:
    """A descriptor to look at a file with. Raises OSError."""
    descriptor = os.open(path, _FLAGS)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
