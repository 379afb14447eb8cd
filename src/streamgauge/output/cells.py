"""From cells to columns of values: what the statistic's name stands for, when the window was, what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

from streamgauge.aggregates.base import Aggregate, Context, Measure, Output, Ratio, State, Value
from streamgauge.bound import BoundMeasure, BoundStatistic
from streamgauge.event import NEVER
from streamgauge.output.rollup import Cell
from streamgauge.store.base import CellRow
from streamgauge.windows import Length

Columns = list[Sequence[Value]]
"""Rows, column by column."""

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
        self._states = [state for _, aggregate in self._aggregates for state in aggregate.states()]
        self._same = (statistic.name, length.text, window_by(statistic))
        self._window: _Window | None = None
        self._nulls = (None,) * len(keys)

    def of(self, cells: Sequence[Cell] | Sequence[CellRow]) -> Columns:
        """The columns, in the order of ``Presenter.columns``. The states of a CellRow are packed."""
        windows = list(self._windows(cells))
        # One document of all keys is read many times as fast as each alone.
        keys = json.loads(f"[{','.join([cell.key for cell in cells])}]")
        return [
            *([text] * len(cells) for text in self._same),
            [window.start for window in windows],
            [window.stop for window in windows],
            [window.start_ms for window in windows],
            [window.stop_ms for window in windows],
            *zip(*map(self._row_of, keys), strict=True),
            [cell.events for cell in cells],
            *self._measured(cells, windows),
            [cell.late for cell in cells],
            [cell.revision for cell in cells],
            [dict(sorted(cell.wrong.items())) if cell.wrong else None for cell in cells],
            [window.state for window in windows],
        ]

    def _windows(self, cells: Sequence[Cell] | Sequence[CellRow]) -> Iterator[_Window]:
        window = self._window
        for cell in cells:
            if window is None or window.start_ms != cell.start:
                self._window = window = self._window_at(cell.start)
            yield window

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

    def _measured(self, cells: Sequence[Cell] | Sequence[CellRow], windows: Sequence[_Window]) -> Iterator[list[Value]]:
        """The columns of the measures that are shown."""
        states = [cell.states for cell in cells]
        packed = bool(cells) and isinstance(cells[0], CellRow)
        presented: dict[str, list[Mapping[str, Value]]] = {}
        for n, (bound, aggregate) in enumerate(self._aggregates):
            contexts = [window.contexts[n] for window in windows]
            presented[bound.name] = [*map(aggregate.present, self._of_measure(bound, states, packed), contexts)]
        for name, ratio in self._ratios:
            sides = (_mains(presented[str(side)]) for side in (ratio.numerator, ratio.denominator))
            presented[name] = [*map(ratio.present_ratio, *sides)]
        return chain.from_iterable(self._outputs(shown, presented[shown.name]) for shown in self._shown)

    def _of_measure(
        self, bound: BoundMeasure, states: Sequence[Sequence[Any]], packed: bool
    ) -> Iterator[Sequence[Any]]:
        """The states of one measure, unpacked, for each cell."""
        places = range(bound.first, bound.first + bound.count)
        columns = ([cell[n] for cell in states] for n in places)
        unpackers = [_unpacker(self._states[n]) if packed else None for n in places]
        unpacked = (c if unpack is None else map(unpack, c) for c, unpack in zip(columns, unpackers, strict=True))
        return zip(*unpacked, strict=True)

    def _outputs(self, shown: ShownMeasure, presented: Sequence[Mapping[str, Value]]) -> Iterator[list[Value]]:
        for output in shown.outputs:
            suffix = output.suffix
            yield [values[suffix] for values in presented]
        if shown.low:
            least = self._statistic.spec.min_n or 0
            yield [isinstance(n := values["_n"], int) and n < least for values in presented]


def _mains(presented: Sequence[Mapping[str, Value]]) -> list[Value]:
    return [values.get("") for values in presented]


def _unpacker(state: State) -> Callable[[Any], Any] | None:
    """None where a state is stored as it is."""
    return None if type(state).unpack is State.unpack else state.unpack


def iso(time_ms: int, zone: ZoneInfo) -> str:
    """ISO 8601 to the second, with the zone's offset; ``Z`` for UTC. Windows start and end at whole seconds.

    >>> iso(1_735_689_600_000, ZoneInfo("UTC")), iso(1_735_689_600_000, ZoneInfo("Asia/Kathmandu"))
    ('2025-01-01T00:00:00Z', '2025-01-01T05:45:00+05:45')
    """
    text = (_EPOCH + timedelta(milliseconds=time_ms)).astimezone(zone).isoformat(timespec="seconds")
    return text.removesuffix("+00:00") + "Z" if zone.key == "UTC" else text
