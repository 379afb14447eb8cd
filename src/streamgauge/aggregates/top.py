"""The most frequent values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from streamgauge.aggregates import states as state
from streamgauge.aggregates.base import Context, Examples, Output, State, Value
from streamgauge.aggregates.declared import Given, whole
from streamgauge.aggregates.tally import LIMIT, MOST, Tally, by_count


class Top(Tally):
    """``top(x, k)`` or ``top(x, k, limit)``: the k most frequent texts of a tally, as ``[[text, count], ...]``.

    Of two with the same count, the lesser text comes first. Everything not listed is counted in ``_other``. A text
    that came only after ``limit`` (1000) others is not listed, however often it came; where ``_other`` is less than
    the last count listed, there is no such text. (Definition of the top-k problem: Metwally, Agrawal, El Abbadi,
    "Efficient computation of frequent and top-k elements in data streams", 2005.)

    Null rule: null is ignored; of no value it is an empty list, and ``_other`` is 0. State: that of tally.

    >>> from streamgauge.aggregates.base import Context
    >>> Top("sip_code", 2).present([({"404": 2, "200": 9, "486": 2}, 4)], Context(60, 60))
    {'': [['200', 9], ['404', 2]], '_other': 6}
    """

    name = "top"
    help = "the most frequent values"
    signature = "top(x, k) or top(x, k, limit)"
    examples: ClassVar[Examples] = (("sip_code", 10), ("sip_code", 2, 3))
    least = 2
    most = 3
    shown = 0

    def checked(self, given: Sequence[Given]) -> tuple[str, ...]:
        """How many to list, and a limit, perhaps."""
        self.shown = whole(Top, given[0], "k", 1, MOST)
        self.limit = max(LIMIT, self.shown)
        if len(given) > 1:
            self.limit = whole(Top, given[1], "the limit", self.shown, MOST)
        return (str(self.shown), *(str(self.limit) for _ in given[1:]))

    def states(self) -> Sequence[State]:
        """A bounded tally."""
        return (state.Tally(self.limit),)

    def outputs(self) -> Sequence[Output]:
        """The list, and the count of everything else."""
        return (
            Output("", "list", f"the {self.shown} most frequent values with their counts", "map"),
            Output("_other", "int", "count of all other values", "count"),
        )

    def present(self, states: Sequence[Any], context: Context) -> Mapping[str, Value]:
        """Pairs of text and count, by descending count, then by text."""
        admitted, other = states[0]
        ordered = by_count(admitted)
        rest = sum(count for _, count in ordered[self.shown :])
        return {"": [[text, count] for text, count in ordered[: self.shown]], "_other": other + rest}
