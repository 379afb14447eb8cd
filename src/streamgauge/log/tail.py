"""The newest segment as a file that only grows, and of which it is always known how much is durable."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from streamgauge.log.catalog import UNFINISHED
from streamgauge.step import Step, no_step

STEPS = ("before_log_write", "before_log_fsync", "before_segment_rename", "before_folder_fsync", "log_durable")
"""Where an append may be killed in a test: ``step`` is called with each of these names as it goes by."""


class Tail:
    """A file open for appending. Its first ``size`` bytes are durable, and nothing behind them counts.

    Every method raises OSError where the system does. After a failed ``append``, ``mend`` must succeed before the next.
    ``doubtful``: an fsync failed, after which no one knows what is on the disk: what counts must be verified.
    """

    def __init__(self, path: Path, descriptor: int, size: int, step: Step) -> None:
        self.path = path
        self.size = size
        self.doubtful = False
        self._descriptor = descriptor
        self._step = step

    @classmethod
    def open(cls, path: Path, size: int, step: Step = no_step) -> Tail:
        """Go on with a segment of which the first ``size`` bytes count: these are made durable, the rest is cut."""
        tail = cls(path, os.open(path, os.O_RDWR | os.O_CLOEXEC), size, step)
        try:
            tail._cut()
        except BaseException:
            tail.close()
            raise
        return tail

    @classmethod
    def create(cls, path: Path, data: bytes, step: Step = no_step) -> Tail:
        """Begin a segment with these bytes. It has its name only when they are durable, and so is then its name.

        Where that fails, there may be a file of this name, which does not count and must be removed.
        """
        unfinished = path.with_name(path.name + UNFINISHED)
        descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        tail = cls(path, descriptor, 0, step)
        try:
            tail._write(data)
            step("before_segment_rename")
            os.rename(unfinished, path)
            step("before_folder_fsync")
            sync_folder(path.parent)
            step("log_durable")
        except BaseException:
            tail.close()
            raise
        tail.size = len(data)
        return tail

    def append(self, data: bytes) -> None:
        """Write at the end and wait until it is durable: one write, one fsync."""
        self._write(data)
        self._step("log_durable")
        self.size += len(data)

    def mend(self) -> None:
        """Cut off what a failed append left, through a fresh descriptor."""
        self.close()
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        self._cut()

    def close(self) -> None:
        """Close the file. May be called again."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            with suppress(OSError):
                os.close(descriptor)

    def _write(self, data: bytes) -> None:
        self._step("before_log_write")
        view, offset = memoryview(data), self.size
        while view:
            count = os.pwrite(self._descriptor, view, offset)
            view, offset = view[count:], offset + count
        self.doubtful = True
        self._step("before_log_fsync")
        os.fsync(self._descriptor)
        self.doubtful = False

    def _cut(self) -> None:
        if os.fstat(self._descriptor).st_size > self.size:
            os.ftruncate(self._descriptor, self.size)
        os.fsync(self._descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
