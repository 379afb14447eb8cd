r"""Regular expressions that mean the same to RE2 and to Java: parsed by us, and written out for each.

The subset: literals, ``.``, classes, ``\d \w \s \b`` (ASCII) and their negations, ``^ $``, groups, alternation,
greedy and lazy repetition up to 1000. Anything else is refused, by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from streamgauge.expression.types import Refused

MAX_LENGTH = 1000
MAX_REPEAT = 1000
MAX_SIZE = 10_000
MAX_GROUPS = 9
MAX_DEPTH = 20

_SETS = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\x{9}\x{a}\x{c}\x{d}\x{20}"}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r"}
_COUNT = re.compile(r"\{([0-9]{1,4})(,?)([0-9]{0,4})\}", re.ASCII)
_JAVA_BOUNDARY = "(?:(?<=[0-9A-Za-z_])(?![0-9A-Za-z_])|(?<![0-9A-Za-z_])(?=[0-9A-Za-z_]))"


@dataclass(frozen=True, slots=True)
class Regex:
    """One pattern, as each library writes it, and how many groups it captures."""

    re2: str
    java: str
    groups: int


@dataclass(frozen=True, slots=True)
class _Part:
    re2: str
    java: str
    size: int = 1
    repeats: int = 1
    repeatable: bool = True


@lru_cache(maxsize=256)
def compile_regex(pattern: str) -> Regex:
    """The pattern for both libraries; raises Refused when it is outside the common subset."""
    if len(pattern) > MAX_LENGTH:
        raise Refused(f"the pattern has {len(pattern)} characters, at most {MAX_LENGTH} are allowed")
    reader = _Reader(pattern)
    part = reader.alternation(0)
    if reader.place < len(pattern):
        raise reader.refuse("a ')' without its '('")
    return Regex(part.re2, part.java, reader.groups)


def literal_regex(text: str) -> str:
    """A pattern, for both libraries, that matches exactly this text."""
    return "".join(_escaped(c) for c in text)


class _Reader:
    """A recursive descent over one pattern."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self.groups = 0

    def refuse(self, problem: str, hint: str = "") -> Refused:
        return Refused(f"in the pattern, character {self.place + 1}: {problem}", hint=hint)

    def peek(self) -> str:
        return self.text[self.place : self.place + 1]

    def take(self) -> str:
        char = self.peek()
        if not char:
            raise self.refuse("it ends too early")
        self.place += 1
        return char

    def alternation(self, depth: int) -> _Part:
        if depth > MAX_DEPTH:
            raise self.refuse(f"groups are nested more than {MAX_DEPTH} deep")
        branches = [self.sequence(depth)]
        while self.peek() == "|":
            self.take()
            branches.append(self.sequence(depth))
        size = sum(b.size for b in branches) + len(branches)
        if size > MAX_SIZE:
            raise self.refuse(f"its repetitions amount to more than {MAX_SIZE} steps")
        return _Part(
            "|".join(b.re2 for b in branches),
            "|".join(b.java for b in branches),
            size,
            max(b.repeats for b in branches),
        )

    def sequence(self, depth: int) -> _Part:
        parts: list[_Part] = []
        while self.peek() not in ("", "|", ")"):
            parts.append(self.quantified(self.atom(depth)))
        return _Part(
            "".join(p.re2 for p in parts),
            "".join(p.java for p in parts),
            sum(p.size for p in parts),
            max((p.repeats for p in parts), default=1),
        )

    def atom(self, depth: int) -> _Part:
        char = self.take()
        if char == "(":
            return self.group(depth)
        if char == "[":
            return self.char_class()
        if char == ".":
            return _Part(r"[^\x{a}]", r"[^\x{a}]")
        if char == "^":
            return _Part(r"\A", r"\A", repeatable=False)
        if char == "$":
            return _Part(r"\z", r"\z", repeatable=False)
        if char == "\\":
            return self.escape()
        if char in "*+?{":
            self.place -= 1
            raise self.refuse(f"{char!r} has nothing to repeat", rf"for the character itself write \{char}")
        return _Part(_escaped(char), _escaped(char))

    def group(self, depth: int) -> _Part:
        opening = "("
        if self.peek() == "?":
            if not self.text.startswith("?:", self.place):
                raise self.refuse("only (...) and (?:...) groups are allowed")
            self.place += 2
            opening = "(?:"
        else:
            self.groups += 1
            if self.groups > MAX_GROUPS:
                raise self.refuse(f"more than {MAX_GROUPS} capturing groups", "write (?:...) where none is needed")
        inner = self.alternation(depth + 1)
        if self.peek() != ")":
            raise self.refuse("a '(' is not closed")
        self.take()
        return _Part(f"{opening}{inner.re2})", f"{opening}{inner.java})", inner.size, inner.repeats)

    def escape(self) -> _Part:
        char = self.take()
        if char == "b":
            return _Part(r"\b", _JAVA_BOUNDARY, repeatable=False)
        if char.lower() in _SETS:
            both = f"[{'^' if char.isupper() else ''}{_SETS[char.lower()]}]"
            return _Part(both, both)
        both = _escaped(self.escaped_char(char))
        return _Part(both, both)

    def escaped_char(self, char: str) -> str:
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char.isalnum() or not char.isascii():
            self.place -= 1
            raise self.refuse(f"\\{char} is not allowed", r"\d \w \s \b and escaped punctuation are")
        return char

    def char_class(self) -> _Part:
        negated = self.peek() == "^"
        if negated:
            self.take()
        items: list[str] = []
        while self.peek() != "]":
            items.append(self.class_item(first=not items))
        self.take()
        if not items:
            raise self.refuse("an empty class")
        both = f"[{'^' if negated else ''}{''.join(items)}]"
        return _Part(both, both, 3)

    def class_item(self, *, first: bool) -> str:
        start = self.take()
        if start == "[":
            raise self.refuse("'[' inside a class", r"write \[")
        if start == "\\":
            start = self.take()
            if start in _SETS:
                return _SETS[start]
            start = self.escaped_char(start)
        elif start == "-" and not (first or self.peek() == "]"):
            raise self.refuse("'-' inside a class", r"write \-, or put it first or last")
        if self.peek() == "-" and self.text[self.place + 1 : self.place + 2] != "]":
            self.take()
            return self.class_range(start)
        return _escaped(start)

    def class_range(self, start: str) -> str:
        end = self.take()
        if end == "\\":
            end = self.escaped_char(self.take())
        if end < start or end == "[":
            raise self.refuse(f"the range {start}-{end} is not ascending")
        return f"{_escaped(start)}-{_escaped(end)}"

    def quantified(self, part: _Part) -> _Part:
        sign = self.peek()
        if sign not in ("*", "+", "?", "{") or not sign:
            return part
        if not part.repeatable:
            raise self.refuse("an anchor cannot be repeated")
        text, most = (self.take(), 2) if sign != "{" else self.count()
        if self.peek() == "?":
            text += self.take()
        if self.peek() in ("*", "+", "?", "{") and self.peek():
            raise self.refuse("a repetition cannot be repeated", "put it into a group")
        if part.repeats * most > MAX_REPEAT and sign == "{":
            raise self.refuse(f"it repeats more than {MAX_REPEAT} times")
        repeats = part.repeats * most if sign == "{" else part.repeats
        return _Part(part.re2 + text, part.java + text, part.size * most, repeats)

    def count(self) -> tuple[str, int]:
        found = _COUNT.match(self.text, self.place)
        if not found:
            raise self.refuse("'{' begins no repetition", r"for the character itself write \{")
        least, comma, most = int(found[1]), found[2], found[3]
        if most and (not comma or int(most) < least):
            raise self.refuse(f"the repetition {found[0]} is not ascending")
        if max(least, int(most or 0)) > MAX_REPEAT:
            raise self.refuse(f"it repeats more than {MAX_REPEAT} times")
        self.place = found.end()
        return f"{{{least}{comma}{int(most) if most else ''}}}", max(least, int(most or 0), 1)


def _escaped(char: str) -> str:
    if (char.isascii() and char.isalnum()) or char == "_":
        return char
    if char.isascii() and (ord(char) <= 32 or ord(char) == 127):
        return f"\\x{{{ord(char):x}}}"
    return f"\\{char}" if char.isascii() else char
