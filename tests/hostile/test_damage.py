"""A log that is damaged while the program is stopped: it starts, says so, and serves everything else."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.program import Program, until

KEYS = 7
EVENTS = 300


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with three archives and a newest segment: of each key some events, in order, two keys a segment."""
    folder, chance = tmp_path_factory.mktemp("made"), random.Random(1)
    with Program(folder).ready() as program:
        for n in range(KEYS):
            pad = chance.randbytes(50_000).hex()
            sent = [{"k": f"k{n}", "v": 1, "id": f"{n}-{m}", "pad": pad} for m in range(EVENTS)]
            assert program.post(sent, id="body.id").status_code == 200
        until(lambda: program.total() == KEYS * EVENTS)
        until(lambda: len(segments(program.data, ".parquet")) == 3 and len(segments(program.data, ".ndjson")) == 1, 30)
        assert program.stop() == 0
    return program.data


def segments(data: Path, form: str) -> list[Path]:
    """The segments of a form, in order."""
    return sorted((data / "log").glob(f"segment-*{form}"))


def flip(path: Path) -> None:
    """One bit in the middle."""
    with path.open("r+b") as stream:
        stream.seek(path.stat().st_size // 2)
        byte = stream.read(1)[0]
        stream.seek(-1, 1)
        stream.write(bytes([byte ^ 4]))


def cut(path: Path) -> None:
    """The second half gone."""
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size // 2)


def zero(path: Path) -> None:
    """Zeros in the place of everything."""
    size = path.stat().st_size
    with path.open("wb") as stream:
        stream.truncate(size)


def empty(path: Path) -> None:
    """Nothing in it."""
    path.write_bytes(b"")


@pytest.mark.slow
@pytest.mark.parametrize("harm", [flip, cut, zero, empty, Path.unlink], ids=["flip", "cut", "zero", "empty", "delete"])
def test_damaged_segments(made: Path, tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """The newest, and a closed one."""
    data = tmp_path / "data"
    shutil.copytree(made, data)
    for broken in (segments(data, ".ndjson")[-1], segments(data, ".parquet")[1]):
        harm(broken)
    with Program(tmp_path, data=data).ready() as program:
        assert program.total() == KEYS * EVENTS, "what was counted stays"
        assert program.post([{"k": "new", "v": 1}]).status_code == 200
        until(lambda: program.cells(every="1h", **{"key.k": "new"}), 5)
        until(lambda: " more)" in program.part("log")["why"], 25)
        assert program.part("log")["condition"] == "degraded"
        assert program.part("pipeline")["condition"] == "ok"
        assert program.get("/readyz").status_code == 200
        row = program.cells(every="1h", **{"key.k": "k0"})[0]
        cell = {"every": "1h", "start": row["start_ms"], "key.k": "k0"}
        answer = program.get("/v1/statistics/volume/events", limit=10, **cell)
        assert (answer.status_code, len(answer.json()["events"])) == (200, 10), "those before the damage"
        positions = [event["position"] for event in answer.json()["events"]]
        assert program.get(f"/v1/events/{positions[0]}").json()["body"]["k"] == "k0"
        assert "Traceback" not in program.log, program.log
        assert "damaged" in program.log or "gone" in program.log
        assert program.stop() == 0
    with Program(tmp_path, data=data).ready() as program:
        assert program.total() == KEYS * EVENTS + 1, "what came since is kept"
        assert program.stop() == 0


@pytest.mark.slow
def test_an_archive_that_is_half_written_is_thrown_away(made: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(made, data)
    archive = segments(data, ".parquet")[0]
    half = archive.with_name(archive.name + ".part")
    half.write_bytes(archive.read_bytes()[:1000])
    with Program(tmp_path, data=data).ready() as program:
        assert program.total() == KEYS * EVENTS
        program.serves()
        assert program.stop() == 0


@pytest.mark.slow
def test_a_program_behind_damage_counts_what_is_left(made: Path, tmp_path: Path) -> None:
    """Without its store everything is counted anew: of a log with a hole, all but the hole."""
    data = tmp_path / "data"
    shutil.copytree(made, data)
    for path in data.glob("store.db*"):
        path.unlink()
    flip(segments(data, ".parquet")[1])
    began = time.monotonic()
    with Program(tmp_path, data=data).ready() as program:
        until(lambda: program.total() == (KEYS - 1) * EVENTS, 20)
        part = program.part("log")
        assert (part["condition"], "missing" in part["why"]) == ("degraded", True)
        assert time.monotonic() - began < 20
        assert program.stop() == 0
