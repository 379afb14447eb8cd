"""Parsing and checking: from text to an Expression, or a DeclarationError that says what to mend and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import SqlglotError
from sqlglot.parsers.duckdb import DuckDBParser

from streamgauge.errors import DeclarationError, Mistake
from streamgauge.expression.casts import ALLOWED
from streamgauge.expression.functions import CALLABLE, TABLE
from streamgauge.expression.like import like_parts
from streamgauge.expression.lower import check_size
from streamgauge.expression.normal import expression_of, walk
from streamgauge.expression.rules import coerce, unify
from streamgauge.expression.scan import Scanned, scan
from streamgauge.expression.types import MAX_BIGINT, NUMBERS, Expression, Node, Refused, SqlType

MAX_NODES = 200
MAX_DEPTH = 64
_SHOWN = 200


class _Parser(DuckDBParser):
    """sqlglot's DuckDB parser without any function of its own: a call is a call."""

    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    FUNCTION_PARSERS: ClassVar = {k: v for k, v in DuckDBParser.FUNCTION_PARSERS.items() if k in ("CAST", "TRY_CAST")}
    NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
    NO_PAREN_FUNCTION_PARSERS: ClassVar = {
        k: v for k, v in DuckDBParser.NO_PAREN_FUNCTION_PARSERS.items() if k == "CASE"
    }


def parse(
    text: str,
    *,
    columns: Mapping[str, SqlType],
    what: str,
    where: str = "",
    expect: SqlType | None = None,
    body: bool = True,
) -> Expression:
    """The checked expression of ``text``, which may read ``columns`` and, with ``body``, paths below body.

    ``expect`` is the type that it must yield (a BIGINT is made a DOUBLE, a bare NULL anything). ``what`` and
    ``where`` name the declaration in the DeclarationError that is raised for anything that is not allowed.
    """
    try:
        return _parse(text, columns, expect, body)
    except Refused as refusal:
        raise DeclarationError(mistake_of(refusal, text, what=what, where=where)) from None
    except RecursionError:
        deep = Refused("it is nested too deep")
        raise DeclarationError(mistake_of(deep, text, what=what, where=where)) from None


def mistake_of(refusal: Refused, text: str, *, what: str, where: str) -> Mistake:
    """The Mistake that says why ``text`` was refused."""
    place = f" at {refusal.at}" if refusal.at is not None else ""
    got = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    return Mistake(what=what, where=where, got=got, problem=refusal.problem + place, hint=refusal.hint)


def _parse(text: str, columns: Mapping[str, SqlType], expect: SqlType | None, body: bool) -> Expression:
    scanned = scan(text, columns, body=body)
    try:
        trees = _Parser(dialect=DuckDB()).parse_into(exp.Condition, scanned.tokens, text)
    except SqlglotError as error:
        raise _unreadable(error, scanned) from None
    if len(trees) != 1 or trees[0] is None:
        raise Refused("it is no expression", 1)
    tree = _Checker(scanned).check(trees[0])
    if expect is not None and tree.type is not expect:
        tree = coerce(tree, expect, what_is_expected(expect))
    check_size(tree)
    return expression_of(text, tree)


def what_is_expected(expect: SqlType) -> str:
    """The subject of the sentence about a wrong type."""
    return "a condition" if expect is SqlType.BOOLEAN else "this"


def _unreadable(error: SqlglotError, scanned: Scanned) -> Refused:
    details = getattr(error, "errors", None) or [{}]
    at = details[0].get("col")
    last = scanned.tokens[-1].col
    if at is None or at >= last:
        return Refused("it ends too early, or what stands there does not belong there", at or last)
    return Refused("what stands there does not belong there", at)


