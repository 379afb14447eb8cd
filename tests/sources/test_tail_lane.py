"""Following one name through everything that happens to log files, read by read."""

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

from streamgauge.sources.lines import LineKeeper
from streamgauge.sources.tail_files import Place, rotated_from
from streamgauge.sources.tail_forms import Keeper
from streamgauge.sources.tail_lane import LEFT_S, SETTLE_S, TailLane


def line_keeper(descriptor: int, path: str, offset: int, line: int) -> Keeper:
    del descriptor, path
    return LineKeeper(1 << 20, offset, line)


def nobody(*unused: Any) -> bool:
    return False


class Followed:
    """A lane of one path, and what it has read; ``restart`` keeps only the cursor of what was handed over."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cursor: Any = None
        self.read: list[bytes] = []
        self.places: list[int] = []
        self.now_s = 1000.0
        self.lane = TailLane(str(path), line_keeper)

    def step(self, later_s: float = 0.2, most: int = 10**9) -> None:
        self.now_s += later_s
        self.lane.look(self.now_s, nobody)
        while most > 0 and (found := self.lane.read(self.now_s)) is not None:
            self.read += found.lines.data.split(b"\n")[:-1]
            self.cursor = found.cursor
            most -= 1

    def restart(self) -> None:
        self.lane.close()
        self.lane = TailLane(str(self.path), line_keeper, self.cursor)

    def drain(self) -> None:
        """Look until all is read, and what has ended without a line feed is settled."""
        for _ in range(4):
            self.step(SETTLE_S + 1)
        self.lane.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def test_lines_are_read_as_they_are_written(log: Path) -> None:
    followed = Followed(log)
    followed.step()
    assert followed.read == []
    append(log, b"one\ntwo\n")
    followed.step()
    append(log, b"three\n")
    followed.step()
    assert followed.read == [b"one", b"two", b"three"]
    followed.drain()


def test_a_line_that_has_not_ended_is_left_until_it_does(log: Path) -> None:
    followed = Followed(log)
    append(log, b"one\ntw")
    followed.step(100)
    followed.step(100)
    assert followed.read == [b"one"]
    append(log, b"o\n")
    followed.step()
    assert followed.read == [b"one", b"two"]
    followed.drain()


def test_a_renamed_file_is_read_to_its_end_before_the_new_one(log: Path) -> None:
    followed = Followed(log)
    append(log, b"one\n")
    followed.step()
    append(log, b"two\n")
    os.rename(log, f"{log}.1")
    append(log, b"four\n")
    append(Path(f"{log}.1"), b"three\n")
    followed.step()
    assert followed.read == [b"one", b"two", b"three", b"four"]
    followed.drain()


def test_what_is_written_to_a_renamed_file_later_is_read(log: Path) -> None:
    followed = Followed(log)
    append(log, b"one\n")
    followed.step()
    os.rename(log, f"{log}.1")
    append(log, b"two\n")
    followed.step()
    append(Path(f"{log}.1"), b"late\n")
    followed.step()
    assert sorted(followed.read) == [b"late", b"one", b"two"]
    followed.drain()


def test_a_renamed_file_that_ends_without_a_line_feed_is_whole_when_it_has_been_quiet(log: Path) -> None:
    followed = Followed(log)
    append(log, b"one\ntwo")
    followed.step()
    os.rename(log, f"{log}.1")
    append(log, b"three\n")
    followed.step()
    assert followed.read == [b"one", b"three"]
    followed.step(SETTLE_S + 1)
    assert followed.read == [b"one", b"three", b"two"]
    followed.restart()
    followed.drain()
    assert len(followed.read) == 3


def test_a_deleted_file_is_read_to_its_end(log: Path) -> None:
    followed = Followed(log)
    append(log, b"one\n")
    followed.step()
    append(log, b"two\n")
    os.unlink(log)
    append(log, b"three\n")
    followed.step()
    assert followed.read == [b"one", b"two", b"three"]
    followed.drain()


def test_copied_and_cut_with_lines_that_only_the_copy_has(log: Path) -> None:
    followed = Followed(log)
    append(log, b"one\n")
    followed.step()
    append(log, b"two\n")
    shutil.copy(log, f"{log}.1")
    os.truncate(log, 0)
    append(log, b"three\n")
    followed.step()
    assert followed.read == [b"one", b"two", b"three"]
    followed.drain()


def test_cut_and_longer_than_before_at_the_next_look(log: Path) -> None:
    followed = Followed(log)
    append(log, b"one\n")
    followed.step()
    os.truncate(log, 0)
    append(log, b"another line, and longer\nthan before\n")
    followed.step()
    assert followed.read == [b"one", b"another line, and longer", b"than before"]
    followed.drain()


def test_an_inode_that_is_given_again_is_another_file(log: Path) -> None:
    followed = Followed(log)
    append(log, b"one\n")
    followed.step()
    followed.lane.close()
    inode = os.stat(log).st_ino
    os.unlink(log)
    append(log, b"two\n")
    if os.stat(log).st_ino != inode:
        # This file system does not give it again: a cursor that says so is the same case.
        followed.cursor["files"][-1][0] = os.stat(log).st_ino
    followed.restart()
    followed.step()
    assert followed.read == [b"one", b"two"]
    followed.drain()


def test_a_restart_goes_on_where_the_cursor_says(log: Path) -> None:
    followed = Followed(log)
    append(log, b"one\ntwo\n")
    followed.step()
    followed.restart()
    append(log, b"three\n")
    followed.step()
    assert followed.read == [b"one", b"two", b"three"]
    followed.drain()


def test_rotated_twice_while_nobody_looked(log: Path) -> None:
    followed = Followed(log)
    append(log, b"one\n")
    followed.step()
    followed.lane.close()
    append(log, b"two\n")
    os.rename(log, f"{log}.1")
    append(log, b"three\n")
    os.rename(f"{log}.1", f"{log}.2")
    os.rename(log, f"{log}.1")
    append(log, b"four\n")
    followed.restart()
    followed.step()
    followed.step()
    assert followed.read == [b"one", b"two", b"three", b"four"]
    followed.drain()


def test_older_rotated_files_are_not_read_at_a_first_start(log: Path) -> None:
    append(Path(f"{log}.2"), b"older\n")
    append(Path(f"{log}.1"), b"old\n")
    append(log, b"one\n")
    followed = Followed(log)
    followed.step()
    assert followed.read == [b"one"]
    followed.drain()


def test_a_quiet_file_is_closed_and_goes_on_when_it_grows(log: Path) -> None:
    followed = Followed(log)
    append(log, b"one\n")
    followed.step()
    before = len(os.listdir("/proc/self/fd"))
    followed.step(LEFT_S + 1)
    assert len(os.listdir("/proc/self/fd")) == before - 1
    append(log, b"two\n")
    followed.step()
    assert followed.read == [b"one", b"two"]
    followed.drain()


def test_rotated_while_it_was_closed(log: Path) -> None:
    followed = Followed(log)
    append(log, b"one\n")
    followed.step()
    followed.step(LEFT_S + 1)
    append(log, b"two\n")
    os.rename(log, f"{log}.1")
    append(log, b"three\n")
    followed.step()
    assert followed.read == [b"one", b"two", b"three"]
    followed.drain()


def test_gone_for_good_is_said_and_the_new_file_is_read(log: Path) -> None:
    followed = Followed(log)
    append(log, b"one\n")
    followed.step()
    followed.restart()
    os.rename(log, log.parent / "kept")
    os.unlink(log.parent / "kept")
    append(log, b"two\n")
    followed.cursor["files"][-1][0] += 1_000_000  # whatever inode the new file has, it is not this one
    followed.restart()
    followed.step()
    assert followed.read == [b"one", b"two"]
    assert "is gone" in followed.lane.lost
    followed.drain()


def test_a_file_that_may_not_be_read_is_a_problem_that_passes(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    followed = Followed(log)
    os.mkdir(log)
    followed.step()
    assert followed.lane.problem == f"{log}: is no regular file"
    os.rmdir(log)
    append(log, b"one\n")
    followed.step()
    assert (followed.read, followed.lane.problem) == ([b"one"], "")
    followed.drain()


def test_the_line_numbers_go_on_after_a_restart(log: Path) -> None:
    followed = Followed(log)
    append(log, b"one\n\ntwo\n")
    followed.step()
    assert Place(*followed.cursor["files"][-1]).line == 4
    followed.restart()
    append(log, b"three\n")
    followed.step()
    assert Place(*followed.cursor["files"][-1]).line == 5
    followed.drain()


@pytest.mark.parametrize(
    ("name", "from_"),
    [
        ("a.log.1", "a.log"),
        ("a.log-20240131", "a.log"),
        ("a.log.2024-01-31T10:00:00", "a.log"),
        ("a.log.old", "a.log"),
        ("a.log", "a.log"),
        ("app-1.log", "app-1.log"),
        (".1", ".1"),
    ],
)
def test_the_name_that_a_file_was_rotated_from(name: str, from_: str) -> None:
    assert rotated_from(f"/var/log/{name}") == f"/var/log/{from_}"


ACTIONS = ("append", "append", "append", "partial", "rename", "copy_and_cut", "step", "step", "one", "restart", "quiet")


class World:
    """A program that writes a log, a rotation that moves it about, and a lane that follows it."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "app.log"
        self.followed = Followed(self.log)
        self.written: list[bytes] = []
        self.open_line = False

    def line(self) -> bytes:
        self.written.append(
            b'{"number":%d,"padding":"%s"}' % (len(self.written), b"x" * (len(self.written) * 37 % 300))
        )
        return self.written[-1]

    def append(self) -> None:
        end = b"\n" if self.open_line else b""
        self.open_line = False
        append(self.log, end + self.line() + b"\n" + self.line() + b"\n")

    def partial(self) -> None:
        append(self.log, (b"\n" if self.open_line else b"") + self.line())
        self.open_line = True

    def shift(self) -> None:
        names = sorted(self.log.parent.glob("app.log.*"), key=lambda p: -int(p.suffix[1:]))
        for name in names:
            os.rename(name, name.with_suffix(f".{int(name.suffix[1:]) + 1}"))

    def rename(self) -> None:
        if self.log.exists():
            self.shift()
            os.rename(self.log, f"{self.log}.1")
            self.open_line = False

    def copy_and_cut(self) -> None:
        if self.log.exists() and not self.open_line:
            self.append()
            self.shift()
            shutil.copy(self.log, f"{self.log}.1")
            os.truncate(self.log, 0)
            self.followed.step()

    def step(self) -> None:
        self.followed.step()

    def one(self) -> None:
        self.followed.step(most=1)

    def restart(self) -> None:
        self.followed.restart()

    def quiet(self) -> None:
        self.followed.step(LEFT_S + 1)


@settings(max_examples=300)
@given(actions=st.lists(st.sampled_from(ACTIONS), max_size=30))
def test_whatever_happens_to_a_log_each_of_its_lines_is_read_once(actions: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        # A first look: what is rotated before the very first one is older than the lane.
        world.append()
        world.step()
        for action in actions:
            getattr(world, action)()
        if world.open_line:
            append(world.log, b"\n")
        world.followed.drain()
        read, written = Counter(world.followed.read), Counter(world.written)
        assert read - written == Counter(), "read more than was written"
        assert written - read == Counter(), "lost"
