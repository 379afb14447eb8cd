"""Reading the log in order: from any place, while it grows, over archives, and past damage."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.errors import InputError, StoreError
from streamgauge.log.base import LogBlock
from streamgauge.log.catalog import Archives, Segment, list_segments, segment_name
from streamgauge.log.damage import Damage
from streamgauge.log.reading import LogReader
from streamgauge.log.recovery import verify
from streamgauge.log.segment_reader import read_segment
from streamgauge.log.writer import LogWriter, WriterOptions
from tests.log.blocks import StillClock, add, blocks, only_segment, places, plain, read_log, write_log

EVERY_WRITE = WriterOptions(segment_bytes=0)


def read_copy(path: Path, after_block: int) -> Iterator[LogBlock]:
    """An archive that is a copy of its segment. One whose bytes are ``broken`` cannot be read."""
    if path.read_bytes() == b"broken":
        raise InputError(f"{path}: is broken")
    position, block = (int(part) for part in path.stem.split("-")[1:])
    for item in read_segment(Segment(path, position, block, ".ndjson", 0)):
        if isinstance(item, Damage):
            if (item.next_block or 0) <= after_block + 1:
                continue
            error = InputError(item.problem)
            error.next_block, error.next_position = item.next_block, item.next_position  # type: ignore[attr-defined]
            raise error
        if item.header.number > after_block:
            yield item


COPIES: Archives = {".copy": read_copy}


def archive(segment: Segment, *, keep: bool = False) -> Path:
    """Give a closed segment its other form."""
    path = segment.path.with_suffix(".copy")
    shutil.copy(segment.path, path.with_suffix(".unfinished"))
    path.with_suffix(".unfinished").rename(path)
    if not keep:
        segment.path.unlink()
    return path


def long_log(folder: Path, *writes: list[tuple[int, int]]) -> list[LogBlock]:
    """A log with a segment for each write."""
    with LogWriter.open(folder, StillClock(), EVERY_WRITE) as writer:
        return [made for write in writes for made in add(writer, *write)]


WRITES = ([(2, 1), (0, 0)], [(0, 0)], [(3, 0), (1, 1), (0, 0)], [(1, 0)])
LAST_BLOCK, LAST_POSITION = 6, 9


# Where to begin


@pytest.mark.parametrize("archived", [(), (0,), (0, 1), (0, 1, 2), (2,)])
@pytest.mark.parametrize("after", range(-1, LAST_BLOCK + 1))
def test_it_begins_behind_any_block(tmp_path: Path, after: int, archived: tuple[int, ...]) -> None:
    log = long_log(tmp_path, *WRITES)
    for index in archived:
        archive(list_segments(tmp_path, COPIES)[index])
    assert plain(read_log(tmp_path, COPIES, after_block=after)) == plain(log[after + 1 :])


@pytest.mark.parametrize("archived", [(), (0, 1, 2)])
@pytest.mark.parametrize("position", range(LAST_POSITION + 2))
def test_it_begins_with_the_block_that_holds_any_position(
    tmp_path: Path, position: int, archived: tuple[int, ...]
) -> None:
    log = long_log(tmp_path, *WRITES)
    for index in archived:
        archive(list_segments(tmp_path, COPIES)[index])
    expected = next((n for n, b in enumerate(log) if b.header.next_position > position), len(log))
    assert plain(read_log(tmp_path, COPIES, position=position)) == plain(log[expected:])


def test_without_a_place_it_begins_with_the_oldest(tmp_path: Path) -> None:
    log = long_log(tmp_path, *WRITES)
    list_segments(tmp_path)[0].path.unlink()
    assert plain(read_log(tmp_path)) == plain(log[2:])
    assert plain(read_log(tmp_path, position=0)) == plain(log[2:])


def test_what_is_no_longer_kept_is_said_to_one_who_was_to_go_on(tmp_path: Path) -> None:
    log = long_log(tmp_path, *WRITES)
    list_segments(tmp_path)[0].path.unlink()
    lost, *rest = read_log(tmp_path, after_block=0)
    assert isinstance(lost, Damage)
    assert (lost.first_block, lost.next_block) == (1, 2)
    assert str(lost).endswith("it begins with block 2, what was before is no longer kept; block 1 is missing")
    assert plain(rest) == plain(log[2:])


def test_a_log_that_ends_too_early_is_the_operators_matter(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="ends before block 0, but was to be read from block 8 on; it was cut short"):
        read_log(tmp_path, after_block=7)
    long_log(tmp_path, *WRITES)
    with pytest.raises(StoreError, match="ends before block 7, but was to be read from block 8 on"):
        read_log(tmp_path, after_block=7)


def test_a_reader_ahead_of_the_log_waits_for_a_writer_that_leaves_those_blocks_out(tmp_path: Path) -> None:
    write_log(tmp_path, [[(2, 0)]])
    with (
        LogWriter.open(tmp_path, StillClock(), at_least=(8, 20)) as writer,
        LogReader(tmp_path, after_block=7, until=lambda: writer.next_block) as reader,
    ):
        assert list(reader.blocks()) == []
        made = add(writer, (1, 0))
        assert plain(reader.blocks()) == plain(made)


# While it grows


@given(st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), max_size=3), max_size=6), st.data())
def test_every_block_comes_once_however_often_it_is_asked(
    tmp_path_factory: pytest.TempPathFactory, writes: list[list[tuple[int, int]]], data: st.DataObject
) -> None:
    folder, log, read = tmp_path_factory.mktemp("log"), list[LogBlock](), []
    options = WriterOptions(segment_bytes=data.draw(st.sampled_from([0, 600, 1 << 20])))
    with LogWriter.open(folder, StillClock(), options) as writer, LogReader(folder, archives=COPIES) as reader:
        for write in writes:
            log += add(writer, *write)
            action = data.draw(st.sampled_from(["wait", "read", "read one", "archive"]))
            if action == "archive":
                for segment in writer.closed():
                    archive(segment)
            read += list(reader.blocks()) if action == "read" else []
            if action == "read one":
                read += islice(reader.blocks(), 1)
            assert reader.next_block in (None, len(read))
        read += list(reader.blocks())
        assert list(reader.blocks()) == []
    assert plain(read) == plain(log)


def test_what_is_not_durable_is_not_seen_by_one_that_commits(tmp_path: Path) -> None:
    seen: list[list[int]] = []

    def step(name: str) -> None:
        seen.append([item.header.number for item in reader.blocks() if isinstance(item, LogBlock)])

    with LogWriter.open(tmp_path, StillClock(), WriterOptions(segment_bytes=600), step=step) as writer:
        reader = LogReader(tmp_path, until=lambda: writer.next_block)
        for _ in range(4):
            seen.clear()
            made = add(writer, (1, 0), (1, 0))
            assert not any(seen)
            assert [item.header.number for item in reader.blocks() if isinstance(item, LogBlock)] == [
                block.header.number for block in made
            ]
        reader.close()


def test_a_position_behind_the_end_waits_for_what_is_durable(tmp_path: Path) -> None:
    write_log(tmp_path, [[(2, 0)]])
    with (
        LogWriter.open(tmp_path, StillClock()) as writer,
        LogReader(tmp_path, position=5, until=lambda: writer.next_block) as reader,
    ):
        assert list(reader.blocks()) == []
        made = add(writer, (9, 0))
        assert plain(reader.blocks()) == plain(made)


def test_a_block_that_is_being_written_is_seen_only_when_it_is_whole(tmp_path: Path) -> None:
    log = write_log(tmp_path, [[(2, 0)], [(1, 1)]])
    path = only_segment(tmp_path)
    data, (start, _) = path.read_bytes(), places(path, log)[1]
    path.write_bytes(data[:start])
    with LogReader(tmp_path) as reader, path.open("ab") as file:
        assert plain(reader.blocks()) == plain(log[:1])
        for byte in range(start, len(data)):
            assert list(reader.blocks()) == []
            file.write(data[byte : byte + 1])
            file.flush()
        assert plain(reader.blocks()) == plain(log[1:])


def test_what_was_read_while_it_changed_is_read_again_before_it_is_called_damaged(tmp_path: Path) -> None:
    log = write_log(tmp_path, [[(2, 0)], [(2, 0)], [(1, 0)]])
    path = only_segment(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"n": 2', b'"n": 7'))
    with LogReader(tmp_path) as reader:
        items = reader.blocks()
        assert plain(islice(items, 1)) == plain(log[:1])
        path.write_bytes(data)
        assert plain(items) == plain(log[1:])


def test_a_folder_without_a_log_is_asked_again(tmp_path: Path) -> None:
    with LogReader(tmp_path) as reader:
        assert list(reader.blocks()) == []
        log = write_log(tmp_path, [[(1, 0)]])
        assert plain(reader.blocks()) == plain(log)


def test_a_segment_that_the_writer_took_back_is_left(tmp_path: Path) -> None:
    log = write_log(tmp_path, [[(1, 0)]])
    shutil.copytree(tmp_path, tmp_path / "other")
    (taken_back,) = blocks([(1, 0)], 1, 1)
    with LogWriter.open(tmp_path / "other", StillClock(), EVERY_WRITE) as writer:
        writer.append([taken_back])
    begun = tmp_path / segment_name(1, 1)
    begun.write_bytes((tmp_path / "other" / begun.name).read_bytes().partition(b'{"block":')[0])
    with LogReader(tmp_path) as reader:
        assert plain(reader.blocks()) == plain(log)
        begun.unlink()
        assert list(reader.blocks()) == []
        with LogWriter.open(tmp_path, StillClock()) as writer:
            made = add(writer, (3, 0))
        assert plain(reader.blocks()) == plain(made)


WRITING = """
import sys
from pathlib import Path
from streamgauge.clock import SystemClock
from streamgauge.log.writer import LogWriter, WriterOptions
from tests.log.blocks import add

