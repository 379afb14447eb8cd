from __future__ import annotations

from typing import Any

import pytest

from streamgauge.declare import Declarations
from streamgauge.errors import DeclarationError, UsageError
from streamgauge.view import View, check_view, choose, moment
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
