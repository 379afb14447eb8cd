"""The temporary folder is gone when the block is over, and when whoever had it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from streamgauge.demonstration.folder import temporary_folder
from streamgauge.errors import UsageError

HOLDER = """
import time
from streamgauge.demonstration.folder import temporary_folder
with temporary_folder() as folder:
    (folder / "data").mkdir()
    (folder / "data" / "file").write_text("x" * 100_000)
    print(folder, flush=True)
    time.sleep(60)
"""


def test_folder_is_there_in_the_block_and_gone_after_it() -> None:
    with temporary_folder() as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("x")
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_folder_is_gone_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), temporary_folder() as folder:
        _ = 1 / 0
    assert not folder.exists()


@pytest.mark.parametrize("name", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_folder_is_removed_for_one_that_is_killed(tmp_path: Path, name: signal.Signals) -> None:
    command, environment = [sys.executable, "-c", HOLDER], {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert (folder / "data" / "file").exists()
        # As Ctrl-C does it: to every process of the group.
        os.killpg(process.pid, name)
    deadline = time.monotonic() + 10
    while any(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert folder.parent == tmp_path
    assert not list(tmp_path.iterdir())


def test_no_folder_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "nowhere")
    monkeypatch.setattr("streamgauge.demonstration.folder.guard.__file__", "no-such-file.py")
    with pytest.raises(UsageError, match="no folder can be made in nowhere; set TMPDIR"), temporary_folder():
        pass
