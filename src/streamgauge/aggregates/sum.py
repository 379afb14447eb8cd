"""The sum of a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamgauge.aggregates.base import Context, Op, Output, Primitive, State, Value
from streamgauge.aggregates.declared import Single, scale_of, unscaled, unscaled_all
from streamgauge.aggregates.states import Sum as SumState


class Sum(Single):
    """``sum(x)`` = x1 + ... + xn, exact: an integer of any size, of x scaled to an integer.

    A sum of doubles depends on their order (Goldberg, "What every computer scientist should know about floating-point
    arithmetic", 1991); a sum of integers does not. A BIGINT's sum is presented as the integer, a DOUBLE's as the
    nearest double.

    Null rule: null is ignored; of no value it is 0. State: one integer of any size.

    >>> from streamgauge.aggregates.base import Context
    >>> Sum("billed_ms").present([2**63 * 3], Context(60, 60, (0,)))
    {'': 27670116110564327424}
    >>> Sum("price").present([300_000], Context(60, 60, (6,)))
    {'': 0.3}
    """

    name = "sum"
    help = "sum of a number, exact"
    signature = "sum(x)"
    examples = (("billed_ms",),)
    counts = True

    def primitives(self) -> Sequence[Primitive]:
        """One sum."""
        return (Primitive(Op.SUM, self.argument, where=self.where),)

    def states(self) -> Sequence[State]:
        """One integer of any size."""
        return (SumState(),)

    def outputs(self) -> Sequence[Output]:
        """The sum."""
        return (Output("", "number", "sum"),)

    def present(self, states: Sequence[Any], context: Context) -> Mapping[str, Value]:
        """The sum, unscaled."""
        return {"": unscaled(states[0], scale_of(context))}

    def present_all(
        self, columns: Sequence[Sequence[Any]], contexts: Sequence[Context]
    ) -> Mapping[str, Sequence[Value]]:
        """The values, unscaled."""
        return {"": unscaled_all(columns[0], contexts)}