with LogWriter.open(Path(sys.argv[1]), SystemClock(), WriterOptions(segment_bytes=100_000)) as writer:
    for number in range(300):
        add(writer, (3, 1), (0, 0), size=number % 7 * 400)
"""


def test_another_process_reads_while_it_is_written_and_compacted(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([".", *sys.path])}
    process = subprocess.Popen([sys.executable, "-c", WRITING, str(tmp_path)], env=environment)
    done = threading.Event()

    def compact() -> None:
        while not done.wait(0.005):
            for segment in list_segments(tmp_path, COPIES)[:-1]:
                if segment.written:
                    archive(segment)

    compactor = threading.Thread(target=compact)
    compactor.start()
    try:
        with LogReader(tmp_path, archives=COPIES) as reader:
            read: list[tuple[int, int, bytes, bytes]] = []
            polls = 0
            while process.poll() is None:
                read += plain(reader.blocks())
                polls += 1
            read += plain(reader.blocks())
    finally:
        done.set()
        compactor.join()
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert [number for number, *_ in read] == list(range(600))
    assert polls > 5
    assert not verify(tmp_path, COPIES).damages


# Damage


def test_damage_is_named_in_its_place_and_reading_goes_on(tmp_path: Path) -> None:
    log = long_log(tmp_path, *WRITES)
    path = list_segments(tmp_path)[2].path
    (start, end), *_ = places(path, log[3:6])
    data = bytearray(path.read_bytes())
    data[end - 9] ^= 32
    path.write_bytes(data)
    read = read_log(tmp_path)
    damage = read.pop(3)
    assert str(damage) == (
        f"{path}: at byte {start}: block 3 is damaged: the checksum of its events and dead letters does not match; "
        "block 3 is missing (positions 3 to 5)"
    )
    assert plain(read) == plain([*log[:3], *log[4:]])
    assert plain(read_log(tmp_path, after_block=3)) == plain(log[4:])


@pytest.mark.parametrize("after", range(-1, LAST_BLOCK + 1))
def test_it_begins_behind_any_block_also_where_an_earlier_one_is_damaged(tmp_path: Path, after: int) -> None:
    log = write_log(tmp_path, [write for writes in WRITES for write in [writes]])
    path = only_segment(tmp_path)
    data = bytearray(path.read_bytes())
    for number in (0, 3):
        data[places(path, log)[number][0] + 12] ^= 64
    path.write_bytes(data)
    items = read_log(tmp_path, after_block=after)
    read = [item.header.number for item in items if isinstance(item, LogBlock)]
    assert read == [number for number in range(after + 1, LAST_BLOCK + 1) if number not in (0, 3)]
    damaged = [item.first_block for item in items if isinstance(item, Damage)]
    assert damaged == [number for number in (0, 3) if number > after]


def test_a_damaged_block_at_the_growing_end_is_named_when_something_follows(tmp_path: Path) -> None:
    with LogWriter.open(tmp_path, StillClock()) as writer, LogReader(tmp_path) as reader:
        log = add(writer, (2, 0)) + add(writer, (2, 0))
        path = only_segment(tmp_path)
        data = bytearray(path.read_bytes())
        data[-9] ^= 1
        path.write_bytes(data)
        assert plain(reader.blocks()) == plain(log[:1])
        assert list(reader.blocks()) == []
        log += add(writer, (1, 0))
        damage, last = reader.blocks()
        assert isinstance(damage, Damage)
        assert (damage.first_block, damage.next_block) == (1, 2)
        assert plain([last]) == plain(log[2:])


def test_a_damaged_first_line_costs_no_block(tmp_path: Path) -> None:
    log = long_log(tmp_path, *WRITES)
    path = list_segments(tmp_path)[1].path
    path.write_bytes(b"?" + path.read_bytes()[1:])
    damage = read_log(tmp_path)[2]
    assert isinstance(damage, Damage)
    assert damage.blocks == 0
    assert str(damage).endswith(
        "first line of the segment is damaged: its checksum does not match; no block is missing"
    )
    assert plain(item for item in read_log(tmp_path) if isinstance(item, LogBlock)) == plain(log)


@pytest.mark.parametrize("whole", [True, False])
def test_a_damaged_archive_is_named_and_what_is_whole_is_read(tmp_path: Path, whole: bool) -> None:
    log = long_log(tmp_path, *WRITES)
    path = archive(list_segments(tmp_path)[2])
    data = bytearray(path.read_bytes())
    data[data.index(b'{"block":4') + 12] ^= 64
    path.write_bytes(b"broken" if whole else data)
    lost = [3, 4, 5] if whole else [4]
    items = read_log(tmp_path, COPIES)
    (damage,) = (item for item in items if isinstance(item, Damage))
    assert (damage.file, damage.first_block, damage.next_block) == (str(path), lost[0], lost[-1] + 1)
    assert plain(item for item in items if isinstance(item, LogBlock)) == plain(
        block for block in log if block.header.number not in lost
    )
    assert verify(tmp_path, COPIES).damages == [damage]


def test_an_archive_beside_its_segment_is_not_read(tmp_path: Path) -> None:
    log = long_log(tmp_path, *WRITES)
    archive(list_segments(tmp_path)[1], keep=True).write_bytes(b"broken")
    assert plain(read_log(tmp_path, COPIES)) == plain(log)


def test_a_log_whose_newest_segment_is_an_archive_goes_on(tmp_path: Path) -> None:
    log = long_log(tmp_path, *WRITES)
    path = archive(list_segments(tmp_path)[-1])
    with LogReader(tmp_path, archives=COPIES) as reader:
        assert plain(reader.blocks()) == plain(log)
        with LogWriter.open(tmp_path, StillClock(), archives=COPIES) as writer:
            assert [header.number for header in writer.lanes().values()] == [LAST_BLOCK]
            made = add(writer, (1, 0))
        assert plain(reader.blocks()) == plain(made)
    list_segments(tmp_path)[-1].path.unlink()
    path.write_bytes(b"broken")
    with pytest.raises(StoreError, match=r"is broken.*: the log cannot go on after it; restore this file"):
        LogWriter.open(tmp_path, StillClock(), archives=COPIES)
