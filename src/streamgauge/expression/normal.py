"""The canonical text of a checked tree, which parses to the same tree, and what the tree reads."""

from __future__ import annotations

from collections.abc import Iterator

from streamgauge.expression.casts import can_fail
from streamgauge.expression.types import Expression, Node, Path, quoted_name

_INFIX = {"=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "//", "%", "||", "and", "or", "like", "ilike"}
_SUMS, _PRODUCTS = ("+", "-"), ("*", "/", "//", "%")
_CHAINS = {**dict.fromkeys(_SUMS, _SUMS), **dict.fromkeys(_PRODUCTS, _PRODUCTS)}
"""Operators of one rank, which a chain reads from left to right without parentheses."""


def expression_of(text: str, tree: Node) -> Expression:
    """The Expression of a tree; ``text`` is as its author wrote it."""
    nodes = list(walk(tree))
    casts = {normal_text(n): n for n in nodes if n.op == "cast" and can_fail(n.args[0].type, n.type)}
    parts = tuple(_expression(normal, n, list(walk(n)), ()) for normal, n in casts.items())
    return _expression(text, tree, nodes, parts)


def _expression(text: str, tree: Node, nodes: list[Node], casts: tuple[Expression, ...]) -> Expression:
    return Expression(
        text=text,
        normal=normal_text(tree),
        type=tree.type,
        paths=frozenset(n.value for n in nodes if isinstance(n.value, Path)),
        names=frozenset(str(n.value) for n in nodes if n.op == "column"),
        casts=casts,
        tree=tree,
    )


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, as written."""
    yield node
    for arg in node.args:
        yield from walk(arg)


def normal_text(node: Node) -> str:
    """Canonical SQL: words large, functions small, every operator in parentheses."""
    if node.op == "literal":
        return _literal(node)
    if node.op == "column":
        return quoted_column(str(node.value))
    if node.op == "path":
        return str(node.value)
    args = [normal_text(a) for a in node.args]
    if node.op == "cast":
        return f"{args[0]}::{node.type}" if node.args[0].op != "literal" else f"({args[0]})::{node.type}"
    if node.op == "case":
        branches = [f"WHEN {args[i]} THEN {args[i + 1]}" for i in range(0, len(args) - 1, 2)]
        return f"(CASE {' '.join(branches)}{f' ELSE {args[-1]}' if node.value else ''} END)"
    return _operation(node, args)


def quoted_column(name: str) -> str:
    """A column's name, quoted where it would else be read as a word of the language."""
    from streamgauge.expression.scan import RESERVED

    shown = quoted_name(name)
    return f'"{name}"' if shown == name and (name.upper() in RESERVED or name == "body") else shown


def _operation(node: Node, args: list[str]) -> str:
    op = node.op
    if op in _INFIX:
        if node.args[0].op in _CHAINS.get(op, ()):
            args[0] = args[0][1:-1]
        escape = f" ESCAPE '{str(node.value).replace(chr(39), chr(39) * 2)}'" if node.value else ""
        return f"({f' {op.upper()} '.join(args)}{escape})"
    forms = {
        "neg": "(- {0})",
        "not": "(NOT {0})",
        "is_null": "({0} IS NULL)",
        "is_true": "({0} IS TRUE)",
        "is_false": "({0} IS FALSE)",
        "is_distinct": "({0} IS DISTINCT FROM {1})",
        "between": "({0} BETWEEN {1} AND {2})",
    }
    if op in forms:
        return forms[op].format(*args)
    if op == "in":
        return f"({args[0]} IN ({', '.join(args[1:])}))"
    return f"{op}({', '.join(args)})"


def _literal(node: Node) -> str:
    value = node.value
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return f"({value!r})" if value < 0 else repr(value)
    if isinstance(value, int):
        return f"({value})" if value < 0 else str(value)
    return "'" + str(value).replace("'", "''") + "'"
