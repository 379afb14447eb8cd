"""From cells to columns of values: what the statistic's name stands for, when the window was, what was measured."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, groupby, repeat
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from streamgauge.aggregates.base import Aggregate, Context, Measure, Output, Ratio, Value
from streamgauge.bound import BoundStatistic
from streamgauge.event import NEVER
from streamgauge.store.base import CellBatch
from streamgauge.windows import Length

Columns = list[Sequence[Value]]
"""Rows, column by column."""

T = TypeVar("T")

FINAL = "final"
PROVISIONAL = "provisional"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ShownMeasure:
    """A measure that people see, and its columns: ``columns[i]`` holds ``outputs[i]``.

    ``low`` is the column that says whether a proportion is of fewer than ``min_n`` events, or empty.
    """

    name: str
    measure: Measure
    outputs: tuple[Output, ...]
    columns: tuple[str, ...]
    low: str = ""


@dataclass(frozen=True, slots=True)
class _Window:
    """What the cells of one window have in common."""

    start_ms: int
    stop_ms: int
    start: str
    stop: str
    state: str
    contexts: tuple[Context, ...]


Windows = list[tuple[_Window, int]]
"""Windows of cells one after another, and how many of them each has."""


def window_by(statistic: BoundStatistic) -> str:
    """The field that chooses the window, or ``time``, that of the event."""
    return statistic.time or (statistic.shape.shape.time_field if statistic.shape is not None else "") or "time"


class CellColumns:
    """Presents the cells of one statistic and length as columns. Cells of one window come one after another.

    What is the same for all cells of a window is made once.
    """

    def __init__(
        self,
        statistic: BoundStatistic,
        shown: Sequence[ShownMeasure],
        length: Length,
        keys: Sequence[str],
        zone: ZoneInfo,
        watermark: int,
    ) -> None:
        self._statistic, self._shown, self._length, self._zone = statistic, shown, length, zone
        self._watermark = watermark
        self._aggregates = [(m, m.measure) for m in statistic.measures if isinstance(m.measure, Aggregate)]
        self._ratios = [(m.name, m.measure) for m in statistic.measures if isinstance(m.measure, Ratio)]
        self._same = (statistic.name, length.text, window_by(statistic))
        self._window: _Window | None = None
        self._nulls = (None,) * len(keys)

    def of(self, cells: CellBatch) -> Columns:
        """The columns, in the order of ``Presenter.columns``."""
        windows = self._windows(cells.starts)
        return [
            *([text] * len(cells) for text in self._same),
            _of_each(windows, [window.start for window, _ in windows]),
            _of_each(windows, [window.stop for window, _ in windows]),
            _of_each(windows, [window.start_ms for window, _ in windows]),
            _of_each(windows, [window.stop_ms for window, _ in windows]),
            *self._keys(cells.keys),
            cells.events,
            *self._measured(cells.states, windows),
            cells.late,
            cells.revisions,
            [dict(sorted(wrong.items())) if wrong else None for wrong in cells.wrong] or [None] * len(cells),
            _of_each(windows, [window.state for window, _ in windows]),
        ]

    def _windows(self, starts: Sequence[int]) -> Windows:
        """The windows of cells, each with how many of the cells follow one another in it."""
        windows: Windows = []
        for start, same in groupby(starts):
            if self._window is None or self._window.start_ms != start:
                self._window = self._window_at(start)
            windows.append((self._window, sum(1 for _ in same)))
        return windows

    def _keys(self, texts: Sequence[str]) -> Iterable[Sequence[Value]]:
        """Which kind of row each stored key makes, and the columns of the keys."""
        joined = ",".join(texts)
        if len(self._nulls) == 1 and "\\" not in joined and joined.count('["') == len(texts):
            # Quotes stand around the one text that each key is made of, and nowhere else.
            return ["key"] * len(texts), [text[2:-2] for text in texts]
        # One document of all keys is read many times as fast as each alone.
        return zip(*map(self._row_of, json.loads(f"[{joined}]")), strict=True)

    def _window_at(self, start: int) -> _Window:
        statistic = self._statistic
        stop = statistic.windows.stop(self._length, start)
        # What is due by then has come only when the watermark is this much further.
        reached = self._watermark - statistic.delay_ms - statistic.lateness_ms
        covered = None if self._watermark == NEVER else min(max(reached - start, 0), stop - start) / 1000
        contexts = tuple(Context((stop - start) / 1000, covered, m.scales) for m, _ in self._aggregates)
        state = FINAL if reached >= stop else PROVISIONAL
        return _Window(start, stop, iso(start, self._zone), iso(stop, self._zone), state, contexts)

    def _row_of(self, key: list[Value] | str) -> tuple[Value, ...]:
        """Which kind of row a stored key makes, and the values of the key columns in it; without keys, all."""
        if isinstance(key, str):
            return key, *self._nulls
        return ("key", *key) if key else ("all", *self._nulls)

    def _measured(self, states: Sequence[Sequence[Any]], windows: Windows) -> Iterator[Sequence[Value]]:
        """The columns of the measures that are shown."""
        presented: dict[str, Mapping[str, Sequence[Value]]] = {}
        for n, (bound, aggregate) in enumerate(self._aggregates):
            contexts = _of_each(windows, [window.contexts[n] for window, _ in windows])
            own = states[bound.first : bound.first + bound.count]
            presented[bound.name] = aggregate.present_all(own, contexts)
        for name, ratio in self._ratios:
            sides = (presented[str(side)][""] for side in (ratio.numerator, ratio.denominator))
            presented[name] = _by_suffix(ratio, [*map(ratio.present_ratio, *sides)])
        return chain.from_iterable(self._outputs(shown, presented[shown.name]) for shown in self._shown)

    def _outputs(self, shown: ShownMeasure, presented: Mapping[str, Sequence[Value]]) -> Iterator[Sequence[Value]]:
        for output in shown.outputs:
            yield presented[output.suffix]
        if shown.low:
            least = self._statistic.spec.min_n or 0
            yield [isinstance(n, int) and n < least for n in presented["_n"]]


def _of_each(windows: Windows, values: Sequence[T]) -> list[T]:
    """A window's value for each of its cells."""
    return [*chain.from_iterable(repeat(value, n) for value, (_, n) in zip(values, windows, strict=True))]


def _by_suffix(measure: Measure, presented: Sequence[Mapping[str, Value]]) -> Mapping[str, Sequence[Value]]:
    return {output.suffix: [values[output.suffix] for values in presented] for output in measure.outputs()}


def iso(time_ms: int, zone: ZoneInfo) -> str:
    """ISO 8601 to the second, with the zone's offset; ``Z`` for UTC. Windows start and end at whole seconds.

    >>> iso(1_735_689_600_000, ZoneInfo("UTC")), iso(1_735_689_600_000, ZoneInfo("Asia/Kathmandu"))
    ('2025-01-01T00:00:00Z', '2025-01-01T05:45:00+05:45')
    """
    text = (_EPOCH + timedelta(milliseconds=time_ms)).astimezone(zone).isoformat(timespec="seconds")
    return text.removesuffix("+00:00") + "Z" if zone.key == "UTC" else text
