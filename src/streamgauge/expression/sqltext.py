"""Writing SQL text safely: literals and names of both engines. Nothing an author wrote reaches SQL but through here."""

from __future__ import annotations

import re

from streamgauge.expression.types import Engine, SqlType

_SIMPLE = re.compile(r'[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*|("[^"]*")(\."[^"]*")*', re.ASCII)

BLANKS = " \t\r\n"
"""What may stand around a number or a time: the blanks of JSON."""


def text_literal(value: str, engine: Engine) -> str:
    """A VARCHAR literal."""
    if engine == "duckdb":
        return "'" + value.replace("'", "''") + "'"
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def literal(value: object, type_: SqlType, engine: Engine) -> str:
    """A literal of exactly ``type_``: engines would else choose a narrower type and overflow in it."""
    if value is None:
        return "NULL" if type_ is SqlType.NULL else f"CAST(NULL AS {type_name(type_, engine)})"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return f"CAST({value} AS BIGINT)"
    if isinstance(value, float):
        return f"CAST('{value!r}' AS DOUBLE)"
    return text_literal(str(value), engine)


def type_name(type_: SqlType, engine: Engine) -> str:
    """How the engine calls the type."""
    if engine == "duckdb":
        return str(type_)
    return {SqlType.VARCHAR: "STRING", SqlType.LIST: "ARRAY<STRING>"}.get(type_, str(type_))


def is_simple(sql: str) -> bool:
    """Whether this SQL is a mere column, which may be named several times at no cost."""
    return _SIMPLE.fullmatch(sql) is not None


def wrap(sql: str) -> str:
    """The same SQL, safe as an operand."""
    return sql if is_simple(sql) else f"({sql})"


def finite(sql: str, engine: Engine) -> str:
    """SQL that is true where the DOUBLE is neither NaN nor infinite."""
    if engine == "duckdb":
        return f"isfinite({sql})"
    return f"abs({sql}) < CAST('Infinity' AS DOUBLE)"


def finite_or_null(sql: str, engine: Engine) -> str:
    """The DOUBLE, with NaN and infinities as null and -0.0 as 0.0."""
    return f"CASE WHEN {finite(sql, engine)} THEN {sql} + CAST('0.0' AS DOUBLE) END"


def matches(sql: str, pattern: str, engine: Engine) -> str:
    """SQL that is true where the whole text matches our own ``pattern`` (RE2 and Java alike, without ``$``)."""
    if engine == "duckdb":
        return f"regexp_full_match({sql}, {text_literal(pattern, engine)})"
    return f"({sql} RLIKE {text_literal(f'^(?:{pattern})' + chr(92) + 'z', engine)})"


def trimmed(sql: str, engine: Engine) -> str:
    """The text without blanks around it."""
    if engine == "duckdb":
        return f"trim({sql}, {text_literal(BLANKS, engine)})"
    return f"trim(BOTH {text_literal(BLANKS, engine)} FROM {sql})"


def floor_div(sql: str, by: int, engine: Engine) -> str:
    """Floor of a BIGINT divided by a positive integer, exact, also below zero."""
    if engine == "duckdb":
        return f"({sql} // {by} - CASE WHEN {sql} % {by} < 0 THEN 1 ELSE 0 END)"
    return f"({sql} div {by} - CASE WHEN {sql} % {by} < 0 THEN 1 ELSE 0 END)"


def binary_tree(subject: str, bounds: list[int], leaves: list[str]) -> str:
    """CASE nested as a binary tree: ``leaves[i]`` where i bounds are <= subject; null subjects give the last leaf."""
    if not bounds:
        return leaves[0]
    middle = len(bounds) // 2
    below = binary_tree(subject, bounds[:middle], leaves[: middle + 1])
    above = binary_tree(subject, bounds[middle + 1 :], leaves[middle + 1 :])
    return f"CASE WHEN {subject} < ({bounds[middle]}) THEN {below} ELSE {above} END"
