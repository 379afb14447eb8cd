"""Measures from their text in TOML, e.g. ``sum(billed_ms) FILTER (WHERE sip_code = 200)``."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from streamgauge.aggregates import REGISTRY
from streamgauge.aggregates.base import Measure, Ratio
from streamgauge.errors import DeclarationError, Mistake, nearest
from streamgauge.expression import parse_call
from streamgauge.forms import Collector

_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_CALL = re.compile(r"\s*([a-z_]+)\s*\(", re.IGNORECASE)


_ELSEWHERE = {
    "median": "quantiles(x, 0.5)",
    "percentile": "quantiles(x, 0.95)",
    "quantile": "quantiles(x, 0.95)",
    "avg": "mean(x)",
    "average": "mean(x)",
    "count_distinct": "distinct(x)",
    "unique": "distinct(x)",
    "last": "latest(x)",
    "ratio": "proportion(a, b)",
    "percent": "proportion(a, b)",
}
"""What others call our aggregates."""


def measure_from(text: str, what: str, where: str = "") -> Measure:
    """Build a measure from its text. Operands of a ratio are names of measures, or measures themselves.

    Raises:
        DeclarationError: an unknown aggregate, or arguments that it does not take.
    """
    call = parse_call(text, what=what, where=where)
    kind = REGISTRY.get(call.name)
    if kind is None:
        hint = f"write {_ELSEWHERE[call.name]}" if call.name in _ELSEWHERE else nearest(call.name, REGISTRY)
        hint = hint or f"known: {', '.join(sorted(REGISTRY))}"
        raise DeclarationError(Mistake(what, f"unknown aggregate {call.name!r}", where, got=text, hint=hint))
    ratio = issubclass(kind, Ratio)
    collect = Collector()
    arguments = [collect.attempt(_argument, a, ratio, what, where) for a in call.args]
    if collect.mistakes:
        raise DeclarationError(collect.mistakes)
    condition = {"where": call.where} if call.where else {}
    try:
        return kind(*arguments, **condition)
    except TypeError as e:
        problem = _signature_problem(call.name, str(e), bool(condition) and ratio)
        raise DeclarationError(Mistake(what, problem, where, got=text, hint=kind.help)) from e
    except DeclarationError as e:
        # The aggregate does not know whose measure it is.
        raise DeclarationError(Mistake(what, m.problem, where, m.got or text, m.hint) for m in e.mistakes) from e


def _argument(text: str, ratio: bool, what: str, where: str) -> Any:
    if ratio:
        call = _CALL.match(text)
        return measure_from(text, what, where) if call else text
    if _NUMBER.fullmatch(text):
        return int(text) if re.fullmatch(r"-?\d{1,20}", text) else Decimal(text)
    return text


def _signature_problem(name: str, said: str, condition_on_ratio: bool) -> str:
    if condition_on_ratio:
        return f"{name} takes no FILTER; put the condition into its operands"
    return f"{name} does not take these arguments ({said.split(') ', 1)[-1].removeprefix('__init__() ')})"
