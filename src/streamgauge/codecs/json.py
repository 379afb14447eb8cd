"""JSON spread over many lines: documents one after another, and arrays, which are read as their elements.

Every outermost object is one event. Between objects, commas, brackets and blanks are passed over, so a reader can
start anywhere between two of them. What is neither is a record of its own, which the engine will name as no object.

An object becomes one line without losing its places: its line feeds become carriage returns (blank in JSON, and
never found raw inside a string), and what stood between two objects stays as blanks, so that the line and the column
of any byte can be told from the block alone (see ``log.lines_of``).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from streamgauge.codecs.base import KEPT_BYTES, OVER_MAX_LINE, ByteSource, Piece, Window
from streamgauge.codecs.explain import CONSTANT, JsonFault, find_json_fault
from streamgauge.codecs.scan import Spans, find_objects
from streamgauge.event import RefusedLine

NOT_JSON = "not JSON"
BROKEN_STRING = "not JSON: a line break inside a string"

_BETWEEN = b" \t\r\n\x0b\x0c,[]"
_TO_BLANK = bytes.maketrans(b",[]", b"   ")
_TO_RETURN = bytes.maketrans(b"\n", b"\r")
_STRAY = re.compile(rb'(?:"(?:[^"\\\n]|\\.)*+"|[^\n,\[\]])++')
_STRAY_END = re.compile(rb"[\n,\[\]{]")
_LEAST_REACH = 1 << 16


class _Item(NamedTuple):
    start: int
    end: int
    reason: str = ""
    fault: JsonFault = JsonFault("")


class JsonCodec:
    """Cuts JSON text into blocks: the objects that end within ``block_bytes``, or one that is longer."""

    def __init__(
        self, source: ByteSource, block_bytes: int, max_line: int, *, resumable: bool = False, first_line: int = 1
    ) -> None:
        self._window = Window(source)
        self._block_bytes = block_bytes
        self._max_line = max_line
        self._resumable = resumable
        self._line = first_line
        # How far to look for the end of an object. Halved whenever there was none: many objects that never end
        # would otherwise each cost a scan of ``max_line`` bytes.
        self._reach = max_line
        self._column = 0
        self.left_over = 0

    def next_piece(self) -> Piece | None:
        """The next block, or None at the end of the lane."""
        if not self._pass_between():
            return None
        limit = self._block_bytes
        while True:
            self._window.grow(limit)
            text = self._window.data[:limit]
            complete = self._window.ended and len(self._window.data) <= limit
            items = self._items(text, complete)
            if items:
                return self._piece(text, items if limit == self._block_bytes else items[:1])
            if complete or len(text) > self._reach:
                return self._unclosed(text, complete)
            limit = min(limit * 2, max(self._reach, limit) + 1)

    def _pass_between(self) -> bool:
        """Drop what stands between objects; False at the end of the lane."""
        window = self._window
        while True:
            blank = len(window.data) - len(window.data.lstrip(_BETWEEN))
            feed = window.data.rfind(b"\n", 0, blank)
            self._line += window.data.count(b"\n", 0, blank)
            self._column = self._column + blank if feed < 0 else blank - feed - 1
            window.drop(blank)
            if window.data:
                return True
            if window.ended:
                return False
            window.grow(self._block_bytes)

    def _items(self, text: bytes, complete: bool) -> list[_Item]:
        """The records that end within ``text``."""
        spans = find_objects(text)
        constants = [found.start(1) for found in CONSTANT.finditer(text)]
        items: list[_Item] = []
        done = 0
        for start, end in zip(spans.starts.tolist(), spans.ends.tolist(), strict=True):
            if text[done:start].strip(_BETWEEN):
                items.extend(_strays(text, done, start))
            items.append(self._judge(text, start, end, spans, constants))
            done = end
        tail = spans.open_at if spans.open_at >= 0 else len(text)
        for stray in _strays(text, done, tail):
            if stray.end < len(text) or complete:
                items.append(stray)
        return items

    def _judge(self, text: bytes, start: int, end: int, spans: Spans, constants: Sequence[int] = ()) -> _Item:
        if end - start > self._max_line:
            return _Item(start, end, OVER_MAX_LINE)
        if len(spans.broken):
            at = bisect_left(spans.broken, start)
            if at < len(spans.broken) and spans.broken[at] < end:
                return _Item(start, end, BROKEN_STRING)
        at = bisect_left(constants, start)
        if at < len(constants) and constants[at] < end:
            fault = find_json_fault(text[start:end])
            if fault.problem.startswith(NOT_JSON):
                return _Item(start, end, NOT_JSON, fault)
        return _Item(start, end)

    def _unclosed(self, text: bytes, complete: bool) -> Piece | None:
        """A record whose end was not found: up to the next line that looks like the start of its like."""
        if complete and self._resumable:
            self.left_over = len(text)
            self._window.drop(len(text))
            return None
        starts = _next_starts(text, min(self._column, 1000)) if text.startswith(b"{") else iter(())
        end = next(starts, 0)
        if end or complete:
            self._reach = max(self._reach // 2, _LEAST_REACH)
            items = [self._judge_part(text, 0, end or len(text))]
            if self._reach == _LEAST_REACH:
                items += self._more_unclosed(text, end, starts)
            return self._piece(text, items)
        if len(text) <= self._max_line:
            self._reach = self._max_line
            return self.next_piece()
        return self._pass_over()

    def _judge_part(self, text: bytes, start: int, end: int) -> _Item:
        """A part of the text that is to be one record, without what stands between records."""
        body = text[start:end].rstrip(_BETWEEN)
        item = self._judge(body, 0, len(body), find_objects(body))
        return _Item(start, start + len(body), item.reason)

    def _more_unclosed(self, text: bytes, start: int, starts: Iterator[int]) -> Iterator[_Item]:
        """Where many were not closed before: those that follow and are not either, without looking far each time."""
        for end in starts:
            if find_objects(text[start:end]).open_at != 0:
                return
            yield self._judge_part(text, start, end)
            start = end

    def _piece(self, text: bytes, items: list[_Item]) -> Piece:
        cut = items[-1].end
        offset, first_line = self._window.offset, self._line
        original = text[:cut]
        flat = original.replace(b"\r\n", b" \n").translate(_TO_RETURN)
        parts: list[bytes] = []
        refused: list[RefusedLine] = []
        done = 0
        for record, item in enumerate(items):
            parts.append(flat[done : item.start].translate(_TO_BLANK))
            done = item.end
            if not item.reason:
                parts += (flat[item.start : done], b"\n")
                continue
            line = first_line + original.count(b"\n", 0, item.start)
            data = original[item.start : min(done, item.start + KEPT_BYTES)]
            length = done - item.start
            line += max(item.fault.line - 1, 0)
            place = (item.fault.problem, item.fault.column)
            refused.append(RefusedLine(record, offset + item.start, line, item.reason, data, length, *place))
            parts += (b"!", b"\r" * original.count(b"\n", item.start, done), b"\n")
        self._line += original.count(b"\n")
        self._window.drop(cut)
        self._column = 0
        last = not self._pass_between()
        return Piece(offset, offset + cut, first_line, b"".join(parts), tuple(refused), last)

    def _pass_over(self) -> Piece:
        """Refuse a record longer than ``max_line``, holding none of it but its start."""
        window = self._window
        window.grow(KEPT_BYTES)
        offset, line = window.offset, self._line
        kept = window.data[:KEPT_BYTES]
        skip = self._skip_object() if kept.startswith(b"{") else self._skip_stray()
        for data in skip:
            self._line += data.count(b"\n")
            window.drop(len(data))
            window.grow(self._block_bytes)
        length = window.offset - offset
        returns = b"\r" * (self._line - line)
        self._column = 0
        last = not self._pass_between()
        refused = RefusedLine(0, offset, line, OVER_MAX_LINE, kept[:length], length)
        return Piece(offset, offset + length, line, b"!" + returns + b"\n", (refused,), last)

    def _skip_object(self) -> Iterator[bytes]:
        """What belongs to the object at the start of the window, part by part."""
        depth, in_string = 0, False
        while self._window.data:
            data = self._window.data
            # A part never ends in the middle of an escape.
            data = data.rstrip(b"\\") or data
            spans = find_objects(data, depth, in_string)
            if spans.ends.size:
                yield data[: int(spans.ends[0])]
                return
            depth, in_string = spans.depth, spans.in_string
            yield data

    def _skip_stray(self) -> Iterator[bytes]:
        while self._window.data:
            found = _STRAY_END.search(self._window.data)
            if found:
                yield self._window.data[: found.start()]
                return
            yield self._window.data


def _strays(text: bytes, start: int, end: int) -> Iterator[_Item]:
    """What stands between two objects and should not: numbers, strings, braces too many."""
    if not text[start:end].strip(_BETWEEN):
        return
    for found in _STRAY.finditer(text, start, end):
        body = found.group()
        if body.strip():
            last = found.end() - (len(body) - len(body.rstrip()))
            yield _Item(last - len(body.strip()), last)


def _next_starts(text: bytes, column: int) -> Iterator[int]:
    """Where later lines begin with a brace, no deeper than ``column``."""
    return (found.end() for found in re.finditer(rb"\n[ \t,]{0,%d}(?=\{)" % column, text))
