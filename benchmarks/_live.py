"""A running program to measure: ``streamgauge run`` in a process and a folder of its own, asked over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _bench import HERE

LIVE = HERE / "live.toml"
HOST = "127.0.0.1"


@dataclass
class Server:
    """A process that listens. ``data`` is its folder."""

    process: subprocess.Popen[str]
    port: int
    data: Path
    start_seconds: float

    def get(self, path: str) -> bytes:
        """The body of an answer; SystemExit where it is no 200."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != 200:
            raise SystemExit(f"void: GET {path} answered {answer.status}: {body[:300]!r}")
        return body

    def read(self) -> int:
        """The position up to which events are counted and committed, as the store says it."""
        path = self.data / "store.db"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
            found = store.execute("SELECT position FROM reader WHERE name = 'live'").fetchone()
        return int(found[0]) if found else 0

    def wait_counted(self, wanted: int, within_s: float = 600.0) -> None:
        """Wait until so many events (all of them good) are counted and committed."""
        started = time.perf_counter()
        while self.read() < wanted:
            if time.perf_counter() - started > within_s:
                raise SystemExit(f"void: {self.read()} of {wanted} events were counted in {within_s} s")
            time.sleep(0.02)

    def peak_bytes(self) -> int:
        """The most memory that it has had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) * 1024

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


@contextmanager
def program(data: Path | None = None, declarations: Path = LIVE) -> Iterator[Server]:
    """The program over a folder, a temporary one unless told."""
    with tempfile.TemporaryDirectory(prefix="streamgauge-bench-") as temporary:
        folder = data or Path(temporary) / "data"
        command = [sys.executable, "-c", "from streamgauge.cli import main; main()", "run", "--port", "0"]
        command += ["--declarations", str(declarations), "--data", str(folder)]
        with listening(command, folder) as server:
            yield server


@contextmanager
def listening(command: list[str], folder: Path) -> Iterator[Server]:
    """A process that says on standard error where it listens."""
    started = time.perf_counter()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"listening on http://[\d.]+:(\d+)", line):
                yield Server(process, int(found.group(1)), folder, time.perf_counter() - started)
                break
        else:
            raise SystemExit("void: the process ended before it listened")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def load(port: int, path: Path, **given: Any) -> dict[str, Any]:
    """Send a file from a process of its own (see _load); what that says."""
    options = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    command = [sys.executable, str(HERE / "_load.py"), str(port), str(path), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result
