"""Compressed inputs: many members and frames, cut, damaged, and followed by garbage."""

from __future__ import annotations

import gzip
import itertools
import os
import random
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.errors import InputError
from streamgauge.log import InputOptions, identify, open_lane
from streamgauge.log.streams import Feed, RawFile
from tests.log.reading import blocks_of, read_bytes, records

LINES = b"".join(b'{"n":%d}\n' % n for n in range(20_000))
NOISE = b"".join(b'{"n":"%x"}\n' % random.Random(n).getrandbits(256) for n in range(20_000))


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def members(data: bytes, cuts: list[int], compress: object) -> bytes:
    edges = [0, *sorted(cuts), len(data)]
    return b"".join(compress(data[a:b]) for a, b in itertools.pairwise(edges))  # type: ignore[operator]


@given(st.lists(st.integers(0, 2000), max_size=5), st.sampled_from([gzip.compress, zst]), st.integers(100, 3000))
def test_members_and_frames_may_be_cut_anywhere(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], compress: object, block_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("members")
    data = LINES[:2000] + b"\n"
    plain = read_bytes(folder, data, block_bytes=block_bytes)
    packed = read_bytes(folder, members(data, cuts, compress), block_bytes=block_bytes)
    assert [(b.offset, b.end, b.data) for b in packed] == [(b.offset, b.end, b.data) for b in plain]


@pytest.mark.parametrize("compress", [gzip.compress, zst])
def test_a_truncated_file_gives_all_that_can_be_read_and_says_so(tmp_path: Path, compress: object) -> None:
    packed = compress(NOISE)  # type: ignore[operator]
    path = tmp_path / "cut"
    path.write_bytes(packed[: len(packed) // 2])
    with open_lane(str(path), 0) as reader:
        blocks = blocks_of(reader)
    got = records(blocks)
    end = blocks[-1].end
    assert end > len(NOISE) // 3
    assert b"\n".join(got)[: end - 1] == NOISE[: end - 1]
    assert str(reader.problem) == f"{path}: ended early after {end} bytes: the compressed file is truncated"


@pytest.mark.parametrize("missing", [1, 4, 7, 8])
def test_a_gzip_file_without_its_checksum_is_truncated(tmp_path: Path, missing: int) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(LINES)[:-missing])
    with open_lane(str(path), 0) as reader:
        assert len(records(blocks_of(reader))) == 20_000
    assert reader.problem is not None


@pytest.mark.parametrize("missing", [1, 4])
def test_a_zstd_file_without_its_checksum_is_truncated(tmp_path: Path, missing: int) -> None:
    path = tmp_path / "cut.zst"
    path.write_bytes(zst(LINES)[:-missing])
    with open_lane(str(path), 0) as reader:
        assert len(records(blocks_of(reader))) == 20_000
    assert "truncated" in str(reader.problem)


@pytest.mark.parametrize("compress", [gzip.compress, zst])
def test_a_damaged_file_says_so(tmp_path: Path, compress: object) -> None:
    packed = bytearray(compress(NOISE))  # type: ignore[operator]
    middle = len(packed) * 3 // 4
    packed[middle : middle + 40] = os.urandom(40)
    path = tmp_path / "damaged"
    path.write_bytes(packed)
    with open_lane(str(path), 0) as reader:
        blocks = blocks_of(reader)
    assert "the compressed file is damaged" in str(reader.problem)
    assert blocks[-1].end > len(NOISE) // 4


def test_zeros_behind_gzip_are_ignored_and_garbage_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    for tail, notes in ((b"\0" * 100, 0), (b"garbage", 1), (b"\0\0" + gzip.compress(b'{"n":1}\n'), 0)):
        path.write_bytes(gzip.compress(LINES) + tail)
        with open_lane(str(path), 0) as reader:
            assert len(records(blocks_of(reader))) >= 20_000
        assert reader.problem is None
        assert len(reader.notes) == notes


def test_skippable_zstd_frames_are_skipped(tmp_path: Path) -> None:
    skippable = b"\x5f\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    assert len(records(read_bytes(tmp_path, zst(LINES) + skippable + zst(LINES)))) == 40_000


def test_garbage_behind_zstd_is_a_problem_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.zst"
    path.write_bytes(zst(LINES) + b"garbage")
    with open_lane(str(path), 0) as reader:
        assert len(records(blocks_of(reader))) == 20_000
    assert "what follows is no zstd frame" in str(reader.problem)


@pytest.mark.parametrize("compress", [gzip.compress, zst])
def test_the_cursor_is_the_place_in_the_decompressed_lane(tmp_path: Path, compress: object) -> None:
    packed = compress(LINES)  # type: ignore[operator]
    blocks = read_bytes(tmp_path, packed, block_bytes=10_000)
    rest = read_bytes(tmp_path, packed, block_bytes=10_000, cursor=blocks[4].end, first_line=blocks[5].first_line)
    assert [(b.offset, b.first_line, b.data) for b in rest] == [(b.offset, b.first_line, b.data) for b in blocks[5:]]


@pytest.mark.parametrize("compress", [gzip.compress, zst])
def test_identity_is_of_the_decompressed_bytes(tmp_path: Path, compress: object) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.write_bytes(LINES)
    packed.write_bytes(compress(LINES))  # type: ignore[operator]
    with open_lane(str(plain), 0, InputOptions(block_bytes=1000)) as reader:
        assert identify(str(packed), None, [reader.lane.identity]) == reader.lane.identity


def test_empty_once_decompressed(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(InputError, match="is empty once decompressed"):
        open_lane(str(path), 0)


@pytest.mark.parametrize("packed", [gzip.compress(LINES, mtime=0)[:5], zst(LINES)[:6]])
def test_cut_before_the_first_byte(tmp_path: Path, packed: bytes) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(packed)
    with pytest.raises(InputError, match="cannot be read: the compressed file is truncated"):
        open_lane(str(path), 0)


def test_the_name_does_not_tell_the_compression(tmp_path: Path) -> None:
    path = tmp_path / "calls.gz"
    path.write_bytes(LINES)
    with open_lane(str(path), 0) as reader:
        assert len(records(blocks_of(reader))) == 20_000


@given(st.lists(st.tuples(st.sampled_from(["peek", "read"]), st.integers(0, 40)), max_size=20))
def test_looking_ahead_changes_nothing(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]) -> None:
    path = tmp_path_factory.mktemp("feed") / "a"
    data = bytes(range(200))
    path.write_bytes(data)
    raw = RawFile(os.open(path, os.O_RDONLY))
    feed, at = Feed(raw, raw.size), 0
    for step, size in steps:
        if step == "peek":
            assert feed.peek(size) == data[at : at + size]
        else:
            assert feed.read(size) == data[at : at + size]
            at = min(200, at + size)
        assert (feed.offset, feed.remaining) == (at, 200 - at)
    raw.close()
