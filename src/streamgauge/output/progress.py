"""A progress bar with rate and time left, on standard error, for what takes longer than a second."""

from __future__ import annotations

import sys
from typing import Any, Protocol

from streamgauge.clock import Clock

PATIENCE_S = 1.0
BETWEEN_S = 0.1


class Done(Protocol):
    """How far something is."""

    bytes: int
    records: int


class Bar:
    """Appears after a second, is drawn ten times a second at most, and leaves nothing behind."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = self._drawn = clock.monotonic_s()
        self._progress: Any = None
        self._task: Any = None

    def show(self, done: Done | None, total: int | None) -> None:
        """Draw it if it is due; None takes it away."""
        if done is None:
            self.close()
            return
        now = self._clock.monotonic_s()
        if now - self._started < PATIENCE_S or now - self._drawn < BETWEEN_S:
            return
        self._drawn = now
        if self._progress is None:
            self._progress, self._task = _started(total)
        rate = done.records / (now - self._started)
        self._progress.update(self._task, completed=done.bytes, rate=f"{rate:,.0f} events/s", refresh=True)

    def close(self) -> None:
        """Take it away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _started(total: int | None) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    progress = Progress(
        BarColumn(),
        DownloadColumn(binary_units=True),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
        auto_refresh=False,
    )
    progress.start()
    return progress, progress.add_task("", total=total, rate="")
