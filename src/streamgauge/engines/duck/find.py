"""Which events of a log a cell counted: asked of the same statements that counted them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from streamgauge.bound import BoundShape, BoundStatistic
from streamgauge.engines.base import Ints, Slice, logged_envelope
from streamgauge.engines.duck.groups import Statements, groups_of
from streamgauge.engines.duck.plan import Plan
from streamgauge.engines.duck.rows import keys_of
from streamgauge.engines.duck.worker import DuckWorker


class DuckFinder:
    """Finds the events of one statistic's cells. Not for two threads at once.

    ``totals`` finds those of the row of all keys, of a statistic that has one.
    """

    def __init__(self, statistic: BoundStatistic, shapes: Iterable[BoundShape], totals: bool = False) -> None:
        self._plan = Plan([statistic], shapes, logged_envelope())
        self._worker = DuckWorker(self._plan)
        # One pass counts, and keeps no rows to look at.
        self._worker.one_pass = None
        group = next(group for group in groups_of(self._plan) if not group.totals)
        self._group = replace(group, totals=True) if totals else group

    def find(self, slice_: Slice, start_ms: int, stop_ms: int, wants: Callable[[tuple[object, ...]], bool]) -> Ints:
        """The ordinals of the events in windows of ``[start_ms, stop_ms)`` whose key is wanted, ascending."""
        self._worker.decode(slice_, want_times=False)
        rows = Statements(self._plan, self._group).rows((), "e")
        names = [] if self._group.totals else [f"k{n}" for n in range(len(self._group.lead.by))]
        found = self._worker.fetch(f"SELECT o, {''.join(f'{n}, ' for n in names)}b FROM ({rows})")
        base, ordinals = found.column("b").to_numpy(), found.column("o").to_numpy().astype(np.int64)
        keys = keys_of([found.column(name) for name in names], found.num_rows)
        columns = list(zip(*keys.columns, strict=True)) if keys.columns else [()] * keys.count
        wanted = np.array([wants(key) for key in columns], dtype=np.bool_)
        mask = (base >= start_ms) & (base < stop_ms) & wanted[keys.of_row]
        return np.unique(ordinals[mask])

    def close(self) -> None:
        """Close the connection."""
        self._worker.close()
