"""A store that is kept: what a second run reads again, refuses, and leaves alone; dead letters; many keys."""

from __future__ import annotations

import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import duckdb
import pytest

from streamgauge.declare import Declarations
from streamgauge.errors import StoreError
from streamgauge.event import DeadLetter
from streamgauge.reporting import Report
from streamgauge.seen import SeenIds
from streamgauge.testing.kill_points import kill_at
from tests.running import MINUTE, T, declare, dump, dumped, line, made_up, reported, tables, write

COUNT = (
    '[statistic.s]\ntopic = "*"\nevery = ["1m", "1h"]\nby = { k = "body.k" }\n[statistic.s.measures]\nn = "count()"\n'
)


@pytest.fixture
def counting(tmp_path: Path) -> Declarations:
    return declare(tmp_path, COUNT)


def cells(report: Report) -> list[str]:
    return tables(dump(report), "cell", "key")


EVERYTHING = """
[statistic.s]
topic = "*"
every = ["1m", "1h"]
by = { k = "body.k", x = "body.x::BIGINT" }
max_keys = 5
totals = true
[statistic.s.measures]
n = "count()"
most = "max(body.x::BIGINT)"
d = "max(body.d::DOUBLE)"
mid = "quantiles(body.d::DOUBLE, 0.5)"
kinds = "distinct(body.s)"
words = "tally(body.s)"
last = "latest(body.s)"
share = "proportion(count(body.s = 's1'), n)"
[statistic.t]
topic = "*"
every = ["1m"]
by = { k = "body.s" }
[statistic.t.measures]
n = "count()"
"""

QUERIES: list[tuple[str, dict[str, Any]]] = [
    ("s", {}),
    ("s", {"every": "1h"}),
    ("s", {"by": ("k",)}),
    ("s", {"by": (), "order": "-start"}),
    ("s", {"start_ms": T + 5 * MINUTE, "stop_ms": T + 20 * MINUTE, "tz": "Asia/Kathmandu"}),
    ("s", {"limit": 7}),
    ("t", {"order": "-n", "limit": 5}),
    ("t", {}),
]


def test_cells_held_in_memory_are_shown_as_those_of_a_store_are(tmp_path: Path) -> None:
    path, declarations = write(tmp_path / "a.jsonl", made_up(5, 300)), declare(tmp_path, EVERYTHING)
    shown: list[Any] = []
    stored: dict[str, Any] = {"store": tmp_path / "s.db", "finish": True}
    for options in ({}, {"cache_cells": 3, "slice_bytes": 900}, stored):
        with reported([path], declarations, block_bytes=300, **options) as found:
            held = found.cells is not found.store
            rows = [found.rows(name, **query) for name, query in QUERIES]
            tables = [found.table(name, **query).to_pylist() for name, query in QUERIES]
            shown.append((rows, tables, found.summary["cells"]))
            assert held == (not options), "cells stay in memory where nobody goes on from the store and they have room"
    assert shown[0] == shown[1] == shown[2]
    assert all(len(rows) > 4 for rows in shown[0][0])


def events(first: int, count: int) -> list[bytes]:
    return [line(time=T + n * 1000, k=f"k{n % 3}", n=n) for n in range(first, first + count)]


def total(report: Report) -> int:
    return sum(row["n"] for row in report.rows("s", "1h"))


def test_a_second_run_over_more_files_is_one_run_over_all(tmp_path: Path, counting: Declarations) -> None:
    files = [write(tmp_path / f"{n}.jsonl", made_up(n, 80)) for n in range(3)]
    options: Any = {"block_bytes": 900, "id": "body.id"}
    with reported(files, counting, store=tmp_path / "one.db", **options) as found:
        whole, summary = dump(found), found.summary
    for named in (files[:1], files[:2], files[1:]):
        with reported(named, counting, store=tmp_path / "two.db", **options) as found:
            pass
    with reported(files, counting, store=tmp_path / "two.db", **options) as found:
        assert dump(found).splitlines() == whole.splitlines()
        assert found.summary["events"] == summary["events"]
        assert found.summary["duplicates"] == summary["duplicates"] > 0


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("cut", [0, 1, 7, 20])
def test_a_grown_file_is_read_on_from_where_it_ended(
    tmp_path: Path, counting: Declarations, packed: bool, cut: int
) -> None:
    whole = b"\n".join(events(0, 60)) + b"\n"
    first = len(b"\n".join(events(0, 40)) + b"\n") - cut
    path, store = tmp_path / ("a.jsonl.gz" if packed else "a.jsonl"), tmp_path / "s.db"
    pack = gzip.compress if packed else bytes
    path.write_bytes(pack(whole[:first]))
    with reported([str(path)], counting, store=store, block_bytes=300) as found:
        assert total(found) == (40 if cut < 2 else 39)
        assert found.summary["dead_letters"] == {}
        assert bool(found.summary["notes"]) == (cut > 1)
    with path.open("ab") as more:
        more.write(pack(whole[first:]))
    for _ in range(2):
        with reported([str(path)], counting, store=store, block_bytes=300) as found:
            grown = cells(found)
            assert total(found) == 60
    with reported([str(path)], counting, store=tmp_path / "one.db", block_bytes=300) as found:
        assert cells(found) == grown


