"""Casts by our own grammar, the same on every engine: a JSON number or a string that is one, blanks around allowed.

What does not fit is null, and counted as a wrong type by whoever asks ``lower_wrong``.
"""

from __future__ import annotations

from streamgauge.expression.sqltext import (
    finite_or_null,
    is_simple,
    matches,
    text_literal,
    trimmed,
    type_name,
)
from streamgauge.expression.types import Engine, SqlType

BLANK = r"[ \t\r\n]*"
INTEGER = r"-?(?:0|[1-9][0-9]*)"
NUMBER = INTEGER + r"(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"

_FROM_TEXT = frozenset({SqlType.BIGINT, SqlType.DOUBLE, SqlType.BOOLEAN, SqlType.LIST})

ALLOWED: dict[SqlType, frozenset[SqlType]] = {
    SqlType.VARCHAR: _FROM_TEXT,
    SqlType.BIGINT: frozenset({SqlType.DOUBLE, SqlType.VARCHAR}),
    SqlType.DOUBLE: frozenset({SqlType.BIGINT, SqlType.VARCHAR}),
    SqlType.BOOLEAN: frozenset({SqlType.BIGINT, SqlType.VARCHAR}),
    SqlType.LIST: frozenset(),
}
"""From each type, the others that it can be cast to."""


def can_fail(source: SqlType, target: SqlType) -> bool:
    """Whether a non-null value of ``source`` may be of the wrong type for ``target``."""
    if source is SqlType.VARCHAR:
        return target in _FROM_TEXT
    return source is SqlType.DOUBLE and target is SqlType.BIGINT


def cast(sql: str, source: SqlType, target: SqlType, engine: Engine) -> str:
    """SQL of the cast; null for null and for what does not fit."""
    if source is SqlType.VARCHAR:
        return _text_to[target](sql, engine)
    if source is SqlType.DOUBLE and target is SqlType.BIGINT:
        whole = f"TRY_CAST({sql} AS BIGINT)"
        return f"CASE WHEN CAST({whole} AS DOUBLE) = {sql} THEN {whole} END"
    if source is SqlType.DOUBLE and target is SqlType.VARCHAR and engine == "spark":
        return _spark_double_text(sql)
    return f"CAST({sql} AS {type_name(target, engine)})"


def _to_bigint(sql: str, engine: Engine) -> str:
    if engine == "spark":
        fits = matches(sql, BLANK + INTEGER + BLANK, engine)
        return f"CASE WHEN {fits} THEN TRY_CAST({trimmed(sql, engine)} AS BIGINT) END"
    plain = f"TRY_CAST({sql} AS BIGINT)"
    if not is_simple(sql):
        return f"TRY_CAST({_extracted(sql, INTEGER)} AS BIGINT)"
    # Most integers are written canonically, and comparing them costs a tenth of the regular expression.
    fits = matches(sql, BLANK + INTEGER + BLANK, engine)
    return f"CASE WHEN CAST({plain} AS VARCHAR) = {sql} THEN {plain} WHEN {fits} THEN {plain} END"


def _to_double(sql: str, engine: Engine) -> str:
    if engine == "duckdb" and not is_simple(sql):
        return finite_or_null(f"TRY_CAST({_extracted(sql, NUMBER)} AS DOUBLE)", engine)
    plain = f"TRY_CAST({trimmed(sql, engine) if engine == 'spark' else sql} AS DOUBLE)"
    fits = matches(sql, BLANK + NUMBER + BLANK, engine)
    return f"CASE WHEN {fits} THEN {finite_or_null(plain, engine)} END"


def _to_boolean(sql: str, engine: Engine) -> str:
    return f"CASE {trimmed(sql, engine)} WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END"


def _to_list(sql: str, engine: Engine) -> str:
    if engine == "duckdb":
        return f"TRY_CAST(TRY_CAST({sql} AS JSON) AS VARCHAR[])"
    is_list = matches(sql, BLANK + r"\[(?s:.*)", engine)
    return f"CASE WHEN {is_list} THEN from_json({sql}, 'array<string>') END"


_text_to = {
    SqlType.BIGINT: _to_bigint,
    SqlType.DOUBLE: _to_double,
    SqlType.BOOLEAN: _to_boolean,
    SqlType.LIST: _to_list,
}


def _extracted(sql: str, pattern: str) -> str:
    """DuckDB: the number in the text, or ''. Names its argument once, so that nested casts do not grow."""
    whole = f"^{BLANK}({pattern}){BLANK}$"
    return f"regexp_extract({sql}, {text_literal(whole, 'duckdb')}, 1)"


def _spark_double_text(sql: str) -> str:
    """Java writes 1.0E7 where DuckDB writes 10000000.0, and 1.0E-5 where it writes 1e-05."""
    text = f"CAST({sql} AS STRING)"
    plain = f"regexp_replace(CAST(CAST({sql} AS DECIMAL(38, 10)) AS STRING), '([0-9])0+\\\\z', '$1')"
    mantissa = f"regexp_replace({text}, '(\\\\.0)?E.*\\\\z', '')"
    exponent = f"CAST(regexp_extract({text}, 'E(.*)\\\\z', 1) AS INT)"
    return (
        f"CASE WHEN {text} NOT LIKE '%E%' THEN {text} "
        f"WHEN abs({sql}) BETWEEN 1e-4 AND 1e16 AND abs({sql}) < 1e16 THEN {plain} "
        f"ELSE concat({mantissa}, 'e', CASE WHEN {exponent} < 0 THEN '-' ELSE '+' END, "
        f"lpad(CAST(abs({exponent}) AS STRING), greatest(2, length(CAST(abs({exponent}) AS STRING))), '0')) END"
    )
