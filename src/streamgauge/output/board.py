"""A few tables in a terminal that are drawn again and again in the same place, by rich."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO

from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streamgauge.output.text import Glyphs


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table: heads, rows of texts below them (the first column left, all others right), places of marked rows."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: frozenset[int] = frozenset()


class Board:
    """Shows sheets in a terminal while in its block; nothing of it is left behind."""

    def __init__(self, out: IO[str]) -> None:
        self._glyphs = Glyphs.of(getattr(out, "encoding", None))
        console = Console(file=out, highlight=False, markup=False, emoji=False)
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Board:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def show(self, head: str, sheets: Sequence[Sheet]) -> None:
        """Draw them in place of what was drawn before."""
        tables = Columns([self._table(sheet) for sheet in sheets], padding=(0, 4))
        self._live.update(Group(Text(self._glyphs.line(head), "bold"), Text(), tables), refresh=True)

    def _table(self, sheet: Sheet) -> Table:
        title = Text(self._glyphs.line(sheet.title), "dim")
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, min_width=title.cell_len)
        for number, head in enumerate(sheet.heads):
            table.add_column(Text(self._glyphs.line(head)), justify="right" if number else "left", no_wrap=True)
        for number, row in enumerate(sheet.rows):
            style = "bold red" if number in sheet.marked else ""
            table.add_row(*(Text(self._glyphs.line(text)) for text in row), style=style)
        return table
