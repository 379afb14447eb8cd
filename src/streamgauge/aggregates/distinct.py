"""How many different values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streamgauge.aggregates import hyperloglog
from streamgauge.aggregates.base import Context, Kind, Op, Output, Primitive, State, Term, Value
from streamgauge.aggregates.declared import Single
from streamgauge.aggregates.states import Hashes


class Distinct(Single):
    """``distinct(x)``: how many different texts x has. Exact up to 1024; then an estimate, with an error of 0.8 % RMS.

    Two numbers are the same if their texts are: ``1.10`` and ``1.1``, as JSON numbers, are. The estimate is made by
    HyperLogLog with 2**14 registers (Flajolet and others, 2007) and Ertl's improved raw estimator (arXiv:1702.01284).

    Null rule: null is ignored; of no value it is 0, as a count is. State: 64-bit hashes (the first 8 bytes of the
    text's md5) up to 1024, then registers made of the same hashes; it depends on the set of values alone.

    >>> import numpy as np
    >>> from streamgauge.aggregates.base import Context
    >>> Distinct("account").present([np.array([3, 9], dtype=np.uint64)], Context(60, 60))
    {'': 2}
    """

    name = "distinct"
    help = "how many different values, exact up to 1024, then within 0.8 % RMS"
    signature = "distinct(x)"
    examples = (("account",),)
    kind = Kind.TEXT
    counts = True

    def primitives(self) -> Sequence[Primitive]:
        """Rows by hash."""
        return (Primitive(Op.COUNT_BY, self.argument, Term.HASH, self.where),)

    def states(self) -> Sequence[State]:
        """The set of hashes, or its registers."""
        return (Hashes(),)

    def outputs(self) -> Sequence[Output]:
        """The number."""
        return (Output("", "int", "number of different values", "count"),)

    def present(self, states: Sequence[Any], context: Context) -> Mapping[str, Value]:
        """The size of the set, or its estimate."""
        state = states[0]
        return {"": len(state) if state.dtype == np.uint64 else hyperloglog.estimate(state)}
