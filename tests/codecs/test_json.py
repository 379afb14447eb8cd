"""Documents and arrays: elements become lines, places are kept, broken elements lose no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.codecs.base import Piece
from streamgauge.codecs.json import JsonCodec
from streamgauge.event import Block, Lane
from streamgauge.log import lines_of
from tests.codecs.test_ndjson import Bytes
from tests.data import data_path
from tests.log.reading import read, read_bytes, records

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('a{}[]",\\\n é'), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('k{"', max_size=2), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text("ab", max_size=2), VALUES, max_size=3), max_size=8)


def pieces_of(data: bytes, block_bytes: int = 1 << 20, max_line: int = 1 << 24, **options: Any) -> list[Piece]:
    codec = JsonCodec(Bytes(data, known=False), block_bytes, max_line, **options)
    pieces = []
    while piece := codec.next_piece():
        pieces.append(piece)
    return pieces


def lines(pieces: list[Piece]) -> list[bytes]:
    return [line.strip() for piece in pieces for line in bytes(piece.data).split(b"\n") if line.strip()]


def found(pieces: list[Piece]) -> list[tuple[int, int, bytes]]:
    result = []
    for piece in pieces:
        count = len(lines([piece]))
        block = Block(
            Lane(0, "x"), 0, piece.offset, piece.end, piece.first_line, piece.data, piece.refused, form="json"
        )
        result += lines_of(block, range(count))
    return result


@given(OBJECTS, st.sampled_from([None, 0, 1, 4]), st.booleans(), st.integers(1, 80), st.sampled_from(["\n", "\r\n"]))
def test_elements_and_documents_come_out_as_they_went_in(
    objects: list[Any], indent: int | None, array: bool, block_bytes: int, end: str
) -> None:
    if array:
        text = json.dumps(objects, indent=indent, ensure_ascii=False)
    else:
        text = "\n".join(json.dumps(value, indent=indent, ensure_ascii=False) for value in objects)
    data = text.replace("\n", end).encode()
    pieces = pieces_of(data, block_bytes)
    assert [json.loads(line) for line in lines(pieces)] == objects
    assert not any(piece.refused for piece in pieces)
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True] * bool(pieces)
    for line, offset, body in found(pieces):
        assert data.count(b"\n", 0, offset) + 1 == line
        assert data[offset : offset + len(body)].replace(b"\r\n", b" \n") == body


@given(OBJECTS, st.integers(1, 80))
def test_reading_on_at_any_cut_gives_the_rest(objects: list[Any], block_bytes: int) -> None:
    data = json.dumps(objects, indent=1).encode()
    pieces = pieces_of(data, block_bytes)
    for number, piece in enumerate(pieces):
        assert lines(pieces_of(data[piece.end :], block_bytes)) == lines(pieces[number + 1 :])


@given(
    st.lists(st.sampled_from(list(b'{}[]",:\\\n a1')), max_size=60).map(bytes), st.integers(1, 30), st.integers(1, 30)
)
def test_no_bytes_crash_the_codec_and_none_is_read_twice(data: bytes, block_bytes: int, max_line: int) -> None:
    end = 0
    for piece in pieces_of(data, block_bytes, max_line):
        assert end <= piece.offset < piece.end <= len(data)
        assert piece.first_line == data.count(b"\n", 0, piece.offset) + 1
        end = piece.end
    assert not data[end:].strip(b" \t\r\n,[]")


def test_two_documents_in_a_line_are_two() -> None:
    assert lines(pieces_of(b'{"a":1}{"a":2} {"a":3}')) == [b'{"a":1}', b'{"a":2}', b'{"a":3}']


def test_an_unbalanced_element_is_one_bad_line_and_the_others_are_read() -> None:
    data = b'[\n  {"a":1},\n  {"a":{"b":2},\n  {"a":3},\n  {"a":4}\n]\n'
    assert lines(pieces_of(data)) == [b'{"a":1}', b'{"a":{"b":2}', b'{"a":3}', b'{"a":4}']


def test_a_brace_too_many_is_a_bad_line_of_its_own() -> None:
    assert lines(pieces_of(b'[{"a":1}}, {"a":2}]')) == [b'{"a":1}', b"}", b'{"a":2}']


def test_numbers_and_strings_between_objects_are_bad_lines() -> None:
    assert lines(pieces_of(b'[1, "x,{", {"a":1}, NaN]')) == [b"1", b'"x,{"', b'{"a":1}', b"NaN"]


def test_a_line_break_inside_a_string_is_refused_with_its_place() -> None:
    pieces = pieces_of(b'[{"a":1},\n {"a":"x\ny"},\n {"a":2}]')
    (refused,) = [refused for piece in pieces for refused in piece.refused]
    assert (refused.line, refused.offset, refused.data) == (2, 11, b'{"a":"x\ny"}')
    assert refused.reason == "not JSON: a line break inside a string"
    assert found(pieces)[2] == (4, 25, b'{"a":2}')


def test_max_line_holds_for_each_element() -> None:
    long = b'{"a":"' + b"x" * 300 + b'","b":\n1}'
    for block_bytes in (50, 5000):
        pieces = pieces_of(b'[{"a":1},\n' + long + b',\n{"a":2}]', block_bytes, 200)
        (refused,) = [refused for piece in pieces for refused in piece.refused]
        assert (refused.reason, refused.line, refused.offset, refused.length) == (
            "line over max_line",
            2,
            10,
            len(long),
        )
        assert refused.data == long
        assert lines(pieces) == [b'{"a":1}', b"!", b'{"a":2}']
        assert found(pieces)[2] == (4, 10 + len(long) + 2, b'{"a":2}')


def test_an_object_that_never_ends_does_not_hide_those_after_it() -> None:
    data = b'{"a":\n' + b'{"a":1}\n' * 5000
    assert lines(pieces_of(data, 1000, 10_000)).count(b'{"a":1}') == 5000


def test_many_objects_that_never_end_cost_no_more_than_their_size() -> None:
    element = b'  {"a": {"b": 1},\n   "c": 2,\n'
    pieces = pieces_of(b"[\n" + element * 5_000, 1 << 16, 1 << 24)
    assert len(lines(pieces)) == 5_000


def test_depth_does_not_recurse(tmp_path: Path) -> None:
    deep = b'{"a":\n' * 10_000 + b"1" + b"}" * 10_000
    assert records(read_bytes(tmp_path, b"[" + deep + b"]")) == [deep.replace(b"\n", b"\r")]


def test_an_unfinished_document_is_left_for_the_next_run() -> None:
    codec = JsonCodec(Bytes(b'{"a":\n1}\n{"a":\n', known=True), 100, 100, resumable=True)
    assert codec.next_piece() is not None
    assert codec.next_piece() is None
    assert codec.left_over == 6


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 16])
def test_public_documents_equal_the_json_module(size: int) -> None:
    whole = 0
    for path in sorted(data_path("voip/freeswitch_cdr/json").glob("*.json")):
        blocks = read(path, block_bytes=size)
        try:
            expected = json.loads(path.read_bytes())
        except json.JSONDecodeError:
            continue
        whole += 1
        assert [json.loads(line) for line in records(blocks)] == [expected]
    assert whole == 50


def test_the_two_invalid_public_documents_are_named_with_line_and_column() -> None:
    for path in sorted(data_path("voip/freeswitch_cdr/json").glob("*with_invalid_json.json")):
        (block,) = read(path)
        (refused,) = block.refused
        assert (refused.line, refused.column, refused.reason) == (30, 30, "not JSON")
        assert refused.detail == "not JSON: Expecting value"
        ((line, _, data),) = lines_of(block, [0])
        assert (line, data) == (30, refused.data)
