"""CSV against Python's csv module, broken records, headers, delimiters, and the lines that records come from."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.codecs.csv import CsvCodec, read_form, sniff_delimiter
from streamgauge.errors import InputError
from streamgauge.event import Block, Lane, RefusedLine
from streamgauge.log import lines_of
from tests.codecs.test_ndjson import Bytes
from tests.log.reading import read_bytes, records

CELLS = st.text(st.sampled_from('ab1,;"\n\t|é%\\ '), max_size=6)
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=12)


def written(
    rows: list[tuple[str, ...]], delimiter: str = ",", end: str = "\n", quoting: Any = csv.QUOTE_MINIMAL
) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(rows)
    return out.getvalue().encode()


def parsed(data: bytes, block_bytes: int = 1 << 16, max_line: int = 1 << 16) -> tuple[list[Any], list[RefusedLine]]:
    form = read_form(data, 0)
    source = Bytes(data, known=True)
    source.offset = form.body_offset
    codec = CsvCodec(source, form, block_bytes, max_line, first_line=form.body_line)
    found, refused = [], []
    while piece := codec.next_piece():
        block = Block(Lane(0, "x"), 0, piece.offset, piece.end, piece.first_line, piece.data, piece.refused, form="csv")
        count = len([line for line in bytes(piece.data).split(b"\n") if line.strip()])
        found += [(line, body) for line, _, body in lines_of(block, range(count))]
        refused += piece.refused
    bad = {line.line for line in refused}
    return [(line, json.loads(body)) for line, body in found if line not in bad], refused


@given(ROWS, st.sampled_from(["\n", "\r\n"]), st.integers(1, 60), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_records_equal_those_of_the_csv_module(
    rows: list[tuple[str, ...]], end: str, block_bytes: int, quoting: Any
) -> None:
    data = written([("x", "y%s", "z é"), *rows], end=end, quoting=quoting)
    got, refused = parsed(data, block_bytes)
    names = ("x", "y%s", "z é")
    assert not refused
    assert [row for _, row in got] == [
        {name: cell for name, cell in zip(names, row, strict=True) if cell} for row in rows
    ]
    starts, reader = [], csv.reader(io.StringIO(data.decode(), newline="\n"))
    next(reader)
    before = reader.line_num
    for _ in reader:
        starts.append(before + 1)
        before = reader.line_num
    assert [line for line, _ in got] == starts


@given(
    st.lists(st.sampled_from([b"a,b", b'"a', b'a"', b'"x,y', b"1,2,3", b"", b'"p","q"', b'"p"q,r', b" "]), max_size=20)
)
def test_a_broken_record_loses_no_other_line(lines: list[bytes]) -> None:
    data = b"h1,h2\n" + b"\n".join(lines) + b"\n"
    for block_bytes in (1, 10, 1000):
        got, refused = parsed(data, block_bytes)
        taken = {line for line, _ in got} | {line.line for line in refused}
        good = {number for number, line in enumerate(lines, 2) if line == b"a,b" and not any(b'"' in x for x in lines)}
        assert good <= {line for line, _ in got}
        assert len(taken) == len(got) + len(refused)
        for line in refused:
            assert data[line.offset : line.offset + line.length] == lines[line.line - 2] == line.data


def test_a_stray_quote_refuses_its_own_line_only() -> None:
    got, refused = parsed(b'a,b\n1,"x\n2,y\n3,"z"\n4,w\n')
    assert [row["a"] for _, row in got] == ["2", "3", "4"]
    assert [(line.line, line.offset, line.data) for line in refused] == [(2, 4, b'1,"x')]


def test_a_quote_that_is_never_closed() -> None:
    got, refused = parsed(b'a,b\n1,"x\n' + b"2,y\n" * 5000, block_bytes=100, max_line=1000)
    assert len(got) == 5000
    assert refused[0].reason == "broken CSV record: a quote is never closed"


@pytest.mark.parametrize("row", ["1", "1,2,3"])
def test_too_few_or_too_many_fields(row: str) -> None:
    got, refused = parsed(f"a,b\n{row}\n1,2\n".encode())
    assert got == [(3, {"a": "1", "b": "2"})]
    assert refused[0].reason == f"broken CSV record: {len(row.split(','))} fields where the header has 2"


def test_a_line_over_max_line() -> None:
    for block_bytes in (20, 5000):
        got, refused = parsed(b"a,b\n1,2\n" + b"x" * 300 + b",y\n3,4\n", block_bytes, 100)
        assert [row["a"] for _, row in got] == ["1", "3"]
        assert [(line.reason, line.line, line.length) for line in refused] == [("line over max_line", 3, 302)]


def test_an_empty_cell_is_absent_and_blanks_are_kept() -> None:
    assert parsed(b'a,b,c\n,"", x \n')[0] == [(2, {"c": " x "})]


def test_invalid_utf8_is_left_for_the_engine_to_name(tmp_path: Path) -> None:
    (block,) = read_bytes(tmp_path, b"a,b\n\xff,1\nx,2\n")
    assert records([block]) == [b'{"a":"\xff","b":"1"}', b'{"a":"x","b":"2"}']


def test_control_characters_are_escaped() -> None:
    assert parsed(b"a,b\n\x01\x08,\\n\n")[0] == [(2, {"a": "\x01\x08", "b": "\\n"})]


def test_repeated_names_are_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the header names 'a', 'é' more than once; rename one"):
        read_bytes(tmp_path, "a,é,a,é\nx,y,z,w\n".encode())


def test_a_header_row_without_an_end(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no line end in its first 65536 bytes, expected a header row"):
        read_bytes(tmp_path, b"a,b" * 100_000, form="csv")


def test_a_nameless_column_is_named_by_its_place() -> None:
    assert parsed(b",b\nx,y\n")[0] == [(2, {"c1": "x", "b": "y"})]


def test_a_first_row_with_a_number_is_a_record() -> None:
    assert parsed(b"x,7\ny,8\n")[0] == [(1, {"c1": "x", "c2": "7"}), (2, {"c1": "y", "c2": "8"})]


def test_given_columns_name_a_file_without_header(tmp_path: Path) -> None:
    blocks = read_bytes(tmp_path, b"x,y\nz,w\n", form="csv", columns=("a", "b"))
    assert records(blocks) == [b'{"a":"x","b":"y"}', b'{"a":"z","b":"w"}']
    blocks = read_bytes(tmp_path, b"a,b\nz,w\n", form="csv", columns=("a", "b"))
    assert records(blocks) == [b'{"a":"z","b":"w"}']


@pytest.mark.parametrize("delimiter", list(",;\t|"))
def test_the_delimiter_is_found(delimiter: str) -> None:
    rows = [("a", "b", "c"), ("x,1", "y;2", "z|3"), ("p", "q\tr", "s")]
    assert sniff_delimiter(written(rows, delimiter).decode())[:2] == (delimiter, 3)


def test_a_byte_order_mark_is_not_part_of_the_first_name(tmp_path: Path) -> None:
    (block,) = read_bytes(tmp_path, b"\xef\xbb\xbfa,b\r\nx,y\r\n")
    assert records([block]) == [b'{"a":"x","b":"y"}']
    assert (block.offset, block.end, block.first_line) == (8, 13, 2)


def test_reading_on_keeps_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    data = written([("a", "b"), *((f"k{n}", "é\n,") for n in range(100))])
    path.write_bytes(data)
    blocks = read_bytes(tmp_path, data, block_bytes=100)
    for number in (0, 3, len(blocks) - 1):
        block = blocks[number]
        line = data.count(b"\n", 0, block.end) + 1
        rest = read_bytes(tmp_path, data, block_bytes=100, cursor=block.end, first_line=line)
        assert records(rest) == records(blocks[number + 1 :])
        assert [block.first_line for block in rest] == [block.first_line for block in blocks[number + 1 :]]
