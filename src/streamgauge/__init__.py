"""streamgauge: windowed statistics of any stream of events.

``report`` does the whole job on files; ``Statistic`` and the aggregates declare what to compute. Each is imported when
it is first asked for, because what they stand on takes a tenth of a second to load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamgauge.aggregates import (
        count,
        distinct,
        first,
        histogram,
        latest,
        max,
        mean,
        min,
        proportion,
        quantiles,
        quotient,
        rate,
        stddev,
        sum,
        tally,
        top,
        variance,
    )
    from streamgauge.app import report
    from streamgauge.statistic import Statistic

__version__ = "0.1.0.dev0"

__all__ = [
    "Statistic",
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
    "report",
    "stddev",
    "sum",
    "tally",
    "top",
    "variance",
]

_ELSEWHERE = {"report": "streamgauge.app", "Statistic": "streamgauge.statistic"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'streamgauge' has no attribute {name!r}")
    value = getattr(import_module(_ELSEWHERE.get(name, "streamgauge.aggregates")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
