"""The events of a cell are found by the statements that counted them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from streamgauge.drilldown import slice_of
from streamgauge.engines.duck import SliceBuffer
from streamgauge.engines.duck.find import DuckFinder
from streamgauge.log.base import BlockHeader, LogBlock
from tests.engines.test_logged import logged
from tests.running import MINUTE, T, declare

DECLARED = """
[shape.call.fields]
began = "BIGINT"
tags = "VARCHAR[]"
[shape.call.producer.one]
when = "body.k IS NOT NULL"
time = "body.time"
fields = { began = "body.began::BIGINT", tags = "body.tags::VARCHAR[]" }

[statistic.listed]
of = "call"
every = ["1m", "1h"]
by = { tag = "tags" }
totals = true
measures = { n = "count()" }

[statistic.begun]
of = "call"
every = "1m"
time = "began"
measures = { n = "count()" }

[statistic.some]
topic = "call.*"
where = "body.x::BIGINT > 2"
every = "1m"
measures = { n = "count() FILTER (WHERE body.x::BIGINT > 3)" }
"""

HOUR = 3_600_000
WINDOW, ALWAYS = T // MINUTE * MINUTE, (0, 2**52)
LINES = [
    logged(b'{"k":1,"tags":["a","b","a"],"began":%d,"x":1}' % T),
    logged(b'{"k":1,"tags":[],"began":"soon","x":3}', T + MINUTE, "call.in"),
    logged(b'{"k":1,"tags":["b"],"began":%d,"x":5}' % (T + MINUTE), T, "call.out"),
    logged(b'{"tags":["a"],"x":9}', T),
]


def find(
    folder: Path, name: str, window: tuple[int, int], wants: Callable[[tuple[object, ...]], bool], totals: bool = False
) -> list[int]:
    declared = declare(folder, DECLARED)
    data = b"".join(line + b"\n" for line in LINES)
    block = LogBlock(BlockHeader(0, 0, "http", "", 7, len(LINES), size=len(data)), data, b"")
    slice_, buffer = slice_of(block, SliceBuffer)
    finder = DuckFinder(declared.statistics[name], declared.shapes.values(), totals)
    try:
        return list(map(int, finder.find(slice_, *window, wants)))
    finally:
        finder.close()
        buffer.close()


def every(key: tuple[object, ...]) -> bool:
    return True


@pytest.mark.parametrize(("tag", "expected"), [("a", [0]), ("b", [0, 2]), (None, [1]), ("c", [])])
def test_an_event_is_found_once_under_each_of_its_elements(
    tmp_path: Path, tag: str | None, expected: Sequence[int]
) -> None:
    assert find(tmp_path, "listed", ALWAYS, lambda key: key == (tag,)) == expected


def test_totals_find_each_event_once(tmp_path: Path) -> None:
    assert find(tmp_path, "listed", ALWAYS, every, totals=True) == [0, 1, 2]


def test_a_window_of_any_length_is_a_range_of_the_shortest(tmp_path: Path) -> None:
    assert find(tmp_path, "listed", (WINDOW, WINDOW + MINUTE), every) == [0, 2]
    assert find(tmp_path, "listed", (WINDOW + MINUTE, WINDOW + 2 * MINUTE), every) == [1]
    assert find(tmp_path, "listed", (T // HOUR * HOUR, T // HOUR * HOUR + HOUR), every) == [0, 1, 2]


def test_windows_by_a_time_of_their_own_find_by_that(tmp_path: Path) -> None:
    assert find(tmp_path, "begun", (WINDOW, WINDOW + MINUTE), every) == [0]
    assert find(tmp_path, "begun", (WINDOW + MINUTE, WINDOW + 2 * MINUTE), every) == [2]


def test_what_the_statistic_does_not_count_is_not_found(tmp_path: Path) -> None:
    assert find(tmp_path, "some", ALWAYS, every) == [1, 2], "a measure's own filter takes nothing away"
