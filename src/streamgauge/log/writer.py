"""Writing the log: blocks go to the newest segment, many at once, and count when they are durable."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from streamgauge.clock import Clock
from streamgauge.errors import Mistake, RetryableError, StoreError
from streamgauge.log.base import BlockHeader, LogBlock
from streamgauge.log.catalog import UNFINISHED, WRITTEN, Archives, Segment, list_segments, segment_name
from streamgauge.log.damage import Cut, Damage
from streamgauge.log.lock import FolderLock
from streamgauge.log.recovery import Recovered, archived_end, last_headers, note, recover
from streamgauge.log.segment import Head, Sealed, encode_head, seal_block
from streamgauge.log.tail import Tail, sync_folder
from streamgauge.step import Step, no_step

_HINTS = {
    errno.ENOSPC: "free some space there, or keep less of the log; it goes on by itself",
    errno.EDQUOT: "raise the quota, or keep less of the log; it goes on by itself",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f), or make segments smaller",
    errno.EROFS: "mount the file system for writing; it goes on by itself",
    errno.EIO: "the disk reports an error, see the kernel's log",
}


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """How a log is cut into segments, and how large it may become.

    A new segment is begun where the newest would pass ``segment_bytes``, has ``segment_blocks`` (as many are read at a
    start) or is older than ``segment_age_s``. The files of the log may not pass ``max_bytes`` in all; None: no bound.
    """

    segment_bytes: int = 64 << 20
    segment_blocks: int = 20_000
    segment_age_s: float = 600.0
    max_bytes: int | None = None


class LogWriter:
    """The only writer of a log. For one thread; ``next_block`` and ``next_position`` may be read from any.

    ``damages``: what was found damaged when it was opened, in the newest segment, or missing behind it; ``cut``: the
    torn tail that was cut off, if there was one.
    """

    def __init__(
        self, folder: Path, clock: Clock, options: WriterOptions, archives: Archives, lock: FolderLock, step: Step
    ) -> None:
        """For ``open`` only."""
        self.folder = folder
        self.damages: list[Damage] = []
        self.cut: Cut | None = None
        self.next_block = 0
        self.next_position = 0
        self._clock = clock
        self._options = options
        self._archives = archives
        self._lock = lock
        self._step = step
        self._tail: Tail | None = None
        self._lanes: dict[int, BlockHeader] = {}
        self._begun_at = 0
        self._rotate_at_s = 0.0
        self._used = 0
        self._sound = True

    @classmethod
    def open(
        cls,
        folder: Path,
        clock: Clock,
        options: WriterOptions | None = None,
        *,
        archives: Archives | None = None,
        at_least: tuple[int, int] = (0, 0),
        step: Step = no_step,
    ) -> LogWriter:
        """Open the log in a folder, which is made where there is none, and cut its torn tail.

        ``at_least``: the block number and the position that may be used next at the soonest, where it is known from
        elsewhere (what was read and committed) what has been used: a log that has lost its end never uses them twice.
        ``step``: see tail.STEPS. Raises StoreError where another process writes in the folder, where it cannot be
        written or read, and where the log is of a later version.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FolderLock(folder, clock)
            writer = cls(folder, clock, options or WriterOptions(), archives or {}, lock, step)
            try:
                writer._recover(at_least)
            except BaseException:
                writer.close()
                raise
            return writer
        except OSError as error:
            problem = f"cannot be opened: {error.strerror or error}"
            raise StoreError(str(Mistake(f"log {folder}", problem, where=str(error.filename or "")))) from None

    def append(self, blocks: Sequence[LogBlock]) -> None:
        """Append blocks, whose numbers and positions go on from ``next_block`` and ``next_position``; all or none.

        They are durable when it returns: one write, one fsync. Raises RetryableError where they could not be made so:
        nothing of them is in the log, and the same may be tried again. Raises ValueError for blocks that do not fit.
        """
        if not blocks:
            return
        sealed = [seal_block(block, self.next_block) for block in blocks]
        self._check(sealed)
        data = b"".join(
            part for s, block in zip(sealed, blocks, strict=True) for part in (s.line, block.dead, block.events)
        )
        try:
            self._write(data)
        except (OSError, StoreError) as error:
            self._try_to_mend()
            raise self._refusal(len(blocks), len(data), error) from error
        for one in sealed:
            note(self._lanes, one.header)
        last = sealed[-1].header
        self.next_block, self.next_position = last.number + 1, last.next_position

    def lanes(self) -> dict[int, BlockHeader]:
        """By its number, each lane's last header. Its ``cursor`` is that of the lane's last block that had one."""
        return dict(self._lanes)

    def closed(self) -> list[Segment]:
        """The segments that nothing will be appended to any more, in the form that they were written in, in order."""
        newest = self._tail.path if self._tail else None
        return [s for s in self._list() if s.written and s.path != newest]

    def close(self) -> None:
        """Let others write. What was appended is durable already. May be called again."""
        if self._tail is not None:
            self._tail.close()
        self._lock.release()

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _recover(self, at_least: tuple[int, int]) -> None:
        self._remove_unfinished()
        segments = self._list()
        if segments and segments[-1].written:
            self._go_on(segments, recover(segments[-1]))
        elif segments:
            self.next_block, self.next_position = archived_end(segments[-1], self._archives)
            self._lanes = last_headers(segments, self._archives)
        self._leave_out(*at_least)
        sync_folder(self.folder)
        sync_folder(self.folder.parent)
        self._used = self._measure()

    def _go_on(self, segments: Sequence[Segment], found: Recovered) -> None:
        """Go on after what the newest segment holds. It is made durable, as it may be written and not synced."""
        self.next_block, self.next_position = found.next_block, found.next_position
        self.damages, self.cut = found.damages, found.cut
        self._lanes = last_headers(segments[:-1], self._archives) if found.lanes is None else found.lanes
        for header in found.seen.values() if found.lanes is None else ():
            note(self._lanes, header)
        self._tail = Tail.open(segments[-1].path, found.size, self._step)
        age_s = max(0.0, (self._clock.now_ms() - found.made_ms) / 1000)
        self._rotate_at_s = self._clock.monotonic_s() + self._options.segment_age_s - age_s
        self._begun_at = segments[-1].block
        if found.damages:
            self._leave_tail()

    def _leave_out(self, block: int, position: int) -> None:
        """Use no block and no position before these; what is left out shows between two segments."""
        if block <= self.next_block and position <= self.next_position:
            return
        lost = (str(self.folder), 0, 0, "its end is gone: more of it was read before", self.next_block, block)
        self.damages.append(Damage(*lost, self.next_position, position))
        if self._tail is not None and block <= self.next_block:
            block = self.next_block + 1  # No two segments begin with the same block.
        self.next_block, self.next_position = max(block, self.next_block), max(position, self.next_position)
        self._leave_tail()

    def _leave_tail(self) -> None:
        """Append to a new segment from now on."""
        if self._tail is not None:
            self._tail.close()
            self._tail = None

    def _check(self, sealed: Sequence[Sealed]) -> None:
        block, position = self.next_block, self.next_position
        for header in (one.header for one in sealed):
            if (header.number, header.position) != (block, position):
                got = f"block {header.number} at position {header.position}"
                raise ValueError(f"log {self.folder}: {got} was to be appended, expected {block} at {position}")
            block, position = block + 1, header.next_position

    def _write(self, data: bytes) -> None:
        if not self._sound:
            self._mend()
        if self._tail is not None and not self._is_due(len(data)):
            self._keep_within(len(data))
            self._sound = False
            self._tail.append(data)
        else:
            head = Head(self.next_position, self.next_block, self._clock.now_ms())
            data = encode_head(head, self._lanes.values()) + data
            self._keep_within(len(data))
            self._sound = False
            tail = Tail.create(self.folder / segment_name(*head[:2]), data, self._step)
            self._leave_tail()
            self._tail, self._begun_at = tail, self.next_block
            self._rotate_at_s = self._clock.monotonic_s() + self._options.segment_age_s
        self._sound = True
        self._used += len(data)

    def _is_due(self, size: int) -> bool:
        """Whether a new segment is to be begun for so many bytes. One without blocks would get the same name."""
        if self._tail is None or self._begun_at == self.next_block:
            return self._tail is None
        full = self._tail.size + size > self._options.segment_bytes
        full = full or self.next_block - self._begun_at >= self._options.segment_blocks
        return full or self._clock.monotonic_s() >= self._rotate_at_s

    def _keep_within(self, size: int) -> None:
        most = self._options.max_bytes
        if most is None or self._used + size <= most:
            return
        self._used = self._measure()  # A compactor and retention make room without telling.
        if self._used + size > most:
            problem = f"{size} bytes cannot be appended: it has {self._used} of the {most} bytes that it may have"
            hint = "raise max_bytes, or keep less of the log; it goes on by itself"
            raise RetryableError(str(Mistake(f"log {self.folder}", problem, hint=hint)))

    def _measure(self) -> int:
        with os.scandir(self.folder) as entries:
            return sum(_size(entry) for entry in entries)

    def _try_to_mend(self) -> None:
        with suppress(OSError, StoreError):  # It is tried again before the next append.
            self._mend()

    def _mend(self) -> None:
        """Take back what a failed append left. Raises OSError or StoreError where that fails too."""
        self._remove_unfinished()
        newest = self._tail.path if self._tail else None
        for segment in list_segments(self.folder):
            if segment.block >= self.next_block and segment.path != newest:
                segment.path.unlink()
        sync_folder(self.folder)
        if self._tail is not None:
            self._tail.mend()
            if self._tail.doubtful:
                self._verify(self._tail)
        self._used = self._measure()
        self._sound = True

    def _verify(self, tail: Tail) -> None:
        """After a failed fsync: read back what counts. If it is not there any more, say so, and leave this segment."""
        segment = next(s for s in list_segments(self.folder) if s.path == tail.path)
        found = recover(segment)
        self.damages += found.damages
        if found.size == tail.size and found.next_block == self.next_block and not found.damages:
            tail.doubtful = False
            return
        if found.next_block < self.next_block:
            problem, lost = "blocks are gone after an fsync that failed", (found.next_block, self.next_block)
            positions = (found.next_position, self.next_position)
            self.damages.append(Damage(str(tail.path), found.size, tail.size, problem, *lost, *positions))
        self._leave_tail()

    def _remove_unfinished(self) -> None:
        for path in self.folder.glob(f"segment-*{WRITTEN}{UNFINISHED}"):
            path.unlink(missing_ok=True)

    def _list(self) -> list[Segment]:
        return list_segments(self.folder, self._archives.keys())

    def _refusal(self, blocks: int, size: int, error: OSError | StoreError) -> RetryableError:
        code, reason = (error.errno, error.strerror) if isinstance(error, OSError) else (None, str(error))
        problem = f"{blocks} blocks of {size} bytes could not be appended, nothing of them was kept: {reason}"
        return RetryableError(str(Mistake(f"log {self.folder}", problem, hint=_HINTS.get(code or 0, ""))))


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # removed since the folder was listed
        return 0
