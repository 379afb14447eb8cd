"""The first value of a field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamgauge.aggregates.base import Context, Kind, Op, Output, Primitive, State, Value
from streamgauge.aggregates.declared import Single
from streamgauge.aggregates.states import ArgMin


class First(Single):
    """``first(x)``: the x of the event that is first by time, and, of the same time, by position in the log.

    The order is total, so there are no ties (Lamport, "Time, clocks, and the ordering of events in a distributed
    system", 1978, orders equal times by a fixed second key for the same reason). The value is kept as it is: a number,
    a text, true or false.

    Null rule: null is ignored, so it is the first x that is not null; of none it is null. State: time, position and
    value.

    >>> from streamgauge.aggregates.base import Context
    >>> First("sip_code").present([(1760000000000, 12, "183")], Context(60, 60))
    {'': '183'}
    """

    name = "first"
    help = "first value, by time"
    signature = "first(x)"
    examples = (("sip_code",),)
    kind = Kind.ANY

    def primitives(self) -> Sequence[Primitive]:
        """The value at the least (time, position)."""
        return (Primitive(Op.ARG_MIN, self.argument, where=self.where),)

    def states(self) -> Sequence[State]:
        """Time, position and value."""
        return (ArgMin(),)

    def outputs(self) -> Sequence[Output]:
        """The value."""
        return (Output("", "any", "first value, by time"),)

    def present(self, states: Sequence[Any], context: Context) -> Mapping[str, Value]:
        """The value, or null."""
        return {"": None if states[0] is None else states[0][2]}
