"""Values as people read them in a terminal: no byte of the input is written that could steer it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells

from streamgauge.aggregates.base import Value

MOST_OF_A_MAP = 5
"""A table shows so many entries of a map."""

_JOINERS = "\u200c\u200d"  # join letters and emoji; they steer nothing


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters that not every output can write. ``space`` separates thousands, and is never a place to wrap."""

    null: str = "\u2013"
    to: str = "\u2013"
    more: str = "\u2026"
    space: str = "\u00a0"
    encoding: str = "utf-8"

    @classmethod
    def of(cls, encoding: str | None) -> Glyphs:
        """Those that the encoding has; None is UTF-8."""
        encoding = encoding or "utf-8"
        glyphs = cls(encoding=encoding)
        try:
            (glyphs.null + glyphs.more + glyphs.space).encode(encoding)
        except UnicodeEncodeError:
            return cls("-", "-", "...", " ", encoding)
        return glyphs

    def text(self, value: str) -> str:
        r"""A text as it is if that is clear, else in double quotes with escapes as in JSON: two texts never look alike.

        >>> Glyphs().text("sip.example.org"), Glyphs().text("a\x1b[2J"), Glyphs().text(""), Glyphs().text("(all)")
        ('sip.example.org', '"a\\u001b[2J"', '""', '"(all)"')
        """
        if _is_clear(value) and value not in (self.null, self.more) and self._can(value):
            return value
        quoted = json.dumps(value, ensure_ascii=False)
        return "".join(c if _is_harmless(c) and self._can(c) else _escape(c) for c in quoted)

    def line(self, value: str) -> str:
        """A text of ours that may quote the input: shown as it is, what could steer a terminal escaped."""
        shown = "".join(c if _is_harmless(c) or c == self.space else " " if c in "\n\t" else _escape(c) for c in value)
        return shown.encode(self.encoding, "backslashreplace").decode(self.encoding)

    def integer(self, value: int) -> str:
        r"""With separated thousands.

        >>> Glyphs().integer(-1234567).replace("\u00a0", " ")
        '-1 234 567'
        """
        return f"{value:,}".replace(",", self.space)

    def number(self, value: float) -> str:
        r"""An integer, or about five digits of a float.

        >>> [Glyphs().number(v).replace("\u00a0", " ") for v in (12345.678, 12.3456, 0.0123456, 0.001, 1e-9, 0.0, 1e22)]
        ['12 345.7', '12.346', '0.0123', '0.0010000', '1e-09', '0.0', '1e+22']
        """
        if isinstance(value, int):
            return self.integer(value)
        size = abs(value)
        if size and (size < 1e-5 or size >= 1e15):
            return f"{value:.5g}"
        digits = 4 - math.floor(math.log10(size)) if size else 1
        decimals = max(1, digits if size < 0.01 else min(4, digits))
        return f"{value:,.{decimals}f}".replace(",", self.space)

    def percent(self, share: float, decimals: int | None = None) -> str:
        """A share of 1 in percent, without the sign. Only what is 0 or 100 is shown so.

        >>> [Glyphs().percent(share) for share in (0.5, 0.9999, 0.00012, 0, 1)]
        ['50.0', '99.99', '0.01', '0.0', '100.0']
        """
        if decimals is None:
            decimals = percent_decimals(share)
        return f"{share * 100:.{decimals}f}"

    def pairs(self, pairs: Iterable[tuple[str, Value]], other: int = 0) -> str:
        r"""The first of a map's entries: ``200: 5, 486: 2``.

        >>> Glyphs().pairs([("200", 1234), ("a: b", 1)], other=3).replace("\u00a0", " ")
        '200: 1 234, "a: b": 1, … (3 other)'
        """
        every = [(key, count) for key, count in pairs if isinstance(count, int)]
        shown = [f"{self._sub_key(key)}:{self.space}{self.integer(n)}" for key, n in every[:MOST_OF_A_MAP]]
        more = [self.more] if other or len(every) > MOST_OF_A_MAP else []
        if other:
            more.append(f"({self.integer(other)}{self.space}other)")
        entries = ", ".join(shown) + (f",{self.space}" if shown and more else "")
        return entries + self.space.join(more) or self.null

    def value(self, value: Value) -> str:
        """Any value that has no format of its own."""
        if value is None:
            return self.null
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return self.number(value)
        return self.text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))

    def _sub_key(self, text: str) -> str:
        shown = self.text(text)
        return json.dumps(text, ensure_ascii=False) if shown == text and re.search(r"[:,]( |$)", text) else shown

    def _can(self, text: str) -> bool:
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            return False
        return True


def folded(text: str, width: int) -> Iterator[str]:
    """Lines of at most this many characters of a terminal, broken at blanks if there are any, else anywhere.

    >>> list(folded("to be or not", 5)), list(folded("abcdefg", 3))
    (['to be', 'or', 'not'], ['abc', 'def', 'g'])
    """
    line, *words = text.split(" ")
    for word in [*words, None]:
        while cell_len(line) > width:
            first = chop_cells(line, width)[0]
            yield first
            line = line[len(first) :]
        if word is None or cell_len(line) + 1 + cell_len(word) > width:
            yield line
            line = word or ""
        else:
            line = f"{line} {word}"


def percent_decimals(share: float) -> int:
    """How many decimals it takes until a share that is neither 0 nor 1 does not look like it; 1 to 8."""
    for decimals in range(1, 8):
        if share in (0, 1) or 0 < float(f"{share * 100:.{decimals}f}") < 100:
            return decimals
    return 8


def _is_harmless(character: str) -> bool:
    return character.isprintable() or character in _JOINERS


def _is_clear(text: str) -> bool:
    return (
        bool(text) and text[0] not in ' "(' and text[-1] != " " and (text.isprintable() or all(map(_is_harmless, text)))
    )


def _escape(character: str) -> str:
    """As JSON does it, in UTF-16 code units."""
    return json.dumps(character)[1:-1]
