"""THE table: every function, operator and cast that an expression may use, with its types and lowerings."""

from __future__ import annotations

from streamgauge.expression.spec import Function
from streamgauge.expression.table_functions import NUMBER_FUNCTIONS, OTHER_FUNCTIONS, TEXT_FUNCTIONS
from streamgauge.expression.table_operators import ARITHMETIC, CHOICE, COMPARISONS, LOGIC
from streamgauge.expression.types import ENGINES, Node, SqlType

GROUPS: dict[str, list[Function]] = {
    "Comparisons": COMPARISONS,
    "Logic": LOGIC,
    "Arithmetic": ARITHMETIC,
    "Choice": CHOICE,
    "Numbers": NUMBER_FUNCTIONS,
    "Texts": TEXT_FUNCTIONS,
    "Lists and times": OTHER_FUNCTIONS,
}

TABLE: dict[str, Function] = {f.name: f for group in GROUPS.values() for f in group}

ALIASES = {
    "substring": "substr",
    "ceiling": "ceil",
    "strpos": "instr",
    "pow": "power",
    "ifnull": "coalesce",
    "prefix": "starts_with",
    "suffix": "ends_with",
    "lcase": "lower",
    "ucase": "upper",
    "list_has": "list_contains",
}
"""Other names of DuckDB for the same functions."""

CALLABLE = {**{n: f for n, f in TABLE.items() if not f.operator}, **{a: TABLE[n] for a, n in ALIASES.items()}}
"""What may be written as name(...)."""

CASTS: tuple[tuple[str, SqlType, str, str, object], ...] = (
    (
        "a::BIGINT",
        SqlType.BIGINT,
        "An integer as JSON writes it, within 64 bits; of a DOUBLE, only a whole number.",
        "' 42 '::BIGINT",
        42,
    ),
    ("a::DOUBLE", SqlType.DOUBLE, "A number as JSON writes it, finite; -0.0 reads 0.0.", "'1.5e3'::DOUBLE", 1500.0),
    ("a::VARCHAR", SqlType.VARCHAR, "The canonical text of a number or BOOLEAN.", "(1.5)::VARCHAR", "1.5"),
    ("a::BOOLEAN", SqlType.BOOLEAN, "true or false.", "'true'::BOOLEAN", True),
    (
        "a::VARCHAR[]",
        SqlType.LIST,
        "A JSON list, its elements as texts; null elements stay null.",
        "'[1, \"a\", null]'::VARCHAR[]",
        ["1", "a", None],
    ),
)
"""Syntax, type, help, example and what it yields."""

CASE_EXAMPLES: tuple[tuple[str, str, str, object], ...] = (
    (
        "CASE WHEN a THEN b ... [ELSE c] END",
        "The first whose condition is true.",
        "CASE WHEN 1 > 2 THEN 'a' ELSE 'b' END",
        "b",
    ),
    (
        "CASE a WHEN b THEN c ... [ELSE d] END",
        "The first equal to a.",
        "CASE 2 WHEN 1 THEN 'a' WHEN 2 THEN 'b' END",
        "b",
    ),
)


_LONGEST = 300
"""Characters of SQL that the reference shows of one lowering."""


def function_table_markdown() -> str:
    """The reference tables of docs/expressions.md."""
    from streamgauge.expression.lower import lower
    from streamgauge.expression.parse import parse

    def row(syntax: str, help_: str, example: str, value: object) -> str:
        expression = parse(example, columns={}, what="example")
        lowered = (_code(lower(expression, e, str)) for e in ENGINES)
        cells = [_code(syntax), _escape(help_), _code(example), _code(_shown(value)), *lowered]
        return f"| {' | '.join(cells)} |"

    head = "| write | meaning | example | yields | DuckDB | Spark |\n|---|---|---|---|---|---|\n"
    parts = []
    for title, functions in GROUPS.items():
        rows = [row(f.syntax, f.help, *f.example) for f in functions]
        parts.append(f"### {title}\n\n{head}" + "\n".join(rows))
        if title == "Choice":
            parts[-1] += "\n" + "\n".join(row(*case) for case in CASE_EXAMPLES)
    casts = "\n".join(row(syntax, help_, example, value) for syntax, _, help_, example, value in CASTS)
    parts.append(f"### Casts\n\n{head}{casts}")
    aliases = ", ".join(f"`{a}` for `{n}`" for a, n in ALIASES.items())
    parts.append(f"Other names: {aliases}.")
    return "\n\n".join(parts) + "\n"


def is_floating(node: Node) -> bool:
    """Whether this node's own computation may give NaN or an infinity."""
    row = TABLE.get(node.op)
    return row is not None and row.floating and node.type is SqlType.DOUBLE


def _code(text: str) -> str:
    shown = " ".join(text.split()).replace("|", "\\|")
    shown = shown if len(shown) <= _LONGEST else shown[:_LONGEST] + " ..."
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


def _shown(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)
