"""A real ``streamgauge run`` in a process of its own, and what is needed to treat it badly from outside."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

COMMAND = [sys.executable, "-c", "from streamgauge.cli import main; main()"]
START_S = 30.0

DECLARATIONS = """
[statistic.volume]
topic = "*"
every = ["1s", "1h"]
by = { k = "body.k" }
[statistic.volume.measures]
n = "count()"
total = "sum(body.v::BIGINT)"
half = "quantiles(body.v::BIGINT, 0.5)"
"""


class Program:
    """A running program. Every line that it logs is kept in ``lines``."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        config: str = "",
        declarations: str = DECLARATIONS,
        before: Callable[[], None] | None = None,
        environment: Mapping[str, str] | None = None,
        data: Path | None = None,
    ) -> None:
        self.folder, self.lines = folder, list[str]()
        self.data = data or folder / "data"
        command = [*COMMAND, "run", *configured(folder, config, declarations), "--data", str(self.data), "--port", "0"]
        self.process = subprocess.Popen(
            [*command, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before,
            cwd=folder,
            env={**os.environ, **(environment or {})},
        )
        self.url = ""
        self._said = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="hostile-listener")
        self._thread.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                self.lines.append(line)
                found = re.search(r"listening on (http://\S+?),", line)
                if found:
                    self.url = found.group(1)
                    self._said.set()
        self._said.set()

    def ready(self) -> Program:
        """Wait until it listens."""
        assert self._said.wait(START_S), f"it did not start:\n{self.log}"
        assert self.url, f"it ended:\n{self.log}"
        return self

    @property
    def log(self) -> str:
        """What it said."""
        return "".join(self.lines)

    @property
    def client(self) -> httpx.Client:
        """A new client."""
        return httpx.Client(base_url=self.url, timeout=20)

    def post(self, body: Any, headers: Mapping[str, str] | None = None, **query: Any) -> httpx.Response:
        """Send a body, or events as lines."""
        data = body if isinstance(body, bytes) else lines(body)
        sent = {"content-type": "application/x-ndjson", **(headers or {})}
        with self.client as client:
            return client.post("/v1/events", content=data, headers=sent, params=query)

    def get(self, path: str, **query: Any) -> httpx.Response:
        """Ask."""
        with self.client as client:
            return client.get(path, params=query)

    def total(self, every: str = "1h") -> int:
        """How many events all cells count."""
        return sum(row["events"] for row in self.cells(every=every))

    def cells(self, **query: Any) -> list[dict[str, Any]]:
        """All rows of the statistic."""
        with self.client as client:
            page = client.get("/v1/statistics/volume/cells", params={"limit": 1000, **query}).json()
            rows: list[dict[str, Any]] = page["cells"]
            while page["next"]:
                page = client.get(page["next"]).json()
                rows += page["cells"]
        return rows

    def health(self) -> dict[str, Any]:
        """What it says of itself."""
        found: dict[str, Any] = self.get("/healthz").json()
        return found

    def part(self, name: str) -> dict[str, Any]:
        """What it says of one of its parts."""
        return next(part for part in self.health()["parts"] if part["name"] == name)

    def serves(self) -> None:
        """It must be well, take events, and count them soon."""
        assert self.process.poll() is None, f"it has died:\n{self.log}"
        assert self.health()["status"] == "ok", self.health()
        key = f"still {time.monotonic_ns()}"
        assert self.post([{"k": key, "v": 1}]).json()["accepted"] == 1
        until(lambda: self.cells(every="1h", **{"key.k": key}))

    @property
    def peak_mb(self) -> float:
        """The most memory that it ever had, MB."""
        return status_mb(self.process.pid, "VmHWM")

    def stop(self, within_s: float = 5.0) -> int:
        """SIGTERM; the exit code. It must come in time."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        try:
            code = self.process.wait(within_s + 10)
        finally:
            self.kill()
        took = time.monotonic() - began
        assert took < within_s, f"it took {took:.1f} s to stop"
        return code

    def kill(self) -> None:
        """SIGKILL."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self._thread.join(10)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()


def configured(folder: Path, config: str, declarations: str) -> list[str]:
    """Options that name a configuration and declarations in this folder."""
    (folder / "streamgauge.toml").write_text(config)
    (folder / "declared.toml").write_text(declarations)
    return ["--config", str(folder / "streamgauge.toml"), "--declarations", str(folder / "declared.toml")]


def ended(folder: Path, *options: str, **given: Any) -> tuple[int, str]:
    """The exit code of a run that ends by itself, and what it said."""
    with Program(folder, *options, **given) as program:
        try:
            program.process.wait(START_S)
        finally:
            program.kill()
        return program.process.returncode, program.log


def status_mb(pid: int, name: str) -> float:
    """A line of /proc/PID/status in MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    assert found is not None, text
    return int(found.group(1)) / 1024


def lines(events: Sequence[Mapping[str, Any]]) -> bytes:
    """Events as NDJSON."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def until(true: Callable[[], Any], within_s: float = 15.0, every_s: float = 0.05) -> Any:
    """Wait until something is true; what it was."""
    end = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < end, "it did not become true"
        time.sleep(every_s)
    return found


def problem(answer: httpx.Response) -> dict[str, Any]:
    """The problem document of a refusal."""
    assert 400 <= answer.status_code < 600, (answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/problem+json", (answer.status_code, answer.text[:300])
    document: dict[str, Any] = answer.json()
    assert document["status"] == answer.status_code
    assert document["detail"], document
    return document
