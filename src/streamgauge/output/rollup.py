"""Roll-up: the cells of several keys merged, where fewer keys are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from streamgauge.aggregates.base import State
from streamgauge.store.base import ALL_TEXT, OTHER_TEXT, CellBatch, key_text

NO_KEY = key_text(())
"""The key text of a statistic without keys, and of a roll-up to none."""


@dataclass(slots=True)
class Cell:
    """One cell. ``key`` is its canonical text; ``states`` are in the order of the primitives."""

    start: int
    key: str
    events: int
    late: int
    revision: int | None
    wrong: dict[str, int]
    states: list[Any]

    def add(self, other: Cell, states: Sequence[State]) -> None:
        """Merge a cell of the same window."""
        self.events += other.events
        self.late += other.late
        if other.revision is not None:
            self.revision = other.revision if self.revision is None else max(self.revision, other.revision)
        for field, count in other.wrong.items():
            self.wrong[field] = self.wrong.get(field, 0) + count
        merged = zip(states, self.states, other.states, strict=True)
        self.states = [state.merge(mine, more) for state, mine, more in merged]


@dataclass(frozen=True, slots=True)
class RollUp:
    """Which of a key's values stay, by their places in it, in the order asked for.

    Where ``all_is_stored``, a roll-up to no key reads the row ``all`` that the store has, instead of merging keys.
    """

    places: tuple[int, ...]
    all_is_stored: bool = False

    def key(self, text: str) -> str | None:
        """The key that a stored key's cell goes to; None where it goes nowhere."""
        if not self.places:
            return NO_KEY if (text == ALL_TEXT) is self.all_is_stored else None
        if text in (ALL_TEXT, OTHER_TEXT):
            return text
        values = json.loads(text)
        return key_text([values[place] for place in self.places])


def cells_of(batch: CellBatch) -> Iterator[Cell]:
    """The cells one by one."""
    none: dict[str, int] = {}
    wrong = batch.wrong or [none] * len(batch)
    states = zip(*batch.states, strict=True) if batch.states else ((),) * len(batch)
    quality = zip(batch.late, batch.revisions, wrong, strict=True)
    rows = zip(batch.starts, batch.keys, batch.events, quality, states, strict=True)
    for start, key, events, (late, revision, counts), own in rows:
        yield Cell(start, key, events, late, revision, dict(counts), list(own))


def batch_of(cells: Sequence[Cell]) -> CellBatch:
    """The cells column by column; there must be one."""
    return CellBatch(
        [cell.start for cell in cells],
        [cell.key for cell in cells],
        [cell.events for cell in cells],
        [cell.late for cell in cells],
        [cell.revision for cell in cells],
        [cell.wrong for cell in cells],
        list(zip(*(cell.states for cell in cells), strict=True)),
    )


def rolled(batches: Iterable[CellBatch], states: Sequence[State], to: RollUp) -> Iterator[Cell]:
    """The cells of fewer keys, in the order (start, key text). Holds the cells of one window at a time.

    Keys are merged in the order of their texts, so the result does not depend on anything but the stored cells.
    """
    window: dict[str, Cell] = {}
    start: int | None = None
    for cell in chain.from_iterable(map(cells_of, batches)):
        if cell.start != start:
            yield from _sorted(window)
            window, start = {}, cell.start
        key = to.key(cell.key)
        if key is None:
            continue
        if key not in window:
            window[key] = Cell(cell.start, key, 0, 0, None, {}, [state.zero() for state in states])
        window[key].add(cell, states)
    yield from _sorted(window)


def counted(batches: Iterable[CellBatch], to: RollUp | None) -> int:
    """How many cells there are, rolled up or not, without presenting any."""
    if to is None:
        return sum(map(len, batches))
    total, keys = 0, set[str]()
    start: int | None = None
    for batch in batches:
        for window, text in zip(batch.starts, batch.keys, strict=True):
            if window != start:
                total, keys, start = total + len(keys), set(), window
            if (key := to.key(text)) is not None:
                keys.add(key)
    return total + len(keys)


def _sorted(window: dict[str, Cell]) -> Iterator[Cell]:
    return (window[key] for key in sorted(window))
