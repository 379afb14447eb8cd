"""A TOML file that knows on which line each of its tables and keys stands."""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamgauge.errors import DeclarationError, Mistake
from streamgauge.forms import wrong

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*')"""
_PARTS = re.compile(_PART)
_HEADER = re.compile(rf"\s*\[\[?\s*({_PART}(?:\s*\.\s*{_PART})*)\s*\]")
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{}\n]', re.DOTALL
)


@dataclass(frozen=True, slots=True)
class TomlFile:
    """Parsed TOML and the places of its keys."""

    name: str
    data: dict[str, Any]
    lines: dict[tuple[str, ...], int]

    @classmethod
    def read(cls, path: Path) -> TomlFile:
        """Read a file. Raises DeclarationError for one that cannot be read or is not TOML."""
        try:
            if stat.S_ISCHR(path.stat().st_mode):
                raise DeclarationError(Mistake("declarations", "is a device, expected a file", str(path)))
            # A byte order mark, which editors on Windows write, is no part of the text.
            text = path.read_text(encoding="utf-8-sig")
        except OSError as e:
            raise DeclarationError(Mistake("declarations", str(e.strerror or e).lower(), str(path))) from e
        except UnicodeDecodeError as e:
            line = e.object[: e.start].count(b"\n") + 1
            problem = f"not UTF-8 at byte {e.start + 1}"
            raise DeclarationError(Mistake("declarations", problem, f"{path}:{line}")) from e
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, name: str) -> TomlFile:
        """Parse text that ``name`` stands for in errors. Raises DeclarationError."""
        try:
            data = tomllib.loads(text)
        except RecursionError as e:
            raise DeclarationError(Mistake("declarations", "not TOML: nested too deep", name)) from e
        except ValueError as e:  # TOMLDecodeError, or an integer of more than 4300 digits
            raise DeclarationError(_syntax(str(e), text, name)) from e
        return cls(name, data, _lines(text))

    def table(self, *keys: str) -> dict[str, Any]:
        """The table at these keys; empty where there is none. Raises DeclarationError where it is no table."""
        value: Any = self.data
        for n, key in enumerate(keys):
            value = value.get(key, {})
            if not isinstance(value, dict):
                what = f"table {'.'.join(keys[: n + 1])!r}"
                raise DeclarationError(wrong(what, value, "a table", self.place(*keys[: n + 1])))
        return dict(value)

    def rename(self, keys: tuple[str, ...], name: str) -> None:
        """Give the table at ``keys`` another last key; its places stay."""
        *above, last = keys
        around = self.data
        for key in above:
            around = around[key]
        around[name] = around.pop(last)
        for place, line in list(self.lines.items()):
            if place[: len(keys)] == keys:
                self.lines[(*above, name, *place[len(keys) :])] = line

    def place(self, *keys: str) -> str:
        """``file:line`` of these keys, or of the nearest table around them."""
        for end in range(len(keys), 0, -1):
            if keys[:end] in self.lines:
                return f"{self.name}:{self.lines[keys[:end]]}"
        return self.name

    def places(self, *keys: str) -> Callable[..., str]:
        """``place`` of what stands below these keys."""
        return lambda *more: self.place(*keys, *more)


def _syntax(said: str, text: str, name: str) -> Mistake:
    found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)", said)
    if found is None:
        return Mistake("declarations", f"not TOML: {said.partition(';')[0]}", name)
    line = found[1] or str(text.rstrip().count("\n") + 1)
    at = f" at {found[2]}" if found[2] else " at the end of the file"
    return Mistake("declarations", f"not TOML: {said[: found.start()]}{at}", f"{name}:{line}", hint=_hint(text, line))


def _hint(text: str, line: str) -> str:
    written = text.splitlines()[int(line) - 1].strip() if text.strip() else ""
    if re.match(r"[\w.-]+\s*:(?!:)", written):
        return "TOML writes name = value"
    if found := re.match(r"([\w.-]+)\s*=\s*([A-Za-z(][^\"']*)$", written):
        return f'a text stands in quotes: {found[1]} = "{found[2].strip()}"'
    return ""


def _lines(text: str) -> dict[tuple[str, ...], int]:
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in _statements(text):
        if header := _HEADER.match(line):
            table = _parts(header.group(1))
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault(table + _parts(key.group(1)), number)
    # A table that only appears as the head of others is where its first child is.
    for keys, number in list(lines.items()):
        for end in range(1, len(keys)):
            lines.setdefault(keys[:end], number)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """The lines of valid TOML on which a table or a key begins: none inside a text, a list or an inline table."""
    inside: set[int] = set()
    number, depth = 1, 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
        for _ in range(mark.count("\n")):
            number += 1
            if depth or mark != "\n":
                inside.add(number)
    return ((n, line) for n, line in enumerate(text.split("\n"), start=1) if n not in inside)


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part[1:-1] if part[0] in "\"'" else part for part in _PARTS.findall(dotted))
