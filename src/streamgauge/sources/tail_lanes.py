"""The lanes of one configured path: one file, or all that a pattern matches, now and later."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from streamgauge.sources.tail_files import OpenKeeper, is_packed, rotated_from
from streamgauge.sources.tail_lane import SETTLE_S, TailLane

SCAN_S = 1.0
"""How often files are looked for that a pattern matches."""


class TailLanes:
    """Follows a path or a pattern. Its methods may block, and are for one thread at a time.

    With a pattern that also matches rotated files, these are left to the lane whose files they were.
    """

    def __init__(self, path: str, make: OpenKeeper) -> None:
        self._path = path
        self._make = make
        self._lanes: dict[str, TailLane] = {}
        self._skipped: dict[str, str] = {}
        self._growing: dict[str, tuple[int, float]] = {}
        self._scanned_s: float | None = None

    def __iter__(self) -> Iterator[TailLane]:
        return iter(list(self._lanes.values()))

    @property
    def skipped(self) -> Iterable[str]:
        """Which files are not followed, and why."""
        return self._skipped.values()

    def look(self, now_s: float, cursor: Callable[[str], Any]) -> list[TailLane]:
        """The lanes that have something to read. ``cursor`` of a path: that of its lane."""
        # Files first, then new ones, then those with the name of a rotated file: what is at such a name was rotated to
        # it, or copied from one of the first, and that must be known before.
        made: list[TailLane] = []
        ready = [lane for lane in self if not _is_rotated(lane.path) and lane.look(now_s, self._is_claimed)]
        if self._scanned_s is None or now_s - self._scanned_s >= SCAN_S:
            self._scanned_s = now_s
            made = self._scan(cursor, now_s)
        rest = [lane for lane in self if lane in made or _is_rotated(lane.path)]
        return ready + [lane for lane in rest if lane.look(now_s, self._is_claimed)]

    def close(self) -> None:
        """Give all files back."""
        for lane in self:
            lane.close()

    def _scan(self, cursor: Callable[[str], Any], now_s: float) -> list[TailLane]:
        """Make lanes of files that have none: those made."""
        known = {path: cursor(path) for path in self._matches() if path not in self._lanes}
        made: list[TailLane] = []
        # Those with a cursor first: only they know which files are theirs.
        for path, place in sorted(known.items(), key=lambda item: (item[1] is None, item[0])):
            if place is not None or not (self._is_early(path) or self._is_foreign(path, now_s)):
                self._lanes[path] = TailLane(path, self._make, place)
                made.append(self._lanes[path])
        return made

    def _matches(self) -> Iterable[str]:
        if not glob.has_magic(self._path):
            return [self._path]
        found = glob.glob(self._path, recursive=True)
        # What a file was rotated from may have a cursor that knows it, and be missing at this moment.
        return {*found, *(base for name in found if (base := rotated_from(name)) != name)}

    def _is_early(self, path: str) -> bool:
        """Whether a rotated file must wait: it may be a copy of one of which nothing was read yet."""
        lane = self._lanes.get(rotated_from(path)) if _is_rotated(path) else None
        return lane is not None and not lane.begun

    def _is_foreign(self, path: str, now_s: float) -> bool:
        """Whether a file that a pattern found is not to be followed, or not by a lane of its own."""
        if path == self._path:
            return False
        try:
            status = os.stat(path)
        except OSError:
            return True
        if not stat.S_ISREG(status.st_mode) or not status.st_size or self._is_claimed(None, path, status):
            return True
        if is_packed(path):
            self._skipped[path] = f"{path}: is compressed, and not read; tail reads files as they are written"
            return True
        return self._is_being_copied(path, status, now_s)

    def _is_being_copied(self, path: str, status: os.stat_result, now_s: float) -> bool:
        """Whether it may become a copy of a lane's file. One that has not grown for a while is whole."""
        if not any(lane.may_become(path) for lane in self._lanes.values()):
            return False
        size, since_s = self._growing.get(path, (-1, now_s))
        if size != status.st_size:
            size, since_s = self._growing[path] = (status.st_size, now_s)
        return now_s - since_s < SETTLE_S

    def _is_claimed(self, asking: TailLane | None, path: str, status: os.stat_result) -> bool:
        """Whether a file at a path, which is that of the lane asking, is not for it to begin."""
        if asking is not None and _is_rotated(path) and self._is_early(path):
            return True
        return any(lane.claims(path, status) for lane in self._lanes.values() if lane is not asking)


def _is_rotated(path: str) -> bool:
    return rotated_from(path) != path
