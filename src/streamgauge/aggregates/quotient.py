"""One measure over another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamgauge.aggregates.base import Output, Value
from streamgauge.aggregates.ratio import TwoMeasures


class Quotient(TwoMeasures):
    """``quotient(a, b)`` = a / b, of the main values of two measures. It has no interval, and may pass 1.

    IEEE 754-2019, 5.4.1 (division), but 0/0, a/0 and an overflow are null: JSON has neither NaN nor infinities.

    Null rule: null where either is null, b is 0, or no double can hold the result. No state of its own.

    >>> Quotient("billed_ms", "answered").present_ratio(9000, 4)
    {'': 2250.0}
    """

    name = "quotient"
    help = "one measure divided by another"
    signature = "quotient(a, b), of two measures that are numbers"
    examples = (("billed_ms", "answered"),)

    def outputs(self) -> Sequence[Output]:
        """The quotient."""
        return (Output("", "float", "quotient"),)

    def present_ratio(self, numerator: Value, denominator: Value) -> Mapping[str, Value]:
        """The quotient, rounded once; null where it has none."""
        if not isinstance(numerator, (int, float)) or not isinstance(denominator, (int, float)) or denominator == 0:
            return {"": None}
        try:
            (over, divisor), (under, times) = numerator.as_integer_ratio(), denominator.as_integer_ratio()
            # Both are exact, so that only their quotient is rounded; over a positive one, or 0 would be negative.
            over, under = over * times, divisor * under
            return {"": over / under if under > 0 else -over / -under}
        except OverflowError:
            return {"": None}
