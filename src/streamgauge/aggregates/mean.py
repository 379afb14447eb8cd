"""The arithmetic mean of a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamgauge.aggregates.base import Context, Op, Output, Primitive, State, Value
from streamgauge.aggregates.declared import Single, scale_of
from streamgauge.aggregates.states import Add, Sum


class Mean(Single):
    """``mean(x)`` = (x1 + ... + xn) / n, of the n values that are not null.

    ISO 3534-1:2006, 1.15 (sample mean). Computed from the exact sum and count, and rounded once: no running mean,
    whose error grows with n and whose result depends on the order.

    Null rule: null is ignored, and not counted in n; of no value it is null. State: a count and a sum.

    >>> from streamgauge.aggregates.base import Context
    >>> Mean("billed_ms").present([4, 10], Context(60, 60, (0,)))
    {'': 2.5}
    """

    name = "mean"
    help = "arithmetic mean of a number"
    signature = "mean(x)"
    examples = (("billed_ms",),)

    def primitives(self) -> Sequence[Primitive]:
        """Count of values, and their sum."""
        return (
            Primitive(Op.COUNT, self.argument, where=self.where),
            Primitive(Op.SUM, self.argument, where=self.where),
        )

    def states(self) -> Sequence[State]:
        """A count and a sum."""
        return (Add(), Sum())

    def outputs(self) -> Sequence[Output]:
        """The mean."""
        return (Output("", "float", "arithmetic mean"),)

    def present(self, states: Sequence[Any], context: Context) -> Mapping[str, Value]:
        """The mean, or null."""
        n, total = states
        return {"": total / (n * 10 ** scale_of(context)) if n else None}
