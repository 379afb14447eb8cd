"""Type rules: what a function of the table takes, and what it then yields.

Types are static, and nothing converts itself but BIGINT to DOUBLE.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from streamgauge.expression.types import NUMBERS, Node, Path, Refused, SqlType

Checked = tuple[tuple[Node, ...], SqlType]
Rule = Callable[[str, tuple[Node, ...]], Checked]
"""(name of the function, arguments) to (arguments as they will be lowered, type). Raises Refused."""

Check = Callable[[object], str]
"""What is wrong with a literal's value, or the empty string."""


def coerce(node: Node, want: SqlType, who: str) -> Node:
    """The node as ``want``: itself, a typed NULL, or a BIGINT made DOUBLE; else Refused with what to write."""
    if node.type is want:
        return node
    if node.type is SqlType.NULL:
        return replace(node, type=want)
    if node.type is SqlType.BIGINT and want is SqlType.DOUBLE:
        return as_double(node)
    raise Refused(f"{who} needs {want}, this is {node.type}", node.at, _conversion(node, want))


def as_double(node: Node) -> Node:
    """A BIGINT node as DOUBLE."""
    if node.op == "literal" and isinstance(node.value, int):
        return replace(node, type=SqlType.DOUBLE, value=float(node.value))
    return Node("cast", SqlType.DOUBLE, (node,), at=node.at)


def unify(nodes: Sequence[Node], who: str) -> tuple[tuple[Node, ...], SqlType]:
    """All nodes as one type; BIGINT and DOUBLE become DOUBLE, NULL becomes anything."""
    types = {n.type for n in nodes} - {SqlType.NULL}
    if types == NUMBERS:
        want = SqlType.DOUBLE
    elif len(types) > 1:
        raise _disagreement(nodes, who)
    else:
        want = next(iter(types), SqlType.VARCHAR)
    return tuple(coerce(n, want, who) for n in nodes), want


def takes(*params: SqlType, gives: SqlType, optional: int = 0) -> Rule:
    """Arguments of these types; the last ``optional`` may be missing."""

    def rule(name: str, args: tuple[Node, ...]) -> Checked:
        _count(name, args, len(params) - optional, len(params))
        return tuple(coerce(a, p, name) for a, p in zip(args, params, strict=False)), gives

    return rule


def same(
    least: int, most: int | None = None, gives: SqlType | None = None, of: frozenset[SqlType] | None = None
) -> Rule:
    """Arguments of one type, any or one ``of`` some; yields that type, or ``gives``."""

    def rule(name: str, args: tuple[Node, ...]) -> Checked:
        _count(name, args, least, most)
        if of is not None and all(a.type is SqlType.NULL for a in args):
            args = tuple(replace(a, type=min(of)) for a in args)
        nodes, type_ = unify(args, name)
        if of is not None and type_ not in of:
            if type_ is SqlType.VARCHAR and of >= NUMBERS:
                nodes = tuple(coerce(n, SqlType.BIGINT, name) for n in nodes)
            raise Refused(f"{name} does not take {type_}", args[0].at, _untaken(type_))
        return nodes, gives or type_

    return rule


def doubles(count: int) -> Rule:
    """Exactly ``count`` numbers, taken as DOUBLE, yielding DOUBLE."""
    return takes(*[SqlType.DOUBLE] * count, gives=SqlType.DOUBLE)


def constant(rule: Rule, place: int, check: Check | None = None, *, rest: bool = False) -> Rule:
    """The same rule, where the argument at ``place``, from 0 (with ``rest``, all from there on), must be a literal."""

    def checked(name: str, args: tuple[Node, ...]) -> Checked:
        nodes, type_ = rule(name, args)
        for node in nodes[place:] if rest else nodes[place : place + 1]:
            require_literal(name, node, check)
        return nodes, type_

    return checked


def require_literal(name: str, node: Node, check: Check | None = None) -> None:
    """Raises Refused unless the node is a literal, not null, in which ``check`` finds nothing wrong."""
    if node.op != "literal" or node.value is None:
        raise Refused(f"{name} needs a literal here", node.at)
    if check and (wrong := check(node.value)):
        raise Refused(f"{name}: {wrong}", node.at)


def between(low: int, high: int) -> Check:
    """A check for ``constant``: an integer within bounds."""

    def check(value: object) -> str:
        inside = isinstance(value, int) and low <= value <= high
        return "" if inside else f"from {low} to {high} is allowed, got {value}"

    return check


def _count(name: str, args: tuple[Node, ...], least: int, most: int | None) -> None:
    if least <= len(args) and (most is None or len(args) <= most):
        return
    if most is None:
        wanted = f"at least {least}"
    else:
        wanted = str(least) if least == most else f"{least} to {most}"
    raise Refused(f"{name} takes {wanted} argument{'' if wanted == '1' else 's'}, got {len(args)}")


def _disagreement(nodes: Sequence[Node], who: str) -> Refused:
    lists = [n for n in nodes if n.type is SqlType.LIST]
    if lists:
        return Refused(f"{who} mixes a list with something else", lists[0].at, _untaken(SqlType.LIST))
    texts = [n for n in nodes if n.type is SqlType.VARCHAR]
    others = [n for n in nodes if n.type not in (SqlType.VARCHAR, SqlType.NULL)]
    if texts and others:
        first, other = (texts[0], others[0]) if texts[0].at < others[0].at else (others[0], texts[0])
        blamed = next((t for t in texts if t.op != "literal"), texts[0])
        return Refused(f"{who} mixes {first.type} and {other.type}", blamed.at, _conversion(blamed, others[0].type))
    kinds = sorted({str(n.type) for n in others})
    return Refused(f"{who} mixes {' and '.join(kinds)}", others[0].at)


def _conversion(node: Node, want: SqlType) -> str:
    if node.type is SqlType.VARCHAR and want is not SqlType.VARCHAR:
        if node.op == "literal":
            return "write it without quotes" if want in NUMBERS else ""
        return f"write {_brief(node)}::{want}"
    if want is SqlType.VARCHAR and node.type is not SqlType.LIST:
        return f"write {_brief(node)}::VARCHAR"
    if want is SqlType.BOOLEAN and node.type in NUMBERS:
        return f"write {_brief(node)} <> 0"
    if want is SqlType.BIGINT and node.type is SqlType.DOUBLE:
        return f"write {_brief(node)}::BIGINT, which is null for a fraction, or trunc(...)::BIGINT"
    return ""


def _untaken(type_: SqlType) -> str:
    return "list_contains(list, text) looks into a list" if type_ is SqlType.LIST else ""


def _brief(node: Node) -> str:
    if isinstance(node.value, Path) or node.op == "column":
        return str(node.value)
    return repr(node.value) if node.op == "literal" else "(...)"
