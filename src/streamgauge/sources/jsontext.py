"""Where the members of a JSON object stand in its text, so that one of them can be cut out as its own bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

_DECODER = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\r\n]*")


class Member(NamedTuple):
    """One member's value, and the place of its text."""

    value: Any
    start: int
    end: int


def members(text: str, at: int = 0) -> dict[str, Member] | None:
    """The members of the object that begins at ``at``; of equal names the last. None where there is no whole object.

    What follows the object is not looked at.
    """
    if text[at : at + 1] != "{":
        return None
    found: dict[str, Member] = {}
    place = _after_blank(text, at + 1)
    if text[place : place + 1] == "}":
        return found
    try:
        while text[place : place + 1] == '"':
            name, place = _DECODER.raw_decode(text, place)
            place = _after_blank(text, place)
            if text[place : place + 1] != ":":
                return None
            start = _after_blank(text, place + 1)
            value, end = _DECODER.raw_decode(text, start)
            found[name] = Member(value, start, end)
            place = _after_blank(text, end)
            mark, place = text[place : place + 1], _after_blank(text, place + 1)
            if mark == "}":
                return found
            if mark != ",":
                return None
    except (ValueError, RecursionError):
        return None
    return None


def find(text: str, path: Sequence[str | int]) -> Member | None:
    """The value at a path of keys (a list is not entered), and its place in the text; None where there is none."""
    at = len(text) - len(text.lstrip(" \t\r\n"))
    member: Member | None = None
    for key in path:
        inside = members(text, at)
        member = inside.get(key) if inside is not None and isinstance(key, str) else None
        if member is None:
            return None
        at = member.start
    return member


def _after_blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at
