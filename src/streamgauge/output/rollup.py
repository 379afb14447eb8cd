"""Roll-up: the cells of several keys merged, where fewer keys are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from streamgauge.aggregates.base import State
from streamgauge.store.base import ALL_TEXT, OTHER_TEXT, CellRow, key_text

NO_KEY = key_text(())
"""The key text of a statistic without keys, and of a roll-up to none."""


@dataclass(slots=True)
class Cell:
    """A cell ready to be presented. ``key`` is its canonical text; ``states`` are in the order of the primitives."""

    start: int
    key: str
    events: int
    late: int
    revision: int | None
    wrong: dict[str, int]
    states: list[Any]

    def add(self, row: CellRow, states: Sequence[State]) -> None:
        """Merge a stored cell of the same window."""
        self.events += row.events
        self.late += row.late
        if row.revision is not None:
            self.revision = row.revision if self.revision is None else max(self.revision, row.revision)
        for field, count in row.wrong.items():
            self.wrong[field] = self.wrong.get(field, 0) + count
        merged = zip(states, self.states, row.states, strict=True)
        self.states = [state.merge(mine, state.unpack(packed)) for state, mine, packed in merged]


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


def rolled(batches: Iterable[Sequence[CellRow]], states: Sequence[State], to: RollUp) -> Iterator[Cell]:
    """The cells of fewer keys, in the order (start, key text). Holds the cells of one window at a time.

    Keys are merged in the order of their texts, so the result does not depend on anything but the stored cells.
    """
    window: dict[str, Cell] = {}
    start: int | None = None
    for batch in batches:
        for row in batch:
            if row.start != start:
                yield from _sorted(window)
                window, start = {}, row.start
            key = to.key(row.key)
            if key is None:
                continue
            if key not in window:
                window[key] = Cell(row.start, key, 0, 0, None, {}, [state.zero() for state in states])
            window[key].add(row, states)
    yield from _sorted(window)


def counted(batches: Iterable[Sequence[CellRow]], to: RollUp | None) -> int:
    """How many cells there are, rolled up or not, without presenting any."""
    if to is None:
        return sum(map(len, batches))
    total, keys = 0, set[str]()
    start: int | None = None
    for batch in batches:
        for row in batch:
            if row.start != start:
                total, keys, start = total + len(keys), set(), row.start
            if (key := to.key(row.key)) is not None:
                keys.add(key)
    return total + len(keys)


def _sorted(window: dict[str, Cell]) -> Iterator[Cell]:
    return (window[key] for key in sorted(window))
