"""Tables for people, by rich: one block per statistic and length, in a terminal, a pipe or a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from typing import IO

from rich.console import Console
from rich.text import Text

from streamgauge.output.base import Block, Options
from streamgauge.output.cells import PROVISIONAL
from streamgauge.output.layout import GAP, MARK, WIDE, Cell, Form, Shown, forms, narrowed, parts, shown_columns
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
        name = presenter.statistic.name
        is_last = number + 1 == len(blocks) or blocks[number + 1][0].statistic.name != name
        _Block(presenter, query, paper).write(options.notes.get(name, ()) if is_last else ())
    if not blocks:
        paper.line("no statistic", "dim")
    paper.notes(options.notes.get("", ()))


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
        """What is said below a block, if anything, after an empty line."""
        if notes:
            self.line()
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
        self.forms = forms(paper.width)
        self._take(self.forms[0])
        self.provisional = self.low = False

    def _take(self, form: Form) -> None:
        columns = shown_columns(self.presenter, self.query, self.paper.glyphs, self.paper.width, form)
        self.form = form
        self.lead = [c for c in columns if c.lead]
        self.columns = [c for c in columns if not c.lead]

    def write(self, notes: Sequence[str] = ()) -> None:
        """Title, tables, what must be said of the rows, and the notes."""
        spec, printed = self.presenter.statistic.spec, 0
        self.paper.line(spec.name + (f": {spec.help}" if spec.help else ""), "bold")
        self.paper.line(title(self.presenter, self.query), "dim")
        rows = self.presenter.rows(self.query)
        while chunk := list(islice(rows, CHUNK)):
            if not printed:
                self._settle(chunk)
            self.paper.line()
            self._chunk(chunk)
            printed += len(chunk)
        self.paper.notes([*self._footer(printed), *notes])

    def _settle(self, rows: Sequence[Row]) -> None:
        """Take the first form in which the columns fit beside one another, else the last."""
        for form in self.forms:
            self._take(form)
            self._fitted(rows)
            if len(list(parts(self.lead, self.columns, self.paper.width))) == 1:
                return

    def _fitted(self, rows: Sequence[Row]) -> dict[int, list[Cell]]:
        """The cells of each column, by its id, for which it has made room."""
        cells = {id(c): [c.cell(row) for row in rows] for c in (*self.lead, *self.columns)}
        for column in (*self.lead, *self.columns):
            column.fit(cells[id(column)])
        narrowed(self.lead, self.columns, self.paper.width)
        return cells

    def _chunk(self, rows: Sequence[Row]) -> None:
        cells = self._fitted(rows)
        low = [s.low for s in self.presenter.shown if s.low]
        self.low = self.low or any(row[name] for row in rows for name in low)
        self.provisional = self.provisional or any(row["state"] == PROVISIONAL for row in rows)
        for number, group in enumerate(parts(self.lead, self.columns, self.paper.width)):
            if number:
                self.paper.line()
            self.paper.lines(_header(group))
            self.paper.lines(_lines(group, [cells[id(c)] for c in group], rows))

    def _footer(self, printed: int) -> Iterator[str]:
        glyphs = self.paper.glyphs
        if not printed:
            yield "no rows"
        if self.query.limit is not None and printed >= self.query.limit:
            total = self.presenter.count(self.query)
            if total > printed:
                yield f"{glyphs.integer(printed)} of {glyphs.integer(total)} rows"
        if self.provisional:
            yield f"{MARK} provisional: the watermark has not passed the window yet"
        if not self.form.interval and any(s.outputs[0].format == "percent" for s in self.presenter.shown):
            yield f"95 % intervals stand in tables of {WIDE} characters, and in every other format"
        if self.low:
            yield f"low: n is below {self.presenter.statistic.spec.min_n}"


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
