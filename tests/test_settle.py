"""Late, revision and expired, block by block; dead letters and duplicates: what is decided in log order."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.event import Block, Lane
from streamgauge.settle import count_records
from tests.running import DAY, MINUTE, T, declare, dump, line, reported, tables, write

BLOCK_BYTES = 400
HOUR = 60 * MINUTE

LATE = """
[shape.call.fields]
k = "VARCHAR"
at_ms = "BIGINT"
[shape.call.producer.flat]
time = "body.time"
fields = { k = "body.k", at_ms = "body.at::BIGINT" }

[statistic.plain]
of = "call"
every = ["1m", "1h"]
by = { k_key = "k" }
keep = { "1m" = "30m", "1h" = "3h" }
[statistic.plain.measures]
n = "count()"

[statistic.patient]
of = "call"
every = ["1m", "5m"]
lateness = "4m"
totals = true
by = { k_key = "k" }
[statistic.patient.measures]
n = "count()"

[statistic.begun]
of = "call"
every = "5m"
time = "at_ms"
delay = "10m"
[statistic.begun.measures]
n = "count()"

[statistic.days]
of = "call"
every = "1d"
zone = "America/St_Johns"
[statistic.days.measures]
n = "count()"
"""

ST_JOHNS = ZoneInfo("America/St_Johns")


def fixed(length: int) -> Any:
    return lambda time: (time // length * length, time // length * length + length)


def day(time: int) -> tuple[int, int]:
    """The calendar day of St. John's, by Python's own calendar."""
    local = datetime.fromtimestamp(time / 1000, UTC).astimezone(ST_JOHNS)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    following = (midnight.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=ST_JOHNS)
    return int(midnight.timestamp() * 1000), int(following.timestamp() * 1000)


@dataclass(frozen=True)
class Rule:
    """How one statistic and length decides: by its window, what it waits, and how long it keeps."""

    window: Any
    wait: int = 0
    keep: int | None = None
    field: str = "time"
    keyed: bool = True
    totals: bool = False


RULES = {
    ("plain", "1m"): Rule(fixed(MINUTE), keep=30 * MINUTE),
    ("plain", "1h"): Rule(fixed(HOUR), keep=3 * HOUR),
    ("patient", "1m"): Rule(fixed(MINUTE), wait=4 * MINUTE, totals=True),
    ("patient", "5m"): Rule(fixed(5 * MINUTE), wait=4 * MINUTE, totals=True),
    ("begun", "5m"): Rule(fixed(5 * MINUTE), wait=10 * MINUTE, field="at", keyed=False),
    ("days", "1d"): Rule(day, keyed=False),
}


@dataclass
class Cell:
    events: int = 0
    late: int = 0
    revision: int | None = None


@dataclass
class Simulation:
    """A plain loop over the blocks of all files, from DESIGN.md: a watermark moves only between blocks."""

    lateness: int
    cells: dict[Any, Cell] = field(default_factory=lambda: defaultdict(Cell))
    late: Counter[str] = field(default_factory=Counter)
    expired: Counter[str] = field(default_factory=Counter)
    position: int = 0
    kept: dict[Any, Cell] = field(default_factory=dict)

    def run(self, files: list[list[bytes]]) -> None:
        newest: list[int | None] = [None] * len(files)
        done = [False] * len(files)
        watermark = last = float("-inf")
        for lane, lines in enumerate(files):
            for block in cut(lines):
                times = self.take(block, watermark)
                newest[lane] = max([*times, *([newest[lane]] if newest[lane] is not None else [])], default=None)
                lanes = [n - self.lateness if n is not None else float("-inf") for n in newest]
                watermark = max(watermark, min(w for w, over in zip(lanes, done, strict=True) if not over))
                last = lanes[lane]
            done[lane] = True
            lanes = [n - self.lateness if n is not None else float("-inf") for n in newest]
            held = [w for w, over in zip(lanes, done, strict=True) if not over]
            watermark = max(watermark, min(held, default=last))
        self.kept = {place: cell for place, cell in self.cells.items() if self.is_kept(place, watermark)}

    def is_kept(self, place: Any, watermark: float) -> bool:
        """Whether the window of a cell is still kept when the watermark is there."""
        name, every, start, _ = place
        rule = RULES[name, every]
        return rule.keep is None or rule.window(start)[1] + rule.wait + rule.keep > watermark

    def take(self, block: list[bytes], watermark: float) -> list[int]:
        times = []
        for text in block:
            if not text.strip():
                continue
            try:
                event = json.loads(text)
                times.append(event["time"])
                self.count(event, watermark)
            except (ValueError, KeyError):
                pass
            self.position += 1
        return times

    def count(self, event: dict[str, Any], watermark: float) -> None:
        for (name, every), rule in RULES.items():
            time = event.get(rule.field)
            if time is None:
                continue
            start, stop = rule.window(time)
            late = stop + rule.wait <= watermark
            if rule.keep is not None and stop + rule.wait + rule.keep <= watermark:
                self.expired[f"{name}:{every}"] += 1
                continue
            self.late[f"{name}:{every}"] += late
            for key in [json.dumps([event.get("k")] if rule.keyed else []), *(['"all"'] if rule.totals else [])]:
                cell = self.cells[name, every, start, key]
                cell.events += 1
                cell.late += late
                cell.revision = self.position if late else cell.revision


def cut(lines: list[bytes]) -> Iterator[list[bytes]]:
    """Blocks of whole lines that end within BLOCK_BYTES."""
    block: list[bytes] = []
    for text in lines:
        if sum(len(x) + 1 for x in block) + len(text) + 1 > BLOCK_BYTES:
            yield block
            block = []
        block.append(text)
    if block:
        yield block


def shuffled(seed: int, count: int) -> list[bytes]:
    """Events that lag by up to hours, none of them more than a day ahead of its lane."""
    r = random.Random(seed)
    lines, now = [], T
    for _ in range(count):
        now += r.choice([0, 1_000, MINUTE, 4 * MINUTE])
        time = now - r.choice([0, 0, 0, 2 * MINUTE, 20 * MINUTE, 2 * HOUR, 5 * HOUR])
        event = {"time": time, "k": r.choice(["a", "b"]), "at": r.choice([time - r.randrange(20 * MINUTE), None])}
        lines.append(r.choice([line(**event)] * 9 + [b"{bad", b" ", b'{"k":"a"}']))
    return lines


@pytest.mark.parametrize("lateness", [0, 3 * MINUTE])
@pytest.mark.parametrize("seed", range(4))
def test_late_revision_and_expired_equal_a_plain_loop_over_the_blocks(tmp_path: Path, seed: int, lateness: int) -> None:
    inputs = [shuffled(seed * 10 + n, count) for n, count in enumerate([150, 1, 90][: 1 + seed % 3])]
    files = [write(tmp_path / f"{n}.jsonl", lines) for n, lines in enumerate(inputs)]
    expected = Simulation(lateness)
    expected.run(inputs)
    declarations = declare(tmp_path, LATE)
    names = {s.version: name for name, s in declarations.statistics.items()}
    options: Any = {"lateness": f"{lateness // 1000}s", "block_bytes": BLOCK_BYTES, "store": tmp_path / "s.db"}
    with reported(files, declarations, slice_bytes=3 * BLOCK_BYTES, **options) as found:
        cells = {}
        for row in tables(dump(found), "cell"):
            cell = json.loads(row)["cell"]
            place = (names[cell["hash"]], cell["every"], cell["start"], json.dumps(json.loads(cell["text"])))
            cells[place] = Cell(cell["events"], cell["late"], cell["revision"])
        assert cells == expected.kept
        assert len(inputs) > 1 or len(expected.kept) < len(expected.cells)
        assert found.summary["late"] == {k: n for k, n in expected.late.items() if n}
        assert found.summary["expired"] == {k: n for k, n in expected.expired.items() if n}
    if len(inputs) == 1:
        # Of two files, none is complete up to anywhere before the last has begun.
        assert expected.late
        assert expected.expired


@pytest.fixture
def minutes(tmp_path: Path) -> Any:
    return declare(tmp_path, '[statistic.s]\ntopic = "*"\nevery = "1m"\n[statistic.s.measures]\nn = "count()"\n')


def rows(found: Any) -> list[tuple[int, int, int | None, str]]:
    """Events, late, revision and state of each cell."""
    return [(r["events"], r["late"], r["revision"], r["state"]) for r in found.rows("s")]


def blocks_apart(*events: int) -> list[bytes]:
    """Each event in a block of its own."""
    return [line(time=time, pad="x" * 150) for time in events]


def test_an_event_at_the_very_watermark_is_late_for_a_window_that_ends_there(tmp_path: Path, minutes: Any) -> None:
    start = T // MINUTE * MINUTE
    for newest, late in ((start + MINUTE - 1, 0), (start + MINUTE, 1)):
        path = write(tmp_path / "a.jsonl", blocks_apart(start, newest, start + 1))
        with reported([path], minutes, lateness="0s", block_bytes=200) as found:
            assert found.summary["late"] == ({"s:1m": 1} if late else {})
            assert next(r[2] for r in rows(found)) == (2 if late else None)


def test_within_a_block_nothing_is_late(tmp_path: Path, minutes: Any) -> None:
    path = write(tmp_path / "a.jsonl", [line(time=T + 9 * MINUTE), line(time=T)])
    with reported([path], minutes, lateness="0s") as found:
        assert found.summary["late"] == {}


def test_a_file_that_has_not_begun_holds_the_watermark(tmp_path: Path, minutes: Any) -> None:
    first = write(tmp_path / "a.jsonl", blocks_apart(T + HOUR, T))
    second = write(tmp_path / "b.jsonl", blocks_apart(T))
    with reported([first, second], minutes, lateness="0s", block_bytes=200) as found:
        assert found.summary["late"] == {}
    with reported([first], minutes, lateness="0s", block_bytes=200) as found:
        assert found.summary["late"] == {"s:1m": 1}


def test_one_that_jumps_ahead_moves_no_watermark_until_sixteen_agree(tmp_path: Path, minutes: Any) -> None:
    jump = T + 3 * DAY
    for agreeing, late in ((15, {}), (16, {"s:1m": 1})):
        times = [T, jump, *(jump + n for n in range(agreeing)), T + 1]
        path = write(tmp_path / "a.jsonl", blocks_apart(*times))
        with reported([path], minutes, lateness="0s", block_bytes=200) as found:
            assert found.summary["late"] == late


def test_with_finish_everything_is_final_and_what_comes_later_is_late(tmp_path: Path, minutes: Any) -> None:
    options: Any = {"store": tmp_path / "s.db"}
    with reported([write(tmp_path / "a.jsonl", [line(time=T)])], minutes, **options) as found:
        assert rows(found) == [(1, 0, None, "provisional")]
    more = write(tmp_path / "b.jsonl", [line(time=T + 1), line(time=T)])
    with reported([more], minutes, finish=True, **options) as found:
        assert rows(found) == [(3, 0, None, "final")]
    with reported([write(tmp_path / "c.jsonl", [b"{", line(time=T)])], minutes, **options) as found:
        assert rows(found) == [(4, 1, 4, "final")]


LINES = [b"\n", b" \n", b"\r\n", b"\x0b\x0c\n", b"x\n", b" x \n", b"\x00\n", b"\r\r\n", b"\n\n"]


@given(parts=st.lists(st.sampled_from(LINES)))
def test_records_are_lines_that_are_not_blank(parts: list[bytes]) -> None:
    data = b"".join(parts)
    wanted = sum(bool(text.strip(b" \t\r\x0b\x0c")) for text in data.split(b"\n"))
    assert count_records(Block(Lane(0, ""), 0, 0, len(data), 1, data)) == wanted
