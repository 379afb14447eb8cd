"""What one row of the table of functions, operators and casts says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamgauge.expression.rules import Rule
from streamgauge.expression.types import Engine, Node

Lowering = str | Callable[[Node, Sequence[str]], str]
"""SQL of an engine: a template with {0}, {1}... for the arguments' SQL, or a function of (node, arguments' SQL)."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function or operator: its types, its lowering for each engine, and a case that shows and tests it.

    ``example`` is an expression of literals and what it yields on every engine. ``floating``: computed as DOUBLE it
    may be NaN or infinite, which the outermost such function of a calculation turns into null.
    """

    name: str
    syntax: str
    help: str
    rule: Rule
    duckdb: Lowering
    spark: Lowering
    example: tuple[str, object]
    floating: bool = False
    operator: bool = False

    def sql(self, node: Node, args: Sequence[str], engine: Engine) -> str:
        """SQL of a call, given that of its arguments; safe as an operand."""
        lowering = self.duckdb if engine == "duckdb" else self.spark
        return lowering(node, args) if callable(lowering) else lowering.format(*args)
