"""CSV and its relatives (comma, semicolon, tab or bar): one object per record, keyed by the header row.

Every cell is a string, exactly as written; an empty cell is absent. The text is parsed as Latin-1, in which every
byte is one character, so that places need no counting and bytes that are not UTF-8 come out as they went in: the
engine then refuses that one record. A record that breaks is refused by its first line only, and reading goes on at
the next one, so that a stray quote loses no other record.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from json.encoder import encode_basestring as quote

from streamgauge.codecs.base import KEPT_BYTES, OVER_MAX_LINE, ByteSource, Piece, Window
from streamgauge.errors import InputError, Mistake
from streamgauge.event import RefusedLine

# A carriage return is not among them: outside quotes it is either part of a line end or an error.
_ESCAPES = re.compile(rb'["\\\x00-\x08\x0b\x0c\x0e-\x1f]')
_ESCAPES_OR_TAB = re.compile(rb'["\\\x00-\x09\x0b\x0c\x0e-\x1f]')
DELIMITERS = ",;\t|"
_NUMBER_OR_TIME = re.compile(r"\s*[+-]?\d[\d.,:/+TZ eE-]*\s*$")


@dataclass(frozen=True, slots=True)
class CsvForm:
    """How a CSV lane is to be read: its ``names`` (as Latin-1), and where its first record begins."""

    delimiter: str
    names: tuple[str, ...]
    body_offset: int
    body_line: int
    has_header: bool = True


def sniff_delimiter(text: str) -> tuple[str, int, int]:
    """``(delimiter, columns, records)`` of the delimiter that cuts most records alike; columns 0 where none does.

    A delimiter is believed if the first record has two columns or more, and four of five records (all but one of
    five or fewer) have as many.
    """
    best = (",", 0, 0)
    for delimiter in DELIMITERS:
        widths = [len(row) for row in _lenient_rows(text, delimiter, 100) if row]
        if not widths or widths[0] < 2:
            continue
        alike = Counter(widths)[widths[0]]
        needed = len(widths) * 0.8 if len(widths) > 5 else max(min(2, len(widths)), len(widths) - 1)
        if alike >= needed and widths[0] > best[1]:
            best = (delimiter, widths[0], len(widths))
    return best


def read_form(head: bytes, bom: int, columns: Sequence[str] = (), name: str = "", whole: bool = True) -> CsvForm:
    """The form of a lane that starts with ``head``, of which the first ``bom`` bytes are a byte order mark.

    ``columns`` names the columns of a file without a header row. Without them, a first row that holds a number or a
    time is taken for a record, and the columns are ``c1``, ``c2``... Raises InputError where names are repeated.
    """
    text = head[bom:].decode("latin-1")
    if not whole:
        text = text[: text.rfind("\n") + 1]
        if not text:
            raise InputError(
                str(Mistake(name, f"has no line end in its first {len(head)} bytes, expected a header row"))
            )
    delimiter = sniff_delimiter(text)[0] if sniff_delimiter(text)[1] else ("\t" if name.endswith(".tsv") else ",")
    lines = list(io.StringIO(text, newline="\n"))
    reader = csv.reader(lines, delimiter=delimiter)
    row: list[str] = next((row for row in reader if row), [])
    used = sum(len(line) for line in lines[: reader.line_num])
    first = tuple(cell.strip() for cell in row)
    given = tuple(column.encode().decode("latin-1") for column in columns)
    has_header = first == given if given else not any(_NUMBER_OR_TIME.match(cell) for cell in first)
    if not has_header:
        names = given or tuple(f"c{number}" for number in range(1, len(row) + 1))
        return CsvForm(delimiter, names, bom, 1, has_header=False)
    names = tuple(cell or f"c{number}" for number, cell in enumerate(first, 1))
    _refuse_repeated(names, name)
    return CsvForm(delimiter, names, bom + used, 1 + reader.line_num)


class CsvCodec:
    """Cuts CSV into blocks: the records that end within ``block_bytes``, or one that is longer."""

    def __init__(
        self, source: ByteSource, form: CsvForm, block_bytes: int, max_line: int, *, first_line: int = 1
    ) -> None:
        self._window = Window(source)
        self._form = form
        self._block_bytes = block_bytes
        self._max_line = max_line
        self._line = first_line
        # How far to look for a closing quote; halved whenever there was none, as each such look is wasted.
        self._reach = max_line
        self._keys = [quote(name) + ":" for name in form.names]
        self._full = _template(self._keys)
        self._needs_escape = _ESCAPES if form.delimiter == "\t" else _ESCAPES_OR_TAB
        self._partial: dict[tuple[bool, ...], str] = {}
        csv.field_size_limit(max(csv.field_size_limit(), max_line + block_bytes))

    def next_piece(self) -> Piece | None:
        """The next block, or None at the end of the lane."""
        while True:
            piece = self._next()
            if piece is None or piece.data:
                return piece

    def _next(self) -> Piece | None:
        window, limit = self._window, self._block_bytes
        while True:
            window.grow(limit)
            text = window.data[:limit]
            if not text:
                return None
            complete = window.ended and len(window.data) <= limit
            cut = len(text) if complete else text.rfind(b"\n") + 1
            hopeless = limit > self._block_bytes and len(text) > self._reach
            if cut == 0 and len(text) > self._max_line:
                return self._pass_over()
            if cut:
                piece = self._parse(text[:cut], complete, one=hopeless or limit > self._block_bytes, last_try=hopeless)
                if piece is not None:
                    return piece
            limit = min(limit * 2, max(self._reach, limit) + 1) if cut else limit * 2

    def _parse(self, text: bytes, complete: bool, one: bool, last_try: bool) -> Piece | None:
        """The block of ``text`` (only its first record if ``one``); None where that does not end within it."""
        lines = list(io.StringIO(text.decode("latin-1"), newline="\n"))
        if not one and len(text) <= self._max_line:
            rows = self._clean_rows(lines)
            if rows is not None:
                return self._finish(self._encode_all(rows, text), (), len(text), len(lines))
        walk = _Walk(self, lines, complete or last_try, one, self._window.offset, self._line)
        walk.run()
        if not walk.used:
            return None
        if last_try and walk.refused:
            self._reach = max(self._reach // 2, self._block_bytes)
        size = sum(len(line) for line in lines[: walk.used])
        data = "".join(walk.parts)
        if data:
            # What is left of the last record's lines, so that the number of the next one can be told.
            data = data[:-1] + "\r" * (walk.used - walk.counted) + "\n"
        return self._finish(data, tuple(walk.refused), size, walk.used)

    def _clean_rows(self, lines: list[str]) -> list[list[str]] | None:
        """The rows where every line is one good record, which is nearly always; else None."""
        reader = csv.reader(lines, delimiter=self._form.delimiter, strict=True)
        try:
            rows = list(reader)
        except csv.Error:
            return None
        good = len(rows) == reader.line_num and set(map(len, rows)) == {len(self._keys)}
        return rows if good else None

    def _encode_all(self, rows: list[list[str]], text: bytes) -> str:
        """The lines of good rows; where no cell can need an escape, which one look tells, they are only joined."""
        if not self._needs_escape.search(text):
            lines = [self._full % tuple(row) if "" not in row else self._lacking(row) for row in rows]
            return "\n".join(lines) + "\n"
        return "\n".join(map(self.encode, rows)) + "\n"

    def encode(self, row: list[str]) -> str:
        """The JSON object of one row, without a line feed."""
        escaped = [quote(cell)[1:-1] for cell in row]
        return self._full % tuple(escaped) if "" not in row else self._lacking(escaped)

    def _lacking(self, row: list[str]) -> str:
        """The object of a row with empty cells. Rows that lack the same ones share a template: there are few."""
        there = tuple(map(bool, row))
        template = self._partial.get(there)
        if template is None:
            template = self._partial[there] = _template(compress(self._keys, there))
        return template % tuple(filter(None, row))

    def _finish(self, data: str, refused: tuple[RefusedLine, ...], size: int, lines: int) -> Piece:
        window = self._window
        offset, first_line = window.offset, self._line
        self._line += lines
        window.drop(size)
        window.grow(1)
        last = window.ended and not window.data
        return Piece(offset, offset + size, first_line, data.encode("latin-1"), refused, last)

    def _pass_over(self) -> Piece:
        """Refuse a line longer than ``max_line``, holding none of it but its start."""
        window = self._window
        window.grow(KEPT_BYTES)
        offset, kept = window.offset, window.data[:KEPT_BYTES]
        feed = window.data.find(b"\n")
        while feed < 0 and window.data:
            window.drop(len(window.data))
            window.grow(self._block_bytes)
            feed = window.data.find(b"\n")
        window.drop(feed + 1)
        length = window.offset - offset - (feed >= 0)
        window.grow(1)
        refused = RefusedLine(0, offset, self._line, OVER_MAX_LINE, kept[:length], length)
        self._line += 1
        last = window.ended and not window.data
        return Piece(offset, window.offset, refused.line, b"!\n", (refused,), last)


def _template(keys: Iterable[str]) -> str:
    return "{" + ",".join(key.replace("%", "%%") + '"%s"' for key in keys) + "}"


class _Lines:
    """The lines of a block, for a parser that may have to be set back."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self.at = 0
        self.dry = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self.at >= len(self._lines):
            self.dry = True
            raise StopIteration
        self.at += 1
        return self._lines[self.at - 1]


