"""Expressions: SQL scalar text of our dialect, checked and typed, lowered to the SQL of an engine."""

from __future__ import annotations

from streamgauge.expression.calls import Call, parse_call, split_args
from streamgauge.expression.functions import function_table_markdown
from streamgauge.expression.lower import lower, lower_wrong
from streamgauge.expression.numbers import key_text, scaled, term
from streamgauge.expression.parse import parse
from streamgauge.expression.times import TimeUnit, detect_unit, time_ms
from streamgauge.expression.types import Engine, Expression, Path, SqlType

__all__ = [
    "Call",
    "Engine",
    "Expression",
    "Path",
    "SqlType",
    "TimeUnit",
    "detect_unit",
    "function_table_markdown",
    "key_text",
    "lower",
    "lower_wrong",
    "parse",
    "parse_call",
    "scaled",
    "split_args",
    "term",
    "time_ms",
]
