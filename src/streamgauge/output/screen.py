"""A text in a terminal that is drawn again and again in the same place, by rich."""

from __future__ import annotations

from types import TracebackType
from typing import IO

from rich.console import Console
from rich.live import Live
from rich.text import Text

MARGIN = 8
"""Lines of the terminal that are left for what stands around rows: titles, heads, notes, the prompt."""


class Screen:
    """Shows a text, as a terminal would print it, while in its block; the last one stays."""

    def __init__(self, out: IO[str]) -> None:
        self._console = Console(file=out, highlight=False, markup=False, emoji=False)
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")

    @property
    def width(self) -> int:
        """Characters of a line."""
        return self._console.width

    @property
    def rows(self) -> int:
        """How many rows of a table fit."""
        return max(1, self._console.height - MARGIN)

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def show(self, text: str) -> None:
        """Draw it in place of what was drawn before. Its styles may be those of a terminal (ANSI)."""
        self._live.update(Text.from_ansi(text), refresh=True)
