"""The only file that reads the time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from; tests give their own."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC, of the wall clock."""
        ...

    def monotonic_s(self) -> float:
        """Seconds of a clock that never goes back, for durations only."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds since an arbitrary moment."""
        return time.monotonic()
