"""Blocks of NDJSON: where they are cut, lines that are too long, and that buffers do not matter."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.codecs.base import BLANKS, Piece
from streamgauge.codecs.ndjson import LineCutter, NoRoom, last_feed
from streamgauge.event import Block, Lane
from streamgauge.log import lines_of
from tests.log.reading import read_bytes, records


class Bytes:
    """A source of given bytes; ``known`` tells whether it says how many are left."""

    def __init__(self, data: bytes, known: bool) -> None:
        self._data = data
        self._known = known
        self.offset = 0

    @property
    def remaining(self) -> int | None:
        return len(self._data) - self.offset if self._known else None

    def fill(self, view: memoryview) -> int:
        part = self._data[self.offset : self.offset + len(view)]
        view[: len(part)] = part
        self.offset += len(part)
        return len(part)


def cut(data: bytes, block_bytes: int, max_line: int, sizes: list[int], known: bool = True) -> list[Piece]:
    cutter = LineCutter(Bytes(data, known), block_bytes, max_line)
    pieces: list[Piece] = []
    offered = iter(sizes)
    while True:
        into = bytearray(next(offered, 64))
        while True:
            try:
                piece = cutter.read_into(memoryview(into))
                break
            except NoRoom as error:
                if error.needed <= len(into):
                    raise
                into = bytearray(error.needed)
        if piece is None:
            return pieces
        pieces.append(Piece(piece.offset, piece.end, piece.first_line, bytes(piece.data), piece.refused, piece.last))


LINES = st.lists(
    st.sampled_from([b"", b" ", b"a", b"{}", b'{"a":1}', b"\r", b"x" * 9, b"y" * 20, b"z" * 40]), max_size=20
)
TEXTS = st.builds(lambda lines, last: b"\n".join(lines) + last, LINES, st.sampled_from([b"", b"\n", b"w" * 30]))


@given(TEXTS, st.integers(1, 50), st.integers(1, 30), st.lists(st.integers(0, 70), max_size=20), st.booleans())
def test_no_buffer_changes_the_blocks(data: bytes, block: int, longest: int, sizes: list[int], known: bool) -> None:
    assert cut(data, block, longest, sizes, known) == cut(data, block, longest, [1000] * 100)


@given(TEXTS, st.integers(1, 50), st.integers(1, 30))
def test_cutting_equals_splitting_at_line_feeds(data: bytes, block: int, longest: int) -> None:
    lines = [line for line in data.split(b"\n") if line.strip(BLANKS)]
    expected = [line if len(line) <= longest else b"!" for line in lines]
    pieces = cut(data, block, longest, [])
    assert [line for piece in pieces for line in bytes(piece.data).split(b"\n") if line.strip(BLANKS)] == expected
    assert [refused.data for piece in pieces for refused in piece.refused] == [x for x in lines if len(x) > longest]


@given(TEXTS, st.integers(1, 50), st.integers(1, 30))
def test_every_record_is_found_again_with_its_line_offset_and_bytes(data: bytes, block: int, longest: int) -> None:
    expected, place = [], 0
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip(BLANKS):
            expected.append((number, place, line.removesuffix(b"\r")))
        place += len(line) + 1
    found = []
    for piece in cut(data, block, longest, []):
        whole = Block(Lane(0, "x"), 0, piece.offset, piece.end, piece.first_line, piece.data, piece.refused)
        count = sum(1 for line in bytes(piece.data).split(b"\n") if line.strip(BLANKS))
        found += lines_of(whole, range(count))
    assert found == expected


@given(TEXTS, st.integers(1, 50), st.integers(1, 30), st.data())
def test_reading_on_at_any_cut_gives_the_rest(data: bytes, block: int, longest: int, draw: st.DataObject) -> None:
    pieces = cut(data, block, longest, [])
    if pieces:
        at = draw.draw(st.integers(0, len(pieces) - 1))
        rest = cut(data[pieces[at].end :], block, longest, [])
        assert [bytes(piece.data) for piece in rest] == [bytes(piece.data) for piece in pieces[at + 1 :]]


@given(TEXTS, st.integers(1, 50), st.integers(1, 30))
def test_only_the_last_block_says_last(data: bytes, block: int, longest: int) -> None:
    pieces = cut(data, block, longest, [])
    assert not any(piece.last for piece in pieces[:-1])
    if pieces and not data[pieces[-1].end :]:
        assert pieces[-1].last


@given(st.binary(max_size=60), st.integers(0, 60), st.integers(0, 60))
def test_last_feed_is_rfind(data: bytes, start: int, end: int) -> None:
    assert last_feed(memoryview(data), start, min(end, len(data))) == data.rfind(b"\n", start, min(end, len(data)))


def test_last_feed_far_from_the_end() -> None:
    data = b"\n" + b"x" * 100_000
    assert last_feed(memoryview(data), 0, len(data)) == 0


def test_a_block_is_cut_back_to_the_last_line_feed() -> None:
    assert [bytes(piece.data) for piece in cut(b"aaa\nbbb\nccc\n", 10, 99, [])] == [b"aaa\nbbb\n", b"ccc\n"]


def test_a_line_longer_than_a_block_extends_it() -> None:
    assert [bytes(piece.data) for piece in cut(b"a\n" + b"b" * 30 + b"\nc\n", 10, 99, [])] == [
        b"a\n",
        b"b" * 30 + b"\n",
        b"c\n",
    ]


@pytest.mark.parametrize(("length", "kept"), [(20, True), (21, False)])
def test_a_line_of_exactly_max_line_is_kept(length: int, kept: bool) -> None:
    for block_bytes in (5, 100):
        (piece,) = cut(b"x" * length, block_bytes, 20, [])
        assert bytes(piece.data) == (b"x" * length + b"\n" if kept else b"!\n")


def test_a_refused_line_keeps_its_first_bytes_and_its_length(tmp_path: Path) -> None:
    line = b'{"a":"' + b"x" * 300_000 + b'"}'
    blocks = read_bytes(tmp_path, b'{"a":1}\n' + line + b'\n{"a":2}\n', max_line=100_000)
    (refused,) = [refused for block in blocks for refused in block.refused]
    assert (refused.line, refused.offset, refused.length) == (2, 8, len(line))
    assert (refused.reason, refused.data) == ("line over max_line", line[:4096])
    assert records(blocks) == [b'{"a":1}', b"!", b'{"a":2}']


def test_a_line_feed_is_added_to_the_last_line_and_not_counted() -> None:
    (piece,) = cut(b"a\nb", 10, 99, [])
    assert (bytes(piece.data), piece.end) == (b"a\nb\n", 3)


def test_a_lone_carriage_return_ends_no_line() -> None:
    (piece,) = cut(b"a\rb\r\nc\n", 20, 99, [])
    block = Block(Lane(0, "x"), 0, 0, piece.end, 1, piece.data)
    assert lines_of(block, [0, 1]) == [(1, 0, b"a\rb"), (2, 5, b"c")]
