"""From a checked tree to the SQL of an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streamgauge.expression.casts import can_fail, cast
from streamgauge.expression.functions import TABLE, is_floating
from streamgauge.expression.sqltext import finite_or_null, literal, wrap
from streamgauge.expression.types import ENGINES, Engine, Expression, Node, Path, Refused

MAX_SQL = 200_000
"""How long lowered SQL may become, in characters, with paths and columns as they are written."""

Resolve = Callable[[Path | str], str]
"""A path to SQL of its raw text (VARCHAR, null where it is missing or JSON null), a name to SQL of that column."""


def lower(e: Expression, engine: Engine, resolve: Resolve, known: Mapping[Node, str] | None = None) -> str:
    """SQL of the expression, safe as an operand; never raises at run time, whatever the values are.

    ``known`` names columns that hold the values of sub-expressions (by their trees), computed by ``lower`` before.
    """
    return _Lowering(engine, resolve, known).value(e.tree)


def lower_wrong(e: Expression, engine: Engine, resolve: Resolve) -> str | None:
    """SQL that is true where a cast met a value of the wrong type, else false, never null; None if no cast can fail.

    Only casts that are reached count: in CASE those of the conditions up to the first true one and of its branch, in
    coalesce those up to the first value that is not null. AND, OR and everything else reach all their operands.
    """
    return _Lowering(engine, resolve).wrong(e.tree)


def check_size(tree: Node) -> None:
    """Raises Refused where the SQL of any engine would be too long. Lowering once also proves that it can be."""
    for engine in ENGINES:
        lowering = _Lowering(engine, str, most=MAX_SQL)
        lowering.value(tree)
        lowering.wrong(tree)


class _Lowering:
    def __init__(
        self, engine: Engine, resolve: Resolve, known: Mapping[Node, str] | None = None, most: int | None = None
    ) -> None:
        self.engine = engine
        self.resolve = resolve
        self.known = known or {}
        self.most = most

    def value(self, node: Node) -> str:
        """SQL of the node as others see it: a DOUBLE is finite or null."""
        if self.known and node in self.known:
            return self.known[node]
        sql = self.computed(node)
        return finite_or_null(sql, self.engine) if is_floating(node) else sql

    def computed(self, node: Node) -> str:
        """SQL of the node itself. A calculation is IEEE 754 all the way; only its end is made finite or null."""
        if self.known and node in self.known:
            return self.known[node]
        sql = self.written(node)
        # Checked while it grows: a chain of lowerings that name their argument twice doubles at every step.
        if self.most is not None and len(sql) > self.most:
            raise Refused(f"it is too large: its SQL would have more than {self.most} characters")
        return sql

    def written(self, node: Node) -> str:
        """SQL of the node by its kind."""
        if node.op in ("path", "column"):
            return wrap(self.resolve(node.value))  # type: ignore[arg-type]
        if node.op == "literal":
            return literal(node.value, node.type, self.engine)
        if node.op == "cast":
            return cast(self.value(node.args[0]), node.args[0].type, node.type, self.engine)
        if node.op == "case":
            return self.case(node)
        inside = self.computed if is_floating(node) else self.value
        return TABLE[node.op].sql(node, [inside(a) for a in node.args], self.engine)

    def case(self, node: Node) -> str:
        parts = [self.value(a) for a in node.args]
        branches = [f"WHEN {parts[i]} THEN {parts[i + 1]}" for i in range(0, len(parts) - 1, 2)]
        if node.value:
            branches.append(f"ELSE {parts[-1]}")
        return f"CASE {' '.join(branches)} END"

    def wrong(self, node: Node) -> str | None:
        if node.op == "case":
            return self.wrong_case(node.args)
        if node.op == "coalesce":
            return self.wrong_coalesce(node.args)
        own = None
        if node.op == "cast" and can_fail(node.args[0].type, node.type):
            own = f"({self.value(node.args[0])} IS NOT NULL AND {self.computed(node)} IS NULL)"
        return _any_of([own, *(self.wrong(a) for a in node.args)])

    def wrong_case(self, args: tuple[Node, ...]) -> str | None:
        if len(args) < 2:
            return self.wrong(args[0]) if args else None
        here, later = self.wrong(args[1]), self.wrong_case(args[2:])
        branches = None
        if here or later:
            condition = self.value(args[0])
            branches = f"(CASE WHEN {condition} THEN {here or 'FALSE'} ELSE {later or 'FALSE'} END)"
        return _any_of([self.wrong(args[0]), branches])

    def wrong_coalesce(self, args: tuple[Node, ...]) -> str | None:
        first = self.wrong(args[0])
        later = self.wrong_coalesce(args[1:]) if len(args) > 1 else None
        return _any_of([first, f"({self.value(args[0])} IS NULL AND {later})" if later else None])


def _any_of(parts: list[str | None]) -> str | None:
    found = list(dict.fromkeys(p for p in parts if p))
    if len(found) < 2:
        return found[0] if found else None
    return f"({' OR '.join(found)})"
