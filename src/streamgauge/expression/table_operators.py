"""Rows of the table: operators, conditions and the functions that choose among values."""

from __future__ import annotations

from collections.abc import Sequence

from streamgauge.expression.like import like_sql
from streamgauge.expression.rules import constant, doubles, same, takes
from streamgauge.expression.spec import Function, Lowering
from streamgauge.expression.types import NUMBERS, Node, SqlType

BIGINT, DOUBLE, VARCHAR, BOOLEAN = SqlType.BIGINT, SqlType.DOUBLE, SqlType.VARCHAR, SqlType.BOOLEAN

SCALARS = frozenset({BIGINT, DOUBLE, VARCHAR, BOOLEAN})
ORDERED = frozenset({BIGINT, DOUBLE, VARCHAR})


def _joined(template: str, separator: str) -> Lowering:
    return lambda node, args: template.format(separator.join(args))


def _number(bigint: str, double: str) -> Lowering:
    return lambda node, args: (bigint if node.type is BIGINT else double).format(*args)


def _in(node: Node, args: Sequence[str]) -> str:
    return f"({args[0]} IN ({', '.join(args[1:])}))"


_DIVISIBLE = "{1} <> 0 AND NOT ({1} = -1 AND {0} = -9223372036854775808)"


def _whole_division(guarded: str, plain: str) -> Lowering:
    def sql(node: Node, args: Sequence[str]) -> str:
        divisor = node.args[1]
        safe = divisor.op == "literal" and divisor.value not in (None, 0, -1)
        return f"({(plain if safe else guarded).format(*args)})"

    return sql


def _nonzero(node: Node, args: Sequence[str]) -> str:
    divisor = node.args[1]
    if divisor.op == "literal" and divisor.value:
        return f"({args[0]} / {args[1]})"
    return f"({args[0]} / CASE WHEN {args[1]} <> CAST('0.0' AS DOUBLE) THEN {args[1]} END)"


def _compare(sign: str, help_: str, example: tuple[str, object], of: frozenset[SqlType] = ORDERED) -> Function:
    sql = f"({{0}} {sign} {{1}})"
    return Function(sign, f"a {sign} b", help_, same(2, 2, BOOLEAN, of), sql, sql, example, operator=True)


def _same_sql(name: str, syntax: str, help_: str, template: str, example: tuple[str, object]) -> Function:
    rule = takes(BOOLEAN, gives=BOOLEAN)
    return Function(name, syntax, help_, rule, template, template, example, operator=True)


def _like(name: str, word: str, example: tuple[str, object]) -> Function:
    rule = constant(takes(VARCHAR, VARCHAR, gives=BOOLEAN), 1)
    return Function(
        name,
        f"a {word} 'pattern' [ESCAPE 'c']",
        f"% is any text, _ any character{', letter case ignored' if name == 'ilike' else ''}; a literal pattern.",
        rule,
        lambda node, args: like_sql(node, args[0], word, "duckdb"),
        lambda node, args: like_sql(node, args[0], word, "spark"),
        example,
        operator=True,
    )


COMPARISONS = [
    _compare("=", "Equal; null if either is null.", ("1 = 1.0", True), SCALARS),
    _compare("<>", "Not equal, also written !=.", ("'a' <> 'A'", True), SCALARS),
    _compare("<", "Less; texts by their UTF-8 bytes.", ("'B' < 'a'", True)),
    _compare("<=", "Less or equal.", ("2 <= 1.5", False)),
    _compare(">", "Greater.", ("10 > 9", True)),
    _compare(">=", "Greater or equal.", ("NULL >= 1", None)),
    Function(
        "is_distinct",
        "a IS [NOT] DISTINCT FROM b",
        "Unequal, where null equals null; never null.",
        same(2, 2, BOOLEAN, SCALARS),
        "({0} IS DISTINCT FROM {1})",
        "(NOT ({0} <=> {1}))",
        ("NULL IS DISTINCT FROM 'a'", True),
        operator=True,
    ),
    Function(
        "between",
        "a BETWEEN low AND high",
        "low <= a AND a <= high.",
        same(3, 3, BOOLEAN, ORDERED),
        "({0} BETWEEN {1} AND {2})",
        "({0} BETWEEN {1} AND {2})",
        ("5 BETWEEN 1 AND 5", True),
        operator=True,
    ),
    Function(
        "in",
        "a [NOT] IN (b, c)",
        "Equal to one of the list.",
        same(2, None, BOOLEAN, SCALARS),
        _in,
        _in,
        ("'b' IN ('a', 'b')", True),
        operator=True,
    ),
    _like("like", "LIKE", ("'ab%' LIKE 'a_!%' ESCAPE '!'", True)),
    _like("ilike", "ILIKE", ("'Abc' ILIKE 'aB%'", True)),
    Function(
        "is_null",
        "a IS [NOT] NULL",
        "Whether there is no value.",
        same(1, 1, BOOLEAN),
        "({0} IS NULL)",
        "({0} IS NULL)",
        ("NULL IS NULL", True),
        operator=True,
    ),
]

