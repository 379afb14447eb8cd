"""Every format says the same as JSON, by suffix and by Accept."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamgauge.output.present import Column
from streamgauge.serve.formats import FORMATS, encoded, format_of, json_bytes, json_rows
from streamgauge.serve.pages import Page
from streamgauge.serve.problems import Problem
from tests.serve.serving import Client

PATH = "/v1/statistics/quality/cells"


def table(name: str, data: bytes) -> pa.Table:
    return pq.read_table(io.BytesIO(data)) if name == "parquet" else pa.ipc.open_stream(data).read_all()


@pytest.mark.parametrize("name", FORMATS)
def test_a_suffix_and_an_accept_header_give_the_same(client: Client, name: str) -> None:
    known = FORMATS[name]
    by_suffix = client.get(f"{PATH}.{name}?every=1h&limit=5")
    by_accept = client.http.get(f"{PATH}?every=1h&limit=5", headers={"Accept": known.media_type.partition(";")[0]})
    assert by_suffix.headers["content-type"] == by_accept.headers["content-type"] == known.media_type
    if name == "json":
        assert by_suffix.json()["cells"] == by_accept.json()["cells"]
    else:
        assert by_suffix.content == by_accept.content
    assert int(by_suffix.headers["content-length"]) == len(by_suffix.content)
    assert 'rel="next"' in by_suffix.headers["link"]


def test_lines_are_the_rows(client: Client) -> None:
    rows = client.cells("quality", every="1h", limit="max")
    text = client.get(f"{PATH}.ndjson?every=1h").text
    assert [json.loads(line) for line in text.splitlines()] == rows


def test_a_file_has_all_rows_unless_told(client: Client) -> None:
    rows = client.cells("quality", every="6m", limit="max")
    assert len(rows) > 100
    found = list(csv.DictReader(io.StringIO(client.get(f"{PATH}.csv").text)))
    assert [row["attempts"] for row in found] == [str(row["attempts"]) for row in rows]
    assert len(client.get(f"{PATH}.csv?limit=2").text.splitlines()) == 3


@pytest.mark.parametrize("name", ["parquet", "arrow"])
def test_typed_tables(client: Client, name: str) -> None:
    rows = client.cells("quality", every="1h", limit="max")
    found = table(name, client.get(f"{PATH}.{name}?every=1h&tz=Europe/Paris").content)
    assert found.column("start").type == pa.timestamp("ms", tz="Europe/Paris")
    assert found.column("carrier").to_pylist() == [row["carrier"] for row in rows]
    assert found.column("asr").to_pylist() == [row["asr"] for row in rows]
    few = table(name, client.get(f"{PATH}.{name}?every=1h&fields=carrier,start").content)
    assert few.column_names == ["carrier", "start"]
    assert few.column("start").cast(pa.int64()).to_pylist() == [row["start_ms"] for row in rows]


@pytest.mark.parametrize("name", FORMATS)
def test_no_rows(client: Client, name: str) -> None:
    found = client.get(f"{PATH}.{name}?start=2020&stop=2021")
    assert found.status_code == 200
    if name == "csv":
        assert found.text.count("\n") == 1
    if name in ("parquet", "arrow"):
        assert table(name, found.content).num_rows == 0


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "json"),
        ("text/csv;q=0.5, application/x-ndjson", "ndjson"),
        ("text/*", "csv"),
        ("application/json;q=0, text/csv", "csv"),
        ("TEXT/CSV; q=zzz", "csv"),
    ],
)
def test_what_is_accepted_most(accept: str, expected: str) -> None:
    assert format_of(None, accept).name == expected


def test_a_format_that_nobody_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(Problem, match=r"known: application/json, application/x-ndjson, text/csv") as found:
        format_of(None, "image/png")
    assert found.value.status == 406


def page(values: list[Any], type_: str = "int") -> Page:
    return Page((Column("x", type_),), [[values]], len(values), None)


def test_integers_past_64_bits_keep_all_digits() -> None:
    assert json_rows(["x"], [[2**70, None]]) == b'{"x": 1180591620717411303424},{"x": null}'
    lines = encoded(FORMATS["ndjson"], page([2**70]), ["x"], "UTC", {})
    assert lines == [b'{"x": 1180591620717411303424}\n']
    with pytest.raises(Problem, match="does not fit the 64 bits"):
        encoded(FORMATS["parquet"], page([2**70]), ["x"], "UTC", {})


def test_no_byte_of_a_key_steers_a_terminal_or_breaks_a_line() -> None:
    texts = ["a\x1b[2J", "\x7f", "\x9b", "\u2028", "\ud800", "\u00e9"]
    data = b"".join(encoded(FORMATS["ndjson"], page(texts, "text"), ["x"], "UTC", {}))
    assert [json.loads(line)["x"] for line in data.decode().splitlines()] == texts
    assert not {"\x1b", "\x7f", "\x9b", "\u2028"} & set(data.decode())
    assert json_bytes({"x": "\ud800"}) == b'{"x": "\\ud800"}\n'
