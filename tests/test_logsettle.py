"""What is late, expired and kept, as a plain loop over the blocks of a log says it."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from streamgauge.declare import Declarations
from streamgauge.engines.base import Facts
from streamgauge.engines.duck import SliceBuffer
from streamgauge.event import NEVER
from streamgauge.live import READER, settler_of
from streamgauge.log.base import BlockHeader, LaneName, LogBlock
from streamgauge.logsettle import lane_name, letters_of
from streamgauge.logslices import LogSlicer
from streamgauge.recompute import Pace
from streamgauge.settle import NO_INTS
from streamgauge.store import open_store
from streamgauge.store.base import ReaderState, TallyKey
from tests.log.blocks import block
from tests.log.taking import BY_ID, arriving
from tests.logged import Intaking, blocks_of, computed, write_blocks
from tests.running import MINUTE, T, declare, line

KEEP, LATENESS, MORE = 5 * MINUTE, 30_000, 10_000
DECLARED = """
[statistic.s]
topic = "*"
every = "1m"
by = { k = "body.k" }
lateness = "10s"
keep = { "1m" = "5m" }
measures = { n = "count()" }
"""


@pytest.fixture(scope="module")
def declarations(tmp_path_factory: pytest.TempPathFactory) -> Declarations:
    return declare(tmp_path_factory.mktemp("declared"), DECLARED)


@dataclass
class Cell:
    events: int = 0
    late: int = 0
    revision: int | None = None


@dataclass
class Loop:
    """The meaning of late and expired, one event after another."""

    cells: dict[tuple[int, str], Cell] = field(default_factory=lambda: defaultdict(Cell))
    counts: Counter[str] = field(default_factory=Counter)
    watermark: int = NEVER

    def take(self, found: LogBlock) -> None:
        for n, text in enumerate(found.events.splitlines()):
            event = json.loads(text)
            start = event["time"] // MINUTE * MINUTE
            final = start + MINUTE + MORE
            if final + KEEP <= self.watermark:
                self.counts["expired:s:1m"] += 1
                continue
            cell = self.cells[start, json.dumps([event["body"]["k"]])]
            cell.events += 1
            if final <= self.watermark:
                self.counts["late:s:1m"] += 1
                cell.late, cell.revision = cell.late + 1, found.header.position + n
        self.watermark = max(self.watermark, found.header.mark["watermark"])

    def kept(self) -> dict[tuple[int, str], Cell]:
        return {key: c for key, c in self.cells.items() if key[0] + MINUTE + MORE + KEEP > self.watermark}


def blocks_made_up(seed: int, count: int) -> list[list[bytes]]:
    r, now, blocks = random.Random(seed), T, list[list[bytes]]()
    for _ in range(count):
        lines = []
        for _ in range(r.randrange(1, 6)):
            now += r.choice([0, 1000, 20_000, 90_000])
            back = r.choice([0, 0, 0, 10_000, 2 * MINUTE, 4 * MINUTE, 20 * MINUTE])
            lines.append(line(time=now - back, k=f"k{r.randrange(3)}"))
        blocks.append(lines)
    return blocks


def stored(path: Path, declarations: Declarations) -> tuple[dict[tuple[int, str], Cell], dict[str, int]]:
    with open_store(path) as store:
        rows = [row for rows in store.cells(declarations.statistics["s"].version, "1m") for row in rows]
        counters = store.counters(READER)
    return {(row.start, row.key): Cell(row.events, row.late, row.revision) for row in rows}, counters


@settings(phases=[Phase.explicit, Phase.reuse, Phase.generate], max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 25), stops=st.lists(st.integers(1, 25), max_size=3))
def test_late_and_expired_are_those_of_a_plain_loop(
    tmp_path_factory: pytest.TempPathFactory, declarations: Declarations, seed: int, count: int, stops: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = write_blocks(folder, declarations, blocks_made_up(seed, count), LATENESS, arriving())
    loop = Loop()
    for found in blocks_of(log):
        loop.take(found)
    plain = computed(log, declarations, folder / "plain.db")
    cells, counters = stored(folder / "plain.db", declarations)
    assert cells == loop.kept()
    assert {name: n for name, n in counters.items() if ":" in name and n} == dict(loop.counts)
    each = Pace(slice_bytes=1, commit_bytes=1, workers=1, cache_cells=1)
    assert computed(log, declarations, folder / "each.db", (), each, stops) == plain


def test_a_cell_goes_with_the_commit_when_the_watermark_passes_its_keeping(
    tmp_path: Path, declarations: Declarations
) -> None:
    """The window of T ends at 22:14; it is final 10 s later, and kept for 5 minutes more."""
    end = T // MINUTE * MINUTE + MINUTE + MORE + KEEP + LATENESS
    blocks = [[line(time=T, k="a")], [line(time=end - 1, k="b")], [line(time=end, k="b")]]
    log = write_blocks(tmp_path, declarations, blocks, LATENESS, arriving())
    left = []
    for until in (1, 2, 3):
        computed_until(log, declarations, tmp_path / "s.db", until)
        left.append(('["a"]') in {key for _, key in stored(tmp_path / "s.db", declarations)[0]})
    assert left == [True, True, False]


def computed_until(log: Path, declarations: Declarations, store: Path, until: int) -> None:
    from streamgauge.recompute import recompute

    with open_store(store) as opened:
        recompute(log, declarations, opened, until=lambda: until)


def test_duplicates_and_dead_letters_are_counted_by_source_and_minute(
    tmp_path: Path, declarations: Declarations
) -> None:
    with Intaking(tmp_path / "log", declarations) as log:
        log.take(line(time=T, k="a", id=1), b"nonsense", line(time=T, k="a", id=1), arrival=BY_ID)
        log.take(b"{}", line(time=T, k="a", id=2), arrival=BY_ID, lane=LaneName("http", "two"))
        minute = log.clock.now_ms() // MINUTE * MINUTE
    computed(tmp_path / "log", declarations, tmp_path / "s.db")
    with open_store(tmp_path / "s.db") as store:
        tallies = store.tallies(READER)
        letters = store.find_letters(READER)
        lanes = store.load_reader(READER).lanes
    assert tallies == {
        TallyKey("http", "duplicate", minute): 1,
        TallyKey("http", "not JSON", minute): 1,
        TallyKey("http:two", "no time", minute): 1,
    }
    assert [(letter.position, letter.source, letter.data) for letter in letters] == [
        (1, "http", b"nonsense"),
        (3, "http", b"{}"),
    ]
    assert [(lane.name, lane.cursor) for lane in lanes] == [("http", 2), ("http:two", 4)]


def test_other_events_than_the_headers_count_are_refused() -> None:
    made = block(
        0, 0, events=3, mark={"lateness_ms": 0, "newest": T, "candidates": [], "state": "active", "watermark": T}
    )
    slicer = LogSlicer(lambda: [made], 1000, SliceBuffer, lambda damage: None)
    (cut,) = slicer.cuts()
    settler = settler_of(ReaderState(READER), [])
    assert not settler.wants_times(cut)
    with pytest.raises(RuntimeError, match="blocks 0 to 0 of the log have 3 events, but 2 could be read"):
        settler.settle(cut, Facts(2, NO_INTS, [], []))
    cut.slice.blocks.clear()
    slicer.close()


def test_bytes_that_are_no_text_come_back_as_they_were() -> None:
    dead = b'{"reason":"not JSON","detail":"","base64":"//4=","length":2,"time":5}\n'
    header = BlockHeader(0, 0, "http", "", 7, events=2, dead=1)
    (letter,) = letters_of(LogBlock(header, b"", dead))
    assert (letter.position, letter.data, letter.received_ms, letter.lane) == (9, b"\xff\xfe", 5, lane_name(header))
