"""From an engine's results to the cells of every window length, late and expired events marked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from streamgauge.aggregates.base import Aggregate, Op, State
from streamgauge.bound import BoundStatistic
from streamgauge.engines.base import GroupResult, Ints
from streamgauge.event import NEVER
from streamgauge.partial import Partial, SubRows
from streamgauge.store.cells import CellCache
from streamgauge.store.keys import ALL
from streamgauge.windows import Length


def states_of(statistic: BoundStatistic) -> list[State]:
    """The states of a statistic's cells, one per primitive."""
    return [s for m in statistic.measures if isinstance(m.measure, Aggregate) for s in m.measure.states()]


class Merger:
    """Merges results in log order. ``newest``: the begin of the latest base window that had an event."""

    def __init__(self, statistics: Sequence[BoundStatistic], cache: CellCache) -> None:
        self.statistics, self.cache, self.newest = statistics, cache, NEVER
        for s in statistics:
            for length in s.lengths:
                cache.table(s.version, length.text, states_of(s), s.spec.max_keys or 0)

    def merge(self, results: Sequence[GroupResult], watermarks: Sequence[int], counters: Counter[str]) -> None:
        """Merge one slice. ``watermarks`` are those before each of its blocks. Late and expired events are counted."""
        numbers: dict[int, Ints] = {}
        for result in results:
            statistic = self.statistics[result.statistic]
            self.newest = max(self.newest, int(result.starts.max(initial=NEVER)))
            keys = self._numbers(result, numbers)
            for length in statistic.lengths:
                partial = self._partial(statistic, length, result, keys)
                if (result.block >= 0).any():
                    partial = _marked(statistic, length, result, partial, watermarks, counters)
                self.cache.merge(statistic.version, length.text, partial)

    def _numbers(self, result: GroupResult, known: dict[int, Ints]) -> Ints:
        """The numbers of a result's keys; the statistics of one group share them."""
        if result.keys is None:
            return np.full(len(result.starts), ALL, dtype=np.int64)
        if id(result.keys) not in known:
            numbers = self.cache.keys.numbers(result.keys.columns, result.keys.count)
            known[id(result.keys)] = numbers[result.keys.of_row]
        return known[id(result.keys)]

    def _partial(self, statistic: BoundStatistic, length: Length, result: GroupResult, keys: Ints) -> Partial:
        starts = statistic.windows.starts(length, result.starts)
        return Partial(starts, keys, result.events, result.first, result.columns, wrong=result.wrong)


def _marked(
    statistic: BoundStatistic,
    length: Length,
    result: GroupResult,
    partial: Partial,
    watermarks: Sequence[int],
    counters: Counter[str],
) -> Partial:
    """Mark the rows whose window was final before their block; drop those of windows that are no longer kept."""
    before = np.array([*watermarks, NEVER], dtype=np.int64)[result.block]
    stops = statistic.windows.stops(length, partial.starts) + statistic.delay_ms + statistic.lateness_ms
    late = stops <= before
    # With totals an event is in several rows: it is counted in that of all keys.
    counts = (result.keys is None) == bool(statistic.spec.totals and statistic.by)
    partial.late = np.where(late, partial.events, 0)
    partial.revision = np.where(late, result.last, -1)
    keep_ms = statistic.keep_ms.get(length.text)
    if keep_ms is not None and (expired := stops + keep_ms <= before).any():
        counters[f"expired:{statistic.name}:{length.text}"] += counts * int(partial.events[expired].sum())
        partial = _only(partial, ~expired, statistic)
    if counts and partial.late is not None:
        counters[f"late:{statistic.name}:{length.text}"] += int(partial.late.sum())
    return partial


def _only(partial: Partial, mask: npt.NDArray[np.bool_], statistic: BoundStatistic) -> Partial:
    """The rows of a partial that the mask has."""
    columns = [
        _taken(column, mask, p.primitive.op) for column, p in zip(partial.columns, statistic.primitives, strict=True)
    ]
    return replace(
        partial,
        starts=partial.starts[mask],
        keys=partial.keys[mask],
        events=partial.events[mask],
        first_position=partial.first_position[mask],
        late=None if partial.late is None else partial.late[mask],
        revision=None if partial.revision is None else partial.revision[mask],
        wrong={name: counts[mask] for name, counts in partial.wrong.items()},
        columns=columns,
    )


def _taken(column: Any, mask: npt.NDArray[np.bool_], op: Op) -> Any:
    if op is Op.COUNT_BY:
        return _taken_sub_rows(column, mask)
    if op in (Op.MIN, Op.MAX):
        return tuple(part[mask] for part in column)
    if isinstance(column, np.ndarray):
        return column[mask]
    return [value for value, taken in zip(column, mask.tolist(), strict=True) if taken]


def _taken_sub_rows(rows: SubRows, mask: npt.NDArray[np.bool_]) -> SubRows:
    kept = mask[rows.row]
    place = np.cumsum(mask) - 1
    texts = isinstance(rows.sub_key, list)
    sub_key = (
        [k for k, taken in zip(rows.sub_key, kept.tolist(), strict=True) if taken] if texts else rows.sub_key[kept]
    )
    return SubRows(place[rows.row[kept]], sub_key, rows.count[kept], rows.position[kept])
