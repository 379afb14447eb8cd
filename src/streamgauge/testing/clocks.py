"""Clocks that a test sets."""

from __future__ import annotations

from pathlib import Path

from streamgauge.clock import SystemClock


class SteppedClock(SystemClock):
    """The machine's clocks, of which the wall clock is off by as many ms as a file says.

    The file may be changed at any time, also by another process: so a wall clock is set while a program runs.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC, and as many more, or less, as the file says; none where it says nothing."""
        said = self._file.read_bytes() if self._file.exists() else b""
        return super().now_ms() + int(said or b"0")
