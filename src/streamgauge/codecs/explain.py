"""Why a message is not the JSON object that it should be, said for people."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

# Every escape in turn: a pair, a surrogate that is alone (the group), or any other.
_ESCAPE = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.")

CONSTANT = re.compile(rb"[:,\[]\s*(-?(?:nan|inf))", re.IGNORECASE)
"""Where NaN or an infinity may stand as a value: no JSON, though many programs write it."""


class _NoConstant(Exception):
    """NaN, Infinity or -Infinity."""


def _no_constant(name: str) -> None:
    raise _NoConstant(name)


class JsonFault(NamedTuple):
    """``line`` and ``column`` count from 1 in the message; both are 0 where no place can be named."""

    problem: str
    line: int = 0
    column: int = 0


def explain_json_error(data: bytes) -> tuple[str, int]:
    """``(problem, column)`` of a message that no engine took for a JSON object; column from 1, or 0.

    The column is that of the line, within the message, at which the text stopped being JSON; a message of several
    lines has the line in its problem too.
    """
    fault = find_json_fault(data)
    where = f" (line {fault.line} of the document)" if fault.line > 1 else ""
    return fault.problem + where, fault.column


def find_json_fault(data: bytes) -> JsonFault:
    """The first reason for which ``data`` is not one JSON object. Never raises, whatever the bytes."""
    if not data.strip():
        return JsonFault("empty")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        good = data[: error.start].decode("utf-8")
        return _at(f"invalid UTF-8 at byte {error.start + 1}", good, len(good))
    if "\0" in text:
        return _at("NUL byte", text, text.index("\0"))
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        return _at(_problem(error), text, error.pos)
    except _NoConstant as error:
        found = CONSTANT.search(data)
        place = len(data[: found.start(1)].decode("utf-8")) if found else 0
        return _at(f"not JSON: {error} is no value", text, place)
    except RecursionError:
        return _deep(text)
    for escape in _ESCAPE.finditer(text):
        if escape.group(1):
            return _at("lone surrogate", text, escape.start())
    if not isinstance(value, dict):
        return JsonFault(f"not an object but {_KINDS[type(value)]}", 1, 1)
    return JsonFault("not JSON that the engine accepts")


_KINDS = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def _problem(error: json.JSONDecodeError) -> str:
    if error.msg == "Extra data":
        return "two values in a line" if error.doc[error.pos] in '{["-0123456789tfn' else "not JSON: extra characters"
    return f"not JSON: {error.msg.removesuffix(' at')}"


def _at(problem: str, text: str, place: int) -> JsonFault:
    before = text[:place]
    return JsonFault(problem, before.count("\n") + 1, place - before.rfind("\n"))


def _deep(text: str) -> JsonFault:
    """Nested deeper than the parser goes: all that can be told is whether the brackets match."""
    return _at("nested too deeply to say where it stops being JSON", text, len(text) - len(text.lstrip()))
