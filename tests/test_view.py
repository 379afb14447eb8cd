from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamgauge.app import report
from streamgauge.declare import Declarations
from streamgauge.errors import DeclarationError, UsageError
from streamgauge.view import View, check_view, choose, moment, show
from tests.declaring import CALLS, QUALITY, declared

DAY = 1_772_323_200_000  # 2026-03-01T00:00Z


@pytest.mark.parametrize(
    ("text", "zone", "ms"),
    [
        ("2026-03-01", "UTC", DAY),
        ("2026-03-01T00:00Z", "Europe/Paris", DAY),
        ("2026-03-01", "Europe/Paris", DAY - 3_600_000),
        ("2026-03-01T01:00+01:00", "UTC", DAY),
        ("2026-03-01T00:00:00.250", "UTC", DAY + 250),
        ("1772323200", "UTC", DAY),
        ("1772323200000", "UTC", DAY),
        ("-1", "UTC", -1000),
        ("0", "UTC", 0),
    ],
)
def test_a_time_on_the_command_line(text: str, zone: str, ms: int) -> None:
    assert moment(text, "--start", zone) == ms


@pytest.mark.parametrize("text", ["today", "2026-13-01", "1.5", "--5", "²", "9" * 16, "10000-01-01"])
def test_no_time(text: str) -> None:
    with pytest.raises(UsageError, match=r"--start .*: not a time; write e\.g\. 2026-01-31T12:00Z"):
        moment(text, "--start", "UTC")


def test_no_text_is_no_bound() -> None:
    assert moment("", "--start", "UTC") is None


@pytest.mark.parametrize(
    ("view", "problem"),
    [
        (View(format="cvs"), "--format 'cvs': unknown format; did you mean csv?"),
        (View(start="x"), "--start 'x': not a time"),
        (View(stop="x"), "--stop 'x': not a time"),
    ],
)
def test_what_is_refused_before_anything_runs(view: View, problem: str) -> None:
    with pytest.raises(UsageError) as error:
        check_view(view, "text")
    assert problem in str(error.value)


def test_an_unknown_zone_and_an_unknown_summary() -> None:
    with pytest.raises(DeclarationError, match="--tz: 'Mars': unknown time zone"):
        check_view(View(tz="Mars"), "text")
    with pytest.raises(UsageError, match="--summary 'xml': is text or json"):
        check_view(View(), "xml")


LOADED = declared(
    CALLS,
    QUALITY,
    QUALITY.replace("statistic.quality", "statistic.replies").replace(
        '{ carrier = "carrier" }', "['carrier', 'answer']"
    ),
    QUALITY.replace("statistic.quality", "statistic.volume").replace('by = { carrier = "carrier" }', ""),
)


def shown(view: View, loaded: Declarations = LOADED) -> list[tuple[str, str]]:
    return [(s.name, every) for s, every in choose(loaded, view)]


class TestChoose:
    def test_every_statistic_with_its_first_length(self) -> None:
        assert shown(View()) == [("quality", "6m"), ("replies", "6m"), ("volume", "6m")]

    def test_a_statistic_and_several_lengths(self) -> None:
        assert shown(View(("replies",), ("1h", "6m"))) == [("replies", "6m"), ("replies", "1h")]

    @pytest.mark.parametrize(
        ("by", "statistics"),
        [
            (("carrier",), ["quality"]),
            (("answer",), ["replies"]),
            (("answer", "carrier"), ["replies"]),
            ((), ["volume"]),
        ],
    )
    def test_keys_choose_the_statistics_that_have_just_these_else_those_that_have_them(
        self, by: tuple[str, ...], statistics: list[str]
    ) -> None:
        assert [name for name, _ in shown(View(by=by))] == statistics

    @pytest.mark.parametrize(
        ("given", "problem"),
        [
            ({"statistics": ("qualty",)}, "--statistic 'qualty': unknown statistic; did you mean quality?"),
            ({"every": ("6min",)}, "--every '6min': no such window length here"),
            ({"by": ("carier",)}, "--by 'carier': no such key here; did you mean carrier?"),
            ({"statistics": ("quality", "volume"), "by": ("carrier",)}, "--by 'carrier': no such key here"),
            ({"format": "csv"}, "--format csv holds one table; choose one with --statistic and --every: quality 6m,"),
        ],
    )
    def test_a_mistake(self, given: dict[str, Any], problem: str) -> None:
        with pytest.raises(UsageError) as error:
            choose(LOADED, View(**given))
        assert problem in str(error.value)


DECLARED = """
[statistic.calls]
topic = "cdr"
every = ["6m", "1h"]
measures = { talk_s = "sum(body.talk::BIGINT)" }

[statistic.volume]
topic = "cdr"
every = "1h"
measures = { n = "count()" }
"""
LINES = [
    '{"topic": "cdr", "time": "2026-03-01T10:00:00Z", "talk": "soon"}',
    '{"topic": "cdr", "time": "2026-03-01T10:10:00Z", "talk": 5}',
    "{bad",
]


@pytest.mark.parametrize("form", ["table", "json"])
def test_below_a_table_stands_what_was_of_the_wrong_type_and_malformed(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my.toml").write_text(DECLARED)
    (tmp_path / "calls.jsonl").write_text("\n".join(LINES))
    with report(tmp_path / "calls.jsonl", declarations=tmp_path / "my.toml") as found:
        show(found, View(format=form))
    told = capsys.readouterr().out
    if form == "json":
        assert len(json.loads(told)) == 3
        return
    calls, volume = told.split("volume\n")
    assert calls.endswith("\n\nwrong types: body.talk::BIGINT 1\n\n")
    assert "wrong types" not in volume
    assert "\n\nmalformed: not JSON 1\ntimes as found: iso in " in volume
