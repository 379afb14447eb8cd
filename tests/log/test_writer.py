"""Appending: what is durable when, when a new segment is begun, and what a failing disk leaves."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.clock import SystemClock
from streamgauge.errors import RetryableError, StoreError
from streamgauge.log.catalog import list_segments
from streamgauge.log.recovery import verify
from streamgauge.log.tail import STEPS
from streamgauge.log.writer import LogWriter, WriterOptions
from streamgauge.step import Step, no_step
from tests.log.blocks import StillClock, add, block, blocks, only_segment, plain, read_log, write_log

SHAPES = st.tuples(st.integers(0, 3), st.integers(0, 2))
SMALL = WriterOptions(segment_bytes=1000)


def open_writer(folder: Path, options: WriterOptions | None = None, step: Step = no_step) -> LogWriter:
    return LogWriter.open(folder, StillClock(), options, step=step)


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    written = write_log(tmp_path / "new" / "log", [[(2, 1), (0, 0)], [(3, 0)]])
    assert plain(read_log(tmp_path / "new" / "log")) == plain(written)


@given(st.lists(st.lists(SHAPES, max_size=4), max_size=8), st.integers(0, 3000), st.data())
def test_a_log_goes_on_after_any_restart(
    tmp_path_factory: pytest.TempPathFactory, writes: list[list[tuple[int, int]]], size: int, data: st.DataObject
) -> None:
    folder, written = tmp_path_factory.mktemp("log"), []
    writer = open_writer(folder, WriterOptions(segment_bytes=size))
    for shapes in writes:
        if data.draw(st.booleans()):
            writer.close()
            again = open_writer(folder, WriterOptions(segment_bytes=size))
            assert (again.lanes(), again.next_block, again.next_position) == (
                writer.lanes(),
                writer.next_block,
                writer.next_position,
            )
            writer = again
        written += add(writer, *shapes)
    writer.close()
    assert plain(read_log(folder)) == plain(written)
    assert not verify(folder).damages


def test_nothing_to_append_makes_no_file(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        writer.append([])
        assert list_segments(tmp_path) == []


@pytest.mark.parametrize(("number", "position"), [(1, 0), (0, 5)])
def test_blocks_that_do_not_go_on_are_refused(tmp_path: Path, number: int, position: int) -> None:
    with open_writer(tmp_path) as writer:
        with pytest.raises(ValueError, match=f"block {number} at position {position} was to be .*, expected 0 at 0"):
            writer.append([block(number, position)])
        add(writer, (1, 0))


# Segments


def test_a_new_segment_is_begun_where_the_newest_would_grow_too_large(tmp_path: Path) -> None:
    with open_writer(tmp_path, SMALL) as writer:
        written = [made for _ in range(12) for made in add(writer, (2, 0))]
        segments = list_segments(tmp_path)
        assert len(segments) > 2
        assert all(segment.size <= 1000 for segment in segments)
        assert writer.closed() == segments[:-1]
    assert plain(read_log(tmp_path)) == plain(written)


def test_a_write_larger_than_a_segment_is_not_divided(tmp_path: Path) -> None:
    with open_writer(tmp_path, SMALL) as writer:
        add(writer, (2, 0))
        add(writer, *[(2, 0)] * 20)
        assert [segment.block for segment in list_segments(tmp_path)] == [0, 1]


def test_a_new_segment_is_begun_after_so_many_blocks(tmp_path: Path) -> None:
    with open_writer(tmp_path, WriterOptions(segment_blocks=3)) as writer:
        for _ in range(7):
            add(writer, (0, 0))
        assert [segment.block for segment in list_segments(tmp_path)] == [0, 3, 6]


def test_a_new_segment_is_begun_at_exactly_its_age(tmp_path: Path) -> None:
    clock = StillClock()
    with LogWriter.open(tmp_path, clock) as writer:
        add(writer, (1, 0))
        clock.ms += 599_999
        add(writer, (1, 0))
        assert writer.closed() == []
        clock.ms += 1
        add(writer, (1, 0))
        assert [segment.block for segment in writer.closed()] == [0]


def test_the_age_of_a_segment_counts_on_through_a_restart(tmp_path: Path) -> None:
    clock = StillClock()
    with LogWriter.open(tmp_path, clock) as writer:
        add(writer, (1, 0))
    clock.ms += 300_000
    with LogWriter.open(tmp_path, clock) as writer:
        clock.ms += 299_999
        add(writer, (1, 0))
        assert writer.closed() == []
        clock.ms += 1
        add(writer, (1, 0))
        assert len(writer.closed()) == 1


def test_segments_of_ticks_have_names_of_their_own(tmp_path: Path) -> None:
    with open_writer(tmp_path, WriterOptions(segment_bytes=0)) as writer:
        written = [made for _ in range(3) for made in add(writer, (0, 0))]
        assert [(s.position, s.block) for s in list_segments(tmp_path)] == [(0, 0), (0, 1), (0, 2)]
    assert plain(read_log(tmp_path)) == plain(written)


# Lanes


def test_the_last_header_of_each_lane_is_known_after_a_restart_from_the_newest_segment_alone(tmp_path: Path) -> None:
    with open_writer(tmp_path, WriterOptions(segment_bytes=0)) as writer:
        for lane in (0, 1, 2, 1):
            add(writer, (1, 0), lane=lane, cursor=[lane], unit="ms", answers={"k": 1})
        add(writer, (0, 0), lane=1)
        lanes = writer.lanes()
        for segment in writer.closed():
            segment.path.unlink()
    assert {lane: header.number for lane, header in lanes.items()} == {0: 0, 1: 4, 2: 2}
    with open_writer(tmp_path) as writer:
        assert {n: (h.number, h.cursor, h.unit) for n, h in writer.lanes().items()} == {
            0: (0, [0], "ms"),
            1: (4, [1], ""),
            2: (2, [2], "ms"),
        }


def test_where_the_line_of_the_lanes_is_damaged_older_segments_say_how_they_stood(tmp_path: Path) -> None:
    with open_writer(tmp_path, WriterOptions(segment_bytes=0)) as writer:
        for lane in (0, 1, 2):
            add(writer, (1, 0), lane=lane)
        lanes = writer.lanes()
    path = list_segments(tmp_path)[-1].path
    path.write_bytes(path.read_bytes().replace(b'{"lanes":', b'{"lames":'))
    with open_writer(tmp_path) as writer:
        assert {n: h.number for n, h in writer.lanes().items()} == {n: h.number for n, h in lanes.items()}
        assert [damage.blocks for damage in writer.damages] == [0]
        add(writer, (1, 0))
        assert len(writer.closed()) == 3, "the next segment says again how the lanes stand"


def test_numbers_known_to_be_used_elsewhere_are_not_used_again(tmp_path: Path) -> None:
    write_log(tmp_path, [[(2, 0)]])
    with LogWriter.open(tmp_path, StillClock(), at_least=(9, 50)) as writer:
        assert (writer.next_block, writer.next_position) == (9, 50)
        assert [damage.blocks for damage in writer.damages] == [8]
        add(writer, (1, 0))
    (damage,) = verify(tmp_path).damages
    assert (damage.first_block, damage.next_block, damage.position, damage.next_position) == (1, 9, 2, 50)
    with LogWriter.open(tmp_path, StillClock(), at_least=(10, 51)) as writer:
        assert writer.closed() == list_segments(tmp_path)[:-1]


def test_left_out_positions_alone_leave_out_a_block_too(tmp_path: Path) -> None:
    log = write_log(tmp_path, [[(2, 0)]])
    with LogWriter.open(tmp_path, StillClock(), at_least=(0, 50)) as writer:
        assert (writer.next_block, writer.next_position) == (2, 50)
        log += add(writer, (1, 0))
    before, damage, after = read_log(tmp_path)
    assert plain([before, after]) == plain(log)
    assert str(damage).endswith("block 1 is missing (positions 2 to 49)")


# A disk that fails


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("step", STEPS)
def test_an_append_that_fails_leaves_nothing_and_the_next_goes_on(
    tmp_path: Path, step: str, code: int, fresh: bool
) -> None:
    left: list[str] = []

    def failing_once(name: str) -> None:
        if name in left:
            left.remove(name)
            raise OSError(code, os.strerror(code))

    with open_writer(tmp_path, WriterOptions(segment_bytes=0 if fresh else 1 << 20), failing_once) as writer:
        written = add(writer, (2, 0))
        if step in ("before_segment_rename", "before_folder_fsync") and not fresh:
            return
        before = {path.name: path.read_bytes() for path in tmp_path.glob("segment-*")}
        left.append(step)
        with pytest.raises(RetryableError) as failed:
            add(writer, (1, 1), (0, 0))
        assert f"log {tmp_path}: 2 blocks of " in str(failed.value)
        assert f"nothing of them was kept: {os.strerror(code)}; " in str(failed.value)
        assert {path.name: path.read_bytes() for path in tmp_path.glob("segment-*")} == before
        written += add(writer, (1, 1), (0, 0))
    assert plain(read_log(tmp_path)) == plain(written)
    assert not verify(tmp_path).damages


def test_what_could_not_be_cut_off_at_once_is_cut_before_the_next_append(tmp_path: Path) -> None:
    path = tmp_path / "log"
    fail = [False]

    def step(name: str) -> None:
        if name == "before_log_fsync" and fail.pop():
            path.rename(tmp_path / "away")
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fail[:] = fail or [False]

    with open_writer(path, step=step) as writer:
        written = add(writer, (2, 0))
        fail[:] = [True]
        with pytest.raises(RetryableError, match="the disk reports an error"):
            add(writer, (3, 0))
        with pytest.raises(RetryableError, match="No such file or directory"):
            add(writer, (3, 0))
        (tmp_path / "away").rename(path)
        assert len(plain(read_log(path))) == 2, "the torn write is still there"
        written += add(writer, (1, 0))
    assert plain(read_log(path)) == plain(written)


def test_after_a_failed_fsync_what_counts_is_read_back_and_its_loss_is_said(tmp_path: Path) -> None:
    armed: list[bool] = []

    def step(name: str) -> None:
        if name == "before_log_fsync" and armed:
            armed.clear()
            data = bytearray(only_segment(tmp_path).read_bytes())
            data[data.index(b'"n": 2') + 5] ^= 1
            only_segment(tmp_path).write_bytes(data)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with open_writer(tmp_path, step=step) as writer:
        add(writer, (2, 0))
        add(writer, (2, 0))
        add(writer, (2, 0))
        armed.append(True)
        with pytest.raises(RetryableError):
            add(writer, (1, 0))
        assert [(d.first_block, d.next_block) for d in writer.damages] == [(1, 2)]
        assert [header.number for header in writer.lanes().values()] == [2]
        add(writer, (1, 0))
        assert len(writer.closed()) == 1
    assert [damage.first_block for damage in verify(tmp_path).damages] == [1]


def test_a_log_that_may_not_grow_says_so_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with open_writer(tmp_path, WriterOptions(segment_bytes=1000, max_bytes=3000)) as writer:
        while sum(segment.size for segment in list_segments(tmp_path)) < 2500:
            add(writer, (2, 0))
        with pytest.raises(RetryableError, match=r"it has \d+ of the 3000 bytes that it may have; raise max_bytes, or"):
            add(writer, (3, 0))
        assert sum(segment.size for segment in list_segments(tmp_path)) <= 3000
        writer.closed()[0].path.unlink()
        add(writer, (2, 0))


def disks() -> list[str]:
    """The kinds of small disk that can be had here: a limit of the size of files always can."""
    probe = "mount -t tmpfs -o size=64k none /mnt"
    can = subprocess.run(["unshare", "-m", "sh", "-c", probe], capture_output=True, check=False).returncode == 0
    return ["limit", "tmpfs"] if can else ["limit"]


FILLING = """
import sys
from pathlib import Path
from streamgauge.errors import RetryableError
from streamgauge.log.writer import LogWriter, WriterOptions
from tests.log.blocks import StillClock, add, plain, read_log

