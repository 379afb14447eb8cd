"""The words of expressions: their types, the paths that they read, and the checked tree that engines are given."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

Engine = Literal["duckdb", "spark"]
ENGINES: tuple[Engine, ...] = ("duckdb", "spark")

MIN_BIGINT = -(2**63)
MAX_BIGINT = 2**63 - 1

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class SqlType(StrEnum):
    """What an expression can yield. NULL is the type of the bare word, and agrees with every other."""

    BIGINT = "BIGINT"
    DOUBLE = "DOUBLE"
    VARCHAR = "VARCHAR"
    BOOLEAN = "BOOLEAN"
    LIST = "VARCHAR[]"
    NULL = "NULL"


NUMBERS = frozenset({SqlType.BIGINT, SqlType.DOUBLE})


@dataclass(frozen=True, slots=True)
class Path:
    """A place below ``body``: object keys (exact, case matters) and 0-based list indices."""

    keys: tuple[str | int, ...]

    def __str__(self) -> str:
        return "body" + "".join(f"[{k}]" if isinstance(k, int) else f".{quoted_name(k)}" for k in self.keys)

    def jsonpath(self) -> str:
        """The same place for a JSON engine: ``$.variables."sip.from"[0]``."""
        return "$" + "".join(f"[{k}]" if isinstance(k, int) else f".{json.dumps(k)}" for k in self.keys)


@dataclass(frozen=True, slots=True)
class EnvelopePath(Path):
    """A place in the envelope of an event of the log, beside ``body``."""

    def __str__(self) -> str:
        return "envelope" + "".join(f".{quoted_name(str(k))}" for k in self.keys)


def quoted_name(name: str) -> str:
    """A name as an author writes it: bare where that can be read, else in double quotes."""
    return name if _PLAIN_KEY.fullmatch(name) else '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Node:
    """One checked node. ``op`` is ``path``, ``column``, ``literal``, ``cast``, ``case`` or a name of the table.

    ``value`` is the Path, the column's name, the literal's value (None for NULL) or the escape of a LIKE; of a
    ``case``, whether the last argument is its ELSE. ``at`` is the character, from 1, at which it starts.
    """

    op: str
    type: SqlType
    args: tuple[Node, ...] = ()
    value: object = None
    at: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression. Two with the same ``normal`` compute the same.

    ``text`` is as written; ``normal`` independent of spaces, letter case of words and redundant parentheses; ``paths``
    and ``names`` what it reads; ``casts`` its sub-expressions (itself included) that are a cast which can fail, so
    that an engine can count the wrong types of each; the ``casts`` of those are empty.
    """

    text: str
    normal: str
    type: SqlType
    paths: frozenset[Path]
    names: frozenset[str]
    casts: tuple[Expression, ...]
    tree: Node = field(repr=False)


class Refused(Exception):
    """Why a text is no expression; ``at`` is the character, from 1. Becomes a DeclarationError in ``parse``."""

    def __init__(self, problem: str, at: int | None = None, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.at = at
        self.hint = hint
