"""How many events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamgauge.aggregates.base import Aggregate, Argument, Context, Op, Output, Primitive, State, Value
from streamgauge.aggregates.declared import Given, both, called, check_number_of, condition, expression
from streamgauge.aggregates.states import Add


class Count(Aggregate):
    """``count()``: all events; ``count(condition)``: those for which the condition is true, not false and not null.

    Note that it is not SQL's count(x): write ``count(x IS NOT NULL)`` for the events that have an x.

    Null rule: of no event it is 0. State: one count.

    >>> from streamgauge.aggregates.base import Context
    >>> Count("answer IS NOT NULL").present([3], Context(60, 60))
    {'': 3}
    """

    name = "count"
    help = "events, or those for which a condition is true"
    signature = "count() or count(condition)"
    examples = ((), ("answer IS NOT NULL",))
    counts = True

    def __init__(self, *arguments: Given, where: str = "") -> None:
        check_number_of(Count, arguments, 0, 1)
        self.condition = expression(Count, arguments[0]) if arguments and arguments[0] != "*" else ""
        self.where = condition(Count, where)

    def arguments(self) -> Sequence[Argument]:
        """None: the condition is part of the primitive."""
        return ()

    def primitives(self) -> Sequence[Primitive]:
        """One count of rows."""
        return (Primitive(Op.COUNT, where=both(self.condition, self.where)),)

    def states(self) -> Sequence[State]:
        """One count."""
        return (Add(),)

    def outputs(self) -> Sequence[Output]:
        """The count."""
        return (Output("", "int", "number of events", "count"),)

    def present(self, states: Sequence[Any], context: Context) -> Mapping[str, Value]:
        """The count, as it is."""
        return {"": states[0]}

    def present_all(
        self, columns: Sequence[Sequence[Any]], contexts: Sequence[Context]
    ) -> Mapping[str, Sequence[Value]]:
        """The counts, as they are."""
        return {"": columns[0]}

    def formula(self) -> str:
        """``count(condition)``."""
        return called(self.name, (self.condition,) if self.condition else (), self.where)
