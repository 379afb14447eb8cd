"""The version of a statistic: a hash of what it computes.

It is made of normalised expressions, windows, parameters' values and the versions of its aggregates' states; never of
names for people.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from streamgauge.aggregates.base import Aggregate
from streamgauge.expression import Expression

if TYPE_CHECKING:
    from streamgauge.bound import BoundStatistic


def normal_of(expression: Expression | None) -> str:
    """The normalised text of an expression; empty for none."""
    return "" if expression is None else expression.normal


def with_version(bound: BoundStatistic) -> BoundStatistic:
    """The same statistic with its version, and the definition that this is the hash of."""
    spec = bound.spec
    fields = sorted({n for e in bound.expressions() for n in e.names if bound.shape and n in bound.shape.shape.fields})
    if bound.time:
        fields = sorted({*fields, bound.time})
    kinds = [m.measure for m in bound.measures if isinstance(m.measure, Aggregate)]
    states = [[kind.state_version, *(repr(s) for s in kind.states())] for kind in kinds]
    definition = {
        "topic": spec.topic,
        "shape": bound.shape.definition(fields) if bound.shape else None,
        "every": sorted(length.text for length in bound.lengths),
        "zone": spec.zone,
        "by": [normal_of(e) for _, e in bound.by],
        "where": normal_of(bound.where),
        "time": bound.time,
        "delay_ms": bound.delay_ms,
        "lateness_ms": bound.lateness_ms,
        "totals": spec.totals,
        "max_keys": spec.max_keys,
        "primitives": [[str(x) for x in p.identity] for p in bound.primitives],
        "states": states,
    }
    text = json.dumps(definition, sort_keys=True, ensure_ascii=True)
    version = hashlib.sha256(text.encode()).hexdigest()[:16]
    return replace(bound, version=version, definition=json.loads(text))
