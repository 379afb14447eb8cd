"""One writer for a folder: who holds it is named, and a process that is gone holds nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from streamgauge.errors import StoreError
from streamgauge.log.lock import LOCK_NAME, FolderLock
from tests.log.blocks import StillClock

HOLDING = """
import sys
from pathlib import Path
from streamgauge.log.lock import FolderLock
from tests.log.blocks import StillClock

lock = FolderLock(Path(sys.argv[1]), StillClock())
print("held", flush=True)
sys.stdin.read()
"""


def hold(folder: Path) -> subprocess.Popen[bytes]:
    """A process that holds the lock until it is killed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([".", *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_the_holder_is_named_and_a_killed_one_is_no_obstacle(tmp_path: Path) -> None:
    process = hold(tmp_path)
    try:
        with pytest.raises(StoreError) as refused:
            FolderLock(tmp_path, StillClock())
        assert str(refused.value) == (
            f"log {tmp_path}: is in use by process {process.pid} on {socket.gethostname()} since 2023-11-14T22:13:20Z; "
            "stop that one, or use another folder"
        )
    finally:
        end(process)
    with FolderLock(tmp_path, StillClock()):
        assert json.loads((tmp_path / LOCK_NAME).read_bytes())["pid"] == os.getpid()


def test_the_same_process_cannot_hold_it_twice(tmp_path: Path) -> None:
    with FolderLock(tmp_path, StillClock()), pytest.raises(StoreError, match=f"process {os.getpid()} on "):
        FolderLock(tmp_path, StillClock())
    lock = FolderLock(tmp_path, StillClock())
    lock.release()
    lock.release()


def test_a_refused_one_leaves_the_name_of_the_holder(tmp_path: Path) -> None:
    with FolderLock(tmp_path, StillClock()):
        before = (tmp_path / LOCK_NAME).read_bytes()
        with pytest.raises(StoreError):
            FolderLock(tmp_path, StillClock())
        assert (tmp_path / LOCK_NAME).read_bytes() == before


@pytest.mark.parametrize("said", [b"", b"{}", b"[]", b"\xff", b"x" * 9999])
def test_a_lock_file_of_anything_is_no_obstacle(tmp_path: Path, said: bytes) -> None:
    (tmp_path / LOCK_NAME).write_bytes(said)
    with FolderLock(tmp_path, StillClock()):
        (tmp_path / LOCK_NAME).write_bytes(said)
        with pytest.raises(StoreError, match="is in use by another process; stop that one"):
            FolderLock(tmp_path, StillClock())


def test_a_child_process_that_is_left_over_does_not_keep_a_released_lock(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path, StillClock())
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    try:
        lock.release()
        FolderLock(tmp_path, StillClock()).release()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"log .*none: cannot be written: No such file or directory; give it a folder"):
        FolderLock(tmp_path / "none", StillClock())
