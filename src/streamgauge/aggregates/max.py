"""The greatest value of a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamgauge.aggregates.base import Context, Op, Output, Primitive, State, Value
from streamgauge.aggregates.declared import Single, scale_of, unscaled, unscaled_all
from streamgauge.aggregates.states import Max as MaxState


class Max(Single):
    """``max(x)``: the greatest x. SQL:2016, 10.9 <aggregate function>, whose null rule it follows.

    Null rule: null is ignored; of no value it is null. State: one 64-bit integer or null.

    >>> from streamgauge.aggregates.base import Context
    >>> Max("pdd_ms").present([-7], Context(60, 60, (0,)))
    {'': -7}
    """

    name = "max"
    help = "greatest value of a number"
    signature = "max(x)"
    examples = (("pdd_ms",),)

    def primitives(self) -> Sequence[Primitive]:
        """One greatest value."""
        return (Primitive(Op.MAX, self.argument, where=self.where),)

    def states(self) -> Sequence[State]:
        """One integer, or None."""
        return (MaxState(),)

    def outputs(self) -> Sequence[Output]:
        """The greatest value."""
        return (Output("", "number", "greatest value"),)

    def present(self, states: Sequence[Any], context: Context) -> Mapping[str, Value]:
        """The greatest value, unscaled, or null."""
        return {"": None if states[0] is None else unscaled(states[0], scale_of(context))}

    def present_all(
        self, columns: Sequence[Sequence[Any]], contexts: Sequence[Context]
    ) -> Mapping[str, Sequence[Value]]:
        """The values, unscaled."""
        return {"": unscaled_all(columns[0], contexts)}
