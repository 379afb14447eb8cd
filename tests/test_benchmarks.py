"""The benchmarks run, and compare like with like: each peer gives the same answers. No time is asserted here."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).resolve().parents[1] / "benchmarks"
EVENTS = 3_000
BYTEWAX = sys.version_info < (3, 13)
"""Whether the pinned bytewax can be installed for this Python. Where it can and is not, its tests are skipped."""

SCRIPTS = sorted(p.stem for p in HERE.glob("*.py") if not p.name.startswith("_"))
RUNNABLE = [name for name in SCRIPTS if BYTEWAX or "bytewax" not in name]


def module(name: str) -> ModuleType:
    """A module of benchmarks/."""
    if "bytewax" in name:
        pytest.importorskip("bytewax", reason="needs the extra bench")
    return importlib.import_module(name)


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sys.path.insert(0, str(HERE))
    try:
        path: Path = module("_bench").call_file(EVENTS, tmp_path_factory.mktemp("bench"))
    finally:
        sys.path.remove(str(HERE))
    return path


@pytest.mark.parametrize("script", RUNNABLE)
def test_script_can_be_run_by_make_bench(script: str) -> None:
    assert callable(module(script).main)


def test_every_script_is_named_in_the_documentation() -> None:
    page = (HERE.parent / "docs" / "performance.md").read_text(encoding="utf-8")
    assert [name for name in SCRIPTS if f"benchmarks/{name}.py" not in page] == []


@pytest.mark.parametrize("declarations", ["ONE", "TEN"])
def test_duckdb_by_hand_gives_our_answers(calls: Path, declarations: str) -> None:
    ours, peer = module("_ours"), module("_duckdb_peer")
    declared = getattr(ours, declarations)
    tables = {"carriers": peer.compute_one(calls)} if declarations == "ONE" else peer.compute_ten(calls)
    found = ours.answers(ours.compute(calls, declared), declared)
    assert found == peer.answers(tables)
    assert sum(values[0] for values in found["carriers"].values()) == EVENTS


if BYTEWAX:

    @pytest.mark.parametrize("declarations", ["ONE", "TEN"])
    def test_bytewax_gives_our_answers(calls: Path, declarations: str) -> None:
        ours, peer = module("_ours"), module("_bytewax_peer")
        declared, folds = getattr(ours, declarations), getattr(peer, declarations)
        found = ours.answers(ours.compute(calls, declared), declared)
        assert found == peer.answers(peer.compute(calls, folds), folds)


def test_ten_statistics_are_ten_and_no_two_share_key_window_and_condition() -> None:
    declared = module("_answers").declared(module("_ours").TEN)
    groups = {(str(s["by"]), str(s["every"]), s.get("where")) for s in declared.values()}
    assert (len(declared), len(groups)) == (10, 10)


def test_the_one_statistic_is_the_first_of_the_ten() -> None:
    ours, answers = module("_ours"), module("_answers")
    assert answers.declared(ours.ONE)["carriers"] == answers.declared(ours.TEN)["carriers"]


def test_different_answers_make_a_benchmark_void() -> None:
    check_same = module("_answers").check_same
    check_same({"s": {(0, "a"): (1,)}}, {"s": {(0, "a"): (1,)}}, "peer")
    for other in ({"s": {(0, "a"): (2,)}}, {"s": {}}, {"s": {(0, "a"): (1,), (0, "b"): (1,)}}, {}):
        with pytest.raises(SystemExit, match="void"):
            check_same({"s": {(0, "a"): (1,)}}, other, "peer")


def test_file_of_calls_is_made_once_and_its_first_records_are_its_own(calls: Path) -> None:
    bench = module("_bench")
    written = calls.stat().st_mtime_ns
    assert bench.call_file(EVENTS, calls.parent) == calls
    assert calls.stat().st_mtime_ns == written
    part = bench.first_records(calls, 10)
    assert part.read_bytes() == b"".join(calls.read_bytes().splitlines(keepends=True)[:10])


def test_works_take_turns_after_one_round_to_warm_up() -> None:
    done: list[str] = []
    times = module("_bench").interleaved([lambda: done.append("a"), lambda: done.append("b")], runs=2)
    assert done == ["a", "b"] * 3
    assert len(times) == 2
    assert min(times) >= 0


@pytest.mark.parametrize(
    ("ratio", "less", "verdict"),
    [(13, False, "must"), (12, False, "must"), (11.9, False, "MISSED"), (20, False, "aim"), (12, True, "aim")],
)
def test_verdict_says_which_bound_was_reached(ratio: float, less: bool, verdict: str) -> None:
    claim = module("_bench").Claim("c", "s", 1.0, None, ratio, must=12, aim=20, less=less)
    assert claim.verdict == verdict


def test_conclusion_ends_with_a_line_of_json_for_each_claim(capsys: pytest.CaptureFixture[str]) -> None:
    bench = module("_bench")
    bench.conclude(bench.Claim("c", "s", 1.0, 4.0, 0.25, must=0.5, aim=0.75))
    words, line = capsys.readouterr().out.splitlines()
    assert words.startswith("MISSED")
    found = json.loads(line)
    assert {k: found[k] for k in ("claim", "ours", "peer", "ratio", "must", "aim", "verdict")} == {
        "claim": "c", "ours": 1.0, "peer": 4.0, "ratio": 0.25, "must": 0.5, "aim": 0.75, "verdict": "MISSED",
    }  # fmt: skip
    assert found["machine"]
    assert "DuckDB" in found["versions"]


def test_report_in_a_process_of_its_own_tells_its_peak_and_its_cells(calls: Path) -> None:
    child, ours = module("_child"), module("_ours")
    taken = child.run(calls, ours.CELLS, "few")
    assert list(taken["cells"]) == ["few"]
    assert taken["cells"]["few"] == len(ours.answers(ours.compute(calls, ours.CELLS), ours.CELLS)["few"])
    assert 20e6 < taken["peak_bytes"] < 2e9
    assert 0 < taken["run_seconds"] <= taken["seconds"]


def test_table_has_a_row_for_each_claim_and_says_where_it_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    bench = module("_bench")
    against = bench.Claim("fast", "events/s", 2_500_000.0, 4_000_000.0, 0.625, must=0.5, aim=0.75)
    alone = bench.Claim("small", "MB", 210.0, None, 210.0, must=500, aim=300, less=True)
    bench.conclude(against, alone)
    lines = list(module("_table").rows(capsys.readouterr().out.splitlines()))
    assert lines[2:4] == [
        "| fast | 2,500,000 events/s | 4,000,000 events/s | 0.625 | at least 0.5 | at least 0.75 | must |",
        "| small | 210 MB |  |  | at most 500 | at most 300 | aim |",
    ]
    assert len(lines) == 6
    assert lines[5].startswith("Measured on ")


def test_command_is_started_as_a_user_starts_it() -> None:
    assert module("startup").command("--help")[-1] == "--help"
    module("startup").run("--version")