folder, filler = Path(sys.argv[1]), Path(sys.argv[2])
with LogWriter.open(folder, StillClock()) as writer:
    written = add(writer, (2, 0))
    for attempt in range(2):
        try:
            while True:
                written += add(writer, (2, 0), (1, 1), size=3000)
        except RetryableError as error:
            print(error)
    assert plain(read_log(folder)) == plain(written)
    if filler.exists():
        filler.unlink()
    else:
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 24, resource.RLIM_INFINITY))
    for _ in range(5):
        written += add(writer, (2, 0), (1, 1), size=3000)
assert plain(read_log(folder)) == plain(written)
with LogWriter.open(folder, StillClock()) as writer:
    assert (writer.cut, writer.damages, writer.next_block) == (None, [], written[-1].header.number + 1)
print("went on")
"""


@pytest.mark.parametrize("disk", disks())
def test_a_full_disk_refuses_and_goes_on_when_there_is_room(tmp_path: Path, disk: str) -> None:
    script, filler = tmp_path / "filling.py", tmp_path / "log" / "filler"
    script.write_text(FILLING)
    command = [sys.executable, str(script), str(tmp_path / "log"), str(filler)]
    (tmp_path / "log").mkdir()
    if disk == "tmpfs":
        mount = f"mount -t tmpfs -o size=300k none {tmp_path}/log && head -c 200000 /dev/zero > {filler} && exec $0 $@"
        command = ["unshare", "-m", "sh", "-c", mount, *command]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([".", *sys.path])},
        preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY)))
        if disk == "limit"
        else None,
    )
    *errors, last = done.stdout.splitlines() or [done.stderr]
    assert (done.returncode, last) == (0, "went on"), done.stderr
    expected = (
        "No space left on device; free some space there" if disk == "tmpfs" else "File too large; raise the limit"
    )
    assert len(errors) == 2
    assert all(expected in error for error in errors)


def test_a_folder_that_cannot_be_written_is_the_operators_matter(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"log .*file: cannot be opened: File exists"):
        open_writer(tmp_path / "file")
    with pytest.raises(StoreError, match=r"log /proc/log: cannot be opened: No such file"):
        open_writer(Path("/proc/log"))
    with pytest.raises(StoreError, match=r"log /proc/self: cannot be written: "):
        open_writer(Path("/proc/self"))


READ_ONLY = """
import sys
from pathlib import Path
from streamgauge.log.writer import LogWriter
from tests.log.blocks import StillClock, read_log

