"""The bytes of a segment: what is written is read back, and every flipped bit is found."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.errors import StoreError
from streamgauge.log.base import BlockHeader, LogBlock
from streamgauge.log.segment import (
    FORMAT,
    Flaw,
    Head,
    Sealed,
    decode_head,
    decode_header,
    decode_lanes,
    decode_payload,
    encode_block,
    encode_head,
    is_sealed,
    seal,
    seal_block,
)
from tests.log.blocks import block

TEXT = st.text(max_size=20)
NUMBERS = st.integers(0, 2**63 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
LINES = st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"") + b"\n"), max_size=5)


@st.composite
def any_block(draw: st.DrawFn) -> LogBlock:
    events, dead = draw(LINES), draw(LINES)
    header = BlockHeader(
        number=draw(NUMBERS),
        lane=draw(st.integers(0, 1000)),
        source=draw(TEXT),
        name=draw(TEXT),
        position=draw(NUMBERS),
        events=len(events),
        dead=len(dead),
        duplicates=draw(st.integers(0, 9)),
        received_ms=draw(NUMBERS),
        mark=draw(st.dictionaries(TEXT, JSON, max_size=3)),
        unit=draw(st.sampled_from(["", "s", "ms"])),
        cursor=draw(JSON),
        answers=draw(st.dictionaries(TEXT, JSON, max_size=3)),
        covered_from_ms=draw(st.none() | st.integers()),
        oldest_ms=draw(st.none() | st.integers()),
        newest_ms=draw(st.none() | st.integers()),
        topics=tuple(draw(st.lists(TEXT, max_size=3))),
    )
    return LogBlock(header, b"".join(events), b"".join(dead))


def decode(data: bytes) -> tuple[LogBlock, Sealed]:
    line = data[: data.index(b"\n") + 1]
    sealed = decode_header(line)
    return decode_payload(sealed.header, data[len(line) :]), sealed


@given(any_block(), NUMBERS)
def test_every_block_is_read_back_as_it_was_written(written: LogBlock, write: int) -> None:
    read, sealed = decode(encode_block(written, write))
    size, dead_size = len(written.events), len(written.dead)
    header = replace(written.header, size=size, dead_size=dead_size, checksum=read.header.checksum)
    assert read == LogBlock(header, written.events, written.dead)
    assert sealed.write == write
    assert seal_block(written, write).header == read.header


@given(any_block())
def test_equal_headers_make_equal_bytes(written: LogBlock) -> None:
    turned = replace(written.header, mark=dict(reversed(list(written.header.mark.items()))))
    assert encode_block(LogBlock(turned, written.events, written.dead), 0) == encode_block(written, 0)


def test_what_goes_without_saying_is_not_written() -> None:
    line = seal_block(block(7, 100, events=0, lane=3), 5).line
    said = json.loads(line)
    assert list(said) == ["block", "write", "lane", "name", "position", "received_ms", "source", "checksum"]
    assert (said["block"], said["write"]) == (7, 5)


@pytest.mark.parametrize("shape", [(0, 0), (2, 0), (1, 1)])
def test_every_flipped_bit_of_a_block_is_found(shape: tuple[int, int]) -> None:
    data = encode_block(block(7, 100, *shape), 7)
    for place in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises((Flaw, ValueError)) as found:
            decode(bytes(flipped))
        assert found.type is Flaw or b"\n" not in flipped


@given(st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"")), st.data())
def test_a_sealed_line_is_told_from_any_other(text: bytes, data: st.DataObject) -> None:
    line = seal(text)
    assert is_sealed(line)
    assert not is_sealed(line[: data.draw(st.integers(0, len(line) - 1))])


@given(any_block(), any_block())
def test_the_first_lines_say_where_a_segment_begins_and_how_the_lanes_stood(one: LogBlock, other: LogBlock) -> None:
    lanes = {0: replace(one.header, lane=0), 5: replace(other.header, lane=5)}
    first, second = encode_head(Head(12, 3, 1000), lanes.values()).splitlines(keepends=True)
    assert decode_head(first, "here") == Head(12, 3, 1000)
    assert decode_lanes(second) == {lane: replace(header, checksum="") for lane, header in lanes.items()}


def test_every_flipped_bit_of_the_first_lines_is_found() -> None:
    first, second = encode_head(Head(12, 3, 1000), [block(2, 10).header]).splitlines(keepends=True)
    for line, read in ((first, lambda data: decode_head(data, "here")), (second, decode_lanes)):
        for place in range(len(line) * 8):
            flipped = bytearray(line)
            flipped[place // 8] ^= 1 << place % 8
            with pytest.raises(Flaw):
                read(bytes(flipped))


def test_a_log_of_a_later_version_is_told_from_damage() -> None:
    first = encode_head(Head(0, 0, 0), []).splitlines(keepends=True)[0]
    later = first[: -len('01234567"}\n')].replace(b'"format":%d' % FORMAT, b'"format":%d' % (FORMAT + 1))
    with pytest.raises(StoreError, match=r"here: is a log of format 2, this version .* reads format 1; upgrade"):
        decode_head(seal(later), "here")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'{"a":1,"checksum":"', "not the first line of a segment"),
        (b'{"streamgauge":"log segment","format":1,"checksum":"', "no first line of a segment"),
        (b'["a","', "not JSON"),
    ],
)
def test_a_sealed_line_of_another_kind_is_no_first_line(text: bytes, problem: str) -> None:
    with pytest.raises(Flaw, match=problem):
        decode_head(seal(text), "here")


@pytest.mark.parametrize("text", [b'{"block":1,"checksum":"', b'{"block":1,"write":1,"lane":0,"x":1,"checksum":"'])
def test_a_sealed_line_of_another_kind_is_no_header(text: bytes) -> None:
    with pytest.raises(Flaw, match="no block header"):
        decode_header(seal(text))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"events": b'{"n":1}\n'}, "block 7: 8 bytes with 1 line feeds, expected 2 event lines"),
        ({"events": b'{"n":1}\n\n{"n":2}'}, "block 7: 16 bytes with 2 line feeds, expected 2 event lines"),
        ({"dead": b"x\n"}, "block 7: 2 bytes with 1 line feeds, expected 0 dead letter lines"),
    ],
)
def test_a_block_of_other_lines_than_its_header_says_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_block(replace(block(7, 100), **change), 7)


def test_what_is_no_json_in_a_header_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_block(block(7, 100, cursor=float("nan")), 7)


def test_a_body_cannot_forge_a_header() -> None:
    forged = encode_block(block(8, 102, events=0), 8).rstrip(b"\n")
    line = b'{"time":1,"topic":"x","source":"http","body":' + forged + b"}\n"
    assert not is_sealed(line[line.index(b'{"block":') :])
