"""The least value of a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamgauge.aggregates.base import Context, Op, Output, Primitive, State, Value
from streamgauge.aggregates.declared import Single, scale_of, unscaled, unscaled_all
from streamgauge.aggregates.states import Min as MinState


class Min(Single):
    """``min(x)``: the least x. SQL:2016, 10.9 <aggregate function>, whose null rule it follows.

    Null rule: null is ignored; of no value it is null. State: one 64-bit integer or null.

    >>> from streamgauge.aggregates.base import Context
    >>> Min("pdd_ms").present([-7], Context(60, 60, (0,)))
    {'': -7}
    """

    name = "min"
    help = "least value of a number"
    signature = "min(x)"
    examples = (("pdd_ms",),)

    def primitives(self) -> Sequence[Primitive]:
        """One least value."""
        return (Primitive(Op.MIN, self.argument, where=self.where),)

    def states(self) -> Sequence[State]:
        """One integer, or None."""
        return (MinState(),)

    def outputs(self) -> Sequence[Output]:
        """The least value."""
        return (Output("", "number", "least value"),)

    def present(self, states: Sequence[Any], context: Context) -> Mapping[str, Value]:
        """The least value, unscaled, or null."""
        return {"": None if states[0] is None else unscaled(states[0], scale_of(context))}

    def present_all(
        self, columns: Sequence[Sequence[Any]], contexts: Sequence[Context]
    ) -> Mapping[str, Sequence[Value]]:
        """The values, unscaled."""
        return {"": unscaled_all(columns[0], contexts)}