class _Walk:
    """Parses the lines of one block record by record, where some record is broken or longer than a line.

    ``parts`` becomes the block's data; each record is led by as many carriage returns as it takes to tell its line.
    """

    def __init__(self, codec: CsvCodec, lines: list[str], final: bool, one: bool, offset: int, first_line: int) -> None:
        self._codec = codec
        self._lines = lines
        self._final = final
        self._one = one
        self._offset = offset
        self._first_line = first_line
        self.counted = 0
        self._places = [0]
        self._records = 0
        self.parts: list[str] = []
        self.refused: list[RefusedLine] = []
        self.used = 0

    def run(self) -> None:
        for line in self._lines:
            self._places.append(self._places[-1] + len(line))
        source = _Lines(self._lines)
        reader = csv.reader(source, delimiter=self._codec._form.delimiter, strict=True)
        while not (self._one and self._records):
            first = source.at
            try:
                row = next(reader, None)
                reason = "" if row is None else self._fault(row, first, source.at)
            except csv.Error as error:
                if source.dry and not self._final:
                    return
                row, reason = [], "broken CSV record: " + ("a quote is never closed" if source.dry else str(error))
            if row is None:
                return
            if reason:
                source.at, source.dry = first + 1, False
                self._refuse(first, reason)
            elif row and not self._is_blank(row):
                self._add(first, self._codec.encode(row))
            self.used = source.at

    def _is_blank(self, row: list[str]) -> bool:
        return len(row) == 1 and len(self._codec._keys) > 1 and not row[0].strip()

    def _fault(self, row: list[str], first: int, end: int) -> str:
        if self._places[end] - self._places[first] > self._codec._max_line + 1:
            return OVER_MAX_LINE
        wanted = len(self._codec._keys)
        if not row or len(row) == wanted or self._is_blank(row):
            return ""
        return f"broken CSV record: {len(row)} fields where the header has {wanted}"

    def _refuse(self, line: int, reason: str) -> None:
        data = self._lines[line].encode("latin-1").rstrip(b"\r\n")
        place, number = self._offset + self._places[line], self._first_line + line
        self.refused.append(RefusedLine(self._records, place, number, reason, data[:KEPT_BYTES], len(data)))
        self._add(line, "!")

    def _add(self, line: int, text: str) -> None:
        lead = line - self.counted
        self.parts.append("\r" * lead + text + "\n")
        self.counted = line + 1
        self._records += 1


def _lenient_rows(text: str, delimiter: str, most: int) -> list[list[str]]:
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=delimiter)
    while len(rows) < most:
        try:
            row = next(reader, None)
        except csv.Error:
            row = []
        if row is None:
            break
        rows.append(row)
    return rows


def _refuse_repeated(names: Sequence[str], name: str) -> None:
    twice = [key for key, count in Counter(names).items() if count > 1]
    if twice:
        shown = ", ".join(repr(key.encode("latin-1").decode("utf-8", "replace")) for key in twice)
        hint = "rename one, or name the columns where the file has no header row"
        raise InputError(str(Mistake(name, f"the header names {shown} more than once", hint=hint)))
