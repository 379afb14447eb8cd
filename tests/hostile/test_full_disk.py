"""Small file systems of our own that are filled: collected only where they may be mounted (see conftest)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.hostile.disks import fill, small_disk
from tests.hostile.program import Program, ended, until
from tests.hostile.sending import Sender, goes_on, refused


@pytest.mark.parametrize("where", ["log and store", "log"])
def test_a_full_disk_under_the_log(tmp_path: Path, where: str) -> None:
    store = [] if where == "log and store" else ["--store", str(tmp_path / "store.db")]
    with small_disk(tmp_path / "disk", 6) as folder:
        with Program(tmp_path, *store, data=folder / "data").ready() as program:
            sender = Sender(program)
            assert sender.send()
            until(sender.counted)
            filling = fill(folder)
            refused(sender)
            assert program.get("/v1/statistics").status_code == 200, "what is known is served"
            assert program.part("log")["condition"] == "degraded"
            filling.unlink()
            goes_on(sender, program)
            assert "No space left" in program.log
        with Program(tmp_path, *store, data=folder / "data").ready() as program:
            assert program.total() == sender.acknowledged


def test_a_full_disk_under_the_store_holds_up_statistics_and_no_events(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 6) as folder:
        options = ["--store", str(folder / "store.db")]
        with Program(tmp_path, *options).ready() as program:
            sender = Sender(program)
            filling = fill(folder)
            for _ in range(5):
                assert sender.send()
            part = until(lambda: next((p for p in program.health()["parts"] if p["condition"] == "failing"), None))
            assert (part["name"], "disk is full" in part["why"]) == ("pipeline", True)
            assert program.get("/healthz").status_code == 503
            assert program.get("/v1/statistics").status_code == 200
            filling.unlink()
            goes_on(sender, program)


def test_a_full_disk_at_the_start(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 6) as folder:
        fill(folder)
        code, said = ended(tmp_path, data=folder / "data")
        assert (code, "No space left on device" in said or "disk is full" in said) == (2, True), said
        assert "Traceback" not in said


def test_a_data_folder_that_may_not_be_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 6) as folder:
        with Program(tmp_path, data=folder / "data").ready() as program:
            program.serves()
            assert program.stop() == 0
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        code, said = ended(tmp_path, data=folder / "data")
    assert (code, "Traceback" in said) == (2, False), said
    assert "cannot be written" in said or "read-only" in said.lower(), said
