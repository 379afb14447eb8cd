"""Tables for people, by rich: one block per statistic and length, in a terminal, a pipe or a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from typing import IO

from rich.console import Console
from rich.text import Text

from streamgauge.output.base import Block, Options
from streamgauge.output.cells import PROVISIONAL
from streamgauge.output.layout import GAP, MARK, Cell, Shown, narrowed, parts, shown_columns
from streamgauge.output.present import Presenter, Query, Row
from streamgauge.output.text import Glyphs, folded

PIPE_WIDTH = 200
"""Characters of a line where there is no terminal."""

CHUNK = 1000
"""Rows that are laid out at once; a longer table goes on with its header repeated."""


def write_table(blocks: Iterable[Block], out: IO[str], options: Options) -> None:
    """One block after another, each followed by its notes; the notes under the empty name come at the end."""
    paper = _Paper(out, options)
    blocks = list(blocks)
    for number, (presenter, query) in enumerate(blocks):
        if number:
            paper.line()
        _Block(presenter, query, paper).write()
        name = presenter.statistic.name
        if number + 1 == len(blocks) or blocks[number + 1][0].statistic.name != name:
            paper.notes(options.notes.get(name, ()))
    if not blocks:
        paper.line("no statistic", "dim")
    if last := options.notes.get("", ()):
        paper.line()
        paper.notes(last)


class _Console(Console):
    """rich's, which does not end the program where a pipe is closed."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class _Paper:
    """Where lines go. In a terminal rich gives them their styles; elsewhere they are written as they are."""

    def __init__(self, out: IO[str], options: Options) -> None:
        self.out = out
        self.glyphs = Glyphs.of(getattr(out, "encoding", None))
        # Where rich asks whether this is a terminal, and which colours it has.
        self._console = _Console(
            file=out, force_terminal=options.terminal, highlight=False, markup=False, emoji=False, soft_wrap=False
        )
        terminal = self._console.is_terminal
        self.width = options.width or (self._console.width if terminal else PIPE_WIDTH)

    def line(self, text: str = "", style: str = "") -> None:
        """One line, or as many as the width asks for."""
        self.lines((shown, style) for shown in folded(self.glyphs.line(text), self.width))

    def notes(self, notes: Sequence[str]) -> None:
        """What is said below a block."""
        for note in notes:
            self.line(note, "dim")

    def lines(self, lines: Iterable[tuple[str, str]]) -> None:
        """Lines as they are, each with its style; a terminal that is narrower wraps them, and nothing is cut."""
        if not self._console.is_terminal:
            self.out.write("".join(f"{text}\n" for text, _ in lines))
            return
        with self._console.capture() as captured:
            for text, style in lines:
                self._console.print(Text(text, style), soft_wrap=True)
        self.out.write(captured.get())


class _Block:
    """One statistic and one length."""

    def __init__(self, presenter: Presenter, query: Query, paper: _Paper) -> None:
        self.presenter, self.query, self.paper = presenter, query, paper
        columns = shown_columns(presenter, query, paper.glyphs, paper.width)
        self.lead = [c for c in columns if c.lead]
        self.columns = [c for c in columns if not c.lead]
        self.provisional = self.low = False

    def write(self) -> None:
        """Title, tables, and what must be said of the rows."""
        spec, printed = self.presenter.statistic.spec, 0
        self.paper.line(spec.name + (f": {spec.help}" if spec.help else ""), "bold")
        self.paper.line(title(self.presenter, self.query), "dim")
        rows = self.presenter.rows(self.query)
        while chunk := list(islice(rows, CHUNK)):
            self.paper.line()
            self._chunk(chunk)
            printed += len(chunk)
        self.paper.line()
        self._footer(printed)

    def _chunk(self, rows: Sequence[Row]) -> None:
        cells = {id(c): [c.cell(row) for row in rows] for c in (*self.lead, *self.columns)}
        for column in (*self.lead, *self.columns):
            column.fit(cells[id(column)])
        narrowed(self.lead, self.columns, self.paper.width)
        low = [s.low for s in self.presenter.shown if s.low]
        self.low = self.low or any(row[name] for row in rows for name in low)
        self.provisional = self.provisional or any(row["state"] == PROVISIONAL for row in rows)
        for number, group in enumerate(parts(self.lead, self.columns, self.paper.width)):
            if number:
                self.paper.line()
            self.paper.lines(_header(group))
            self.paper.lines(_lines(group, [cells[id(c)] for c in group], rows))

    def _footer(self, printed: int) -> None:
        if not printed:
            self.paper.line("no rows", "dim")
        if self.query.limit is not None and printed >= self.query.limit:
            total = self.presenter.count(self.query)
            if total > printed:
                glyphs = self.paper.glyphs
                self.paper.line(f"{glyphs.integer(printed)} of {glyphs.integer(total)} rows", "dim")
        if self.provisional:
            self.paper.line(f"{MARK} provisional: the watermark has not passed the window yet", "dim")
        if self.low:
            self.paper.line(f"low: n is below {self.presenter.statistic.spec.min_n}", "dim")


def title(presenter: Presenter, query: Query) -> str:
    """What the windows are: ``windows of 6m by the time of the event; times in UTC``."""
    statistic, length = presenter.statistic, presenter.length(query)
    shape = statistic.shape.shape if statistic.shape is not None else None
    field = statistic.time or (shape.time_field if shape is not None else "")
    chosen = f"the {field} of the {shape.name}" if field and shape is not None else "the time of the event"
    zone = f" in {statistic.windows.zone}" if length.calendar else ""
    rolled = "" if query.by is None else f"; rolled up to {', '.join(query.by) or 'one row per window'}"
    return f"windows of {length.text}{zone}, chosen by {chosen}{rolled}; times in {query.tz}"


def _header(columns: Sequence[Shown]) -> Iterator[tuple[str, str]]:
    height = max(len(c.header) for c in columns)
    padded = [[""] * (height - len(c.header)) + c.header for c in columns]
    return ((_joined(columns, line), "bold") for line in zip(*padded, strict=True))


def _lines(columns: Sequence[Shown], cells: Sequence[Sequence[Cell]], rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """The lines of each row: one, or as many as its longest text is folded to."""
    for row, line in zip(rows, zip(*cells, strict=True), strict=True):
        style = "dim" if row["state"] == PROVISIONAL else ""
        folds = [column.lines(cell) for column, cell in zip(columns, line, strict=True)]
        for texts in zip_longest(*folds, fillvalue=""):
            yield _joined(columns, texts), style


def _joined(columns: Sequence[Shown], texts: Sequence[str]) -> str:
    padded = (column.padded(text) for column, text in zip(columns, texts, strict=True))
    return (" " * GAP).join(padded).rstrip(" ")
