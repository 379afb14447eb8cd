"""Reading a segment file as it is, in parts, and past what is damaged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamgauge.log.scan import Bad, Placed, Window, next_intact, read_block, read_opening
from streamgauge.log.segment import Head, encode_block, encode_head
from tests.log.blocks import block, only_segment, places, write_log

CHUNK = 1 << 20


@contextmanager
def window_of(path: Path) -> Iterator[Window]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield Window(descriptor)
    finally:
        os.close(descriptor)


def test_bytes_and_lines_are_had_from_anywhere(tmp_path: Path) -> None:
    data = b"".join(b"%d\n" % n * (n % 50) for n in range(60_000)) + b"no end"
    (tmp_path / "a").write_bytes(data)
    with window_of(tmp_path / "a") as window:
        assert window.size == len(data)
        for offset in (0, 5, CHUNK - 3, CHUNK, 3 * CHUNK + 7, 0, len(data) - 8):
            assert window.take(offset, 20) == data[offset : offset + 20]
            assert window.line(offset) == data[offset : data.index(b"\n", offset) + 1]
        assert window.take(3, 2 * CHUNK) == data[3 : 3 + 2 * CHUNK]
        assert window.line(len(data) - 4) is None
        assert window.take(len(data), 5) == b""


def test_a_line_longer_than_what_is_read_at_once(tmp_path: Path) -> None:
    line = b"x" * (2 * CHUNK + 5) + b"\n"
    (tmp_path / "a").write_bytes(b"a\n" + line + b"b\n")
    with window_of(tmp_path / "a") as window:
        assert window.line(2) == line
        assert window.line(2 + len(line)) == b"b\n"


def test_a_file_that_grew_or_changed_is_read_afresh_after_forget(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one\nt")
    with window_of(path) as window:
        assert window.line(0) == b"one\n"
        path.write_bytes(b"two\ntwo\n")
        assert (window.line(0), window.line(4)) == (b"one\n", b"two\n")
        window.forget()
        assert window.line(0) == b"two\n"


@pytest.mark.parametrize(
    ("start", "end", "zeros", "found"),
    [
        (0, 2000, (512, 1024), True),
        (0, 2000, (513, 1024), False),
        (600, 2000, (600, 1024), True),
        (600, 2000, (601, 1024), False),
        (0, 1100, (1024, 1100), True),
        (0, 1100, (1025, 1100), False),
        (0, 2000, (0, 0), False),
        (700, 700, (0, 2000), False),
    ],
)
def test_a_hole_is_a_sector_of_zeros(tmp_path: Path, start: int, end: int, zeros: tuple[int, int], found: bool) -> None:
    data = bytearray(b"x" * 2000)
    data[slice(*zeros)] = bytes(zeros[1] - zeros[0])
    (tmp_path / "a").write_bytes(data)
    with window_of(tmp_path / "a") as window:
        assert window.has_hole(start, end) is found


def test_the_next_intact_block_is_found_across_what_is_read_at_once(tmp_path: Path) -> None:
    sought = encode_block(block(9, 50), 9)
    for before in range(CHUNK - 30, CHUNK + 30, 3):
        (tmp_path / "a").write_bytes(b"y" * before + b"\n" + sought)
        with window_of(tmp_path / "a") as window:
            bad = read_block(window, 0, 3, 10)
            assert isinstance(bad, Bad)
            found = next_intact(window, bad, 3, 10)
            assert found is not None
            assert found.offset == before + 1


def test_an_older_block_does_not_belong_here_intact_or_not(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x\n" + encode_block(block(2, 50), 2) + encode_block(block(5, 9), 5))
    with window_of(tmp_path / "a") as window:
        bad = read_block(window, 2, 3, 10)
        assert isinstance(bad, Bad)
        assert bad.problem == "block 2 stands where block 3 was expected"
        assert next_intact(window, bad, 3, 10) is None


def test_every_damaged_byte_leaves_the_other_blocks_to_be_found(tmp_path: Path) -> None:
    log = write_log(tmp_path, [[(1, 0), (0, 0), (0, 0), (1, 1)]])
    path = only_segment(tmp_path)
    data, where = path.read_bytes(), places(path, log)
    for place in range(where[0][0], len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x14]) + data[place + 1 :])
        with window_of(path) as window:
            hit = next(number for number, (start, end) in enumerate(where) if start <= place < end)
            bad = read_block(window, where[hit][0], hit, 0)
            assert isinstance(bad, Bad)
            after = next_intact(window, bad, hit, 0)
            assert (after.block.header.number if after else 4) == hit + 1


def test_an_opening_is_read_as_far_as_it_is_whole(tmp_path: Path) -> None:
    data = encode_head(Head(3, 1, 9), [block(0, 0).header])
    first = data.index(b"\n") + 1
    expected = {
        0: "the file is empty",
        5: "first line of the segment is damaged: it is not whole",
        first: "it is not whole",
    }
    for size, problem in expected.items():
        (tmp_path / "a").write_bytes(data[:size])
        with window_of(tmp_path / "a") as window:
            opening = read_opening(window, "a")
            assert opening.bad is not None
            assert problem in opening.bad.problem
            assert (opening.head is None, opening.lanes) == (size < first, None)
    (tmp_path / "a").write_bytes(data + encode_block(block(1, 3), 1))
    with window_of(tmp_path / "a") as window:
        opening = read_opening(window, "a")
        assert (opening.head, opening.end, opening.bad) == (Head(3, 1, 9), len(data), None)
        assert isinstance(read_block(window, opening.end, 1, 3), Placed)
