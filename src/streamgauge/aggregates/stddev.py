"""The sample standard deviation of a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamgauge.aggregates.base import Context, Output, Value
from streamgauge.aggregates.declared import root
from streamgauge.aggregates.variance import Variance


class Stddev(Variance):
    """``stddev(x)`` = sqrt(variance(x)): of a **sample**, with n - 1, in the unit of x.

    ISO 3534-1:2006, 1.17. The root of the exact variance is rounded once, to the nearest double.

    Null rule: null is ignored; of fewer than two values it is null. State: that of variance.

    >>> from streamgauge.aggregates.base import Context
    >>> Stddev("x").present([2, 4, 0, 0, 10], Context(60, 60, (0,)))  # of 1 and 3
    {'': 1.4142135623730951}
    """

    name = "stddev"
    help = "standard deviation of a sample (n - 1)"
    signature = "stddev(x)"

    def outputs(self) -> Sequence[Output]:
        """The standard deviation, in the argument's unit."""
        return (Output("", "float", "sample standard deviation"),)

    def present(self, states: Sequence[Any], context: Context) -> Mapping[str, Value]:
        """The standard deviation, or null."""
        exact = self.exact(states, context)
        return {"": None if exact is None else root(exact)}
