"""Quantiles of a number, by log-linear buckets."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Any

from streamgauge.aggregates.base import Context, Op, Output, Primitive, State, Term, Value
from streamgauge.aggregates.declared import Given, Single, number, plain, refusal, scale_of, unscaled
from streamgauge.aggregates.states import Counts, Max, Min


class Quantiles(Single):
    """``quantiles(x, q1, q2, ...)``: for each q from 0 to 1, the value of rank max(1, ceil(q n)) of the n ascending.

    This is the nearest rank, definition 1 of Hyndman, Fan, "Sample quantiles in statistical packages", 1996; q is the
    exact decimal that was written, so no rank depends on a rounding. Values are kept as counts of buckets, 64 for
    each octave, as in HdrHistogram (Tene, 2012) and with the guarantee of DDSketch (Masson, Rim, Lee, 2019): the
    result, the middle of the bucket of that rank, kept within the least and greatest value seen, is at most 0.8 % away
    from the exact one, and exact where |x|, scaled to an integer, is below 128.

    There is no main value: the outputs are ``_p50``, ``_p95``, ``_p99_9``.

    Null rule: null is ignored; of no value all are null. State: a count for each bucket, the least and the greatest.

    >>> from streamgauge.aggregates.base import Context
    >>> Quantiles("pdd_ms", 0.5, 0.999).present([{10: 3, 135: 1}, 10, 142], Context(60, 60, (0,)))
    {'_p50': 10, '_p99_9': 142}
    """

    name = "quantiles"
    help = "quantiles of a number, within 0.8 %"
    signature = "quantiles(x, q, ...) with each q from 0 to 1"
    examples = (("pdd_ms", 0.5, 0.95, 0.999), ("pdd_ms", 0, 1))
    least = 2
    most = None
    quantiles: tuple[Fraction, ...] = ()
    suffixes: tuple[str, ...] = ()

    def checked(self, given: Sequence[Given]) -> tuple[str, ...]:
        """Each from 0 to 1, none twice."""
        decimals = [number(Quantiles, q, "a quantile") for q in given]
        for written, q in zip(given, decimals, strict=True):
            if not 0 <= q <= 1:
                hint = f"did you mean {plain(q / 100)}?" if 1 < q <= 100 else f"write {self.signature}"
                raise refusal("a quantile lies from 0 to 1", written, hint)
            if decimals.count(q) > 1:
                raise refusal("the same quantile twice", written)
        self.quantiles = tuple(Fraction(q) for q in decimals)
        self.suffixes = tuple("_p" + plain(q * 100).replace(".", "_") for q in decimals)
        return tuple(plain(q) for q in decimals)

    def primitives(self) -> Sequence[Primitive]:
        """Rows by bucket, and the least and greatest value."""
        return (
            Primitive(Op.COUNT_BY, self.argument, Term.BUCKET, self.where),
            Primitive(Op.MIN, self.argument, where=self.where),
            Primitive(Op.MAX, self.argument, where=self.where),
        )

    def states(self) -> Sequence[State]:
        """Counts by bucket, and the bounds."""
        return (Counts(), Min(), Max())

    def outputs(self) -> Sequence[Output]:
        """One for each quantile, in the order of the declaration."""
        helps = (f"quantile {q}, within 0.8 %" for q in self.literals)
        return tuple(Output(suffix, "number", text) for suffix, text in zip(self.suffixes, helps, strict=True))

    def present(self, states: Sequence[Any], context: Context) -> Mapping[str, Value]:
        """The quantiles, or nulls."""
        counts, least, greatest = states
        if not counts:
            return dict.fromkeys(self.suffixes)
        buckets = sorted(counts)
        up_to = list(accumulate(counts[b] for b in buckets))
        values = (_middle(buckets[bisect_left(up_to, _rank(q, up_to[-1]))]) for q in self.quantiles)
        kept = (max(least, min(greatest, value)) for value in values)
        return {s: unscaled(v, scale_of(context)) for s, v in zip(self.suffixes, kept, strict=True)}


def bucket_of(v: int) -> int:
    """The bucket of a 64-bit integer, which every engine must equal exactly.

    With m = |v|: m itself below 128; else ``(o - 6) * 64 + (m >> (o - 6))`` where 2**o <= m < 2**(o + 1). Negative v
    have the negated bucket. The buckets of 64-bit integers are -3712 .. 3711, in the order of the values.

    >>> [bucket_of(v) for v in (0, 127, 128, 129, 130, -256, 2**63 - 1)]
    [0, 127, 128, 128, 129, -192, 3711]
    """
    m = abs(v)
    shift = max(0, m.bit_length() - 7)
    bucket = (shift << 6) + (m >> shift)
    return -bucket if v < 0 else bucket


def bucket_bounds(b: int) -> tuple[int, int]:
    """The least and the greatest integer of a bucket.

    >>> bucket_bounds(5), bucket_bounds(129), bucket_bounds(-129)
    ((5, 5), (130, 131), (-131, -130))
    """
    shift = max(0, (abs(b) >> 6) - 1)
    low = (abs(b) - (shift << 6)) << shift
    high = low + (1 << shift) - 1
    return (-high, -low) if b < 0 else (low, high)


def _middle(b: int) -> int:
    low, high = bucket_bounds(abs(b))
    middle = (low + high + 1) // 2
    return -middle if b < 0 else middle


def _rank(q: Fraction, n: int) -> int:
    return max(1, -(-q.numerator * n // q.denominator))
