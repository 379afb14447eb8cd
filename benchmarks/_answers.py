"""The form in which answers are compared: a benchmark of different answers would be void."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Cells = dict[tuple[int, str | None], tuple[int | None, ...]]
"""By window start (ms) and key (as text), the measures in the order of the declaration."""

Answers = dict[str, Cells]
"""By statistic."""


def cell_of(start_ms: int, key: Any, values: Iterable[Any]) -> tuple[tuple[int, str | None], tuple[int | None, ...]]:
    """One cell in the form that is compared."""
    return (int(start_ms), None if key is None else str(key)), tuple(None if v is None else int(v) for v in values)


def declared(path: Path | str) -> Mapping[str, Mapping[str, Any]]:
    """The statistics of a TOML file as they are written."""
    found: Mapping[str, Mapping[str, Any]] = tomllib.loads(Path(path).read_text(encoding="utf-8"))["statistic"]
    return found


def check_same(ours: Answers, peer: Answers, name: str) -> None:
    """Raise SystemExit unless both sides have the same cells."""
    if ours.keys() != peer.keys():
        raise SystemExit(f"void: {name} answers {sorted(peer)}, streamgauge {sorted(ours)}")
    for statistic, cells in ours.items():
        other = peer[statistic]
        if different := sorted((c for c in cells.keys() | other if cells.get(c) != other.get(c)), key=str):
            first = different[0]
            values = f"{first}: {cells.get(first)} and {other.get(first)}"
            raise SystemExit(f"void: {statistic} has {len(different)} cells that differ from {name}'s, e.g. {values}")
