"""Arrow: typed columns that hold what the rows hold."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamgauge.aggregates import count, distinct, latest, mean, proportion, quantiles, sum, tally, top
from streamgauge.errors import UsageError
from streamgauge.output import arrow, writer
from streamgauge.output.arrow import arrow_table, schema_of
from streamgauge.output.present import Presenter, Query
from tests.output.made import Event, presenter, statistic

V = "body.v::BIGINT"
n = count()
BOUND = statistic(
    "s",
    {
        "n": n,
        "share": proportion(count("body.a = 'b'"), n),
        "total": sum(V),
        "mean_ms": mean("body.x::DOUBLE"),
        "q": quantiles(V, 0.5),
        "values": distinct(V),
        "codes": tally("body.k"),
        "most": top("body.k", 2),
        "last": latest("body.x::DOUBLE"),
        "flag": latest("body.a = 'b'"),
    },
    by={"k": "body.k", "code": V},
    min_n=2,
    totals=True,
)
EVENTS: list[Event] = [
    {"time": t * 60_000, "body.k": k, V: v, "body.a = 'b'": v == 1, "body.x::DOUBLE": x, "wrong": wrong}
    for t, k, v, x, wrong in [
        (-1, "é", 1, 0.5, []), (0, "\x00", 2, None, ["v"]), (1, None, None, 1.5, []), (9, "a", 1, -2.0, ["v", "w"])
    ]
]  # fmt: skip


def plain(value: Any) -> Any:
    """What pyarrow reads, in the form of our rows."""
    if isinstance(value, list):
        if value and isinstance(value[0], tuple):
            return dict(value)
        return [[pair["value"], pair["count"]] for pair in value]
    return value


def read_table(name: str, data: bytes) -> pa.Table:
    return pq.read_table(BytesIO(data)) if name == "parquet" else pa.ipc.open_stream(data).read_all()


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    rows = [{name: plain(value) for name, value in row.items()} for row in table.to_pylist()]
    for row in rows:
        row["codes"] = row["codes"] or {}
        for name in ("start", "stop"):
            row[name] = row[name].strftime("%Y-%m-%dT%H:%M:%SZ")
    return rows


def test_a_table_holds_what_the_rows_hold() -> None:
    with presenter(BOUND, EVENTS, late=[1]) as shown:
        assert rows_of(arrow_table(shown, Query())) == list(shown.rows(Query()))
        assert arrow_table(shown, Query()).num_rows == 4 + 3


@pytest.mark.parametrize("name", ["parquet", "arrow"])
@pytest.mark.parametrize("batch", [1, 3, 10_000])
def test_a_file_reads_back_as_the_table_in_batches_of_any_size(
    name: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow, "BATCH", batch)
    out = BytesIO()
    with presenter(BOUND, EVENTS) as shown:
        writer(name).write([(shown, Query())], out)
        assert not out.closed
        read = read_table(name, out.getvalue())
        assert read.schema.equals(schema_of(shown, Query()), check_metadata=False)
        assert rows_of(read) == list(shown.rows(Query()))


def test_columns_have_the_types_that_are_documented_and_say_what_they_are() -> None:
    schema = schema_of(Presenter(BOUND, cast(Any, None), 0), Query(tz="Europe/Paris"))
    types = {field.name: str(field.type) for field in schema}
    assert types["start"] == types["stop"] == "timestamp[ms, tz=Europe/Paris]"
    assert types["start_ms"] == types["code"] == types["n"] == types["total"] == types["q_p50"] == "int64"
    assert types["k"] == types["row"] == types["state"] == "string"
    assert types["share"] == types["share_lower"] == types["mean_ms"] == types["last"] == "double"
    assert types["share_low"] == types["flag"] == "bool"
    assert types["codes"] == types["wrong_types"] == "map<string, int64>"
    assert types["most"] == "list<item: struct<value: string, count: int64>>"
    assert schema.field("mean_ms").metadata == {b"help": b"arithmetic mean", b"unit": b"ms"}


def test_a_time_is_an_instant_whatever_the_zone() -> None:
    with presenter(BOUND, EVENTS[:1]) as shown:
        for tz in ("UTC", "Asia/Kathmandu"):
            starts = arrow_table(shown, Query(tz=tz)).column("start").to_pylist()
            assert {start.astimezone(UTC) for start in starts} == {datetime(1969, 12, 31, 23, 54, tzinfo=UTC)}


def test_no_cells_are_a_table_of_no_rows_with_all_columns() -> None:
    with presenter(BOUND, []) as shown:
        found = arrow_table(shown, Query())
        assert (found.num_rows, found.schema) == (0, schema_of(shown, Query()))
        out = BytesIO()
        writer("parquet").write([(shown, Query())], out)
        assert pq.read_table(BytesIO(out.getvalue())).num_rows == 0


@pytest.mark.parametrize(("values", "fits"), [([2**63 - 2, 1], True), ([2**63 - 1, 1], False), ([-(2**63), -1], False)])
def test_a_sum_beyond_64_bits_is_refused_with_the_name_of_its_column(values: list[int], fits: bool) -> None:
    bound = statistic("s", {"total": sum(V)})
    with presenter(bound, [{"time": 0, V: v} for v in values]) as shown:
        if fits:
            assert arrow_table(shown, Query()).column("total").to_pylist() == [2**63 - 1]
            return
        with pytest.raises(UsageError, match=f"column 'total': {values[0] + values[1]} does not fit the 64 bits"):
            arrow_table(shown, Query())


def test_what_ends_with_an_error_does_not_look_like_a_whole_parquet_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "BATCH", 1)
    out = BytesIO()
    events = [{"time": 0, V: 1}, *[{"time": 360_000, V: 2**63 - 1}] * 2]
    with presenter(statistic("s", {"total": sum(V)}), events) as shown, pytest.raises(UsageError, match="64 bits"):
        writer("parquet").write([(shown, Query())], out)
    with pytest.raises(pa.ArrowInvalid):
        pq.read_table(BytesIO(out.getvalue()))


def test_a_lone_surrogate_becomes_a_character_that_has_bytes() -> None:
    bound = statistic("s", {"codes": tally("body.k")}, by={"k": "body.k"})
    with presenter(bound, [{"time": 0, "body.k": "a\ud800"}]) as shown:
        found = arrow_table(shown, Query())
        assert (found.column("k").to_pylist(), found.column("codes").to_pylist()) == (["a\ufffd"], [[("a\ufffd", 1)]])


@pytest.mark.parametrize("name", ["parquet", "arrow"])
def test_a_pipe_will_do(name: str) -> None:
    read_end, write_end = os.pipe()
    with presenter(BOUND, EVENTS) as shown:
        with open(read_end, "rb") as source, open(write_end, "wb") as sink:
            writer(name).write([(shown, Query())], sink)
            sink.close()
            data = source.read()
        assert rows_of(read_table(name, data)) == list(shown.rows(Query()))


@pytest.mark.parametrize("name", ["parquet", "arrow"])
def test_a_closed_pipe_is_a_broken_pipe(name: str) -> None:
    class Closed(BytesIO):
        def write(self, data: Any) -> int:
            raise BrokenPipeError

    with presenter(BOUND, EVENTS) as shown, pytest.raises(BrokenPipeError):
        writer(name).write([(shown, Query())], cast(BinaryIO, Closed()))
