"""A log gives the cells that a file gives, and the same store at any pace, however often it was stopped and killed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from streamgauge.declare import Declarations, load
from streamgauge.demo import write_calls
from streamgauge.live import READER
from streamgauge.recompute import Pace
from streamgauge.store import open_store
from streamgauge.store.base import OTHER_TEXT
from streamgauge.testing.kill_points import kill_at
from tests.data import data_path
from tests.log.taking import BY_ID, arriving
from tests.logged import computed, cut_up, presented, write_blocks
from tests.running import declare, made_up, reported, tables, write
from tests.test_pipeline import DECLARATIONS

ELSEWHERE = ("late", "revision", "state")
"""What of a cell depends on positions and watermarks, which a file and a log do not share."""

MOST = 150
FOREVER = "400d"


@pytest.fixture(scope="module")
def declarations(tmp_path_factory: pytest.TempPathFactory) -> Declarations:
    return declare(tmp_path_factory.mktemp("declared"), DECLARATIONS)


def check_alike(
    folder: Path, declared: Declarations, lines: Sequence[bytes], arrival: Any = BY_ID, **options: Any
) -> dict[str, list[dict[str, Any]]]:
    """Compare what a file and a log give; returns it."""
    with reported([write(folder / "events.jsonl", lines)], declared, lateness=FOREVER, **options) as report:
        by_file = presented(report.cells, declared, ELSEWHERE)  # type: ignore[arg-type]
    log = write_blocks(folder, declared, cut_up(lines, [1, 7, MOST]), arrival=arrival)
    computed(log, declared, folder / "s.db")
    with open_store(folder / "s.db") as store:
        by_log = presented(store, declared, ELSEWHERE)
    assert by_log == by_file
    return by_log


@pytest.mark.parametrize("seed", [1, 2])
def test_a_log_gives_the_cells_of_a_file(tmp_path: Path, declarations: Declarations, seed: int) -> None:
    rows = check_alike(tmp_path, declarations, made_up(seed, 400), id="body.id")
    assert {row["row"] for row in rows["by_key 1m"]} >= {"key", "all", "other"}


NO_WORDS = arriving()
"""What finds all of the envelope by the producers of a pack."""


def test_a_log_of_calls_gives_what_a_file_of_them_gives(tmp_path: Path) -> None:
    write_calls(tmp_path / "calls.jsonl", 1500, seed=5, duplicates=0.02, malformed=0.01)
    lines = (tmp_path / "calls.jsonl").read_bytes().splitlines()
    rows = check_alike(tmp_path, load(packs=["voip"]), lines, NO_WORDS)
    assert len(rows) >= 7
    assert all(rows.values())


def test_a_log_of_messages_gives_what_a_file_of_them_gives(tmp_path: Path) -> None:
    lines = data_path("fedora/bus_sorted.jsonl").read_bytes().splitlines()[:1500]
    rows = check_alike(tmp_path, load(packs=["fedora"]), lines, NO_WORDS)
    assert all(rows.values())


# An example takes a second, and shrinking would try hundreds.
_RARE = settings(phases=[Phase.explicit, Phase.reuse, Phase.generate])
PACES = st.builds(
    Pace,
    slice_bytes=st.sampled_from([1, 400, 3_000, 2**20]),
    commit_bytes=st.sampled_from([1, 2_000, 10**9]),
    workers=st.integers(1, 3),
    cache_cells=st.sampled_from([1, 60, 500_000]),
)
STEPS = ("read", "decoded", "settled", "computed", "merged", "before_commit", "committed")
KILLS = st.builds(kill_at, st.sampled_from(STEPS), st.integers(1, 6))


@settings(_RARE, max_examples=4, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    lateness_ms=st.sampled_from([0, 60_000, 7_200_000]),
    paces=st.lists(PACES, min_size=2, max_size=2),
    kills=st.lists(KILLS, max_size=3),
    stops=st.lists(st.integers(0, 12), max_size=2),
    segment_blocks=st.sampled_from([3, 20_000]),
)
def test_any_pace_gives_the_same_store(
    declarations: Declarations,
    seed: int,
    sizes: list[int],
    lateness_ms: int,
    paces: list[Pace],
    kills: list[Any],
    stops: list[int],
    segment_blocks: int,
) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        blocks = cut_up(made_up(seed, 60), sizes)
        log = write_blocks(folder, declarations, blocks, lateness_ms, segment_blocks=segment_blocks)
        plain = computed(log, declarations, folder / "plain.db")
        with_kills = computed(log, declarations, folder / "killed.db", kills, paces[0])
        with_stops = computed(log, declarations, folder / "stopped.db", (), paces[1], stops)
        assert with_kills.splitlines() == plain.splitlines()
        assert with_stops.splitlines() == plain.splitlines()


def test_what_these_tests_make_up_is_late_expired_and_folded(tmp_path: Path, declarations: Declarations) -> None:
    log = write_blocks(tmp_path, declarations, cut_up(made_up(3, 500), [3]), lateness_ms=0)
    text = computed(log, declarations, tmp_path / "s.db")
    with open_store(tmp_path / "s.db") as store:
        counters = store.counters(READER)
    assert counters["late:by_key:1m"] > counters["late:by_key:1h"] > 0
    assert counters["expired:by_key:1m"] > 0
    assert any(json.loads(row)["cell"]["text"] == OTHER_TEXT for row in tables(text, "cell"))
    assert {json.loads(row)["dead_letter"]["reason"] for row in tables(text, "dead_letter")} >= {"not JSON", "no time"}
