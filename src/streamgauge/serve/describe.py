"""What a statistic is, and what the store has of it, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any
from zoneinfo import ZoneInfo

from streamgauge.bound import BoundStatistic
from streamgauge.clock import Clock
from streamgauge.event import MAX_TIME_MS, MIN_TIME_MS
from streamgauge.output.cells import ShownMeasure, iso, window_by
from streamgauge.output.present import Presenter, Query
from streamgauge.serve.base import Reads, Standing
from streamgauge.serve.query import presenter_of
from streamgauge.windows import Length

UTC = ZoneInfo("UTC")


class Counts:
    """How many cells there are, counted again at most every ``every_s`` seconds, and seldom where it takes long."""

    def __init__(self, clock: Clock, every_s: float = 5.0) -> None:
        self._clock, self._every_s = clock, every_s
        self._known: dict[tuple[str, str], tuple[float, int]] = {}
        self._lock = Lock()

    def of(self, reads: Reads, version: str, every: str) -> int:
        """The count, of now or a short while ago. May block for long, see Reads.count."""
        key, began = (version, every), self._clock.monotonic_s()
        with self._lock:
            until, count = self._known.get(key, (0.0, -1))
        if count >= 0 and began < until:
            return count
        count = reads.count(version, every)
        ended = self._clock.monotonic_s()
        with self._lock:
            self._known[key] = ended + max(self._every_s, 50 * (ended - began)), count
        return count


def described(reads: Reads, statistic: BoundStatistic, standing: Standing, counts: Counts) -> dict[str, Any]:
    """All that is told of a statistic."""
    spec, presenter = statistic.spec, presenter_of(statistic)
    of = {"shape": spec.of} if spec.of else {"topic": spec.topic}
    return {
        "name": statistic.name,
        "help": spec.help,
        **of,
        "where": spec.where,
        "keys": [{"name": name, "type": key.type.value, "expression": key.text} for name, key in statistic.by],
        "window_by": window_by(statistic),
        "zone": statistic.windows.zone,
        "windows": [_window(reads, statistic, length, counts) for length in statistic.lengths],
        "measures": [_measure(presenter, shown) for shown in presenter.shown],
        "totals": spec.totals,
        "version": statistic.version,
        **watermark_of(standing.watermark),
    }


def watermark_of(watermark: int, zone: ZoneInfo = UTC) -> dict[str, Any]:
    """A watermark as JSON: ``watermark`` is null where it is not known, or where nothing more comes (``final``)."""
    final = watermark >= MAX_TIME_MS
    known = MIN_TIME_MS <= watermark < MAX_TIME_MS
    return {"watermark": precise(watermark, zone) if known else None, "final": final}


def precise(time_ms: int | None, zone: ZoneInfo = UTC) -> str | None:
    """ISO 8601 to the millisecond; None of a time that cannot be written.

    >>> precise(1_735_689_600_250), precise(2**62)
    ('2025-01-01T00:00:00.250Z', None)
    """
    if time_ms is None or not MIN_TIME_MS <= time_ms < MAX_TIME_MS:
        return None
    text = iso(time_ms // 1000 * 1000, zone)
    return f"{text[:19]}.{time_ms % 1000:03d}{text[19:]}"


def _window(reads: Reads, statistic: BoundStatistic, length: Length, counts: Counts) -> dict[str, Any]:
    version, every = statistic.version, length.text
    first = reads.next_start(version, every, MIN_TIME_MS)
    last = reads.next_start(version, every, MAX_TIME_MS, descending=True)
    there = first is not None and last is not None
    return {
        "every": every,
        "keep": statistic.spec.keep.get(every),
        "cells": counts.of(reads, version, every) if there else 0,
        "first": iso(first, UTC) if first is not None else None,
        "last": iso(last, UTC) if last is not None else None,
        "stop": iso(statistic.windows.stop(length, last), UTC) if last is not None else None,
    }


def _measure(presenter: Presenter, shown: ShownMeasure) -> dict[str, Any]:
    by_name = {column.name: column for column in presenter.columns(Query())}
    names = [*shown.columns, *([shown.low] if shown.low else [])]
    columns = [by_name[name] for name in names]
    return {
        "name": shown.name,
        "kind": type(shown.measure).name,
        "formula": shown.measure.formula(),
        "unit": next((column.unit for column in columns if column.unit), ""),
        "columns": [{"name": c.name, "type": c.type, "unit": c.unit, "help": c.help} for c in columns],
    }


def key_columns(statistic: BoundStatistic, value: Any) -> dict[str, Any]:
    """A key, read from its text, as columns: its row, and each part."""
    names = [name for name, _ in statistic.by]
    if isinstance(value, str):
        return {"row": value, **dict.fromkeys(names)}
    return {"row": "key" if names else "all", **dict(zip(names, value, strict=True))}


def quality_of(tallies: Mapping[tuple[str, bool], int]) -> dict[str, Any]:
    """Dead letters by reason, and duplicates. ``whole``: of some the minute is not known, so all of these count."""
    letters: dict[str, int] = {}
    duplicates = 0
    for (reason, _), count in sorted(tallies.items()):
        if reason == "duplicate":
            duplicates += count
        else:
            letters[reason] = letters.get(reason, 0) + count
    return {"dead_letters": letters, "duplicates": duplicates, "whole": any(not known for _, known in tallies)}
