"""The share of events that have some property."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from streamgauge.aggregates.base import Measure, Output, Value
from streamgauge.aggregates.count import Count
from streamgauge.aggregates.ratio import TwoMeasures

Z = 1.959963984540054
"""The normal quantile of 0.975: an interval of 95 %."""

_SQUARE = Z * Z


class Proportion(TwoMeasures):
    """``proportion(k, n)`` = k / n, of two counts, the first a subset of the second, with its Wilson interval.

    The interval of 95 % is ``(k + z**2 / 2 -+ z sqrt(k (n - k) / n + z**2 / 4)) / (n + z**2)`` with z = 1.96: Wilson,
    "Probable inference, the law of succession, and statistical inference", JASA 22, 1927; recommended for small n by
    Brown, Cai, DasGupta, "Interval estimation for a binomial proportion", 2001. It never leaves 0..1, and is not
    empty at k = 0 or k = n.

    Null rule: 0/0 is null, and so is its interval. Where k > n the first is no subset of the second, and value and
    interval are null rather than wrong; ``quotient`` may pass 1. ``_n`` is n, 0 of no event. No state of its own.

    >>> Proportion("answered", "attempts").present_ratio(1, 4)
    {'': 0.25, '_lower': 0.045587260809700575, '_upper': 0.6993581574175981, '_n': 4}
    """

    name = "proportion"
    help = "share of one count in another that contains it, with its 95 % interval"
    signature = "proportion(part, whole), of two counts"
    examples = (("answered", "attempts"),)

    def outputs(self) -> Sequence[Output]:
        """The share, its interval, and the count that it is of."""
        return (
            Output("", "float", "share of 1", "percent"),
            Output("_lower", "float", "lower end of the 95 % interval", "percent"),
            Output("_upper", "float", "upper end of the 95 % interval", "percent"),
            Output("_n", "int", "count of the whole", "count"),
        )

    def refusal(self, operand: Measure) -> str:
        """Anything but a count is refused: the interval holds for no other."""
        return "" if isinstance(operand, Count) else f"{operand.formula()} is not a count; quotient takes any number"

    def present_ratio(self, numerator: Value, denominator: Value) -> Mapping[str, Value]:
        """Share, interval and n; nulls for 0/0, and where the numerator is not from 0 to the denominator."""
        k = numerator if isinstance(numerator, int) else -1
        n = denominator if isinstance(denominator, int) else 0
        if n <= 0 or not 0 <= k <= n:
            return {"": None, "_lower": None, "_upper": None, "_n": n}
        lower, upper = wilson(k, n)
        return {"": k / n, "_lower": lower, "_upper": upper, "_n": n}


def wilson(k: int, n: int) -> tuple[float, float]:
    """Ends of the 95 % Wilson interval of k out of n, 0 <= k <= n, 0 < n; they enclose k / n and lie in 0..1."""
    share = k / n
    half = Z * math.sqrt(share * (n - k) + _SQUARE / 4)
    middle, whole = k + _SQUARE / 2, n + _SQUARE
    lower = 0.0 if k == 0 else (middle - half) / whole
    upper = 1.0 if k == n else (middle + half) / whole
    # min and max would take as long as all the rest.
    if lower > share:
        lower = share
    if upper < share:
        upper = share
    return lower if lower > 0.0 else 0.0, upper if upper < 1.0 else 1.0