def test_with_finish_an_unfinished_last_line_is_a_dead_letter(tmp_path: Path, counting: Declarations) -> None:
    path = write(tmp_path / "a.jsonl", [*events(0, 3), b'{"time":17'], end=b"")
    with reported([path], counting, store=tmp_path / "s.db", finish=True) as found:
        assert found.summary["dead_letters"] == {(path, "not JSON"): 1}
        assert {row["state"] for row in found.rows("s", "1m")} == {"final"}


def test_a_file_is_known_by_its_content_and_not_by_its_name(tmp_path: Path, counting: Declarations) -> None:
    path, store = tmp_path / "app.jsonl", tmp_path / "s.db"
    write(path, events(0, 20))
    with reported([str(path)], counting, store=store):
        pass
    path.rename(tmp_path / "app.jsonl.1")
    write(path, events(100, 5))
    for _ in range(2):
        with reported([str(path), str(tmp_path / "app.jsonl.1")], counting, store=store) as found:
            assert total(found) == 25


def test_two_files_that_begin_alike_stay_two(tmp_path: Path, counting: Declarations) -> None:
    files = [write(tmp_path / f"{n}.jsonl", events(0, 1 + n)) for n in range(3)]
    for _ in range(3):
        with reported(files, counting, store=tmp_path / "s.db") as found:
            assert total(found) == 6


def test_a_file_that_was_cut_is_named_and_the_others_are_read(tmp_path: Path, counting: Declarations) -> None:
    files = [write(tmp_path / f"{n}.jsonl", events(100 * n, 20)) for n in range(2)]
    options: Any = {"store": tmp_path / "s.db", "block_bytes": 300}
    with reported(files[:1], counting, **options):
        pass
    Path(files[0]).write_bytes(b"\n".join(events(0, 15)) + b"\n")
    with reported(files, counting, **options) as found:
        assert len(found.summary["problems"]) == 1
        assert "before its cursor" in found.summary["problems"][0]
        assert total(found) == 40


def test_other_definitions_on_the_same_store_are_refused(tmp_path: Path, counting: Declarations) -> None:
    path, options = write(tmp_path / "a.jsonl", events(0, 3)), {"store": tmp_path / "s.db"}
    with reported([path], counting, **options):
        pass
    other = declare(tmp_path, COUNT.replace("count()", "count(body.k IS NULL)"))
    with pytest.raises(StoreError, match=r"s\.db: was made with other definitions of s; give the same declarations"):
        dumped([path], other, **options)
    renamed = declare(tmp_path, COUNT.replace("statistic.s", "statistic.renamed"))
    with reported([path], renamed, **options) as found:
        assert found.summary["events"] == 3


@pytest.mark.parametrize("changed", [{"time": "body.at"}, {"id": "body.n"}, {"zone": "Asia/Tokyo"}, {"time_unit": "s"}])
def test_another_envelope_on_the_same_store_is_refused(
    tmp_path: Path, counting: Declarations, changed: dict[str, str]
) -> None:
    path, options = write(tmp_path / "a.jsonl", events(0, 3)), {"store": tmp_path / "s.db"}
    with reported([path], counting, **options):
        pass
    with pytest.raises(StoreError, match=r"s\.db: was made with another envelope; give the same --time"):
        dumped([path], counting, **options, **changed)
    with reported([path], counting, **options) as found:
        assert total(found) == 3


def test_standard_input_has_no_cursor(tmp_path: Path, counting: Declarations) -> None:
    data = b"\n".join(events(0, 5)) + b"\n"
    for run in (1, 2):
        with reported(["-"], counting, stdin=io.BytesIO(data), store=tmp_path / "s.db") as found:
            assert total(found) == 5 * run


def test_what_an_unfinished_run_waited_for_holds_no_later_one(tmp_path: Path, counting: Declarations) -> None:
    files = [write(tmp_path / f"{n}.jsonl", events(1000 * n, 200)) for n in range(2)]
    options: Any = {"store": tmp_path / "s.db", "lateness": "0s", "block_bytes": 300, "commit_bytes": 1}
    dumped(files[:1], counting, [kill_at("committed", 3)], **options)
    with reported(files[:1], counting, **options) as found:
        assert found.watermark == T + 199_000


