"""How often each value came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from streamgauge.aggregates import states as state
from streamgauge.aggregates.base import Context, Examples, Kind, Op, Output, Primitive, State, Term, Value
from streamgauge.aggregates.declared import Given, Single, whole

LIMIT = 1000
"""So many texts have a count of their own, unless told."""

MOST = 1_000_000
"""A tally may not be told to keep more."""


class Tally(Single):
    """``tally(x)`` or ``tally(x, limit)``: how often x had each text, of at most ``limit`` (1000) texts.

    The texts that have a count of their own are those that came first, in the order of the log; all others are
    counted together in ``_other``, which is a column of its own, so that a text ``other`` is a text like any other.
    A text's count is exact: none is given the count of one that it displaced, as in Space-Saving (Metwally, Agrawal,
    El Abbadi, "Efficient computation of frequent and top-k elements in data streams", 2005).

    Null rule: null is ignored; of no value it is an empty map, and ``_other`` is 0. State: the counts, in the order
    in which their texts were admitted, and the count of the others.

    >>> from streamgauge.aggregates.base import Context
    >>> Tally("sip_code").present([({"404": 2, "200": 9, "486": 2}, 4)], Context(60, 60))
    {'': {'200': 9, '404': 2, '486': 2}, '_other': 4}
    """

    name = "tally"
    help = "how often each value came"
    signature = "tally(x) or tally(x, limit)"
    examples: ClassVar[Examples] = (("sip_code",), ("sip_code", 2))
    kind = Kind.TEXT
    counts = True
    most = 2
    limit = LIMIT

    def checked(self, given: Sequence[Given]) -> tuple[str, ...]:
        """A limit, perhaps."""
        if given:
            self.limit = whole(type(self), given[0], "the limit", 1, MOST)
        return tuple(str(self.limit) for _ in given)

    def primitives(self) -> Sequence[Primitive]:
        """Rows by text."""
        return (Primitive(Op.COUNT_BY, self.argument, Term.TEXT, self.where),)

    def states(self) -> Sequence[State]:
        """A bounded tally."""
        return (state.Tally(self.limit),)

    def outputs(self) -> Sequence[Output]:
        """The map, most frequent first, and the count of the others."""
        return (
            Output("", "map", "count of each value, most frequent first", "map"),
            Output("_other", "int", "count of the values beyond the limit", "count"),
        )

    def present(self, states: Sequence[Any], context: Context) -> Mapping[str, Value]:
        """The map, by descending count, then by text."""
        admitted, other = states[0]
        return {"": dict(by_count(admitted)), "_other": other}


def by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The pairs by descending count, then by text (order of code points)."""
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