print(len(read_log(Path(sys.argv[1]))))
LogWriter.open(Path(sys.argv[1]), StillClock())
"""


@pytest.mark.parametrize("way", ["permissions", *(disk for disk in disks() if disk == "tmpfs")])
def test_a_log_that_cannot_be_written_can_be_read(tmp_path: Path, way: str) -> None:
    folder = tmp_path / "log"
    write_log(folder, [[(1, 0)], [(1, 0)]])
    command = [sys.executable, "-c", READ_ONLY, str(folder)]
    if way == "tmpfs":
        read_only = f'mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && exec "$0" "$@"'
        command = ["unshare", "-m", "sh", "-c", read_only, *command]
    else:
        (folder / "lock").unlink()
        (folder / "lock").mkdir()  # not even root can write this
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([".", *sys.path])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    reason = "Read-only file system" if way == "tmpfs" else "Is a directory"
    assert done.stdout == "2\n"
    assert f"StoreError: log {folder}: cannot be written: {reason}; give it a folder that it may write" in done.stderr


# Killed

APPENDING = """
import os, sys
from pathlib import Path
from streamgauge.clock import SystemClock
from streamgauge.log.writer import LogWriter, WriterOptions
from tests.log.blocks import add

with LogWriter.open(Path(sys.argv[1]), SystemClock(), WriterOptions(segment_bytes=20000)) as writer:
    while True:
        add(writer, (2, 1), (0, 0), (3, 0), size=300)
        os.write(1, b"%d %d\\n" % (writer.next_block, writer.next_position))