def test_a_producers_condition_may_read_the_name_of_the_file(tmp_path: Path) -> None:
    toml = "".join(
        f"[shape.call.producer.{name}]\nwhen = \"source LIKE '%{name}.jsonl'\"\ntime = 'body.{name}_at'\n"
        f"fields = {{ who = \"'{name}'\" }}\n"
        for name in ("one", "two")
    )
    toml += "[shape.call.fields]\nwho = 'VARCHAR'\n"
    toml += (
        '[statistic.s]\nof = "call"\nevery = "1m"\nby = { who_key = "who" }\n[statistic.s.measures]\nn = "count()"\n'
    )
    files = [
        write(tmp_path / "one.jsonl", [line(one_at=T)] * 3 + [line(one_at="soon")]),
        write(tmp_path / "two.jsonl", [line(two_at=T // 1000)] * 2),
    ]
    with reported(files, declare(tmp_path, toml)) as found:
        assert {row["who_key"]: row["n"] for row in found.rows("s")} == {"one": 3, "two": 2}
        assert found.summary["time_units"] == {files[0]: "ms", files[1]: "s"}
        assert found.summary["dead_letters"] == {(files[0], "time does not fit its unit"): 1}


BAD: list[tuple[bytes, str, str, int]] = [
    (b'{"time":', "not JSON", "not JSON: Expecting value", 9),
    (b'{"time":1}{"time":2}', "not JSON", "two values in a line", 11),
    (b'{"time":1,"a":"\xff"}', "not JSON", "invalid UTF-8 at byte 16", 16),
    (b'{"time":1,"a":"\\ud800"}', "not JSON", "lone surrogate", 16),
    (b'{"time":1,"a":"\x00"}', "not JSON", "NUL byte", 16),
    (b"\x00", "not JSON", "NUL byte", 1),
    (b"[1]", "not JSON", "not an object but an array", 1),
    (b"{}", "no time", "", 0),
    (b'{"time":"soon"}', "time does not fit its unit", "got 'soon'", 0),
    (b'{"time":253402300800000}', "time out of range", "got '253402300800000'", 0),
    (b'{"time":-62135596800000}', "time out of range", "got '-62135596800000'", 0),
]


def test_dead_letters_tell_place_reason_and_bytes(tmp_path: Path, counting: Declarations) -> None:
    good = line(time=T, k="a")
    lines = [x for bad, *_ in BAD for x in (good, b"", bad)]
    path = write(tmp_path / "a.jsonl", lines)
    expected = []
    for n, (bad, reason, detail, column) in enumerate(BAD):
        offset = sum(len(x) + 1 for x in lines[: 3 * n + 2])
        expected.append(DeadLetter(2 * n + 1, path, 3 * n + 3, offset, reason, detail, column, bad, len(bad)))
    for block_bytes in (100, 2**20):
        with reported([path], counting, block_bytes=block_bytes) as found:
            assert list(found.dead_letters()) == expected
            assert total(found) == len(BAD)


def test_a_line_over_max_line_keeps_its_reason_place_and_the_start_of_its_bytes(
    tmp_path: Path, counting: Declarations
) -> None:
    long = line(time=T, pad="x" * 9_000)
    lines = [line(time=T, k="a"), long, line(time=T, k="b"), b"{", long, line(time=T, k="c")]
    path = write(tmp_path / "a.jsonl", lines)
    for block_bytes in (100, 2**20):
        with reported([path], counting, block_bytes=block_bytes, max_line=1_000) as found:
            kept = [(x.position, x.line, x.offset, x.reason, x.length) for x in found.dead_letters()]
            offsets = [sum(len(x) + 1 for x in lines[:n]) for n in range(6)]
            over = "line over max_line"
            assert kept == [
                (1, 2, offsets[1], over, len(long)),
                (3, 4, offsets[3], "not JSON", 1),
                (4, 5, offsets[4], over, len(long)),
            ]
            assert next(x.data for x in found.dead_letters()) == long[:4096]
            assert total(found) == 3


def test_a_byte_order_mark_and_crlf_are_accepted(tmp_path: Path, counting: Declarations) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(events(0, 5)) + b"\r\n")
    with reported([str(path)], counting) as found:
        assert (total(found), found.summary["dead_letters"]) == (5, {})


def test_more_dead_letters_than_are_kept_are_counted(tmp_path: Path, counting: Declarations) -> None:
    path = write(tmp_path / "a.jsonl", events(0, 2) + [b"{"] * 6_000 + [b'{"k":1}'] * 6_000)
    with reported([path], counting, block_bytes=5_000, slice_bytes=20_000) as found:
        assert found.summary["dead_letters"] == {(path, "not JSON"): 6_000, (path, "no time"): 6_000}
        letters = list(found.dead_letters())
        assert (len(letters), letters[-1].position) == (10_000, 10_001)
    options: Any = {"block_bytes": 5_000, "store": tmp_path / "s.db"}
    with reported([path], counting, **options) as found:
        whole = dump(found)
    kills = [kill_at("committed", 2)]
    options["store"] = tmp_path / "killed.db"
    assert dumped([path], counting, kills, slice_bytes=10_000, commit_bytes=1, **options) == whole


def test_an_id_is_a_duplicate_in_any_file_and_a_null_never(tmp_path: Path, counting: Declarations) -> None:
    ids: list[list[Any]] = [["a", None, "b", "a", None, 1], ["1", None, "c", "b", "", ""]]
    files = [write(tmp_path / f"{n}.jsonl", [line(time=T, k="x", id=i) for i in part]) for n, part in enumerate(ids)]
    with reported(files, counting, id="body.id") as found:
        # A number is its text: 1 and "1" are one id.
        assert (total(found), found.summary["duplicates"]) == (8, 4)
    with reported(files, counting) as found:
        assert (total(found), found.summary["duplicates"]) == (12, 0)


def test_a_dead_letter_takes_no_id(tmp_path: Path, counting: Declarations) -> None:
    path = write(tmp_path / "a.jsonl", [line(id="a"), line(time=T, id="a"), line(time=T, id="a")])
    with reported([path], counting, id="body.id") as found:
        assert (total(found), found.summary["duplicates"]) == (1, 1)


def test_forgetting_ids_does_not_depend_on_batches(
    tmp_path: Path, counting: Declarations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SeenIds, "__init__", _small(SeenIds.__init__))
    r = random.Random(3)
    path = write(
        tmp_path / "a.jsonl",
        [line(time=T + n, k="a", id=max(0, n - r.choice([0, 1, 30, 90, 200]))) for n in range(800)],
    )
    options: Any = {"id": "body.id", "block_bytes": 300}
    plain = dumped([path], counting, store=tmp_path / "plain.db", **options)
    assert json.loads(tables(plain, "reader")[0])["reader"]["book"]["ids"][0] > 0
    kills = [kill_at("committed", 4), kill_at("settled", 9)]
    schedule: Any = {"slice_bytes": 900, "commit_bytes": 1, "workers": 3}
    assert dumped([path], counting, kills, store=tmp_path / "killed.db", **options, **schedule) == plain


def _small(original: Any) -> Any:
    def init(self: SeenIds, **kwargs: Any) -> None:
        original(self, generation=40, **kwargs)

    return init


MANY = """
[statistic.s]
topic = "*"
every = ["1m", "1h"]
by = { k = "body.k" }
[statistic.s.measures]
n = "count()"
total = "sum(body.n::BIGINT)"
least = "min(body.n::BIGINT)"
last = "latest(body.n::BIGINT)"
"""


@pytest.mark.slow
def test_many_keys_with_a_small_cache_are_exact_against_sql(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    r = random.Random(1)
    with path.open("w") as out:
        for n in range(300_000):
            out.write(f'{{"time":{T + n * 2},"k":"key-{r.randrange(100_000)}","n":{r.randrange(1000)}}}\n')
    options: Any = {"cache_cells": 10_000, "slice_bytes": 2**20, "commit_bytes": 2 * 2**20, "store": tmp_path / "s.db"}
    with reported([str(path)], declare(tmp_path, MANY), **options) as found:
        for every, length in (("1m", MINUTE), ("1h", 60 * MINUTE)):
            ours = {(x["start_ms"], x["k"], x["n"], x["total"], x["least"], x["last"]) for x in found.rows("s", every)}
            sql = f"""SELECT time // {length} * {length}, k, count(*), sum(n)::BIGINT, min(n), arg_max(n, time)
                FROM read_json('{path}', format = 'newline_delimited') GROUP BY ALL"""
            assert ours == set(duckdb.sql(sql).fetchall())
            assert len(ours) > 90_000


def test_a_file_cut_shorter_under_its_name_is_refused_and_counts_nothing_twice(
    tmp_path: Path, counting: Declarations
) -> None:
    path, store = tmp_path / "a.jsonl", tmp_path / "s.db"
    write(path, events(0, 30))
    with reported([str(path)], counting, store=store):
        pass
    write(path, events(0, 10))
    with reported([str(path)], counting, store=store) as found:
        assert total(found) == 30
        assert "were read under this name before" in found.summary["problems"][0]
