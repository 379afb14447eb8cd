"""Drives an engine over one slice, and says in plain Python what it must find there."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from streamgauge.aggregates.base import Kind, Op
from streamgauge.bound import BoundPrimitive
from streamgauge.declare import Declarations, load
from streamgauge.engines.base import Computed, Envelope, Exclusion, Facts, GroupResult, Positions, Slice
from streamgauge.engines.duck import DuckEngine, SliceBuffer
from streamgauge.event import Block, Lane
from streamgauge.expression import TimeUnit
from streamgauge.partial import SubRows
from streamgauge.testing.reference import Row, compute, scaled

NOTHING: Any = np.zeros(0, dtype=np.int64)
MINUTE = 60_000


def declared(toml: str) -> Declarations:
    """What a TOML text declares."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "declarations.toml"
        path.write_text(toml)
        return load(files=[path])


def blocks_of(parts: Iterable[Sequence[bytes]], lane: Lane | None = None) -> list[Block]:
    """One block per sequence of lines."""
    lane = lane or Lane(0, "lane.jsonl")
    found, offset, line = [], 0, 1
    for number, lines in enumerate(parts):
        data = b"".join(text + b"\n" for text in lines)
        found.append(Block(lane, number, offset, offset + len(data), line, data))
        offset, line = offset + len(data), line + len(lines)
    return found


class Driver:
    """An engine of one worker over some declarations."""

    def __init__(self, toml: str, envelope: Envelope | None = None) -> None:
        self.declarations = declared(toml)
        self.statistics = list(self.declarations.statistics.values())
        self.engine = DuckEngine(
            self.statistics, self.declarations.shapes.values(), envelope or Envelope(time_unit=TimeUnit.MS), workers=1
        )

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *exc: object) -> None:
        self.engine.close()

    def run(
        self,
        blocks: Sequence[Block],
        want_times: bool = True,
        duplicates: Sequence[int] = (),
        watermarks: Sequence[tuple[int, int]] = (),
        position: int = 0,
    ) -> tuple[Facts, Computed]:
        """Decode and compute these blocks as one slice."""
        data = b"".join(bytes(b.data) for b in blocks)
        data = b"\n" + data
        buffer = SliceBuffer(len(data))
        try:
            buffer.view[: len(data)] = data
            buffer.trim(len(data))
            slice_ = Slice(buffer.path, len(data), list(blocks), TimeUnit.MS, blocks[0].lane.name if blocks else "")
            facts = self.engine.decode(0, slice_, want_times)
            given = np.array(sorted(duplicates), dtype=np.int64)
            return facts, self.engine.compute(0, Exclusion(Positions.at(position), given, watermarks))
        finally:
            buffer.close()

    def lines(self, lines: Sequence[bytes], **kwargs: Any) -> tuple[Facts, Computed]:
        """The same for one block of these lines."""
        return self.run(blocks_of([lines]), **kwargs)

    def cells(self, computed: Computed) -> dict[tuple[str, int, Any], Cell]:
        """Every row that was found, by statistic, window and key (None for the row of all keys)."""
        found: dict[tuple[str, int, Any], Cell] = {}
        for result in computed.results:
            statistic = self.statistics[result.statistic]
            keys = keys_of(result)
            for n, key in enumerate(keys):
                at = (statistic.name, int(result.starts[n]), key)
                assert at not in found, f"two rows of {at}"
                found[at] = cell_of(result, n, statistic.primitives)
        return found


def keys_of(result: GroupResult) -> list[Any]:
    """The key of each row; None for the row of all keys."""
    if result.keys is None:
        return [None] * len(result.starts)
    distinct = [*zip(*result.keys.columns, strict=True)] if result.keys.columns else [()] * result.keys.count
    return [distinct[n] for n in result.keys.of_row.tolist()]


@dataclass
class Cell:
    """One window and key: what was computed, in a form that compares."""

    events: int
    first: int
    last: int
    columns: list[Any]
    wrong: dict[str, int] = field(default_factory=dict)


def cell_of(result: GroupResult, n: int, primitives: Sequence[BoundPrimitive]) -> Cell:
    """The n-th row of a result."""
    columns = [plain(value_at(c, n), p.primitive.op) for c, p in zip(result.columns, primitives, strict=True)]
    wrong = {name: int(counts[n]) for name, counts in result.wrong.items() if counts[n]}
    return Cell(int(result.events[n]), int(result.first[n]), int(result.last[n]), columns, wrong)


def value_at(column: Any, n: int) -> Any:
    """The n-th value of a column of a Partial, in the form that ``Op`` gives."""
    if isinstance(column, SubRows):
        mine = np.flatnonzero(column.row == n)
        keys = [column.sub_key[i] for i in mine.tolist()] if isinstance(column.sub_key, list) else column.sub_key[mine]
        return keys, column.count[mine], column.position[mine]
    if isinstance(column, tuple):
        values, valid = column
        return int(values[n]) if valid[n] else None
    return column[n]


def plain(computed: Any, op: Op) -> Any:
    """A primitive's result in a form that compares: sub-keys may come in any order."""
    if op is not Op.COUNT_BY:
        return tuple(computed) if isinstance(computed, (tuple, list)) else computed
    keys, counts, positions = (x if isinstance(x, list) else x.tolist() for x in computed)
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, zip(counts, positions, strict=True), strict=True))


Event = Mapping[str, Any]
Value = Callable[[Event], Any]


def text(value: Any) -> str | None:
    """A JSON value as the text that a path yields."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def at(*keys: str) -> Value:
    """The value at a path; None where it is missing or leads through what is no object."""

    def found(event: Event) -> Any:
        value: Any = event
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    return found


def is_broken(event: Event, *keys: str) -> bool:
    """Whether the path leads through something that is no object, and not null."""
    value: Any = event
    for key in keys[:-1]:
        value = value.get(key)
        if value is None:
            return False
        if not isinstance(value, dict):
            return True
    return False


def taken(p: BoundPrimitive, value: Any) -> Any:
    """What a primitive is given of a JSON value."""
    if p.primitive.argument is None:
        return None
    kind, type_ = p.primitive.argument.kind, p.argument.type.value if p.argument else ""
    number = scaled(value, p.scale if type_ == "DOUBLE" else 0)
    if kind is Kind.NUMBER:
        return number
    if type_ == "DOUBLE":
        return None if number is None else number / 10**p.scale
    if type_ == "BIGINT":
        return number if kind is Kind.ANY or number is None else str(number)
    return text(value)


def expected_columns(
    primitives: Sequence[BoundPrimitive],
    events: Sequence[tuple[int, Event]],
    values: Mapping[str, Value],
    conditions: Mapping[str, Callable[[Event], bool]],
) -> list[Any]:
    """What a plain loop computes for one window and key: ``events`` are ``(position, event)``."""
    found = []
    for p in primitives:
        rows: list[Row] = []
        for position, event in events:
            if p.primitive.where and not conditions[p.primitive.where](event):
                continue
            value = taken(p, values[p.argument.text](event)) if p.argument is not None else None
            rows.append((event["time"], position, value))
        found.append(plain(compute(p.primitive, rows, p.scale), p.primitive.op))
    return found
