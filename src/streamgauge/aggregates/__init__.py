"""Aggregates: what a statistic can measure. Pure: no events, no engine, no store.

A declaration in Python uses the names in lower case (``count``, ``sum``...), which are the classes themselves; one in
TOML finds them in ``REGISTRY``. A new aggregate is a new file, a line here, and a heading in docs/aggregates.md.
"""

from __future__ import annotations

from streamgauge.aggregates.base import Aggregate, Context, Measure, Output, Ratio
from streamgauge.aggregates.count import Count
from streamgauge.aggregates.distinct import Distinct
from streamgauge.aggregates.first import First
from streamgauge.aggregates.histogram import Histogram
from streamgauge.aggregates.latest import Latest
from streamgauge.aggregates.max import Max
from streamgauge.aggregates.mean import Mean
from streamgauge.aggregates.min import Min
from streamgauge.aggregates.proportion import Proportion
from streamgauge.aggregates.quantiles import Quantiles
from streamgauge.aggregates.quotient import Quotient
from streamgauge.aggregates.rate import Rate
from streamgauge.aggregates.stddev import Stddev
from streamgauge.aggregates.sum import Sum
from streamgauge.aggregates.tally import Tally
from streamgauge.aggregates.top import Top
from streamgauge.aggregates.variance import Variance

_KNOWN: tuple[type[Measure], ...] = (
    Count,
    Sum,
    Min,
    Max,
    Mean,
    Variance,
    Stddev,
    Rate,
    Proportion,
    Quotient,
    Quantiles,
    Distinct,
    Tally,
    Top,
    First,
    Latest,
    Histogram,
)

REGISTRY: dict[str, type[Measure]] = {measure.name: measure for measure in _KNOWN}
"""Every measure by the name that declarations call it, in the order of the documentation."""

# These also hide the modules of the same names, so `import streamgauge.aggregates.sum as m` gives the class:
# `from streamgauge.aggregates.sum import Sum` is the way to a module's contents.
count = Count
sum = Sum
min = Min
max = Max
mean = Mean
variance = Variance
stddev = Stddev
rate = Rate
proportion = Proportion
quotient = Quotient
quantiles = Quantiles
distinct = Distinct
tally = Tally
top = Top
first = First
latest = Latest
histogram = Histogram

__all__ = [
    "REGISTRY",
    "Aggregate",
    "Context",
    "Count",
    "Distinct",
    "First",
    "Histogram",
    "Latest",
    "Max",
    "Mean",
    "Measure",
    "Min",
    "Output",
    "Proportion",
    "Quantiles",
    "Quotient",
    "Rate",
    "Ratio",
    "Stddev",
    "Sum",
    "Tally",
    "Top",
    "Variance",
    "count",
    "distinct",
    "first",
    "histogram",
    "latest",
    "max",
    "mean",
    "min",
    "proportion",
    "quantiles",
    "quotient",
    "rate",
    "stddev",
    "sum",
    "tally",
    "top",
    "variance",
]
