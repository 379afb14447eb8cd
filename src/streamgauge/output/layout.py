"""Which columns a table shows, what stands in their cells, and which of them fit beside one another."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from rich.cells import cell_len

from streamgauge.aggregates.base import Ratio, Value
from streamgauge.aggregates.count import Count
from streamgauge.output.cells import PROVISIONAL, ShownMeasure
from streamgauge.output.present import Presenter, Query, Row
from streamgauge.output.text import Glyphs, folded, percent_decimals

GAP = 2
"""Blanks between two columns."""

Cell = tuple[str, str]
"""What is aligned to the right and, behind it, what is aligned to the left; a text is only the second."""

LEAST_HEADER = 8
"""A header is not wrapped to less, however short the values are."""

LEAST_TEXT = 16
"""A column of texts may always be so wide."""

MARK = "*"
"""Stands behind the start of a window that is provisional."""


WIDE = 120
"""A table that is less wide may leave out intervals."""


@dataclass(frozen=True, slots=True)
class Form:
    """What stands in the cell of a proportion: its interval, and its n even where that has a column of its own."""

    interval: bool = True
    every_n: bool = True


def forms(width: int) -> list[Form]:
    """How proportions may be shown, the fullest first: the first is taken that lets all columns fit, else the last."""
    found = [Form(), Form(every_n=False)]
    return found if width >= WIDE else [*found, Form(interval=False, every_n=False)]


@dataclass(slots=True)
class Shown:
    """A column of a table. Widths only grow, so that the parts of a long table stay in line.

    ``most`` bounds the width of a column of texts, whose longer values go on in the next line. ``under`` stands below
    its name.
    """

    name: str
    cell: Callable[[Row], Cell]
    under: str = ""
    most: int = 0
    lead: bool = False
    measure: str = ""
    head: int = 0
    tail: int = 0
    width: int = 0
    header: list[str] = field(default_factory=list)

    def fit(self, cells: Iterable[Cell]) -> None:
        """Make room for these, and wrap the header to what they need."""
        for head, tail in cells:
            self.head, self.tail = max(self.head, cell_len(head)), max(self.tail, cell_len(tail))
        self._settle()

    def narrow(self, most: int) -> None:
        """Let a column of texts be no wider than this."""
        self.most = min(self.most, most)
        self._settle()

    def _settle(self) -> None:
        values = self.head + self.tail + (1 if self.head and self.tail else 0)
        values = min(values, self.most) if self.most else values
        room = max(values, LEAST_HEADER)
        self.header = [*wrapped(self.name, room), *(wrapped(self.under, room) if self.under else ())]
        self.width = max(values, *map(len, self.header))

    def lines(self, cell: Cell) -> list[str]:
        """A cell's text, in the lines that it is folded to."""
        head, tail = cell
        if self.most and cell_len(tail) > self.most:
            return list(folded(tail, self.most))
        if not self.head:
            return [tail]
        aligned = " " * (self.head - cell_len(head)) + head
        return [f"{aligned} {tail}" if self.tail else aligned]

    def padded(self, text: str) -> str:
        """A line of a cell or of the header, as wide as the column: a number and its header to the right."""
        blanks = " " * (self.width - cell_len(text))
        return blanks + text if self.head and not self.tail else text + blanks


def wrapped(name: str, width: int) -> list[str]:
    """A column's name in lines, broken behind underscores only.

    >>> wrapped("answer_rate_lower", 8)
    ['answer_', 'rate_', 'lower']
    """
    lines: list[str] = []
    for piece in name.replace("_", "_\n").split("\n"):
        if lines and len(lines[-1]) + len(piece) <= width:
            lines[-1] += piece
        else:
            lines.append(piece)
    return lines


def parts(lead: Sequence[Shown], columns: Sequence[Shown], width: int) -> Iterator[list[Shown]]:
    """The columns in as many groups as it takes, so that each fits the width beside the lead columns.

    The columns of one measure stay together where they can.
    """
    room = width - sum(c.width + GAP for c in lead)
    group: list[Shown] = []
    used = 0
    for _, found in groupby(columns, key=lambda c: c.measure or c.name):
        together = list(found)
        whole = sum(c.width + GAP for c in together) - GAP
        for n, column in enumerate(together):
            needed = whole if n == 0 and whole <= room else column.width
            if group and used + needed > room:
                yield [*lead, *group]
                group, used = [], 0
            group.append(column)
            used += column.width + GAP
    yield [*lead, *group]


def narrowed(lead: Sequence[Shown], columns: Sequence[Shown], width: int) -> None:
    """Let columns of texts fold where they would not fit beside the lead columns."""
    room = width - sum(c.width + GAP for c in lead)
    for column in columns:
        if column.most:
            column.narrow(max(LEAST_TEXT, room))


