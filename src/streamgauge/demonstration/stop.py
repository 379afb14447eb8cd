"""How a run is asked to end: by a signal, which is seen by the event loop and by threads, and interrupts nothing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from types import FrameType


class Stop:
    """Whether the end was asked for. ``take_signals`` makes SIGINT, SIGTERM and SIGHUP ask for it.

    Unlike KeyboardInterrupt it comes only where it is looked for, so that no import, lock or commit is cut in half.
    """

    def __init__(self) -> None:
        self.asked = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = threading.Event()
        self._seen = asyncio.Event()

    def take_signals(self) -> None:
        """From now on and for good; only the process that lives for this run may do it, in its main thread."""
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, self._signalled)

    def attach(self) -> None:
        """Wake up what waits in the running event loop."""
        self._loop = asyncio.get_running_loop()
        if self.asked:
            self.ask()

    def ask(self) -> None:
        """Ask for the end, in the event loop."""
        self.asked = True
        self._told.set()
        self._seen.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the end, in a thread, at most so long; whether it was asked for."""
        return self._told.wait(max(0.0, seconds))

    async def come(self) -> None:
        """Wait for the end, in the event loop."""
        await self._seen.wait()

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        # No lock is taken here: whoever was interrupted may hold it. A loop that is closed needs no telling.
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.ask)
