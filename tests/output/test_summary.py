"""The summary: short, nothing that is zero, and all of it for machines."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.event import DeadLetter
from streamgauge.output.summary import as_json, input_notes, print_summary, statistic_notes, summary_lines

LETTERS = [
    DeadLetter(9, "a.jsonl", 10, 700, "not JSON", "expected a value", 12, b"{x\xff", 3),
    DeadLetter(11, "a.jsonl", 12, 710, "no time"),
    DeadLetter(12, "b\x1b[2J", 1, 0, "time out of range", "got '-1'"),
    DeadLetter(13, "b", 2, 0, "no time"),
]
FULL: dict[str, Any] = {
    "events": 1_234_000,
    "records": 1_234_033,
    "bytes": 425_100_000,
    "seconds": 2.0,
    "dead_letters": {("a.jsonl", "not JSON"): 20, ("b", "not JSON"): 8, ("a.jsonl", "over max_line"): 2,
                     ("b", "no time"): 2, ("b", "time out of range"): 1},
    "first_dead_letters": LETTERS,
    "duplicates": 5,
    "late": {"calls:6m": 3, "volume:1d": 0},
    "expired": {"calls:6m": 1},
    "wrong_types": {"body.x::BIGINT": 2, "body.y::DOUBLE": 9},
    "unused": 7,
    "cells": {"calls": {"6m": (240, 10, 2400), "1h": (24, 10, 240)}, "volume": {"1d": (1, 1, 1)}},
    "time_units": {"a.jsonl": "ms", "b": "s", "c": "ms"},
    "notes": ["a.jsonl: named twice, read once"],
    "problems": ["d.jsonl: no such file"],
}  # fmt: skip


def lines(summary: dict[str, Any]) -> list[str]:
    return [line.replace("\u00a0", " ") for line in summary_lines(summary)]


def test_everything_that_happened_is_said_in_few_lines() -> None:
    assert lines(FULL) == [
        "1 234 000 events of 1 234 033 records, 425.1 MB in 2.0 s (617 000 events/s)",
        "malformed: not JSON 28, over max_line 2; no usable time: no time 2, time out of range 1",
        "  a.jsonl:10: not JSON: expected a value at character 12",
        "  a.jsonl:12: no time",
        "  b\\u001b[2J:1: time out of range: got '-1'",
        "duplicates: 5, counted once",
        "late: calls 6m 3",
        "expired: calls 6m 1",
        "wrong types: body.y::DOUBLE 9, body.x::BIGINT 2",
        "unused: 7 events that no statistic counts",
        "calls: 2 640 cells: 240 windows of 6m, 10 keys; 24 windows of 1h, 10 keys",
        "volume: 1 cell: 1 window of 1d, 1 key",
        "times as found: ms in a.jsonl, c; s in b",
        "a.jsonl: named twice, read once",
        "d.jsonl: no such file",
    ]


def test_nothing_that_is_zero_is_said() -> None:
    quiet = {"events": 3, "records": 3, "bytes": 300, "seconds": 0.01, "late": {"calls": 0}, "duplicates": 0}
    assert lines(quiet) == ["3 events, 300 bytes"]
    assert lines({}) == ["0 events, 0 bytes"]


def test_a_run_of_many_statistics_and_inputs_stays_short() -> None:
    cells = {f"s{n}": {"6m": (2, 3, 6), "1h": (1, 3, 3)} for n in range(40)}
    units = {f"f{n}": "ms" for n in range(40)}
    problems = [f"f{n}: no such file" for n in range(40)]
    notes = [f"f{n}: named twice, read once" for n in range(40)]
    letters = {(f"f{n}", "not JSON"): 2 for n in range(500)}
    many = {"cells": cells, "time_units": units, "problems": problems, "notes": notes, "dead_letters": letters}
    found = lines({**FULL, **many})
    assert len(found) <= 15
    assert "malformed: not JSON 1 000" in found
    assert "... and 39 more notes" in found
    assert "40 statistics: 360 cells" in found
    assert "times as found: ms in 40 inputs" in found
    assert found[-1] == "... and 38 more inputs that could not be read"


def test_more_kinds_than_six_are_added_up() -> None:
    wrong = {f"f{n}": 10 - n for n in range(9)}
    assert lines({"wrong_types": wrong})[1] == "wrong types: f0 10, f1 9, f2 8, f3 7, f4 6, f5 5, others 9"


@given(text=st.text())
def test_no_name_breaks_a_line_or_steers_the_terminal(text: str) -> None:
    letter = DeadLetter(0, text, 1, 0, text, text)
    summary = {"dead_letters": {(text, text): 1}, "first_dead_letters": [letter], "problems": [text], "late": {text: 1}}
    for line in summary_lines(summary):
        assert line.replace("\u00a0", "").replace("\u200c", "").replace("\u200d", "").isprintable()


def test_a_summary_is_printed_as_its_lines_without_colours_where_there_is_no_terminal() -> None:
    out = StringIO()
    print_summary(FULL, out)
    assert out.getvalue().replace("\u00a0", " ").splitlines() == lines(FULL)


def test_problems_stand_out_in_a_terminal_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    out = StringIO()
    print_summary({**FULL, "problems": [f"{n}.jsonl: no such file" for n in range(9)]}, out)
    red = [line for line in out.getvalue().splitlines() if "\x1b[31m" in line]
    assert [line for line in red if "no such file" in line or "more inputs" in line] == red
    assert len(red) == 3


def test_below_a_statistic_stands_what_was_late_in_it_and_of_the_wrong_type_in_its_fields() -> None:
    summary = {**FULL, "late": {"calls:6m": 3, "calls:1h": 4, "calls2:6m": 9}}
    assert statistic_notes(summary, "calls", ["body.x::BIGINT"]) == [
        "late: 1h 4, 6m 3",
        "expired: 6m 1",
        "wrong types: body.x::BIGINT 2",
    ]
    assert statistic_notes(summary, "volume", []) == []


def test_at_the_end_of_a_table_stands_what_the_inputs_held() -> None:
    assert input_notes(FULL) == [
        "malformed: not JSON 28, over max_line 2; no usable time: no time 2, time out of range 1",
        "times as found: ms in a.jsonl, c; s in b",
    ]
    assert input_notes({}) == []


def test_for_machines_nothing_is_left_out() -> None:
    found = json.loads(json.dumps(as_json(FULL), allow_nan=False))
    assert found["records_per_s"] == 617_016.5
    assert {(d["input"], d["reason"]): d["count"] for d in found["dead_letters"]} == FULL["dead_letters"]
    assert found["first_dead_letters"][0]["data"] == "{x\ufffd"
    assert [letter["line"] for letter in found["first_dead_letters"]] == [10, 12, 1, 2]
    assert found["late"] == {"calls:6m": 3, "volume:1d": 0}
    assert found["cells"]["calls"]["1h"] == {"windows": 24, "keys": 10, "cells": 240}
    for name in (
        "events",
        "records",
        "bytes",
        "seconds",
        "duplicates",
        "expired",
        "wrong_types",
        "unused",
        "notes",
        "problems",
    ):
        assert found[name] == FULL[name]
    assert as_json({})["records_per_s"] is None


def test_a_reason_is_not_said_twice() -> None:
    letter = DeadLetter(0, "a", 4, 0, "not JSON", "not JSON: Expecting ','", 2)
    assert lines({"first_dead_letters": [letter]})[1:] == ["  a:4: not JSON: Expecting ',' at character 2"]
