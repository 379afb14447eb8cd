"""Parquet rows as JSON: exact numbers, nested types, and blocks that are row groups."""

from __future__ import annotations

import datetime
import gzip
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.codecs import parquet
from streamgauge.codecs.parquet import rows_to_lines
from streamgauge.errors import InputError
from streamgauge.log import InputOptions, lines_of, open_lane
from tests.log.reading import blocks_of, read, records


def texts(values: list[Any], kind: pa.DataType) -> list[str]:
    """The JSON text that each value becomes."""
    batch = pa.record_batch([pa.array(values, kind)], names=["a"])
    return [line.removeprefix('{"a":').removesuffix("}") for line in rows_to_lines(batch).decode().splitlines()]


UTC = datetime.UTC


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([2**63 - 1, -(2**63), None], pa.int64(), ["9223372036854775807", "-9223372036854775808", "null"]),
        ([2**64 - 1], pa.uint64(), ["18446744073709551615"]),
        ([0.1, float("nan"), float("inf"), 1e300], pa.float64(), ["0.1", "null", "null", "1e+300"]),
        ([True, None], pa.bool_(), ["true", "null"]),
        ([Decimal("1.10"), Decimal("-0.01")], pa.decimal128(38, 2), ["1.10", "-0.01"]),
        ([Decimal(10**37)], pa.decimal128(38, 0), [str(10**37)]),
        (['é"\n\0', None], pa.string(), ['"é\\"\\n\\u0000"', "null"]),
        ([b"\x00\xff"], pa.binary(), ['"AP8="']),
        (
            [0, -1, None],
            pa.timestamp("ms", tz="Europe/Paris"),
            ['"1970-01-01T00:00:00.000Z"', '"1969-12-31T23:59:59.999Z"', "null"],
        ),
        ([1], pa.timestamp("ns"), ['"1970-01-01T00:00:00.000000001"']),
        ([datetime.date(2024, 2, 29)], pa.date32(), ['"2024-02-29"']),
        ([datetime.time(1, 2, 3)], pa.time64("us"), ['"01:02:03"']),
        ([datetime.timedelta(milliseconds=1500)], pa.duration("ms"), ["1.5"]),
        ([["x", None], None, [], ["y"]], pa.list_(pa.string()), ['["x",null]', "null", "[]", '["y"]']),
        ([[1, 2], None, [3, 4]], pa.list_(pa.int64(), 2), ["[1,2]", "null", "[3,4]"]),
        (
            [{"p": 1, "q": [1.5]}, None],
            pa.struct({"p": pa.int8(), "q": pa.list_(pa.float32())}),
            ['{"p":1,"q":[1.5]}', "null"],
        ),
        ([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64()), ['{"k":1}', "null", "{}"]),
        ([[(7, "x")]], pa.map_(pa.int64(), pa.string()), ['{"7":"x"}']),
        (["p", None, "p"], pa.dictionary(pa.int32(), pa.string()), ['"p"', "null", '"p"']),
        ([None], pa.null(), ["null"]),
    ],
)
def test_values(values: list[Any], kind: pa.DataType, expected: list[str]) -> None:
    assert texts(values, kind) == expected
    json.loads(rows_to_lines(pa.record_batch([pa.array(values, kind)], names=["a"])).splitlines()[0])


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "i": st.none() | st.integers(-(2**63), 2**63 - 1),
            "%s": st.none() | st.text(max_size=4).filter(lambda text: text.isprintable()),
            "f": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "l": st.none() | st.lists(st.none() | st.lists(st.integers(0, 9), max_size=2), max_size=3),
            "s": st.none() | st.fixed_dictionaries({"x": st.none() | st.integers(0, 9)}),
        }
    ),
    max_size=12,
)
SCHEMA = pa.schema(
    {
        "i": pa.int64(),
        "%s": pa.string(),
        "f": pa.float64(),
        "l": pa.list_(pa.list_(pa.int64())),
        "s": pa.struct({"x": pa.int64()}),
    }
)


@given(ROWS, st.integers(0, 12))
def test_rows_equal_those_of_arrow(rows: list[dict[str, Any]], start: int) -> None:
    batch = pa.RecordBatch.from_pylist(rows, schema=SCHEMA).slice(start)
    assert [json.loads(line) for line in rows_to_lines(batch).splitlines()] == rows[start:]


def write(path: Path, rows: int = 10, group: int = 4, pad: str = "") -> None:
    pq.write_table(pa.table({"n": range(rows), "pad": [pad + str(n) for n in range(rows)]}), path, row_group_size=group)


def test_a_block_is_a_row_group_and_counts_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path)
    blocks = read(path)
    assert [(b.offset, b.end, b.first_line, b.last) for b in blocks] == [
        (0, 4, 1, False),
        (4, 8, 5, False),
        (8, 10, 9, True),
    ]
    assert [json.loads(line)["n"] for line in records(blocks)] == list(range(10))
    assert lines_of(blocks[1], [2]) == [(7, 6, b'{"n":6,"pad":"6"}')]


def test_a_very_large_row_group_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    write(path, 1000, 1000, "x" * 50)
    monkeypatch.setattr(parquet, "GROUP_BYTES", 10_000)
    blocks = read(path)
    assert len(blocks) > 3
    assert [json.loads(line)["n"] for line in records(blocks)] == list(range(1000))


@pytest.mark.parametrize("cursor", [0, 3, 4, 8, 9, 10])
def test_reading_on_at_a_row(tmp_path: Path, cursor: int) -> None:
    path = tmp_path / "a.parquet"
    write(path)
    assert [json.loads(line)["n"] for line in records(read(path, cursor=cursor))] == list(range(cursor, 10))


def test_compressed_and_piped_parquet_goes_through_a_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path)
    with open_lane("-", 0, InputOptions(), stdin=io.BytesIO(path.read_bytes())) as reader:
        assert len(records(blocks_of(reader))) == 10
    (tmp_path / "b").write_bytes(gzip.compress(path.read_bytes()))
    assert len(records(read(tmp_path / "b"))) == 10


def test_a_cut_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="is not a whole Parquet file"):
        open_lane(str(path), 0)


def test_progress_reaches_the_total(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path)
    with open_lane(str(path), 0) as reader:
        blocks_of(reader)
        assert reader.consumed_bytes == reader.total_bytes == path.stat().st_size
