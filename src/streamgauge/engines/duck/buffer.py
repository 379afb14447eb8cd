"""A slice's bytes where DuckDB can read them as a file and the reader can write them without a copy."""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import tempfile


class SliceBuffer:
    """A growable piece of memory with a path.

    On Linux it is a memfd, read through ``/proc/self/fd``; elsewhere a temporary file. ``view`` is writable memory of
    ``capacity`` bytes; ``trim`` says how many of them the reader of ``path`` sees.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._size = capacity
        if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
            self._fd = os.memfd_create("streamgauge-slice")
            self.path = f"/proc/self/fd/{self._fd}"
            self._file = None
        else:
            self._file = tempfile.NamedTemporaryFile(prefix="streamgauge-slice-")  # noqa: SIM115  (closed in close)
            self._fd = self._file.fileno()
            self.path = self._file.name
        os.ftruncate(self._fd, capacity)
        self._map = mmap.mmap(self._fd, capacity)
        self.view = memoryview(self._map)

    def trim(self, size: int) -> None:
        """Let the reader of ``path`` see the first ``size`` bytes."""
        if size != self._size:
            os.ftruncate(self._fd, size)
            self._size = size

    def open_whole(self) -> None:
        """Make all of ``view`` writable again, after a trim."""
        self.trim(self.capacity)

    def close(self) -> None:
        """Free the memory."""
        self.view.release()
        # A block of a run that was broken off may still point into the memory, which is then freed with it.
        with contextlib.suppress(BufferError):
            self._map.close()
        if self._file is not None:
            self._file.close()
        else:
            os.close(self._fd)


class SamePath:
    """One path under which file after file is read, so that a statement with it in its text need be planned only once.

    Where a file has no descriptor to duplicate, its path stays what it is.
    """

    def __init__(self) -> None:
        self._fd: int | None = None

    def of(self, path: str) -> str:
        """The path under which the file at ``path`` can be read until another is asked for."""
        found = _DESCRIPTOR.fullmatch(path)
        if found is None:
            return path
        fd = int(found.group(1))
        self._fd = os.dup(fd) if self._fd is None else os.dup2(fd, self._fd)
        return f"/proc/self/fd/{self._fd}"

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


_DESCRIPTOR = re.compile("/proc/self/fd/([0-9]+)")
