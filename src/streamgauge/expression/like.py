"""LIKE with a literal pattern, written out so that both engines read it alike: their default escapes differ."""

from __future__ import annotations

from streamgauge.expression.sqltext import text_literal
from streamgauge.expression.types import Engine, Node, Refused

_ESCAPE = "!"


def like_parts(pattern: str, escape: str) -> list[tuple[str, bool]]:
    """The pattern as (character, whether it is a wildcard); raises Refused for a bad escape."""
    parts: list[tuple[str, bool]] = []
    chars = iter(pattern)
    for char in chars:
        if escape and char == escape:
            char = next(chars, "")
            if char not in ("%", "_", escape) or not char:
                raise Refused(f"in the pattern, the escape {escape!r} stands before neither %, _ nor itself")
            parts.append((char, False))
        else:
            parts.append((char, char in "%_"))
    return parts


def like_sql(node: Node, subject: str, word: str, engine: Engine) -> str:
    """SQL of ``subject LIKE pattern`` for the node's literal pattern and escape."""
    escape = node.value if isinstance(node.value, str) else ""
    parts = like_parts(str(node.args[1].value), escape)
    # Without an escape DuckDB turns LIKE into a prefix or substring search.
    if engine == "duckdb" and not any(c in "%_" and not wild for c, wild in parts):
        return f"({subject} {word} {text_literal(''.join(c for c, _ in parts), engine)})"
    pattern = "".join(c if wild or c not in "%_!" else _ESCAPE + c for c, wild in parts)
    return f"({subject} {word} {text_literal(pattern, engine)} ESCAPE '{_ESCAPE}')"
