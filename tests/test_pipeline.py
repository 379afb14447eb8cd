"""The central promise: the same blocks give the same store, byte for byte, however they were read and often killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from streamgauge.declare import Declarations
from streamgauge.pipeline import STEPS
from streamgauge.testing.kill_points import Killed, kill_at
from tests.running import T, declare, dump, dumped, line, made_up, reported, tables, write

DECLARATIONS = """
[statistic.by_key]
topic = "*"
every = ["1m", "1h"]
totals = true
max_keys = 5
lateness = "10s"
by = { k = "body.k" }
keep = { "1m" = "1d" }
[statistic.by_key.measures]
n = "count()"
total = "sum(body.x::BIGINT)"
share = "proportion(count(body.s = 's1'), n)"
least = "min(body.d::DOUBLE)"
spread = "variance(body.x::BIGINT)"
mid = "quantiles(body.d::DOUBLE, 0.5)"
kinds = "distinct(body.s)"
counts = "tally(body.s, 4)"
begin = "first(body.s)"
final = "latest(body.x::BIGINT)"
inner = "sum(body.v.y::BIGINT)"

[statistic.tagged]
topic = "*"
where = "body.s <> 's2'"
every = "1d"
zone = "Australia/Lord_Howe"
by = { tag = "body.tags::VARCHAR[]" }
[statistic.tagged.measures]
n = "count()"
most = "max(body.d::DOUBLE)"
counts = "tally(body.s, 3)"

