"""One followed name: what is to be read of its files, in order, through every rotation.

A lane holds its files from the oldest to the one that is written now. Each has its own place, and the cursor is all of
them: so a restart finds what was rotated meanwhile, wherever it is by then, and reads nothing twice.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamgauge.errors import InputError
from streamgauge.sources.lines import Lines
from streamgauge.sources.tail_files import (
    Followed,
    OpenKeeper,
    Place,
    find_again,
    fits,
    is_start_of,
    never_seen,
    rotated_from,
    siblings,
)

Claimed = Callable[["TailLane", str, os.stat_result], bool]
READ_BYTES = 1 << 20
SETTLE_S = 5.0
"""After so long, what a rotated file ends with is whole, and a CSV record that does not end is broken."""

LEFT_S = 60.0
"""After so long without a change, a file is closed until it changes."""

_MOST_READS = 32
_MOST_PLACES = 100


@dataclass(frozen=True, slots=True)
class Found:
    """Records that were read, with the cursor behind them; ``behind``: more is there."""

    lines: Lines
    cursor: Any
    behind: bool


class TailLane:
    """Follows one path. Its methods may block, and are for one thread at a time.

    ``problem`` is why it cannot be read at present; ``lost`` what can never be read.
    """

    def __init__(self, path: str, make: OpenKeeper, cursor: Any = None) -> None:
        self.path = path
        self.problem = ""
        self.lost = ""
        self.hungry = False
        self._make = make
        self._files = [Followed(Place(*entry)) for entry in (cursor or {}).get("files", [])]
        self._looked = False
        self._current: Followed | None = None
        self._resumed = bool(self._files)
        for file in self._files:
            file.read_to = file.place.offset

    @property
    def waiting(self) -> int:
        """Bytes that were written and not read."""
        return sum(file.waiting for file in self._files)

    @property
    def begun(self) -> bool:
        """Whether enough of the current file was read to tell a copy of it, or nothing is there to be read."""
        current = self._current
        return self._looked and (current is None or current.place.offset > 0 or not current.waiting)

    @property
    def cursor(self) -> Any:
        """What to give to a new lane, that it may go on here."""
        return {"files": [file.place.to_list() for file in self._files[-_MOST_PLACES:]]}

    def claims(self, path: str, status: os.stat_result) -> bool:
        """Whether a file under another name is one of this lane's: rotated, or copied before its file was cut."""
        related = rotated_from(path) == self.path != path
        for file in self._files:
            if file.place.inode == status.st_ino and (not file.place.offset or fits(path, file.place)):
                return True
            if related and file.place.offset and fits(path, file.place):
                return True
        return False

    def may_become(self, path: str) -> bool:
        """Whether a file under another name may be a copy of one of this lane's that is being made."""
        related = rotated_from(path) == self.path != path
        return related and any(file.place.offset and fits(path, file.place, loosely=True) for file in self._files)

    def close(self) -> None:
        """Give all files back."""
        for file in self._files:
            file.close()

    def look(self, now_s: float, claimed: Claimed) -> bool:
        """Find out what there is; whether there is something to read. ``claimed``: whether it is another lane's."""
        status = self._status(claimed)
        self._looked = True
        if self._resumed:
            self._resumed = False
            for file in self._files[:-1]:
                self._locate(file)
        if status is not None:
            self._meet(status)
        elif self._files:
            self._add_never_seen(self._files[-1].place)
        self._current = self._files[-1] if status is not None else None
        for file in self._files:
            if not file.over:
                self._glance(file, now_s)
        return self.hungry or any(file.waiting or self._is_settled(file, now_s) for file in self._files)

    def _status(self, claimed: Claimed) -> os.stat_result | None:
        """That of the file at the path; None where there is none, or not one of ours."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.problem = f"{self.path}: {error.strerror}"
            return None
        if not stat.S_ISREG(status.st_mode):
            self.problem = f"{self.path}: is no regular file"
            return None
        known = bool(self._files) and self._files[-1].place.inode == status.st_ino
        return None if not known and claimed(self, self.path, status) else status

    def read(self, now_s: float) -> Found | None:
        """The next records, of the oldest file that has some. None where there are none."""
        self.hungry = False
        for file in self._files:
            if file.over:
                continue
            lines = self._read(file, now_s)
            if lines is not None and (lines.data or lines.count):
                return Found(lines, self.cursor, self.waiting > 0)
        return None

    def _meet(self, status: os.stat_result) -> None:
        """The file at the path: the one that was there, the same cut short, or another one."""
        last = self._files[-1] if self._files else None
        if last is None:
            self._files.append(_current(self.path, status))
        elif status.st_ino != last.place.inode:
            self._was_renamed(last, status)
        else:
            last.path, last.over = self.path, False
            if last.was_cut(status):
                self._begin_again(last, status)
            elif not last.place.offset and last.place.seen_ns != status.st_mtime_ns:
                # It may have been cut before anything was read of it, and what it had may be in a copy.
                self._files.pop()
                self._add_never_seen(last.place)
                self._files.append(last)

    def _begin_again(self, last: Followed, status: os.stat_result) -> None:
        """Its content is gone from it. What was not read of that may be in a copy that was made before."""
        last.close()
        copy = find_again(self.path, Place(-1, *last.place.to_list()[1:]), self._inodes)
        if copy is None:
            self._files.remove(last)
        else:
            last.path, last.place.inode = copy
            last.stamp = (-1, -1)
        self._add_never_seen(last.place)
        self._files.append(_current(self.path, status))

    def _was_renamed(self, last: Followed, status: os.stat_result) -> None:
        if last.descriptor < 0:
            self._locate(last)
        there = {found.st_ino for _, found in siblings(self.path)}
        self._files = [file for file in self._files if not file.over or file.place.inode in there]
        again = [f for f in self._files if f.place.inode == status.st_ino and fits(self.path, f.place)]
        if again:
            self._files.remove(again[0])
            again[0].path, again[0].over = self.path, False
        else:
            self._add_never_seen(last.place)
        self._files.append(again[0] if again else _current(self.path, status))

    def _add_never_seen(self, place: Place) -> None:
        if place.seen_ns:
            found = never_seen(self.path, place, self._knows)
            self._files += [_current(name, status) for name, status in found]

    def _knows(self, path: str, status: os.stat_result) -> bool:
        """Whether a rotated file is one of this lane's, or a copy of the one that is at its path now."""
        return self.claims(path, status) or is_start_of(path, self.path)

    @property
    def _inodes(self) -> list[int]:
        return [file.place.inode for file in self._files]

    def _locate(self, file: Followed) -> None:
        """Find a file that is at its path no more."""
        others = [other.place.inode for other in self._files if other is not file]
        found = find_again(self.path, file.place, others)
        if found is not None:
            file.path, file.place.inode = found
        elif file is self._files[-1] and not file.over:
            self.lost = (
                f"{self.path}: the file that was read to byte {file.place.offset} is gone, with what it had more"
            )
        file.over = found is None

    def _glance(self, file: Followed, now_s: float) -> None:
        """See what has become of a file. What has something to read is held open, so that it cannot go away."""
        if not file.look(now_s):
            file.close()
            self._locate(file)
            if file.over or not file.look(now_s):
                return
        if file.waiting and file.descriptor < 0:
            self._open(file)
        elif now_s - file.changed_s > LEFT_S and not file.waiting and not (file.keeper and file.keeper.kept):
            file.close()
            file.over = file is not self._files[-1]

    def _open(self, file: Followed) -> bool:
        try:
            if not file.open(self._make):
                return False
            self.problem = ""
            return True
        except OSError as error:
            self.problem = f"{file.path}: {error.strerror}"
        except InputError as error:
            self.problem, file.refused = str(error), file.stamp
        return False

    def _is_settled(self, file: Followed, now_s: float) -> bool:
        return file.keeper is not None and file.keeper.kept > 0 and now_s - file.changed_s > SETTLE_S

    def _read(self, file: Followed, now_s: float) -> Lines | None:
        """The next records of one file."""
        if file.waiting == 0:
            return self._settle(file) if self._is_settled(file, now_s) else None
        if not self._open(file):
            return None
        try:
            return self._read_more(file)
        except OSError as error:
            self.problem = f"{file.path}: {error.strerror}"
        except InputError as error:
            file.close()
            self.problem, file.refused = str(error), file.stamp
        return None

    def _read_more(self, file: Followed) -> Lines | None:
        for _ in range(_MOST_READS):
            data = os.pread(file.descriptor, READ_BYTES, file.read_to)
            # Looked at after the reading: had the file been cut before, these bytes would be of another content.
            if not data or not file.place.fits(file.descriptor) or file.keeper is None:
                return None
            lines = file.keeper.push(data)
            file.read_to += len(data)
            if self._advance(file):
                return lines
        self.hungry = file.read_to < file.size
        return None

    def _settle(self, file: Followed) -> Lines | None:
        """A file that has been quiet: its last record, where it is the current one no more."""
        if file.keeper is None:
            return None
        lines = file.keeper.settle() if file is self._current else file.keeper.end()
        return lines if self._advance(file) else None

    def _advance(self, file: Followed) -> bool:
        """Set the place behind what the keeper gave out; whether that is further than before."""
        keeper, place = file.keeper, file.place
        if keeper is None or keeper.offset == place.offset:
            return False
        place.offset, place.line, place.seen_ns = keeper.offset, keeper.line, file.stamp[1]
        place.mark(file.descriptor)
        return True


def _current(path: str, status: os.stat_result) -> Followed:
    """A file that is to be read from its start."""
    return Followed(Place(status.st_ino, seen_ns=status.st_mtime_ns), path)