class _Checker:
    """Walks sqlglot's tree by a list of allowed classes and builds ours, typed."""

    def __init__(self, scanned: Scanned) -> None:
        self.scanned = scanned
        self.nodes = 0
        self.depth = 0

    def check(self, tree: Any) -> Node:
        handler = _HANDLERS.get(type(tree))
        if handler is None:
            raise Refused(f"{_construct(tree)} is not allowed", _place(tree, self.scanned))
        self.depth += 1
        if type(tree) is not exp.Paren:
            self.count(1)
        if self.depth > MAX_DEPTH:
            raise Refused(f"it is nested more than {MAX_DEPTH} deep", _place(tree, self.scanned))
        negated = self.refuse_unknown_parts(tree)
        node = handler(self, tree)
        self.depth -= 1
        return make("not", (node,), node.at) if negated else node

    def refuse_unknown_parts(self, tree: Any) -> bool:
        """Whether the node is negated; a part that we would not see would else be left out in silence."""
        parts = {k for k, v in tree.args.items() if v} - _HARMLESS
        if unknown := parts - _PARTS.get(type(tree), _USUAL_PARTS) - {"negate"}:
            raise Refused(f"{' and '.join(sorted(unknown))} is not allowed here", _place(tree, self.scanned))
        return "negate" in parts

    def count(self, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise Refused(f"it has more than {MAX_NODES} parts")

    def leaf(self, tree: Any) -> Node:
        if tree.args.get("table") is not None or type(tree.this) is not exp.Identifier:
            raise Refused("a name with dots is not allowed", _place(tree, self.scanned))
        if not tree.this.args.get("quoted"):
            raise Refused(f"{tree.name} is a word of the language, not a value", hint="quote a column of that name")
        node = self.scanned.leaves[int(tree.name)]
        if node.args:
            raise Refused("ESCAPE belongs to LIKE", node.at)
        if node.op == "literal" and node.value == MAX_BIGINT + 1 and node.type is SqlType.BIGINT:
            raise Refused(f"{node.value} does not fit into 64 bits", node.at)
        return node

    def leaf_of(self, tree: Any) -> Node | None:
        """The leaf that this bare column stands for, if it is one of ours."""
        ours = type(tree) is exp.Column and type(tree.this) is exp.Identifier and tree.this.args.get("quoted")
        return self.scanned.leaves[int(tree.name)] if ours else None

    def pattern(self, tree: Any) -> tuple[Node, str]:
        """The literal pattern of a LIKE and its escape."""
        leaf = self.leaf_of(tree)
        if leaf is None or leaf.op != "literal" or not isinstance(leaf.value, str):
            return self.check(tree), ""
        self.count(1)
        escape = str(leaf.args[0].value) if leaf.args else ""
        like_parts(leaf.value, escape)
        return replace(leaf, args=()), escape

    def literals_once(self, trees: list[Any]) -> list[Node]:
        """Check a list of values; all its literals together count as one node, so that lists can be long."""
        counted = self.nodes
        nodes = []
        for tree in trees:
            before = self.nodes
            nodes.append(self.check(tree))
            if nodes[-1].op == "literal":
                self.nodes = before
        self.nodes = max(self.nodes, counted + 1)
        return nodes


def make(name: str, args: tuple[Node, ...], at: int, value: object = None) -> Node:
    """A checked call of a row of the table; raises Refused."""
    try:
        nodes, type_ = TABLE[name].rule(name if name.isalpha() or "_" in name else repr(name), args)
    except Refused as refusal:
        refusal.at = at if refusal.at is None else refusal.at
        raise
    return Node(name, type_, nodes, value, at)


Handler = Callable[[_Checker, Any], Node]


def _binary(name: str) -> Handler:
    def handle(checker: _Checker, tree: Any) -> Node:
        args = (checker.check(tree.this), checker.check(tree.expression))
        return make(name, args, args[0].at)

    return handle


def _flat(name: str) -> Handler:
    """A chain of one associative operator, as one node of many arguments, without recursion on its length."""

    def handle(checker: _Checker, tree: Any) -> Node:
        operands: list[Any] = []
        kind, left = type(tree), tree
        while type(left) is kind:
            operands.append(left.expression)
            left = left.this
        operands.append(left)
        checker.count(len(operands) - 2)
        want = SqlType.VARCHAR if name == "||" else SqlType.BOOLEAN
        args: list[Node] = []
        for operand in reversed(operands):
            node = coerce(checker.check(operand), want, name.upper())
            args.extend(node.args if node.op == name else (node,))
        return Node(name, want, tuple(args), at=args[0].at)

    return handle


def _unary(name: str) -> Handler:
    def handle(checker: _Checker, tree: Any) -> Node:
        arg = checker.check(tree.this)
        return make(name, (arg,), arg.at)

    return handle


def _negative(checker: _Checker, tree: Any) -> Node:
    inner = tree.this
    leaf = checker.leaf_of(inner)
    if leaf and leaf.op == "literal" and isinstance(leaf.value, (int, float)):
        return replace(leaf, value=-leaf.value if leaf.value else leaf.value, at=leaf.at - 1)
    arg = checker.check(inner)
    if arg.op == "literal" and isinstance(arg.value, (int, float)) and arg.type in NUMBERS:
        return replace(arg, value=-arg.value or type(arg.value)())
    return make("neg", (arg,), arg.at)


def _cast(checker: _Checker, tree: Any) -> Node:
    target = _TARGETS[tree.args["to"].this]
    arg = checker.check(tree.this)
    if arg.type is target:
        return arg
    if arg.type is SqlType.NULL or (arg.op == "literal" and arg.type is SqlType.BIGINT and target is SqlType.DOUBLE):
        return coerce(arg, target, "a cast")
    if target not in ALLOWED[arg.type]:
        hint = "write a <> 0" if target is SqlType.BOOLEAN else ""
        raise Refused(f"{arg.type} cannot be cast to {target}", arg.at, hint)
    return Node("cast", target, (arg,), at=arg.at)


def _case(checker: _Checker, tree: Any) -> Node:
    subject = checker.check(tree.this) if tree.this is not None else None
    conditions, values = [], []
    if subject is not None:
        # Every branch compares with it, so it counts as often as it is written out.
        checker.count((len(tree.args["ifs"]) - 1) * sum(1 for _ in walk(subject)))
    for branch in tree.args["ifs"]:
        when = checker.check(branch.this)
        conditions.append(make("=", (subject, when), when.at) if subject else coerce(when, SqlType.BOOLEAN, "WHEN"))
        values.append(checker.check(branch.args["true"]))
    default = tree.args.get("default")
    if default is not None:
        values.append(checker.check(default))
    unified, type_ = unify(values, "CASE")
    args = [n for pair in zip(conditions, unified, strict=False) for n in pair]
    if default is not None:
        args.append(unified[-1])
    return Node("case", type_, tuple(args), value=default is not None, at=conditions[0].at)


def _is(checker: _Checker, tree: Any) -> Node:
    arg, other = checker.check(tree.this), tree.expression
    if type(other) is exp.Null:
        return make("is_null", (arg,), arg.at)
    if type(other) is exp.Boolean:
        return make("is_true" if other.this else "is_false", (arg,), arg.at)
    raise Refused("IS needs NULL, TRUE, FALSE or DISTINCT FROM", arg.at)


def _in(checker: _Checker, tree: Any) -> Node:
    if not tree.expressions:
        raise Refused("IN needs a list of values in parentheses", _place(tree, checker.scanned))
    arg = checker.check(tree.this)
    values = checker.literals_once(tree.expressions)
    return make("in", (arg, *values), arg.at)


def _like(name: str) -> Handler:
    def handle(checker: _Checker, tree: Any) -> Node:
        arg = checker.check(tree.this)
        pattern, escape = checker.pattern(tree.expression)
        return make(name, (arg, pattern), arg.at, escape or None)

    return handle


def _between(checker: _Checker, tree: Any) -> Node:
    args = tuple(checker.check(tree.args[k]) for k in ("this", "low", "high"))
    return make("between", args, args[0].at)


def _not_distinct(checker: _Checker, tree: Any) -> Node:
    inner = _binary("is_distinct")(checker, tree)
    return make("not", (inner,), inner.at)


def _function(checker: _Checker, tree: Any) -> Node:
    name = tree.this
    if not isinstance(name, str) or not name.startswith("f") or not name[1:].isdigit():
        raise Refused("a call like this is not allowed", _place(tree, checker.scanned))
    written, at = checker.scanned.calls[int(name[1:])]
    row = CALLABLE[written]
    listed = row.name == "prefix_of"
    args = checker.literals_once(tree.expressions) if listed else [checker.check(a) for a in tree.expressions]
    return make(row.name, tuple(args), at)


def _null(checker: _Checker, tree: Any) -> Node:
    return Node("literal", SqlType.NULL)


def _boolean(checker: _Checker, tree: Any) -> Node:
    return Node("literal", SqlType.BOOLEAN, value=bool(tree.this))


def _paren(checker: _Checker, tree: Any) -> Node:
    return checker.check(tree.this)


_USUAL_PARTS = frozenset({"this", "expression"})
_PARTS: dict[type, frozenset[str]] = {
    exp.Column: frozenset({"this", "table"}),
    exp.In: frozenset({"this", "expressions"}),
    exp.Between: frozenset({"this", "low", "high"}),
    exp.Case: frozenset({"this", "ifs", "default"}),
    exp.Cast: frozenset({"this", "to"}),
    exp.TryCast: frozenset({"this", "to"}),
    exp.Anonymous: frozenset({"this", "expressions"}),
}
_HARMLESS = frozenset({"safe", "typed"})
"""What sqlglot notes of a dialect's division and concatenation, which our own lowering defines."""

_HANDLERS: dict[type, Handler] = {
    exp.Column: _Checker.leaf,
    exp.Null: _null,
    exp.Boolean: _boolean,
    exp.Paren: _paren,
    exp.EQ: _binary("="),
    exp.NEQ: _binary("<>"),
    exp.LT: _binary("<"),
    exp.LTE: _binary("<="),
    exp.GT: _binary(">"),
    exp.GTE: _binary(">="),
    exp.NullSafeEQ: _not_distinct,
    exp.NullSafeNEQ: _binary("is_distinct"),
    exp.And: _flat("and"),
    exp.Or: _flat("or"),
    exp.DPipe: _flat("||"),
    exp.Add: _binary("+"),
    exp.Sub: _binary("-"),
    exp.Mul: _binary("*"),
    exp.Div: _binary("/"),
    exp.IntDiv: _binary("//"),
    exp.Mod: _binary("%"),
    exp.Neg: _negative,
    exp.Not: _unary("not"),
    exp.Is: _is,
    exp.In: _in,
    exp.Between: _between,
    exp.Like: _like("like"),
    exp.ILike: _like("ilike"),
    exp.Case: _case,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Anonymous: _function,
}

_TARGETS = {
    exp.DataType.Type.BIGINT: SqlType.BIGINT,
    exp.DataType.Type.DOUBLE: SqlType.DOUBLE,
    exp.DataType.Type.TEXT: SqlType.VARCHAR,
    exp.DataType.Type.BOOLEAN: SqlType.BOOLEAN,
    exp.DataType.Type.JSON: SqlType.LIST,
}


def _construct(tree: object) -> str:
    """What a refused node is, in words."""
    names = {"Star": "*", "Tuple": "a list in parentheses", "Kwarg": "a named argument", "Alias": "AS"}
    name = type(tree).__name__
    return names.get(name, f"this construct ({name.lower()})")


def _place(tree: Any, scanned: Scanned) -> int:
    """Where a node of sqlglot's stands: at the first of its leaves, or where the expression begins."""
    for column in tree.find_all(exp.Column):
        if type(column.this) is exp.Identifier and column.this.args.get("quoted"):
            return scanned.leaves[int(column.name)].at
    return 1
