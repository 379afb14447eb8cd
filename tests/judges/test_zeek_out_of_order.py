"""Zeek's TLS log, in which most records are out of order: late events and revisions, with lateness 0.

Final cells must equal a plain SQL group-by over the same file; ``late`` and ``revision`` a plain loop over its blocks,
written from DESIGN.md: a lane's watermark moves only between blocks, and an event is late for a cell that was final
before the event's block.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from streamgauge.app import report
from streamgauge.reporting import Report
from tests.data import data_path

BLOCK_BYTES = 64 * 1024
LENGTHS = {"1s": 1_000, "1m": 60_000}

DECLARATION = """
[shape.tls.fields]
version = "VARCHAR"
established = "BOOLEAN"
port = "BIGINT"
[shape.tls.producer.zeek]
when = "body._path = 'ssl'"
time = "body.ts"
[shape.tls.producer.zeek.fields]
version = "body.version"
established = "body.established::BOOLEAN"
port = 'body."id.orig_p"::BIGINT'

[statistic.tls]
of = "tls"
every = ["1s", "1m"]
by = { tls_version = "version" }
[statistic.tls.measures]
connections = "count()"
established = "count(established)"
share = "proportion(established, connections)"
ports = "sum(port)"
highest = "max(port)"
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zeek") / "ssl.jsonl"
    path.write_bytes(gzip.decompress(data_path("stream/zeek/ssl.json.gz").read_bytes()))
    return path


@pytest.fixture(scope="module")
def found(log: Path) -> Iterator[Report]:
    declaration = log.with_name("tls.toml")
    declaration.write_text(DECLARATION)
    with report(log, declarations=declaration, lateness="0s", block_bytes=BLOCK_BYTES) as found:
        yield found


Key = tuple[int, str | None]


@dataclass
class Cell:
    """What a plain loop finds for one window and key."""

    connections: int = 0
    late: int = 0
    revision: int = 0
    positions: list[int] = field(default_factory=list)


def blocks(data: bytes) -> Iterator[list[bytes]]:
    """Lines by block: whole lines that end within ``BLOCK_BYTES``, or one that is longer."""
    place = 0
    while place < len(data):
        end = data.rfind(b"\n", place, place + BLOCK_BYTES) + 1
        if end == 0:
            end = data.find(b"\n", place) + 1 or len(data)
        yield data[place:end].splitlines()
        place = end


def time_ms(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000


def plain_cells(data: bytes, length: int) -> dict[Key, Cell]:
    """Every cell of one length, block by block."""
    cells: dict[Key, Cell] = defaultdict(Cell)
    watermark: float = float("-inf")
    newest: float = float("-inf")
    position = 0
    for lines in blocks(data):
        for line in lines:
            event = json.loads(line)
            time = time_ms(event["ts"])
            start = time // length * length
            cell = cells[start, event.get("version")]
            cell.connections += 1
            if start + length <= watermark:
                cell.late += 1
                cell.positions.append(position)
            newest = max(newest, time)
            position += 1
        watermark = newest
    return cells


def test_the_file_is_really_out_of_order(log: Path) -> None:
    times = [time_ms(json.loads(line)["ts"]) for line in log.read_bytes().splitlines()]
    newest = times[0]
    behind = 0
    for time in times:
        behind += time < newest
        newest = max(newest, time)
    assert behind > len(times) / 2


@pytest.mark.parametrize("every", LENGTHS)
def test_final_cells_equal_a_plain_group_by(found: Report, log: Path, every: str) -> None:
    expected = duckdb.sql(f"""
        SELECT epoch_ms(time_bucket(INTERVAL '{LENGTHS[every]} milliseconds', ts::TIMESTAMP)) AS start_ms, version,
            count(*), count(*) FILTER (established), sum("id.orig_p")::BIGINT, max("id.orig_p")
        FROM read_json('{log}', format = 'newline_delimited', columns = {{
            ts: 'VARCHAR', version: 'VARCHAR', established: 'BOOLEAN', 'id.orig_p': 'BIGINT'}})
        GROUP BY ALL
    """).fetchall()
    names = ("start_ms", "tls_version", "connections", "established", "ports", "highest")
    ours = [tuple(row[name] for name in names) for row in found.rows("tls", every)]
    assert sorted(ours, key=repr) == sorted(expected, key=repr)


@pytest.mark.parametrize("every", LENGTHS)
def test_late_and_revision_equal_a_plain_loop_over_the_blocks(found: Report, log: Path, every: str) -> None:
    expected = plain_cells(log.read_bytes(), LENGTHS[every])
    ours = {(row["start_ms"], row["tls_version"]): row for row in found.rows("tls", every)}
    assert ours.keys() == expected.keys()
    assert {k: r["connections"] for k, r in ours.items()} == {k: c.connections for k, c in expected.items()}
    assert {k: r["late"] for k, r in ours.items()} == {k: c.late for k, c in expected.items()}
    assert sum(cell.late for cell in expected.values()) > 0
    assert {k: r["revision"] for k, r in ours.items()} == {k: last(c.positions) for k, c in expected.items()}


def last(positions: list[int]) -> int | None:
    return positions[-1] if positions else None


def test_all_are_late_for_nothing_when_lateness_is_unlimited(log: Path) -> None:
    with report(log, declarations=log.with_name("tls.toml"), block_bytes=BLOCK_BYTES) as unlimited:
        assert {row["late"] for row in unlimited.rows("tls", "1s")} == {0}


def values(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("late", "revision")}


def test_lateness_changes_no_value(found: Report, log: Path) -> None:
    with report(log, declarations=log.with_name("tls.toml"), block_bytes=BLOCK_BYTES) as unlimited:
        assert [values(r) for r in found.rows("tls", "1m")] == [values(r) for r in unlimited.rows("tls", "1m")]
