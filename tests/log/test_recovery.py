"""Restarts after a process or the power ended, and after a disk lost something: what is cut, and what is said."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.errors import StoreError
from streamgauge.log.base import LogBlock
from streamgauge.log.catalog import list_segments
from streamgauge.log.recovery import recover, verify
from streamgauge.log.segment import seal
from streamgauge.log.writer import LogWriter, WriterOptions
from tests.log.blocks import StillClock, add, only_segment, places, plain, read_log, write_log

SECTOR = 512
WRITES = [[(2, 0)], [(1, 1), (0, 0)], [(2, 1)]]


def flip(path: Path, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def restart(folder: Path) -> LogWriter:
    return LogWriter.open(folder, StillClock())


# Torn tails


def test_a_log_cut_at_any_byte_of_its_last_block_loses_exactly_that_block(tmp_path: Path) -> None:
    log = write_log(tmp_path, WRITES)
    path = only_segment(tmp_path)
    data, (start, end) = path.read_bytes(), places(path, log)[-1]
    for size in range(start, end):
        path.write_bytes(data[:size])
        with restart(tmp_path) as writer:
            cut = writer.cut
            assert (cut is None) == (size == start)
            assert cut is None or (cut.file, cut.offset, cut.end, cut.block) == (str(path), start, size, 3)
            assert (writer.damages, writer.next_block, writer.next_position) == ([], 3, 4)
            assert path.stat().st_size == start
            again = add(writer, (1, 0))
        assert plain(read_log(tmp_path)) == plain([*log[:3], *again])


def test_what_was_cut_is_said(tmp_path: Path) -> None:
    write_log(tmp_path, WRITES)
    path = only_segment(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    with restart(tmp_path) as writer:
        assert str(writer.cut).startswith(f"{path}: cut ")
        assert str(writer.cut).endswith("a write of block 3 that did not finish")


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=4), min_size=2, max_size=5),
    st.integers(0, 400),
    st.randoms(use_true_random=False),
)
def test_a_loss_of_power_loses_nothing_but_the_last_write(
    tmp_path_factory: pytest.TempPathFactory, writes: list[list[tuple[int, int]]], size: int, chance: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("log")
    durable = write_log(folder, writes[:-1], size=size)
    path = only_segment(folder)
    before = path.read_bytes()
    with restart(folder) as writer:
        unsynced = add(writer, *writes[-1], size=size)
    after = bytearray(path.read_bytes())
    for sector in range(len(before) // SECTOR, len(after) // SECTOR + 1):
        start, end = max(len(before), sector * SECTOR), min(len(after), (sector + 1) * SECTOR)
        if chance.random() < 0.5:
            after[start:end] = bytes(end - start)
    path.write_bytes(after[: chance.randint(len(before), len(after))])

    with restart(folder) as writer:
        assert writer.damages == []
        kept = writer.next_block
        again = add(writer, (1, 0))
    assert plain(read_log(folder)) == plain([*(durable + unsynced)[:kept], *again])
    assert kept >= len(durable)
    assert not verify(folder).damages


def test_zeros_behind_the_last_block_are_cut(tmp_path: Path) -> None:
    log = write_log(tmp_path, WRITES)
    path = only_segment(tmp_path)
    size = path.stat().st_size
    for zeros in (1, 511, 512, 100_000):
        path.write_bytes(path.read_bytes()[:size] + bytes(zeros))
        with restart(tmp_path) as writer:
            assert (writer.next_block, writer.damages) == (len(log), [])
        assert path.stat().st_size == size


def test_a_segment_of_which_every_block_was_torn_is_gone_on_with(tmp_path: Path) -> None:
    log = write_log(tmp_path, [[(2, 0)]])
    path = only_segment(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    with LogWriter.open(tmp_path, StillClock(), WriterOptions(segment_bytes=0)) as writer:
        assert writer.next_block == 0
        again = add(writer, (2, 0)) + add(writer, (1, 0))
        assert [segment.block for segment in list_segments(tmp_path)] == [0, 1]
    assert plain(again[:1]) == plain(log)
    assert plain(read_log(tmp_path)) == plain(again)


# Damage


def test_every_flipped_bit_is_found_and_never_taken_for_a_torn_tail(tmp_path: Path) -> None:
    log = write_log(tmp_path, [[(1, 0)], [(0, 1), (0, 0)], [(0, 0)]])
    (segment,) = list_segments(tmp_path)
    where = places(segment.path, log)
    for bit in range(segment.size * 8):
        flip(segment.path, bit)
        found = recover(segment)
        assert (len(found.damages), found.cut, found.size) == (1, None, segment.size)
        hit = [number for number, (start, end) in enumerate(where) if start <= bit // 8 < end]
        damage = found.damages[0]
        assert damage.offset <= bit // 8 < damage.end
        assert damage.next_block is not None
        assert list(range(damage.first_block, min(damage.next_block, len(log)))) == hit
        assert found.next_block >= len(log)
        assert found.next_position >= log[-1].header.next_position
        flip(segment.path, bit)


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_all_but_a_damaged_block_stays_readable_and_its_numbers_are_not_used_again(tmp_path: Path, number: int) -> None:
    log = write_log(tmp_path, WRITES)
    path = only_segment(tmp_path)
    start, end = places(path, log)[number]
    flip(path, (end - 3) * 8)
    with restart(tmp_path) as writer:
        again = add(writer, (1, 0))
        assert again[0].header.number == 4
        assert len(writer.closed()) == 1, "nothing is appended to a damaged segment"
        (damage,) = writer.damages
        assert (damage.file, damage.offset, damage.first_block, damage.next_block) == (
            str(path),
            start,
            number,
            number + 1,
        )
    with pytest.raises(TypeError, match=f"at byte {start}: .*block {number} is damaged|header of block {number}"):
        plain(read_log(tmp_path))
    read = [item for item in read_log(tmp_path) if isinstance(item, LogBlock)]
    assert plain(read) == plain([*log[:number], *log[number + 1 :], *again])
    assert [(d.first_block, d.next_block) for d in verify(tmp_path).damages] == [(number, number + 1)]


def test_where_the_last_header_itself_is_damaged_more_numbers_are_left_out_than_it_can_have_had(tmp_path: Path) -> None:
    log = write_log(tmp_path, [[(2, 0)], [(0, 0), (0, 0), (9, 9)]])
    path = only_segment(tmp_path)
    data = path.read_bytes()
    start = places(path, log)[1][0]
    path.write_bytes(data[:start] + data[start:].replace(b'"lane"', b'"lame"'))
    with restart(tmp_path) as writer:
        assert writer.next_block >= 4
        assert writer.next_position >= log[-1].header.next_position
        again = add(writer, (1, 0))
    before, damage, after = read_log(tmp_path)
    assert plain([before, after]) == plain([log[0], *again])
    assert "the header of block 1 is damaged: its checksum does not match; blocks 1 to" in str(damage)


def test_a_hole_before_a_later_write_is_damage_and_not_a_torn_tail(tmp_path: Path) -> None:
    log = write_log(tmp_path, [[(2, 0)], [(2, 0), (1, 0)], [(1, 0)]], size=2000)
    path = only_segment(tmp_path)
    data = bytearray(path.read_bytes())
    start, end = places(path, log)[1]
    hole = start - start % SECTOR + SECTOR
    data[hole : hole + SECTOR] = bytes(SECTOR)
    path.write_bytes(data)
    with restart(tmp_path) as writer:
        assert writer.cut is None
        assert [(d.offset, d.end, d.first_block, d.next_block) for d in writer.damages] == [(start, end, 1, 2)]
        assert writer.next_block == 4


def test_a_hole_in_the_last_write_is_cut_with_all_of_it_that_follows(tmp_path: Path) -> None:
    log = write_log(tmp_path, [[(2, 0)], [(2, 0), (1, 0), (1, 0)]], size=2000)
    path = only_segment(tmp_path)
    data = bytearray(path.read_bytes())
    start = places(path, log)[1][0]
    hole = start - start % SECTOR + SECTOR
    data[hole : hole + SECTOR] = bytes(SECTOR)
    path.write_bytes(data)
    with restart(tmp_path) as writer:
        assert (writer.damages, writer.next_block) == ([], 1)
        assert path.stat().st_size == start


def test_a_torn_tail_behind_damage_is_cut(tmp_path: Path) -> None:
    log = write_log(tmp_path, WRITES)
    path = only_segment(tmp_path)
    flip(path, (places(path, log)[0][1] - 3) * 8)
    path.write_bytes(path.read_bytes()[:-5])
    with restart(tmp_path) as writer:
        assert writer.cut is not None
        assert [(d.first_block, d.next_block) for d in writer.damages] == [(0, 1)]
        assert writer.next_block == 3


@pytest.mark.parametrize("data", [b"", bytes(5000), b"not a segment\n" * 99, b"{"])
def test_a_newest_segment_of_nothing_readable_is_kept_as_it_is(tmp_path: Path, data: bytes) -> None:
    with LogWriter.open(tmp_path, StillClock(), WriterOptions(segment_bytes=0)) as writer:
        first, _ = add(writer, (2, 0)), add(writer, (2, 0))
    path = list_segments(tmp_path)[-1].path
    path.write_bytes(data)
    with restart(tmp_path) as writer:
        assert [(d.file, d.first_block) for d in writer.damages] == [(str(path), 1)]
        assert writer.lanes() == {0: writer.lanes()[0]}
        again = add(writer, (1, 0))
        assert again[0].header.number > 1
    assert path.read_bytes() == data
    assert plain(item for item in read_log(tmp_path) if isinstance(item, LogBlock)) == plain([*first, *again])
    assert [damage.file for damage in verify(tmp_path).damages] == [str(path)]


# The whole log


def test_verify_counts_what_is_whole(tmp_path: Path) -> None:
    write_log(tmp_path, WRITES)
    found = verify(tmp_path)
    assert (found.segments, found.blocks, found.events, found.dead, found.damages) == (1, 4, 5, 2, [])


def test_verify_of_no_log_finds_nothing_and_of_no_folder_is_an_error(tmp_path: Path) -> None:
    assert verify(tmp_path).segments == 0
    with pytest.raises(StoreError, match=r"log .*/none: cannot be read: No such file or directory"):
        verify(tmp_path / "none")


def three_segments(folder: Path) -> list[LogBlock]:
    """A log of three segments of two blocks each."""
    log: list[LogBlock] = []
    for _ in range(3):
        with LogWriter.open(folder, StillClock(), WriterOptions(segment_bytes=0)) as writer:
            log += add(writer, (2, 0), (1, 1))
    return log


def test_a_removed_segment_is_named_with_what_is_missing(tmp_path: Path) -> None:
    log = three_segments(tmp_path)
    middle = list_segments(tmp_path)[1].path
    middle.unlink()
    (damage,) = verify(tmp_path).damages
    assert damage.file == str(middle)
    assert str(damage).endswith("blocks 2 to 3 are missing (positions 4 to 7)")
    assert "no such segment: it was removed, or segment-" in damage.problem
    *before, found, fifth, sixth = read_log(tmp_path)
    assert found == damage
    assert plain([*before, fifth, sixth]) == plain([*log[:2], *log[4:]])


@pytest.mark.parametrize("data", [b"", bytes(5000), b"\n", b"\xff" * 3000])
def test_a_closed_segment_of_nothing_readable_is_named(tmp_path: Path, data: bytes) -> None:
    log = three_segments(tmp_path)
    middle = list_segments(tmp_path)[1].path
    middle.write_bytes(data)
    (damage,) = verify(tmp_path).damages
    assert (damage.file, damage.first_block, damage.next_block) == (str(middle), 2, 4)
    assert plain(item for item in read_log(tmp_path) if isinstance(item, LogBlock)) == plain([*log[:2], *log[4:]])
    with restart(tmp_path) as writer:
        assert (writer.next_block, writer.damages) == (6, []), "only the newest segment is looked at"


def test_a_closed_segment_cut_anywhere_loses_what_was_behind(tmp_path: Path) -> None:
    three_segments(tmp_path)
    middle = list_segments(tmp_path)[1].path
    data = middle.read_bytes()
    fourth = data.index(b'{"block":3,')
    for size in range(0, len(data), 7):
        middle.write_bytes(data[:size])
        (damage,) = verify(tmp_path).damages
        assert (damage.first_block, damage.next_block) == (3 if size >= fourth else 2, 4)


def test_a_log_of_a_later_version_is_refused_and_everything_else_verified(tmp_path: Path) -> None:
    three_segments(tmp_path)
    newest = list_segments(tmp_path)[-1].path
    first, rest = newest.read_bytes().split(b"\n", 1)
    newest.write_bytes(seal(first[: -len('01234567"}')].replace(b'"format":1', b'"format":9')) + rest)
    with pytest.raises(StoreError, match=r"segment-0+8-0+4\.ndjson: is a log of format 9, this version of streamgauge"):
        restart(tmp_path)
    with pytest.raises(StoreError, match="format 9"):
        read_log(tmp_path)
    found = verify(tmp_path)
    assert (found.blocks, [damage.first_block for damage in found.damages]) == (4, [4])
    assert "format 9" in str(found.damages[0])


def test_an_unfinished_segment_is_named_and_removed_at_the_next_start(tmp_path: Path) -> None:
    three_segments(tmp_path)
    newest = list_segments(tmp_path)[-1].path
    shutil.copy(newest, tmp_path / "segment-00000000000000000012-00000000000000000006.ndjson.new")
    assert ["not finished" in damage.problem for damage in verify(tmp_path).damages] == [True]
    restart(tmp_path).close()
    assert not verify(tmp_path).damages
