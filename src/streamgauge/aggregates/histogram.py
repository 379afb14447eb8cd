"""How many values lie between given edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from streamgauge.aggregates.base import Context, Op, Output, Primitive, State, Term, Value
from streamgauge.aggregates.declared import Given, Single, number, plain, refusal
from streamgauge.aggregates.states import Counts


class Histogram(Single):
    """``histogram(x, e1, e2, ...)``: how many x lie below e1, from e1 to below e2, ..., from the last edge on.

    A bin holds its lower edge and not its upper one. Edges are ascending decimals, compared exactly. Citation:
    Pearson, "Contributions to the mathematical theory of evolution", 1895, which names it.

    Null rule: null is ignored; of no value every bin is 0. State: a count for each bin.

    >>> from streamgauge.aggregates.base import Context
    >>> Histogram("billed_s", 6, 60).present([{0: 2, 2: 5}], Context(60, 60))
    {'': {'<6': 2, '6..60': 0, '>=60': 5}}
    """

    name = "histogram"
    help = "how many values lie between given edges"
    signature = "histogram(x, edge, ...) with ascending edges"
    examples = (("billed_s", 6, 60.5), ("billed_s", -1))
    counts = True
    least = 2
    most = None

    def checked(self, given: Sequence[Given]) -> tuple[str, ...]:
        """Ascending edges within 64 bits."""
        edges = [number(Histogram, edge, "an edge") for edge in given]
        for before, after in pairwise(edges):
            if before >= after:
                hint = f"write them from the least to the greatest, not {plain(before)}, {plain(after)}"
                raise refusal("edges of histogram must ascend", plain(after), hint)
        for edge in edges:
            if not -(2**63) <= edge < 2**63:
                raise refusal("an edge of histogram is outside 64 bits", plain(edge))
        return tuple(plain(edge) for edge in edges)

    def labels(self) -> tuple[str, ...]:
        """The names of the bins, in order."""
        between = (f"{low}..{high}" for low, high in pairwise(self.literals))
        return (f"<{self.literals[0]}", *between, f">={self.literals[-1]}")

    def primitives(self) -> Sequence[Primitive]:
        """Rows by bin."""
        return (Primitive(Op.COUNT_BY, self.argument, Term.EDGE, self.where, self.literals),)

    def states(self) -> Sequence[State]:
        """Counts by bin."""
        return (Counts(),)

    def outputs(self) -> Sequence[Output]:
        """The map, in the order of the bins."""
        return (Output("", "map", "count of each bin", "map"),)

    def present(self, states: Sequence[Any], context: Context) -> Mapping[str, Value]:
        """Every bin, also an empty one."""
        return {"": {label: states[0].get(i, 0) for i, label in enumerate(self.labels())}}
