"""Following what a pattern matches: files that appear later, and rotated ones that are some lane's already."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.sources.tail_lane import LEFT_S, SETTLE_S
from streamgauge.sources.tail_lanes import TailLanes
from tests.sources.test_tail_lane import append, line_keeper


class Pattern:
    """The lanes of a pattern, and what each has read; ``restart`` keeps only the cursors."""

    def __init__(self, pattern: Path) -> None:
        self.pattern = str(pattern)
        self.cursors: dict[str, Any] = {}
        self.read: list[tuple[str, bytes]] = []
        self.now_s = 0.0
        self.lanes = TailLanes(self.pattern, line_keeper)

    def step(self, later_s: float = 1.0) -> None:
        self.now_s += later_s
        for lane in self.lanes.look(self.now_s, self.cursors.get):
            while (found := lane.read(self.now_s)) is not None:
                name = os.path.basename(lane.path)
                self.read += [(name, line) for line in found.lines.data.split(b"\n")[:-1]]
                self.cursors[lane.path] = found.cursor

    def restart(self) -> None:
        self.lanes.close()
        self.lanes = TailLanes(self.pattern, line_keeper)

    def drain(self) -> None:
        for _ in range(4):
            self.step(SETTLE_S + 1)
        self.lanes.close()


@pytest.fixture
def logs(tmp_path: Path) -> Pattern:
    return Pattern(tmp_path / "*.log*")


def test_a_file_that_appears_later_is_read_from_its_start(logs: Pattern, tmp_path: Path) -> None:
    append(tmp_path / "a.log", b"one\n")
    logs.step()
    append(tmp_path / "b.log", b"two\n")
    logs.step()
    assert logs.read == [("a.log", b"one"), ("b.log", b"two")]
    logs.drain()


def test_a_renamed_file_that_the_pattern_matches_is_not_read_again(logs: Pattern, tmp_path: Path) -> None:
    append(tmp_path / "a.log", b"one\n")
    logs.step()
    os.rename(tmp_path / "a.log", tmp_path / "a.log.1")
    append(tmp_path / "a.log", b"two\n")
    logs.step()
    logs.restart()
    logs.step()
    assert logs.read == [("a.log", b"one"), ("a.log", b"two")]
    logs.drain()


def test_nor_after_a_restart_at_which_the_file_itself_is_missing(logs: Pattern, tmp_path: Path) -> None:
    append(tmp_path / "a.log", b"one\n")
    logs.step()
    logs.restart()
    os.rename(tmp_path / "a.log", tmp_path / "a.log.1")
    append(tmp_path / "a.log.1", b"two\n")
    logs.step()
    logs.step()
    assert logs.read == [("a.log", b"one"), ("a.log", b"two")]
    logs.drain()


def test_a_copy_that_is_being_made_is_not_read_as_another_file(logs: Pattern, tmp_path: Path) -> None:
    text = b"".join(b"line %d of a file that will be copied\n" % n for n in range(100))
    append(tmp_path / "a.log", text)
    logs.step()
    (tmp_path / "a.log.1").touch()
    logs.step()
    append(tmp_path / "a.log.1", text[:1000])
    logs.step()
    append(tmp_path / "a.log.1", text[1000:])
    logs.step()
    os.truncate(tmp_path / "a.log", 0)
    logs.step()
    assert len(logs.read) == 100
    logs.drain()


def test_rotated_files_that_are_there_at_the_first_start_are_lanes_of_their_own(logs: Pattern, tmp_path: Path) -> None:
    append(tmp_path / "a.log.1", b"old\n")
    append(tmp_path / "a.log", b"new\n")
    logs.step()
    logs.step()
    assert sorted(logs.read) == [("a.log", b"new"), ("a.log.1", b"old")]
    os.rename(tmp_path / "a.log.1", tmp_path / "a.log.2")
    os.rename(tmp_path / "a.log", tmp_path / "a.log.1")
    append(tmp_path / "a.log", b"newer\n")
    logs.step()
    logs.restart()
    logs.step()
    logs.step()
    assert sorted(logs.read) == [("a.log", b"new"), ("a.log", b"newer"), ("a.log.1", b"old")]
    logs.drain()


def test_compressed_files_are_left_out_and_said(logs: Pattern, tmp_path: Path) -> None:
    append(tmp_path / "a.log.gz", b"whatever")
    append(tmp_path / "b.log", b"\x1f\x8b\x08 no name tells it")
    append(tmp_path / "c.log", b"one\n")
    logs.step()
    assert logs.read == [("c.log", b"one")]
    assert sorted(note.partition(": ")[0] for note in logs.lanes.skipped) == [
        str(tmp_path / "a.log.gz"),
        str(tmp_path / "b.log"),
    ]
    logs.drain()


def test_folders_and_pipes_are_left_out(logs: Pattern, tmp_path: Path) -> None:
    (tmp_path / "folder.log").mkdir()
    os.mkfifo(tmp_path / "pipe.log")
    append(tmp_path / "c.log", b"one\n")
    logs.step()
    assert logs.read == [("c.log", b"one")]
    logs.drain()


ACTIONS = ("append", "append", "other", "rename", "copy_and_cut", "step", "step", "restart", "quiet")


class World:
    """Two programs that write logs, which are rotated; the pattern matches all files that come of it."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "a.log"
        self.pattern = Pattern(folder / "*.log*")
        self.written: list[bytes] = []

    def line(self) -> bytes:
        self.written.append(b"%d %s\n" % (len(self.written), b"x" * (len(self.written) * 37 % 300)))
        return self.written[-1]

    def append(self) -> None:
        append(self.log, self.line() + self.line())

    def other(self) -> None:
        append(self.log.with_name("b.log"), self.line())

    def shift(self) -> None:
        for name in sorted(self.log.parent.glob("a.log.*"), key=lambda p: -int(p.suffix[1:])):
            os.rename(name, name.with_suffix(f".{int(name.suffix[1:]) + 1}"))

    def rename(self) -> None:
        if self.log.exists():
            self.shift()
            os.rename(self.log, f"{self.log}.1")

    def copy_and_cut(self) -> None:
        if self.log.exists():
            self.append()
            self.shift()
            shutil.copy(self.log, f"{self.log}.1")
            self.pattern.step()
            os.truncate(self.log, 0)
            self.pattern.step()

    def step(self) -> None:
        self.pattern.step()

    def restart(self) -> None:
        self.pattern.restart()

    def quiet(self) -> None:
        self.pattern.step(LEFT_S + 1)


@settings(max_examples=300)
@given(actions=st.lists(st.sampled_from(ACTIONS), max_size=25))
def test_whatever_happens_to_logs_each_of_their_lines_is_read_once(actions: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        for action in actions:
            getattr(world, action)()
        world.pattern.drain()
        read, written = Counter(line + b"\n" for _, line in world.pattern.read), Counter(world.written)
        assert read - written == Counter(), "read more than was written"
        assert written - read == Counter(), "lost"