"""


@contextmanager
def appending(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that appends until it is killed, and says after each append how far it is."""
    script = folder.parent / "appending.py"
    script.write_text(APPENDING)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([".", *sys.path])}
    command = [sys.executable, str(script), str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def kill_while_appending(folder: Path, after_s: float) -> tuple[int, int]:
    """Kill a writer so long after its first append; the next block and position that it said last."""
    with appending(folder) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        lines = (first + process.stdout.read()).split(b"\n")
    block, position = lines[-2].split()
    return int(block), int(position)


def test_all_that_was_appended_survives_kills_at_random_moments(tmp_path: Path) -> None:
    folder, moments = tmp_path / "log", random.Random(4)
    for _ in range(8):
        block, position = kill_while_appending(folder, moments.uniform(0, 0.15))
        with LogWriter.open(folder, SystemClock()) as writer:
            assert writer.next_block >= block
            assert writer.next_position >= position
            assert writer.damages == []
            last = (writer.next_block, writer.next_position)
        read = plain(read_log(folder))
        assert [number for number, *_ in read] == list(range(last[0]))
        assert not verify(folder).damages
    assert len(list_segments(folder)) > 2


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_it_goes_on(tmp_path: Path, step: str) -> None:
    class Killed(BaseException):
        """The process ends here."""

    passed: list[str] = []

    def kill(name: str) -> None:
        passed.append(name)
        if passed.count(step) == 2:
            raise Killed

    writer = open_writer(tmp_path, WriterOptions(segment_bytes=0), kill)
    first = add(writer, (2, 0))
    second = blocks([(1, 0)], 1, 2)
    with pytest.raises(Killed):
        writer.append(second)
    writer.close()
    kept = [*first, *second] if step in ("before_folder_fsync", "log_durable") else first
    with open_writer(tmp_path) as writer:
        assert writer.next_block == len(kept)
        assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".new")] == []
    assert plain(read_log(tmp_path)) == plain(kept)


def test_a_second_writer_is_refused_and_names_the_first(tmp_path: Path) -> None:
    with appending(tmp_path / "log") as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(StoreError, match=rf"log .* is in use by process {process.pid} on .* since \d{{4}}-"):
            open_writer(tmp_path / "log")
    open_writer(tmp_path / "log").close()
