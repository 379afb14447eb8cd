"""One writer for a folder: a lock that ends with the process that holds it, and names it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from streamgauge.clock import Clock
from streamgauge.errors import Mistake, StoreError

LOCK_NAME = "lock"
_MOST_BYTES = 4096


class FolderLock:
    """The right to write in a folder: making one takes it, ``release`` or the end of the process gives it up.

    The file ``lock`` says who holds it (process id, host, since when, UTC) and is never removed; the lock itself is the
    kernel's (flock), so that what a killed process leaves behind is no obstacle. Raises StoreError where another holds
    it, naming that one, and where the folder cannot be written.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._descriptor = self._open()
        try:
            self._take()
            self._sign(clock)
        except BaseException:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Let others have it. May be called again."""
        if self._descriptor >= 0:
            with suppress(OSError):  # closing it does the same, unless a child process has it open too
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()

    def _open(self) -> int:
        try:
            return os.open(self._folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise self._refusal(f"cannot be written: {error.strerror}", "give it a folder that it may write") from None

    def _take(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = self._holder()
            raise self._refusal(f"is in use by {holder}", "stop that one, or use another folder") from None
        except OSError as error:
            hint = "use a folder on a local file system"
            raise self._refusal(f"cannot be locked: {error.strerror}", hint) from None

    def _sign(self, clock: Clock) -> None:
        since = datetime.fromtimestamp(clock.now_ms() / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}) + "\n"
        # A full disk must not keep the log from being opened: who holds the lock is then not said, but it is held.
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text.encode(), 0)

    def _holder(self) -> str:
        try:
            said = json.loads(os.pread(self._descriptor, _MOST_BYTES, 0))
            return f"process {said['pid']} on {said['host']} since {said['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"

    def _refusal(self, problem: str, hint: str) -> StoreError:
        return StoreError(str(Mistake(f"log {self._folder}", problem, hint=hint)))
