"""Faults of the machine: each ends in a clear state, nothing acknowledged is lost, and it goes on by itself."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import sqlite3
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.hostile.disks import at_most, unlimit
from tests.hostile.program import DECLARATIONS, Program, configured, ended, lines, until
from tests.hostile.sending import Sender, goes_on, refused


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    with Program(tmp_path, before=at_most(40 << 20)).ready() as program:
        sender = Sender(program, pad=100_000)
        assert sender.send()
        refused(sender)
        unlimit(program.process.pid)
        goes_on(sender, program)
    with Program(tmp_path).ready() as program:
        assert program.total() == sender.acknowledged


def without_privilege() -> None:
    """Root without the right to pass over permissions, as the interpreter may be readable for root only."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        if libc.prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
            raise OSError(ctypes.get_errno(), "prctl")


def test_a_data_folder_of_somebody_else(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(theirs, 65534, 65534)
    else:
        theirs.chmod(0)
    for data in (theirs, theirs / "data"):
        code, said = ended(tmp_path, data=data, before=without_privilege)
        assert (code, "Traceback" in said) == (2, False), said
        assert "Permission denied" in said or "permission denied" in said or "cannot be written" in said, said


def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    code, said = ended(tmp_path)
    assert (code, "Traceback" in said) == (2, False), said


def test_a_second_program_is_told_who_has_the_folder(tmp_path: Path) -> None:
    with Program(tmp_path).ready() as program:
        code, said = ended(tmp_path)
        assert (code, f"process {program.process.pid} on " in said) == (2, True), said
        program.serves()
        program.kill()
    with Program(tmp_path).ready() as program:
        program.serves()


def test_a_port_in_use(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with Program(tmp_path).ready() as program:
        code, said = ended(tmp_path / "other", "--port", str(httpx.URL(program.url).port))
        assert (code, "Address already in use" in said, "Traceback" in said) == (2, True, False), said


def test_a_store_from_the_future(tmp_path: Path) -> None:
    with Program(tmp_path).ready() as program:
        program.serves()
        assert program.stop() == 0
    store = tmp_path / "data" / "store.db"
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE meta SET value = '999' WHERE name = 'schema'")
    connection.close()
    code, said = ended(tmp_path)
    assert (code, "Traceback" in said) == (2, False), said
    assert "999" in said
    assert "newer" in said or "later" in said, said


def test_a_store_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "store.db").write_bytes(b"this is no database" * 1000)
    code, said = ended(tmp_path)
    assert (code, "Traceback" in said, "store" in said) == (2, False, True), said


def test_other_definitions(tmp_path: Path) -> None:
    with Program(tmp_path).ready() as program:
        program.serves()
        assert program.stop() == 0
    code, said = ended(tmp_path, declarations=DECLARATIONS.replace("body.k", "body.other"))
    assert (code, "Traceback" in said, "other definitions of volume" in said) == (2, False, True), said


def under_load(program: Program) -> tuple[threading.Event, list[str], list[threading.Thread]]:
    """Threads that send events with ids all the time, and the ids that were acknowledged."""
    stop, acknowledged = threading.Event(), list[str]()

    def send(thread: int) -> None:
        number = 0
        with httpx.Client(base_url=program.url, timeout=20) as client:
            while not stop.is_set():
                ids = [f"{thread}-{number}-{n}" for n in range(50)]
                number += 1
                try:
                    answer = client.post("/v1/events?id=body.id", content=lines([{"k": "a", "id": i} for i in ids]))
                except httpx.HTTPError:
                    return
                if answer.status_code == 200:
                    acknowledged.extend(ids)

    threads = [threading.Thread(target=send, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    return stop, acknowledged, threads


def is_counted(tmp_path: Path, acknowledged: list[str]) -> None:
    """After a start all of these are known: sent again, they are duplicates. The cells count each once."""
    with Program(tmp_path).ready() as program:
        answer = program.post([{"k": "a", "id": i} for i in acknowledged], id="body.id").json()
        assert (answer["accepted"], answer["duplicates"]) == (0, len(acknowledged))
        found = until(lambda: program.total() >= len(acknowledged) and program.total())
        assert found <= len(acknowledged) + 4 * 50, "at most what was under way beside"
        assert program.stop() == 0


@pytest.mark.parametrize("second", [False, True], ids=["once", "twice"])
def test_a_signal_to_end_under_load(tmp_path: Path, second: bool) -> None:
    with Program(tmp_path).ready() as program:
        stop, acknowledged, threads = under_load(program)
        time.sleep(1)
        program.process.send_signal(signal.SIGTERM)
        if second:
            time.sleep(0.05)
            program.process.send_signal(signal.SIGTERM)
        assert program.stop() == 0
        stop.set()
        for thread in threads:
            thread.join(20)
        assert "Traceback" not in program.log, program.log
    assert acknowledged
    is_counted(tmp_path, acknowledged)


def test_a_kill_under_load(tmp_path: Path) -> None:
    with Program(tmp_path).ready() as program:
        stop, acknowledged, threads = under_load(program)
        time.sleep(1)
        program.kill()
        stop.set()
        for thread in threads:
            thread.join(20)
    is_counted(tmp_path, acknowledged)


def test_a_signal_while_it_starts(tmp_path: Path) -> None:
    for wait_s in (0.3, 0.6, 0.9, 1.2):
        with Program(tmp_path) as program:
            time.sleep(wait_s)
            program.process.send_signal(signal.SIGTERM)
            code = program.process.wait(10)
            assert code in (0, -signal.SIGTERM), (wait_s, code)
            program.kill()
            assert "Traceback" not in program.log, program.log


def test_a_signal_while_a_body_is_half_sent(tmp_path: Path) -> None:
    with Program(tmp_path).ready() as program:
        url = httpx.URL(program.url)
        with socket.create_connection((url.host, url.port or 0)) as raw:
            raw.sendall(b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            time.sleep(0.2)
            assert program.stop() == 0


def test_a_copy_of_the_folder_is_a_backup(tmp_path: Path) -> None:
    with Program(tmp_path).ready() as program:
        sender = Sender(program)
        assert sender.send()
        until(sender.counted)
        assert program.stop() == 0
    shutil.copytree(tmp_path / "data", tmp_path / "copied")
    with Program(tmp_path, data=tmp_path / "copied").ready() as program:
        assert program.total() == sender.acknowledged
    configured(tmp_path, "", DECLARATIONS)
