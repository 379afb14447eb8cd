"""Events, or the sum of a number, per second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamgauge.aggregates.base import Aggregate, Argument, Context, Kind, Op, Output, Primitive, State, Value
from streamgauge.aggregates.declared import Given, called, check_number_of, condition, expression, scale_of
from streamgauge.aggregates.states import Add, Sum


class Rate(Aggregate):
    """``rate()`` = events per second; ``rate(x)`` = sum(x) per second.

    The main value is over the part of the window that the watermark has passed, so that an open window's rate can be
    compared with others; ``_window`` is over the whole window, and grows until the window is final, when the two are
    equal. Events that are ahead of the watermark are counted too, so the main value of a young window is somewhat
    high.

    Null rule: null is ignored; of no event it is 0, as a count and a sum are; the main value is null where the
    watermark has not entered the window, or is not known. State: one count, or one sum.

    Cox, Lewis, "The statistical analysis of series of events", 1966: n events in time t estimate the rate n / t.

    >>> from streamgauge.aggregates.base import Context
    >>> Rate().present([90], Context(window_s=60, covered_s=45))
    {'': 2.0, '_window': 1.5}
    """

    name = "rate"
    help = "events, or the sum of a number, per second"
    signature = "rate() or rate(x)"
    examples = ((), ("bytes",))
    counts = True

    def __init__(self, *arguments: Given, where: str = "") -> None:
        check_number_of(Rate, arguments, 0, 1)
        self.argument = Argument(expression(Rate, arguments[0]), Kind.NUMBER) if arguments else None
        self.where = condition(Rate, where)

    def arguments(self) -> Sequence[Argument]:
        """The number to sum, if any."""
        return () if self.argument is None else (self.argument,)

    def primitives(self) -> Sequence[Primitive]:
        """A count of rows, or a sum."""
        return (Primitive(Op.COUNT if self.argument is None else Op.SUM, self.argument, where=self.where),)

    def states(self) -> Sequence[State]:
        """A count, or a sum."""
        return (Add() if self.argument is None else Sum(),)

    def outputs(self) -> Sequence[Output]:
        """Both rates, per second."""
        return (
            Output("", "float", "per second of the part of the window that the watermark has passed"),
            Output("_window", "float", "per second of the whole window"),
        )

    def present(self, states: Sequence[Any], context: Context) -> Mapping[str, Value]:
        """Both rates; the first is null where nothing is covered yet."""
        unit = 10 ** scale_of(context)
        whole = _per(states[0], unit, context.window_s)
        if context.covered_s == context.window_s:
            return {"": whole, "_window": whole}
        return {"": _per(states[0], unit, context.covered_s) if context.covered_s else None, "_window": whole}

    def formula(self) -> str:
        """``rate(x)``."""
        return called(self.name, (self.argument.sql,) if self.argument else (), self.where)


def _per(total: int, unit: int, seconds: float) -> float:
    """``total / unit / seconds``, rounded once: a float is a quotient of two integers."""
    over, under = seconds.as_integer_ratio()
    return total * under / (unit * over)