[shape.call.fields]
at_ms = "BIGINT"
word = "VARCHAR"
[shape.call.producer.one]
when = "body.v.y IS NOT NULL"
time = "body.time"
fields = { at_ms = "body.at::BIGINT", word = "body.s" }
[shape.call.producer.two]
time = "body.time"
fields = { at_ms = "body.at::BIGINT" }
[statistic.begun]
of = "call"
every = "5m"
time = "at_ms"
delay = "7m"
by = { word = "word" }
[statistic.begun.measures]
n = "count()"
"""
PLAIN = {"slice_bytes": 32 * 2**20, "workers": 2}

KILL = st.builds(kill_at, st.sampled_from(STEPS), st.integers(1, 6))
SCHEDULES = st.fixed_dictionaries(
    {
        "slice_bytes": st.sampled_from([1, 300, 700, 2_500, 20_000]),
        "commit_bytes": st.sampled_from([1, 500, 3_000, 10**9]),
        "workers": st.integers(1, 3),
        "cache_cells": st.sampled_from([1, 50, 500_000]),
    }
)
INPUTS = st.fixed_dictionaries(
    {
        "lateness": st.sampled_from(["", "0s", "1m"]),
        "block_bytes": st.sampled_from([200, 900, 4_000]),
        "id": st.sampled_from(["", "body.id"]),
        "finish": st.booleans(),
    }
)


@pytest.fixture(scope="module")
def declarations(tmp_path_factory: pytest.TempPathFactory) -> Declarations:
    return declare(tmp_path_factory.mktemp("declared"), DECLARATIONS)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def files_of(folder: Path, seed: int, counts: list[int]) -> list[str]:
    return [write(folder / f"{n}.jsonl", made_up(seed + n, count)) for n, count in enumerate(counts)]


def check_same(
    declarations: Declarations, counts: list[int], seed: int, options: Any, schedule: Any, kills: Any
) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        files = files_of(folder, seed, counts)
        plain = dumped(files, declarations, store=folder / "plain.db", **options, **PLAIN)
        other = dumped(files, declarations, kills, store=folder / "other.db", **options, **schedule)
        assert other.splitlines() == plain.splitlines()


# An example takes a second, and shrinking would try hundreds.
_RARE = settings(phases=[Phase.explicit, Phase.reuse, Phase.generate])


@settings(_RARE, max_examples=25)
@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=3),
    seed=st.integers(0, 10**6),
    options=INPUTS,
    schedule=SCHEDULES,
    kills=st.lists(KILL, max_size=3),
)
def test_any_schedule_gives_the_same_store(
    declarations: Declarations, counts: list[int], seed: int, options: Any, schedule: Any, kills: Any
) -> None:
    check_same(declarations, counts, seed, options, schedule, kills)


@pytest.mark.slow
@settings(_RARE, max_examples=30)
@given(
    counts=st.lists(st.integers(1, 150), min_size=1, max_size=3),
    seed=st.integers(0, 10**6),
    options=INPUTS,
    schedule=SCHEDULES,
    kills=st.lists(KILL, max_size=4),
)
def test_any_schedule_gives_the_same_store_at_length(
    declarations: Declarations, counts: list[int], seed: int, options: Any, schedule: Any, kills: Any
) -> None:
    check_same(declarations, counts, seed, options, schedule, kills)


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_every_step_changes_nothing(declarations: Declarations, folder: Path, step: str, nth: int) -> None:
    files = files_of(folder, 7, [40, 40])
    options: Any = {"lateness": "0s", "block_bytes": 900, "id": "body.id"}
    schedule: Any = {"slice_bytes": 2_000, "commit_bytes": 3_000, "workers": 2}
    plain = dumped(files, declarations, store=folder / "plain.db", **options)
    with (
        pytest.raises(Killed),
        reported(files, declarations, kill_at(step, nth), store=folder / "killed.db", **options, **schedule),
    ):
        pass
    assert dumped(files, declarations, store=folder / "killed.db", **options, **schedule) == plain


def test_killed_again_and_again_it_still_comes_to_its_end(declarations: Declarations, folder: Path) -> None:
    files = files_of(folder, 11, [60, 30])
    options: Any = {"lateness": "1m", "block_bytes": 500, "id": "body.id"}
    schedule: Any = {"slice_bytes": 600, "commit_bytes": 1, "workers": 1}
    kills = [kill_at("committed", 1) for _ in range(12)] + [kill_at("before_commit", 2) for _ in range(5)]
    killed = dumped(files, declarations, kills, store=folder / "killed.db", **options, **schedule)
    assert killed == dumped(files, declarations, store=folder / "plain.db", **options)


def test_the_data_of_these_tests_has_everything_that_may_depend_on_batches(
    declarations: Declarations, folder: Path
) -> None:
    files = files_of(folder, 3, [300, 300])
    options: Any = {"lateness": "0s", "block_bytes": 900, "id": "body.id", "store": folder / "s.db"}
    with reported(files, declarations, **options) as found:
        summary = found.summary
        assert summary["duplicates"] > 10
        assert len({reason for _, reason in summary["dead_letters"]}) == 3
        assert summary["late"]["by_key:1m"] > summary["late"]["by_key:1h"] > 0
        assert summary["expired"]["by_key:1m"] > 0
        assert {"body.x::BIGINT", "body.d::DOUBLE", "body.v.y::BIGINT", "body.tags::VARCHAR[]"} <= set(
            summary["wrong_types"]
        )
        assert any('"key":"\\"other\\""' in row or '"text":"\\"other\\""' in row for row in tables(dump(found), "cell"))


def test_distinct_beyond_its_exact_set_does_not_depend_on_batches(folder: Path) -> None:
    declared = declare(
        folder,
        '[statistic.s]\ntopic = "*"\nevery = "1h"\n[statistic.s.measures]\n'
        'kinds = "distinct(body.u)"\ncounts = "tally(body.u, 10)"\nmid = "quantiles(body.u::BIGINT, 0.5)"\n',
    )
    events = [line(time=T + n, u=n * 7919 % 2600) for n in range(4000)]
    files = [write(folder / "a.jsonl", events)]
    plain = dumped(files, declared, store=folder / "plain.db", block_bytes=2_000)
    kills = [kill_at("committed", 3), kill_at("merged", 9)]
    schedule: Any = {"slice_bytes": 9_000, "commit_bytes": 20_000, "workers": 3, "cache_cells": 1}
    assert dumped(files, declared, kills, store=folder / "other.db", block_bytes=2_000, **schedule) == plain


@pytest.mark.parametrize("form", ["json", "csv"])
def test_arrays_and_csv_go_on_where_they_were_killed(folder: Path, form: str) -> None:
    declared = declare(
        folder,
        '[statistic.s]\ntopic = "*"\nevery = "1m"\nby = { k = "body.k" }\n[statistic.s.measures]\nn = "count()"\n',
    )
    path = folder / f"a.{form}"
    rows = [(T + n * 100 if n % 17 else "soon", f"k{n % 3}") for n in range(400)]
    if form == "json":
        path.write_text(json.dumps([{"time": time, "k": k} for time, k in rows], indent=1))
    else:
        path.write_text("time,k\n" + "".join(f'{time},"{k}\n{k}"\n' for time, k in rows))
    options: Any = {"block_bytes": 900, "lateness": "0s"}
    schedule: Any = {"slice_bytes": 2_000, "commit_bytes": 3_000}
    plain = dumped([str(path)], declared, store=folder / "plain.db", **options)
    assert len(tables(plain, "dead_letter")) == 24
    kills = [kill_at("committed", 2), kill_at("committed", 1), kill_at("merged", 4)]
    assert (
        dumped([str(path)], declared, kills, store=folder / "killed.db", **options, **schedule).splitlines()
        == plain.splitlines()
    )


def test_the_unit_of_a_lane_is_that_of_its_first_block_with_a_time(folder: Path, declarations: Declarations) -> None:
    seconds = [line(time=T // 1000 + n, k="a") for n in range(60)]
    small = [line(time=n, k="a") for n in range(60)]
    timeless = [line(k="a") for n in range(60)]
    millis = [line(time=T, k="a")] * 30
    inputs = [seconds + small, millis, timeless + millis]
    files = [write(folder / f"{n}.jsonl", lines) for n, lines in enumerate(inputs)]
    options: Any = {"block_bytes": 200, "lateness": "0s"}
    plain = dumped(files, declarations, store=folder / "plain.db", **options)
    units = [json.loads(row)["lane"]["time_unit"] for row in tables(plain, "lane")]
    assert units == ["s", "ms", "ms"]
    for nth in (1, 5, 9, 14, 19, 24):
        schedule: Any = {"slice_bytes": 400, "commit_bytes": 1, "workers": 1}
        kills = [kill_at("committed", nth)]
        assert dumped(files, declarations, kills, store=folder / f"{nth}.db", **options, **schedule) == plain


def test_files_that_begin_alike_or_cannot_be_read_keep_their_lanes(folder: Path, declarations: Declarations) -> None:
    same = [line(time=T + n * 1000, k="a") for n in range(30)]
    files = [str(folder / "missing.jsonl")]
    files += [write(folder / f"{name}.jsonl", same + [line(time=T, k=name)] * n) for n, name in enumerate("abc")]
    files.insert(2, write(folder / "empty.jsonl", [], end=b""))
    options: Any = {"block_bytes": 300, "lateness": "0s"}
    plain = dumped(files, declarations, store=folder / "plain.db", **options)
    assert sum(json.loads(row)["lane"]["cursor"] > 0 for row in tables(plain, "lane")) == 3
    for nth in (1, 4, 6, 9):
        schedule: Any = {"slice_bytes": 600, "commit_bytes": 1, "workers": 2}
        kills = [kill_at("committed", nth), kill_at("before_commit", 2)]
        assert dumped(files, declarations, kills, store=folder / f"{nth}.db", **options, **schedule) == plain


def test_a_line_longer_than_slice_and_block_is_read_whole(folder: Path, declarations: Declarations) -> None:
    lines = [line(time=T, k="a"), line(time=T, k="b", long="x" * 5_000), line(time=T, k="c")]
    files = [write(folder / "a.jsonl", lines)]
    plain = dumped(files, declarations, store=folder / "plain.db", block_bytes=200)
    assert dumped(files, declarations, store=folder / "other.db", block_bytes=200, slice_bytes=50) == plain
    assert len(tables(plain, "dead_letter")) == 0


@pytest.mark.slow
def test_killed_by_the_system_at_any_time_it_goes_on(folder: Path) -> None:
    """A real kill of a real process, wherever that hits: in a statement, in a commit, in a write to the disk."""
    (folder / "d.toml").write_text(DECLARATIONS)
    files = files_of(folder, 21, [1_500, 1_500])
    script = (
        "import sys; from streamgauge.app import report;"
        "report(sys.argv[3:], declarations=sys.argv[1], store=sys.argv[2],"
        " lateness='1m', id='body.id', block_bytes=900, slice_bytes=3000, commit_bytes=6000).close()"
    )
    command = [sys.executable, "-c", script, str(folder / "d.toml"), str(folder / "killed.db"), *files]
    kills = 0
    for wait_s in [1.0, 1.3, 1.6, 1.9, 2.2, 2.5, 2.8, 3.1]:
        with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) as process:
            try:
                process.wait(wait_s)
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                kills += 1
    assert kills
    declared = declare(folder, DECLARATIONS)
    options: Any = {"lateness": "1m", "id": "body.id", "block_bytes": 900}
    plain = dumped(files, declared, store=folder / "plain.db", **options)
    assert dumped(files, declared, store=folder / "killed.db", **options).splitlines() == plain.splitlines()


def test_an_unknown_step_is_refused() -> None:
    with pytest.raises(ValueError, match="no step is called 'comitted'; one of created"):
        kill_at("comitted")
