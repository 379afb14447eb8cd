"""The demonstration from outside: a real process, in a pipe and on a terminal, asked while it runs, and killed."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamgauge.demo import Traffic

COMMAND = [sys.executable, "-c", "from streamgauge.cli import main; main()", "demo"]
SMALL = ["--calls", "60000", "--seconds", "4"]
WITHIN_S = 90.0
STAYS = "Ctrl-C ends it"


class Running:
    """A demonstration, and what it has said so far. ``main``: where its output is read."""

    def __init__(self, process: subprocess.Popen[bytes], main: int) -> None:
        self.process, self.main, self.said = process, main, ""

    def until(self, text: str) -> None:
        """Read until it has said this."""
        deadline = time.monotonic() + WITHIN_S
        while text not in self.said:
            assert time.monotonic() < deadline, self.said
            assert self._read() or text in self.said, self.said

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        return self.process.wait(WITHIN_S)

    def _read(self) -> bool:
        ready, _, _ = select.select([self.main], [], [], WITHIN_S)
        try:
            data = os.read(self.main, 1 << 16) if ready else b""
        except OSError:  # how a terminal says that nobody is at the other end
            data = b""
        self.said += data.decode().replace("\r\n", "\n")
        return bool(data)


@contextmanager
def demo(folder: Path, *options: str, terminal: bool = False) -> Iterator[Running]:
    """A demonstration whose temporary files come into this folder."""
    main, inner = pty.openpty() if terminal else os.pipe()
    if terminal:
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
    environment = {**os.environ, "TMPDIR": str(folder), "TERM": "xterm-256color", "COLUMNS": "140"}
    process = subprocess.Popen(
        [*COMMAND, *options], stdout=inner, stderr=inner, stdin=inner if terminal else subprocess.DEVNULL,
        env=environment, start_new_session=True,
    )  # fmt: skip
    os.close(inner)
    try:
        yield Running(process, main)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(main)


def left(folder: Path, within_s: float = 10.0) -> list[Path]:
    """What is in the folder; for one that was killed, after a while."""
    deadline = time.monotonic() + within_s
    while any(folder.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return list(folder.iterdir())


def urls(said: str) -> list[str]:
    return re.findall(r"curl -s '([^']+)'", said)


def shown_by(said: str, command: str) -> str:
    """What the command prints that was said to begin so, without ``--live``, which would go on for ever."""
    words = next(line for line in said.splitlines() if line.strip().startswith(command)).split()
    given = [word for word in words[1:] if word != "--live"]
    done = subprocess.run([*COMMAND[:-1], *given], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def asked(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.status == 200
        return str(answer.read().decode())


@pytest.mark.slow
def test_in_a_pipe_it_finds_what_was_planted_and_ends_by_itself(tmp_path: Path) -> None:
    started = time.monotonic()
    with demo(tmp_path, *SMALL, "--seed", "11") as running:
        running.until("/openapi.json'")
        for url in urls(running.said):
            assert asked(url)
        code = running.end()
    assert code == 0, running.said
    assert time.monotonic() - started < 60
    truth = Traffic(60_000, 11).planted()
    planted = re.search(r"Planted: (\S+) goes bad at (\S+) UTC", running.said)
    found = re.search(
        r"Found:   (\S+) went bad at (\d+):(\d+) UTC .*: answered (\S+) % before, (\S+) % after", running.said
    )
    assert planted is not None
    assert found is not None, running.said
    minute = truth.from_ms // 60_000 % 1440
    assert planted.groups() == (truth.carrier, f"{minute // 60:02}:{minute % 60:02}")
    assert found[1] == truth.carrier
    # Some nine calls in a window.
    assert abs(int(found[2]) * 60 + int(found[3]) - minute) <= 30
    assert float(found[4]) > 2 * float(found[5])
    assert re.search(r"position \d+: ended \d\d:\d\d:\d\d, acct-\d+ called \d+, \d{3} ", running.said)
    assert not left(tmp_path)
    for name, sent in (("calls", 60_000), ("bus messages", 6_000)):
        row = re.search(rf"^  {name}  +(.*)$", running.said, re.MULTILINE)
        assert row is not None
        numbers = [int(text.replace(" ", "")) for text in re.split(r"  +", row[1])]
        assert numbers[0] == sent
        assert numbers[0] == sum(numbers[1:4])
        assert numbers[3] == numbers[4]


@pytest.mark.slow
def test_on_a_terminal_it_shows_tables_and_stays_until_ctrl_c(tmp_path: Path) -> None:
    with demo(tmp_path, *SMALL, terminal=True) as running:
        running.until("The largest carriers")
        running.until(STAYS)
        events = json.loads(asked(next(url for url in urls(running.said) if "/events?" in url)))
        position = events["events"][0]["position"]
        assert f"position {position}: " in running.said
        event = json.loads(asked(re.sub(r"/v1/.*", f"/v1/events/{position}", urls(running.said)[0])))
        assert event["body"]["carrier"] == events["carrier"] == "carrier-007"
        for url in urls(running.said):
            assert asked(url)
        assert "carrier-007" in shown_by(running.said, "streamgauge cells")
        assert running.process.poll() is None
        os.write(running.main, b"\x03")
        running.process.send_signal(signal.SIGINT)
        code = running.end()
    assert code == 0
    assert "Traceback" not in running.said
    assert not left(tmp_path)


STARTED, PLAYING = "The service listens", " counted\n"


@pytest.mark.parametrize(
    ("name", "when"),
    [
        (signal.SIGINT, ""),
        (signal.SIGTERM, ""),
        (signal.SIGINT, STARTED),
        (signal.SIGHUP, STARTED),
        (signal.SIGINT, PLAYING),
        (signal.SIGTERM, PLAYING),
    ],
    ids=lambda given: given.name if isinstance(given, signal.Signals) else given.strip() or "at once",
)
def test_signal_ends_it_without_a_trace(tmp_path: Path, name: signal.Signals, when: str) -> None:
    with demo(tmp_path, *SMALL) as running:
        if when:
            running.until(when)
        else:
            # The first thing that it leaves, which it makes when signals are its own.
            deadline = time.monotonic() + WITHIN_S
            while not any(tmp_path.iterdir()) and time.monotonic() < deadline:
                time.sleep(0.001)
        for _ in range(3):  # impatience changes nothing
            running.process.send_signal(name)
            time.sleep(0.02)
        code = running.end()
    assert code == 130, running.said
    assert running.said.endswith("interrupted; what was written is removed\n")
    assert "Traceback" not in running.said
    assert "Exception" not in running.said
    assert not left(tmp_path, within_s=0)


def test_killed_it_leaves_nothing(tmp_path: Path) -> None:
    with demo(tmp_path, *SMALL) as running:
        running.until(STARTED)
        assert any(tmp_path.iterdir())
        os.killpg(running.process.pid, signal.SIGKILL)
        assert running.end() == -signal.SIGKILL
    assert not left(tmp_path)


def test_reader_that_has_seen_enough_ends_it(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [*COMMAND, *SMALL], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "is played" in process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(WITHIN_S) == 0
    assert errors == ""
    assert not left(tmp_path)


def test_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with demo(tmp_path, *SMALL) as first:
        first.until("The service listens")
        found = re.search(r"127\.0\.0\.1:(\d+)", first.said)
        assert found is not None
        with demo(tmp_path, *SMALL, "--port", found[1]) as second:
            assert second.end() == 2
        assert re.fullmatch(rf"error: serve: cannot listen on 127\.0\.0\.1:{found[1]}: .*--port.*\n", second.said)
        first.process.send_signal(signal.SIGTERM)
        first.end()
    assert not left(tmp_path)