LOGIC = [
    Function(
        "and",
        "a AND b",
        "Both; false if either is false, else null if either is null.",
        takes(BOOLEAN, BOOLEAN, gives=BOOLEAN),
        _joined("({0})", " AND "),
        _joined("({0})", " AND "),
        ("NULL AND FALSE", False),
        operator=True,
    ),
    Function(
        "or",
        "a OR b",
        "Either; true if either is true, else null if either is null.",
        takes(BOOLEAN, BOOLEAN, gives=BOOLEAN),
        _joined("({0})", " OR "),
        _joined("({0})", " OR "),
        ("NULL OR TRUE", True),
        operator=True,
    ),
    _same_sql("not", "NOT a", "The contrary; null of null.", "(NOT {0})", ("NOT FALSE", True)),
    _same_sql("is_true", "a IS [NOT] TRUE", "Never null.", "({0} IS TRUE)", ("(NULL = 1) IS TRUE", False)),
    _same_sql("is_false", "a IS [NOT] FALSE", "Never null.", "({0} IS FALSE)", ("FALSE IS FALSE", True)),
]


def _arithmetic(sign: str, help_: str, spark: str, example: tuple[str, object]) -> Function:
    return Function(
        sign,
        f"a {sign} b",
        help_,
        same(2, 2, of=NUMBERS),
        _number(f"TRY({{0}} {sign} {{1}})", f"({{0}} {sign} {{1}})"),
        _number(f"{spark}({{0}}, {{1}})", f"({{0}} {sign} {{1}})"),
        example,
        floating=True,
        operator=True,
    )


ARITHMETIC = [
    _arithmetic("+", "Sum; null where 64 bits overflow.", "try_add", ("9223372036854775807 + 1", None)),
    _arithmetic("-", "Difference; null where 64 bits overflow.", "try_subtract", ("1.5 - 1", 0.5)),
    _arithmetic("*", "Product; null where 64 bits overflow.", "try_multiply", ("1e308 * 10", None)),
    Function(
        "/",
        "a / b",
        "Quotient, always a DOUBLE; null where b is 0.",
        doubles(2),
        _nonzero,
        _nonzero,
        ("7 / 2", 3.5),
        floating=True,
        operator=True,
    ),
    Function(
        "//",
        "a // b",
        "Quotient of two BIGINT, cut toward zero; null where b is 0, and for -2^63 // -1.",
        takes(BIGINT, BIGINT, gives=BIGINT),
        _whole_division("TRY({0} // {1})", "{0} // {1}"),
        _whole_division(f"CASE WHEN {_DIVISIBLE} THEN {{0}} div {{1}} END", "{0} div {1}"),
        ("-7 // 2", -3),
        operator=True,
    ),
    Function(
        "%",
        "a % b",
        "Rest of a // b, with the sign of a; null where a // b is.",
        takes(BIGINT, BIGINT, gives=BIGINT),
        _whole_division("TRY({0} % {1})", "{0} % {1}"),
        _whole_division(f"CASE WHEN {_DIVISIBLE} THEN {{0}} % {{1}} END", "{0} % {1}"),
        ("-7 % 2", -1),
        operator=True,
    ),
    Function(
        "neg",
        "-a",
        "The negative; null for -2^63, which has none.",
        same(1, 1, of=NUMBERS),
        _number("TRY(CAST(0 AS BIGINT) - {0})", "(- {0})"),
        _number("try_subtract(CAST(0 AS BIGINT), {0})", "(- {0})"),
        ("-(2 + 3)", -5),
        floating=True,
        operator=True,
    ),
    Function(
        "||",
        "a || b",
        "The texts one after the other; null if either is null.",
        takes(VARCHAR, VARCHAR, gives=VARCHAR),
        _joined("({0})", " || "),
        _joined("({0})", " || "),
        ("'a' || 'b'", "ab"),
        operator=True,
    ),
]


def _nullif(node: Node, args: Sequence[str]) -> str:
    return f"CASE WHEN {args[0]} = {args[1]} THEN NULL ELSE {args[0]} END"


def _choice(name: str, help_: str, example: tuple[str, object], of: frozenset[SqlType] | None = None) -> Function:
    sql = _joined(name + "({0})", ", ")
    return Function(name, f"{name}(a, b, ...)", help_, same(1, of=of), sql, sql, example)


CHOICE = [
    _choice("coalesce", "The first that is not null.", ("coalesce(NULL, 'a', 'b')", "a")),
    Function(
        "nullif",
        "nullif(a, b)",
        "Null if a = b, else a.",
        same(2, 2, of=SCALARS),
        _nullif,
        _nullif,
        ("nullif('0', '0')", None),
    ),
    _choice("least", "The least, nulls left out.", ("least(3, NULL, 2)", 2), ORDERED),
    _choice("greatest", "The greatest, nulls left out.", ("greatest(3, NULL, 2.5)", 3.0), ORDERED),
]
