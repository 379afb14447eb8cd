"""The sample variance of a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from streamgauge.aggregates.base import Context, Op, Output, Primitive, State, Term, Value
from streamgauge.aggregates.declared import Single, scale_of
from streamgauge.aggregates.states import Add, Sum

_SQUARES = (Term.HIGH_SQUARED, Term.HIGH_LOW, Term.LOW_SQUARED)


class Variance(Single):
    """``variance(x)`` = (n sum(x**2) - sum(x)**2) / (n (n - 1)): of a **sample**, with n - 1.

    ISO 3534-1:2006, 1.16. In floating point this formula loses everything where the mean is large beside the spread
    (Chan, Golub, LeVeque, "Algorithms for computing the sample variance", 1983); here it is a quotient of exact
    integers, rounded once.

    Null rule: null is ignored; of fewer than two values it is null. State: the count, the sum, and three sums over
    the halves of x = high * 2**32 + low, since no engine's widest integer holds two squares of 2**63: high**2,
    high * low, low**2.

    >>> from streamgauge.aggregates.base import Context
    >>> Variance("x").present([2, 4, 0, 0, 10], Context(60, 60, (0,)))  # of 1 and 3
    {'': 2.0}
    """

    name = "variance"
    help = "variance of a sample (n - 1)"
    signature = "variance(x)"
    examples = (("billed_ms",),)

    def primitives(self) -> Sequence[Primitive]:
        """Count, sum, and the three sums of squares of halves."""
        return (
            Primitive(Op.COUNT, self.argument, where=self.where),
            Primitive(Op.SUM, self.argument, where=self.where),
            *(Primitive(Op.SUM, self.argument, term, self.where) for term in _SQUARES),
        )

    def states(self) -> Sequence[State]:
        """A count and four sums."""
        return (Add(), Sum(), Sum(), Sum(), Sum())

    def outputs(self) -> Sequence[Output]:
        """The variance, in the square of the argument's unit."""
        return (Output("", "float", "sample variance"),)

    def present(self, states: Sequence[Any], context: Context) -> Mapping[str, Value]:
        """The variance, or null."""
        ratio = self._ratio(states, context)
        return {"": None if ratio is None else ratio[0] / ratio[1]}

    def exact(self, states: Sequence[Any], context: Context) -> Fraction | None:
        """The variance as a rational, or None below two values."""
        ratio = self._ratio(states, context)
        return None if ratio is None else Fraction(*ratio)

    def _ratio(self, states: Sequence[Any], context: Context) -> tuple[int, int] | None:
        n, total, high_squared, high_low, low_squared = states
        if n < 2:
            return None
        squares = (high_squared << 64) + (high_low << 33) + low_squared
        return n * squares - total * total, n * (n - 1) * 10 ** (2 * scale_of(context))
