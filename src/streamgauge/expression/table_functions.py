"""Rows of the table: functions of numbers, texts, lists and times."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamgauge.expression.regex import compile_regex, literal_regex
from streamgauge.expression.rules import Checked, between, coerce, constant, doubles, require_literal, same, takes
from streamgauge.expression.spec import Function, Lowering
from streamgauge.expression.sqltext import text_literal
from streamgauge.expression.times import TimeUnit, time_ms
from streamgauge.expression.types import NUMBERS, Engine, Node, Refused, SqlType

BIGINT, DOUBLE, VARCHAR, BOOLEAN, LIST = (
    SqlType.BIGINT,
    SqlType.DOUBLE,
    SqlType.VARCHAR,
    SqlType.BOOLEAN,
    SqlType.LIST,
)
MAX_INT = 2**31 - 1


def _number(bigint: str, double: str) -> Lowering:
    return lambda node, args: (bigint if node.type is BIGINT else double).format(*args)


def _whole(name: str, help_: str, example: tuple[str, object], spark: str = "") -> Function:
    sql = _number("{0}", name + "({0})")
    rule = same(1, 1, of=NUMBERS)
    return Function(name, f"{name}(a)", help_, rule, sql, _number("{0}", spark) if spark else sql, example, True)


def _positive(name: str, help_: str, example: tuple[str, object]) -> Function:
    sql = name + "(CASE WHEN {0} > CAST('0.0' AS DOUBLE) THEN {0} END)"
    return Function(name, f"{name}(a)", help_, doubles(1), sql, sql, example, True)


def _round(node: Node, args: Sequence[str]) -> str:
    digits = node.args[1].value if len(node.args) > 1 else 0
    if not digits:
        return f"round({args[0]})"
    factor = f"CAST('1e{digits}' AS DOUBLE)"
    return f"(round({args[0]} * {factor}) / {factor})"


NUMBER_FUNCTIONS = [
    Function(
        "abs",
        "abs(a)",
        "The size without the sign; null for -2^63.",
        same(1, 1, of=NUMBERS),
        _number("TRY(abs({0}))", "abs({0})"),
        _number("CASE WHEN {0} > -9223372036854775808 THEN abs({0}) END", "abs({0})"),
        ("abs(-2.5)", 2.5),
        floating=True,
    ),
    Function(
        "sign",
        "sign(a)",
        "-1, 0 or 1.",
        same(1, 1, BIGINT, NUMBERS),
        "CAST(sign({0}) AS BIGINT)",
        "CAST(sign({0}) AS BIGINT)",
        ("sign(-7)", -1),
    ),
    _whole("floor", "The next whole number below.", ("floor(-1.5)", -2.0), "CAST(floor({0}) AS DOUBLE)"),
    _whole("ceil", "The next whole number above.", ("ceil(1.2)", 2.0), "CAST(ceil({0}) AS DOUBLE)"),
    _whole(
        "trunc",
        "Cut toward zero.",
        ("trunc(-1.5)", -1.0),
        "CASE WHEN {0} < 0 THEN CAST(ceil({0}) AS DOUBLE) ELSE CAST(floor({0}) AS DOUBLE) END",
    ),
    Function(
        "round",
        "round(a [, digits])",
        "To digits (0 to 15) after the point, half away from zero, computed as round(a * 10^d) / 10^d in DOUBLE.",
        constant(takes(DOUBLE, BIGINT, gives=DOUBLE, optional=1), 1, between(0, 15)),
        _round,
        _round,
        ("round(2.5)", 3.0),
        floating=True,
    ),
    Function(
        "sqrt", "sqrt(a)", "Square root; null below 0.", doubles(1), "sqrt({0})", "sqrt({0})", ("sqrt(16)", 4.0), True
    ),
    _positive("ln", "Natural logarithm; null unless a > 0.", ("ln(1)", 0.0)),
    _positive("log10", "Decimal logarithm; null unless a > 0.", ("log10(1000)", 3.0)),
    _positive("log2", "Binary logarithm; null unless a > 0.", ("log2(0)", None)),
    Function("exp", "exp(a)", "e to the power a.", doubles(1), "exp({0})", "exp({0})", ("exp(0)", 1.0), True),
    Function(
        "power",
        "power(a, b)",
        "a to the power b; null where that is not finite.",
        doubles(2),
        "power({0}, {1})",
        "power({0}, {1})",
        ("power(2, 10)", 1024.0),
        floating=True,
    ),
]


def _text(name: str, help_: str, example: tuple[str, object], spark: str = "") -> Function:
    rule = takes(VARCHAR, gives=VARCHAR)
    return Function(name, f"{name}(text)", help_, rule, name + "({0})", spark or name + "({0})", example)


def _trim(name: str, where: str, help_: str, example: tuple[str, object]) -> Function:
    def duckdb(node: Node, args: Sequence[str]) -> str:
        return f"{name}({args[0]}, {args[1] if len(args) > 1 else text_literal(' ', 'duckdb')})"

    def spark(node: Node, args: Sequence[str]) -> str:
        return f"trim({where} {args[1] if len(args) > 1 else text_literal(' ', 'spark')} FROM {args[0]})"

    rule = constant(takes(VARCHAR, VARCHAR, gives=VARCHAR, optional=1), 1, _nonempty)
    return Function(name, f"{name}(text [, 'characters'])", help_, rule, duckdb, spark, example)


def _nonempty(value: object) -> str:
    return "" if value else "the text must not be empty"


def _clamped(sql: str, least: int, engine: Engine) -> str:
    bounded = f"least(greatest({sql}, {least}), {MAX_INT})"
    # least and greatest leave nulls out, and a null place must stay null.
    kept = f"CASE WHEN {sql} IS NOT NULL THEN {bounded} END"
    return f"CAST({kept} AS INT)" if engine == "spark" else f"CAST({kept} AS BIGINT)"


def _clamp(sql: str, node: Node, least: int, engine: Engine) -> str:
    if node.op == "literal" and isinstance(node.value, int):
        return str(min(max(node.value, least), MAX_INT))
    return _clamped(sql, least, engine)


def _substr(engine: Engine) -> Lowering:
    def sql(node: Node, args: Sequence[str]) -> str:
        places = [_clamp(a, n, 1 - i, engine) for i, (a, n) in enumerate(zip(args[1:], node.args[1:], strict=True))]
        return f"substring({', '.join([args[0], *places])})"

    return sql


def _side(name: str, engine: Engine) -> Lowering:
    return lambda node, args: f"{name}({args[0]}, {_clamp(args[1], node.args[1], 0, engine)})"


def _sides(name: str, help_: str, example: tuple[str, object]) -> Function:
    rule = takes(VARCHAR, BIGINT, gives=VARCHAR)
    return Function(name, f"{name}(text, n)", help_, rule, _side(name, "duckdb"), _side(name, "spark"), example)


def _search(name: str, help_: str, spark: str, example: tuple[str, object], gives: SqlType = BOOLEAN) -> Function:
    rule = takes(VARCHAR, VARCHAR, gives=gives)
    return Function(name, f"{name}(text, part)", help_, rule, name + "({0}, {1})", spark, example)


def _replace_rule(name: str, args: tuple[Node, ...]) -> Checked:
    nodes, type_ = constant(takes(VARCHAR, VARCHAR, VARCHAR, gives=VARCHAR), 1, rest=True)(name, args)
    search, replacement = str(nodes[1].value), str(nodes[2].value)
    if not search or len(replacement.encode()) > len(search.encode()):
        raise Refused("replace may not make a text longer", nodes[2].at, "the replacement must be no longer")
    return nodes, type_


def _concat_spark(node: Node, args: Sequence[str]) -> str:
    return f"concat({', '.join(f'coalesce({a}, {chr(39) * 2})' for a in args)})"


def _split_part_rule(name: str, args: tuple[Node, ...]) -> Checked:
    nodes, type_ = constant(takes(VARCHAR, VARCHAR, BIGINT, gives=VARCHAR), 1, _nonempty)(name, args)
    require_literal(name, nodes[2], between(-MAX_INT, MAX_INT))
    require_literal(name, nodes[2], lambda v: "" if v else "parts count from 1, or from -1 at the end")
    return nodes, type_


def _split_part(node: Node, args: Sequence[str]) -> str:
    # DuckDB's own split_part is a macro that names its text twice: nested ones would grow without our seeing it.
    part = f"coalesce(string_split({args[0]}, {args[1]})[{node.args[2].value}], '')"
    return f"CASE WHEN {args[0]} IS NOT NULL THEN {part} END"


def _good_pattern(value: object) -> str:
    compile_regex(str(value))
    return ""


def _regex_rule(name: str, args: tuple[Node, ...]) -> Checked:
    if name == "regexp_matches":
        return constant(takes(VARCHAR, VARCHAR, gives=BOOLEAN), 1, _good_pattern)(name, args)
    nodes, type_ = takes(VARCHAR, VARCHAR, BIGINT, gives=VARCHAR, optional=1)(name, args)
    require_literal(name, nodes[1], _good_pattern)
    if len(nodes) > 2:
        require_literal(name, nodes[2], between(0, compile_regex(str(nodes[1].value)).groups))
    return nodes, type_


def _pattern(node: Node, engine: Engine) -> str:
    compiled = compile_regex(str(node.args[1].value))
    return text_literal(compiled.re2 if engine == "duckdb" else compiled.java, engine)


def _extract(engine: Engine) -> Lowering:
    def sql(node: Node, args: Sequence[str]) -> str:
        group = node.args[2].value if len(node.args) > 2 else 0
        return f"regexp_extract({args[0]}, {_pattern(node, engine)}, {group})"

    return sql


def _prefix_rule(name: str, args: tuple[Node, ...]) -> Checked:
    if len(args) < 2:
        raise Refused(f"{name} takes a text and at least one prefix, got {len(args)}")
    nodes = tuple(coerce(a, VARCHAR, name) for a in args)
    return constant(lambda n, a: (a, VARCHAR), 1, _nonempty, rest=True)(name, nodes)


def _prefix(engine: Engine) -> Lowering:
    def sql(node: Node, args: Sequence[str]) -> str:
        prefixes = sorted({str(n.value) for n in node.args[1:]}, key=lambda p: (-len(p), p))
        pattern = text_literal(r"\A(?:" + "|".join(map(literal_regex, prefixes)) + ")", engine)
        found = f"regexp_matches({args[0]}, {pattern})" if engine == "duckdb" else f"{args[0]} RLIKE {pattern}"
        return f"CASE WHEN {found} THEN regexp_extract({args[0]}, {pattern}, 0) END"

    return sql


_PLUS_KEPT = r"replace(regexp_replace({0}, '%(?![0-9A-Fa-f]{{2}})', '%25'), '+', '%2B')"
_SPARK_URL = (
    "CASE WHEN locate(chr(65533), try_url_decode(" + _PLUS_KEPT + ")) > 0 AND locate(chr(65533), {0}) = 0 "
    "THEN {0} ELSE coalesce(try_url_decode(" + _PLUS_KEPT + "), {0}) END"
)

TEXT_FUNCTIONS = [
    _text("lower", "Small letters.", ("lower('AbC')", "abc")),
    _text("upper", "Capital letters.", ("upper('abC')", "ABC")),
    _trim("trim", "BOTH", "Without the spaces (or characters) around it.", ("trim(' a ')", "a")),
    _trim("ltrim", "LEADING", "Without those before it.", ("ltrim('00120', '0')", "120")),
    _trim("rtrim", "TRAILING", "Without those after it.", ("rtrim('a ')", "a")),
    Function(
        "length",
        "length(text)",
        "Number of characters (code points).",
        takes(VARCHAR, gives=BIGINT),
        "length({0})",
        "CAST(char_length({0}) AS BIGINT)",
        ("length('né')", 2),
    ),
    Function(
        "strlen",
        "strlen(text)",
        "Number of UTF-8 bytes.",
        takes(VARCHAR, gives=BIGINT),
        "strlen({0})",
        "CAST(octet_length({0}) AS BIGINT)",
        ("strlen('né')", 3),
    ),
    Function(
        "substr",
        "substr(text, from [, length])",
        "Part of a text; places count from 1, a place before 1 is 1, a negative length 0.",
        takes(VARCHAR, BIGINT, BIGINT, gives=VARCHAR, optional=1),
        _substr("duckdb"),
        _substr("spark"),
        ("substr('hello', 2, 3)", "ell"),
    ),
    _sides("left", "The first n characters.", ("left('hello', 2)", "he")),
    _sides("right", "The last n characters.", ("right('hello', 2)", "lo")),
    Function(
        "split_part",
        "split_part(text, 'separator', n)",
        "The nth part, from 1, or from the end with n below 0; '' if there is none.",
        _split_part_rule,
        _split_part,
        lambda node, args: f"split_part({args[0]}, {args[1]}, {node.args[2].value})",
        ("split_part('a.b.c', '.', 2)", "b"),
    ),
    _search("starts_with", "Whether it begins so.", "startswith({0}, {1})", ("starts_with('abc', 'ab')", True)),
    _search("ends_with", "Whether it ends so.", "endswith({0}, {1})", ("ends_with('abc', 'bc')", True)),
    _search("contains", "Whether the part is in it.", "contains({0}, {1})", ("contains('abc', 'b')", True)),
    _search(
        "instr",
        "Place of the part's first occurrence, from 1; 0 if there is none.",
        "CAST(instr({0}, {1}) AS BIGINT)",
        ("instr('abc', 'c')", 3),
        BIGINT,
    ),
    Function(
        "replace",
        "replace(text, 'search', 'replacement')",
        "Every occurrence replaced; literals, the replacement no longer than what it replaces.",
        _replace_rule,
        "replace({0}, {1}, {2})",
        "replace({0}, {1}, {2})",
        ("replace('a-b', '-', '_')", "a_b"),
    ),
    Function(
        "concat",
        "concat(a, b, ...)",
        "The texts one after the other, nulls left out.",
        same(1, None, VARCHAR, frozenset({VARCHAR})),
        lambda node, args: f"concat({', '.join(args)})",
        _concat_spark,
        ("concat('a', NULL, 'b')", "ab"),
    ),
    Function(
        "regexp_matches",
        "regexp_matches(text, 'pattern')",
        "Whether the pattern is found anywhere in the text.",
        _regex_rule,
        lambda node, args: f"regexp_matches({args[0]}, {_pattern(node, 'duckdb')})",
        lambda node, args: f"({args[0]} RLIKE {_pattern(node, 'spark')})",
        (r"regexp_matches('sip:487', '^sip:\d{3}$')", True),
    ),
    Function(
        "regexp_extract",
        "regexp_extract(text, 'pattern' [, group])",
        "What the pattern (or its group) matched first; '' if nothing.",
        _regex_rule,
        _extract("duckdb"),
        _extract("spark"),
        (r"regexp_extract('sip:487;x', 'sip:(\d+)', 1)", "487"),
    ),
    Function(
        "prefix_of",
        "prefix_of(text, '331', '33', ...)",
        "The longest of the literal prefixes that the text begins with, else null.",
        _prefix_rule,
        _prefix("duckdb"),
        _prefix("spark"),
        ("prefix_of('3312345', '33', '331', '1')", "331"),
    ),
    Function(
        "url_decode",
        "url_decode(text)",
        "Percent-encoding undone; what is not percent-encoded UTF-8 stays as it is, and + stays +.",
        takes(VARCHAR, gives=VARCHAR),
        "coalesce(TRY(url_decode({0})), {0})",
        _SPARK_URL,
        ("url_decode('sip%3A487')", "sip:487"),
    ),
    _text("md5", "The md5 of the UTF-8 bytes, 32 hexadecimal digits.", ("left(md5('a'), 8)", "0cc175b9")),
    _text("sha256", "The SHA-256, 64 hexadecimal digits.", ("left(sha256('a'), 8)", "ca978112"), "sha2({0}, 256)"),
]


def _iso(engine: Engine) -> Callable[[Node, Sequence[str]], str]:
    return lambda node, args: time_ms(args[0], TimeUnit.ISO, engine)


OTHER_FUNCTIONS = [
    Function(
        "len",
        "len(list)",
        "Number of elements.",
        takes(LIST, gives=BIGINT),
        "len({0})",
        "CASE WHEN {0} IS NOT NULL THEN CAST(size({0}) AS BIGINT) END",
        ("len('[1, 2]'::VARCHAR[])", 2),
    ),
    Function(
        "list_contains",
        "list_contains(list, text)",
        "Whether the text is an element; null if either is null.",
        takes(LIST, VARCHAR, gives=BOOLEAN),
        "list_contains({0}, {1})",
        "coalesce(array_contains({0}, {1}), CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL THEN FALSE END)",
        ("list_contains('[\"a\", null]'::VARCHAR[], 'b')", False),
    ),
    Function(
        "iso_ms",
        "iso_ms(text)",
        "Milliseconds since 1970 UTC of an ISO 8601 time (without an offset: UTC), else null.",
        takes(VARCHAR, gives=BIGINT),
        _iso("duckdb"),
        _iso("spark"),
        ("iso_ms('1970-01-01T00:00:01.5Z')", 1500),
    ),
]
