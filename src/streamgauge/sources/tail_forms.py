"""What the lines of a followed file are: JSON, records of CSV, or text that a regular expression takes apart.

Each form is a keeper: bytes of the file are pushed in, in order, and the records that they complete come out.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streamgauge.codecs.base import BLANKS, KEPT_BYTES, OVER_MAX_LINE
from streamgauge.codecs.csv import CsvCodec, CsvForm, read_form
from streamgauge.event import RefusedLine
from streamgauge.sources.lines import BytesSource, LineKeeper, Lines, without_lead

NO_MATCH = "line does not match the pattern"
NOT_UTF8 = "not UTF-8"


class Keeper(Protocol):
    """Makes records of the bytes of one file."""

    @property
    def offset(self) -> int:
        """Place of the first byte of what is no whole record yet."""
        ...

    @property
    def line(self) -> int:
        """The number of its line, from 1."""
        ...

    @property
    def kept(self) -> int:
        """How many bytes have come of what is no whole record yet."""
        ...

    def push(self, data: bytes) -> Lines:
        """The records that ``data`` completes."""
        ...

    def settle(self) -> Lines:
        """Nothing has come for a while: the records of the whole lines that were waiting for more."""
        ...

    def end(self) -> Lines:
        """Nothing will come any more: what is left."""
        ...


class PatternKeeper:
    """Lines of text: each becomes the object of the pattern's named groups, those that took no part left out."""

    def __init__(self, pattern: re.Pattern[str], max_line: int, offset: int, line: int) -> None:
        self._pattern = pattern
        self._keeper = LineKeeper(max_line, offset, line)

    @property
    def offset(self) -> int:
        return self._keeper.offset

    @property
    def line(self) -> int:
        return self._keeper.line

    @property
    def kept(self) -> int:
        return self._keeper.kept

    def push(self, data: bytes) -> Lines:
        return self._objects(self.offset, self._keeper.push(data))

    def settle(self) -> Lines:
        return Lines()

    def end(self) -> Lines:
        return self._objects(self.offset, self._keeper.end())

    def _objects(self, offset: int, lines: Lines) -> Lines:
        refused = {line.record: line for line in lines.refused}
        parts: list[bytes] = []
        first = self.line - lines.count
        for record, line in enumerate(lines.data.split(b"\n")[:-1]):
            if record not in refused:
                body = self._object(line)
                if isinstance(body, bytes):
                    parts.append(body)
                    continue
                refused[record] = RefusedLine(record, offset, first + record, body, line[:KEPT_BYTES], len(line))
            parts.append(b"!\n")
        return Lines(b"".join(parts), tuple(refused[n] for n in sorted(refused)), lines.count)

    def _object(self, line: bytes) -> bytes | str:
        """The object, with its line feed; or why there is none."""
        try:
            found = self._pattern.search(line.decode())
        except UnicodeDecodeError:
            return NOT_UTF8
        if found is None:
            return NO_MATCH
        groups = {name: value for name, value in found.groupdict().items() if value is not None}
        return json.dumps(groups, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def header_form(head: bytes, name: str) -> CsvForm | None:
    """The form of CSV that begins with ``head``, as its first record tells it; None where that is not there yet.

    Only that record is looked at, so that it is the same however much of the file was there. Raises InputError.
    """
    for end in _record_ends(head).tolist():
        if head[:end].strip(BLANKS):
            return read_form(head[:end], 0, (), name)
    return None


def _record_ends(text: bytes) -> NDArray[np.int64]:
    """The places behind the line feeds that stand outside of quotes."""
    data = np.frombuffer(text, np.uint8)
    feeds, quotes = np.flatnonzero(data == 10), np.flatnonzero(data == 34)
    ends: NDArray[np.int64] = feeds[np.searchsorted(quotes, feeds) % 2 == 0] + 1
    return ends


class CsvKeeper:
    """Records of CSV, keyed by the header row, which is the file's first record.

    A record ends at a line feed with an even number of quotes before it. Where a stray quote lets none end, ``settle``
    (or ``max_line`` bytes) has the codec say which line is broken.
    """

    def __init__(self, form: CsvForm | None, name: str, max_line: int, offset: int, line: int) -> None:
        self._form = form
        self._name = name
        self._max_line = max_line
        self._text = b""
        self._over = 0
        self.offset = offset
        self.line = line
        csv.field_size_limit(max(csv.field_size_limit(), 2 * max_line))

    @property
    def kept(self) -> int:
        return len(self._text) + self._over

    def push(self, data: bytes) -> Lines:
        self._text += data
        if self._over or (len(self._text) > self._max_line and b"\n" not in self._text):
            return self._pass_over()
        return self._take(self._cut())

    def settle(self) -> Lines:
        return self._take(0 if self._over else self._text.rfind(b"\n") + 1)

    def end(self) -> Lines:
        if self._over:
            self._text += b"\n"
            lines = self._pass_over()
            self.offset -= 1
            return lines
        return self._take(len(self._text))

    def _cut(self) -> int:
        """Where the last whole record ends."""
        ends = _record_ends(self._text)
        if ends.size:
            return int(ends[-1])
        return self._text.rfind(b"\n") + 1 if len(self._text) > self._max_line else 0

    def _take(self, cut: int) -> Lines:
        """The records of the first ``cut`` bytes."""
        text, self._text = self._text[:cut], self._text[cut:]
        if not text:
            return Lines()
        count = text.count(b"\n") + (not text.endswith(b"\n"))
        place, body = (self.offset, self.line), text
        self.offset += len(text)
        self.line += count
        if self._form is None:
            self._form = header_form(text, self._name)
            if self._form is None:
                return Lines(b"", (), count)
            body = text[self._form.body_offset :]
            place = (place[0] + self._form.body_offset, place[1] + self._form.body_line - 1)
        return replace(self._records(body, *place), count=count)

    def _records(self, text: bytes, offset: int, line: int) -> Lines:
        if self._form is None or not text:
            return Lines()
        form = replace(self._form, body_offset=0, body_line=1)
        codec = CsvCodec(BytesSource(text), form, len(text) + 1, self._max_line, first_line=line)
        parts: list[bytes] = []
        refused: list[RefusedLine] = []
        records = 0
        while (piece := codec.next_piece()) is not None:
            parts.append(without_lead(bytes(piece.data)))
            refused += [replace(r, record=r.record + records, offset=r.offset + offset) for r in piece.refused]
            records += parts[-1].count(b"\n")
        return Lines(b"".join(parts), tuple(refused))

    def _pass_over(self) -> Lines:
        """Of a line that is too long, keep the start and the length."""
        feed = self._text.find(b"\n", min(len(self._text), KEPT_BYTES) if self._over else 0)
        if feed < 0:
            self._over += len(self._text) - len(self._text[:KEPT_BYTES])
            self._text = self._text[:KEPT_BYTES]
            return Lines()
        length = feed + self._over
        refused = RefusedLine(0, self.offset, self.line, OVER_MAX_LINE, self._text[: min(feed, KEPT_BYTES)], length)
        self.offset += length + 1
        self.line += 1
        self._text, self._over = self._text[feed + 1 :], 0
        rest = self._take(self._cut())
        moved = tuple(replace(line, record=line.record + 1) for line in rest.refused)
        return Lines(b"!\n" + rest.data, (refused, *moved), rest.count + 1)