def shown_columns(presenter: Presenter, query: Query, glyphs: Glyphs, width: int, form: Form) -> list[Shown]:
    """The columns of a table: the window's start, the keys, then what was measured.

    Left out: what is the same in every row, bounds and n (they stand in the cell of their proportion), a rate over
    the whole window, and ``events`` where a measure counts just these.
    """
    columns = [Shown("start", _start(presenter, query, glyphs), lead=True)]
    keys = presenter.keys(query)
    most = max(LEAST_TEXT, (width - 20) // (len(keys) + 1))
    for n, key in enumerate(keys):
        columns.append(Shown(key, _key(key, n == 0, glyphs), most=most, lead=True))
    if not any(isinstance(s.measure, Count) and s.measure.formula() == "count()" for s in presenter.shown):
        columns.append(Shown("events", _number("events", glyphs)))
    counts = {shown.name for shown in presenter.shown if isinstance(shown.measure, Count)}
    for shown in presenter.shown:
        columns.extend(_measure(shown, glyphs, max(most, 60), form, counts))
    return columns


def _measure(shown: ShownMeasure, glyphs: Glyphs, most: int, form: Form, counts: Container[str]) -> Iterator[Shown]:
    by_suffix = {o.suffix: (o, c) for o, c in zip(shown.outputs, shown.columns, strict=True)}
    main = by_suffix.get("", (None, ""))[0]
    if main is not None and main.format == "percent":
        whole = shown.measure.denominator if isinstance(shown.measure, Ratio) and not form.every_n else ""
        left_out = (() if form.interval else ("_lower", "_upper")) + (("_n",) if whole in counts else ())
        told = {suffix: column for suffix, (_, column) in by_suffix.items() if suffix not in left_out}
        yield Shown(shown.name, _percent(shown, told, glyphs), f"of {whole}" if whole in counts else "")
        return
    for suffix, (output, column) in by_suffix.items():
        if output.format == "map":
            other = by_suffix.get("_other", (None, ""))[1]
            yield Shown(column, _map(column, other, glyphs), most=most)
        elif output.type in ("text", "any"):
            yield Shown(column, _text(column, glyphs), most=most)
        elif suffix not in ("_other", "_window"):
            yield Shown(column, _number(column, glyphs), measure=shown.name)


def _start(presenter: Presenter, query: Query, glyphs: Glyphs) -> Callable[[Row], Cell]:
    length = presenter.length(query)
    days = length.calendar and query.tz == presenter.statistic.windows.zone
    seconds = not length.calendar and length.nominal_ms % 60_000 != 0

    def cell(row: Row) -> Cell:
        date, _, clock = str(row["start"]).partition("T")
        # A year's or a zone's oddest windows start at odd seconds and minutes; these are never hidden.
        if days and clock.startswith("00:00:00"):
            text = date
        else:
            time, offset = clock[:8], clock[8:].removesuffix("Z")
            text = f"{date} {time if seconds or not time.endswith(':00') else time[:5]}{offset}"
        return "", f"{text} {MARK}" if row["state"] == PROVISIONAL else text

    return cell


def _key(name: str, first: bool, glyphs: Glyphs) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        if row["row"] != "key":
            return "", f"({row['row']})" if first else ""
        value = row[name]
        # A number used as a key is a name: no thousands, no rounding.
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        return "", repr(value) if plain else glyphs.value(value)

    return cell


def _number(column: str, glyphs: Glyphs) -> Callable[[Row], Cell]:
    return lambda row: (glyphs.value(row[column]), "")


def _text(column: str, glyphs: Glyphs) -> Callable[[Row], Cell]:
    return lambda row: ("", glyphs.value(row[column]))


def _map(column: str, other: str, glyphs: Glyphs) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        value: Any = row[column] or []
        rest: Any = row[other] if other else 0
        return "", glyphs.pairs(value.items() if isinstance(value, dict) else value, rest)

    return cell


def _percent(shown: ShownMeasure, columns: dict[str, str], glyphs: Glyphs) -> Callable[[Row], Cell]:
    """``96.2 % (95.1-97.0, n 1 234) low``, of which ``columns`` says what there is."""

    def cell(row: Row) -> Cell:
        share, n = row[columns[""]], row[columns["_n"]] if "_n" in columns else None
        told = [f"n{glyphs.space}{glyphs.integer(n)}"] if isinstance(n, int) else []
        if not isinstance(share, int | float):
            return glyphs.null, _told(told, row, shown, glyphs)
        decimals = percent_decimals(share)
        ends = [row[columns[s]] for s in ("_lower", "_upper") if s in columns]
        numbers = [glyphs.percent(end, decimals) for end in ends if isinstance(end, int | float)]
        if numbers:
            told.insert(0, glyphs.to.join(numbers))
        return f"{glyphs.percent(share, decimals)}{glyphs.space}%", _told(told, row, shown, glyphs)

    return cell


def _told(told: Sequence[str], row: Row, shown: ShownMeasure, glyphs: Glyphs) -> str:
    low: Value = row[shown.low] if shown.low else None
    text = f"({f',{glyphs.space}'.join(told)})" if told else ""
    return f"{text} low".strip() if low is True else text
