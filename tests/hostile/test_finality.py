"""At an idle source a window becomes final soon after its end, and an idle program leaves the disk alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.hostile.program import Program, until

LATENESS_S = 2
CONFIG = f"""
[source.http]
type = "http"
lateness = "{LATENESS_S}s"
"""


def written(program: Program) -> int:
    """Bytes of the log."""
    return sum(path.stat().st_size for path in (program.data / "log").iterdir())


def test_a_window_is_final_within_a_second_of_its_end_and_lateness(tmp_path: Path) -> None:
    with Program(tmp_path, config=CONFIG).ready() as program:
        took: list[float] = []
        for n in range(3):
            key = f"k{n}"
            program.post([{"k": key, "v": 1, "time": int(time.time() * 1000)}], time="body.time")

            def row(key: str = key) -> dict[str, Any] | None:
                rows = program.cells(every="1s", **{"key.k": key})
                return rows[0] if rows else None

            found = until(row)
            due = found["stop_ms"] / 1000 + LATENESS_S
            while (found := until(row))["state"] != "final":
                assert time.time() < due + 3
                time.sleep(0.02)
            took.append(time.time() - due)
        assert all(0 <= t < 1.2 for t in took), took
        assert sorted(took)[1] < 1.0, took


def test_an_idle_program_writes_rarely(tmp_path: Path) -> None:
    with Program(tmp_path, config=CONFIG).ready() as program:
        program.post([{"k": "a", "v": 1}])
        until(lambda: [row for row in program.cells(every="1s") if row["state"] == "final"])
        time.sleep(0.5)
        before = written(program)
        time.sleep(8)
        ticks = (written(program) - before) / 250
        assert ticks < 2.5, f"{ticks} ticks in 8 s"
        assert program.part("log")["condition"] == "ok"
