"""Windows: lengths, alignment, the calendar, the base windows; with plain datetime and zoneinfo as the oracle."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamgauge.errors import DeclarationError
from streamgauge.event import FOREVER, MAX_TIME_MS, MIN_TIME_MS
from streamgauge.windows import DAY_MS, Length, Windows, check_zone, parse_duration_ms, parse_length

HOUR_MS = 3_600_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = sorted(zone for zone in available_timezones() if zone not in ("localtime", "Factory", "posixrules"))
FIXED = ("1s", "5s", "1m", "6m", "90m", "1h", "24h", "7d", "2w", "30d", "366d")
CALENDAR = ("1d", "1w", "1mo")


def ms(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(milliseconds=1)


def iso(time_ms: int) -> str:
    return (EPOCH + timedelta(milliseconds=time_ms)).isoformat()


def local(time_ms: int, zone: str) -> str:
    return (EPOCH + timedelta(milliseconds=time_ms)).astimezone(ZoneInfo(zone)).isoformat()


def day_start_by_datetime(day: date, zone: ZoneInfo) -> int:
    """The oracle: midnight as datetime has it; if clocks skip it, the moment of the change, found by halving."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    early, late = (midnight.replace(fold=fold).astimezone(UTC) for fold in (1, 0))
    if early <= late:  # a gap, or no change at all (fold=1 is the later one of two midnights)
        offset = late.astimezone(zone).utcoffset()
        while late - early > timedelta(seconds=1):
            middle = early + (late - early) // timedelta(seconds=2) * timedelta(seconds=1)
            early, late = (early, middle) if middle.astimezone(zone).utcoffset() == offset else (middle, late)
    return (late - EPOCH) // timedelta(milliseconds=1)


def window_by_datetime(unit: str, time_ms: int, zone: ZoneInfo) -> tuple[int, int]:
    """The oracle: ``(start, stop)`` of the window of one day, week or month, by walking over dates near the time."""
    near = (EPOCH + timedelta(milliseconds=time_ms)).astimezone(zone).date()
    begins = {
        "1d": lambda d: True,
        "1w": lambda d: d.isoweekday() == 1,
        "1mo": lambda d: d.day == 1,
    }[unit]
    reach = {"1d": 3, "1w": 9, "1mo": 33}[unit]
    days = (near + timedelta(days=n) for n in range(-reach, reach + 1))
    starts = sorted({day_start_by_datetime(day, zone) for day in days if begins(day)})
    return max(s for s in starts if s <= time_ms), min(s for s in starts if s > time_ms)


# Lengths and durations


@pytest.mark.parametrize(
    ("text", "canonical", "nominal_ms", "calendar"),
    [
        ("1s", "1s", 1000, False),
        ("6m", "6m", 360_000, False),
        (" 6 m ", "6m", 360_000, False),
        ("06m", "6m", 360_000, False),
        ("24h", "24h", DAY_MS, False),
        ("1d", "1d", DAY_MS, True),
        ("7d", "7d", 7 * DAY_MS, False),
        ("1w", "1w", 7 * DAY_MS, True),
        ("2w", "2w", 14 * DAY_MS, False),
        ("1mo", "1mo", 30 * DAY_MS, True),
        ("2000ms", "2000ms", 2000, False),
        ("366d", "366d", 366 * DAY_MS, False),
    ],
)
def test_length_is_read(text: str, canonical: str, nominal_ms: int, calendar: bool) -> None:
    length = parse_length(text)
    assert (str(length), length.nominal_ms, length.calendar) == (canonical, nominal_ms, calendar)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("0s", "cannot be empty"),
        ("500ms", "whole number of seconds"),
        ("1500ms", "whole number of seconds"),
        ("2mo", "1mo"),
        ("367d", "at most 366d"),
        ("53w", "at most 366d"),
        ("1.5h", "90m"),
        ("6min", "did you mean 6m?"),
        ("1hour", "did you mean 1h?"),
        ("2 Days", "did you mean 2d?"),
        ("6M", "6m (minutes) or 6mo (months)"),
        ("1H", "did you mean 1h?"),
        ("1y", "a whole number and a unit"),
        ("", "a whole number and a unit"),
        ("-5m", "a whole number and a unit"),
        ("h", "a whole number and a unit"),
        ("1h30m", "a whole number and a unit"),
        ("٣m", "a whole number and a unit"),
        ("9" * 400 + "s", "a whole number and a unit"),
        (6, "a whole number and a unit"),
    ],
)
def test_length_is_refused_with_a_hint(text: str, part: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        parse_length(text, "statistic 'calls': every", "my.toml:7")
    (mistake,) = caught.value.mistakes
    assert (mistake.what, mistake.where, mistake.got) == ("statistic 'calls': every", "my.toml:7", str(text))
    assert part in str(mistake)


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [("0s", 0), ("500ms", 500), ("90s", 90_000), ("4h", 4 * HOUR_MS), ("90d", 90 * DAY_MS), ("1w", 7 * DAY_MS)],
)
def test_duration_is_read(text: str, duration_ms: int) -> None:
    assert parse_duration_ms(text) == duration_ms


@pytest.mark.parametrize(
    ("text", "part"), [("1mo", "write 30d"), ("0", "and a unit"), ("146098d", "146097d"), ("5mins", "mean 5m?")]
)
def test_duration_is_refused_with_a_hint(text: str, part: str) -> None:
    with pytest.raises(DeclarationError, match=r"^keep: '") as caught:
        parse_duration_ms(text, "keep")
    assert part in str(caught.value)


# Zones


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("Paris", "did you mean Europe/Paris?"),
        ("europe/paris", "did you mean Europe/Paris?"),
        ("new york", "did you mean America/New_York?"),
        ("Europe/Pari", "did you mean Europe/Paris?"),
        ("../etc/passwd", "such as Europe/Paris"),
        ("Europe", "did you mean Europe/"),
        ("", "such as Europe/Paris"),
        ("\0", "such as Europe/Paris"),
        ("localtime", "such as Europe/Paris"),
    ],
)
def test_unknown_zone_is_refused_with_a_near_match(zone: str, hint: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        check_zone(zone)
    assert hint in str(caught.value)


def test_zone_of_leap_seconds_is_refused() -> None:
    with pytest.raises(DeclarationError, match="unknown time zone"):
        Windows(["1d"], "right/Europe/Paris")


# What a set of windows is


def test_windows_are_sorted_by_length() -> None:
    assert [x.text for x in Windows(["1mo", "1d", "6m", "24h"]).lengths] == ["6m", "24h", "1d", "1mo"]


@pytest.mark.parametrize(("lengths", "part"), [([], "no window length"), (["60s", "1m"], "the same windows as")])
def test_windows_without_or_with_equal_lengths_are_refused(lengths: list[str], part: str) -> None:
    with pytest.raises(DeclarationError, match=part):
        Windows(lengths)


def test_windows_take_parsed_lengths_and_say_what_they_are() -> None:
    assert repr(Windows([parse_length("6m")], "Europe/Paris")) == "Windows(['6m'], 'Europe/Paris')"


# Fixed lengths


def test_event_on_a_boundary_is_in_the_window_that_starts_there() -> None:
    windows = Windows(["6m"])
    six = windows.lengths[0]
    times = np.array([359_999, 360_000, 360_001])
    assert windows.starts(six, times).tolist() == [0, 360_000, 360_000]
    assert windows.stops(six, windows.starts(six, times)).tolist() == [360_000, 720_000, 720_000]


def test_fixed_window_before_1970_is_floored_not_truncated() -> None:
    windows = Windows(["6m"])
    assert windows.starts(windows.lengths[0], np.array([-1, -360_000, -360_001])).tolist() == [
        -360_000, -360_000, -720_000,
    ]  # fmt: skip
    assert windows.base_of(np.array([-1])).tolist() == [-360_000]


def test_seven_days_start_on_the_weekday_of_the_epoch_and_a_week_on_monday() -> None:
    windows = Windows(["7d", "1w"])
    seven, week = windows.lengths
    assert iso(windows.start(seven, ms("2026-11-22T12:00:00Z"))) == "2026-11-19T00:00:00+00:00"
    assert iso(windows.start(week, ms("2026-11-22T12:00:00Z"))) == "2026-11-16T00:00:00+00:00"


def test_fixed_day_ignores_the_zone() -> None:
    windows = Windows(["24h"], "Asia/Kathmandu")
    assert windows.start(windows.lengths[0], 5 * HOUR_MS) == 0
    assert windows.bases == ((FOREVER, DAY_MS),)


# The calendar, by hand


@pytest.mark.parametrize(
    ("zone", "time", "start", "stop"),
    [
        ("Europe/Paris", "2026-03-29T12:00:00Z", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
        ("Europe/Paris", "2026-10-25T12:00:00Z", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
        ("Asia/Kathmandu", "2026-01-01T18:14:59Z", "2026-01-01T00:00:00+05:45", "2026-01-02T00:00:00+05:45"),
        ("Asia/Kathmandu", "2026-01-01T18:15:00Z", "2026-01-02T00:00:00+05:45", "2026-01-03T00:00:00+05:45"),
        ("Australia/Lord_Howe", "2026-04-04T18:00:00Z", "2026-04-05T00:00:00+11:00", "2026-04-06T00:00:00+10:30"),
        # clocks went back from 00:01 to 23:01: the day keeps the hour that was shown twice
        ("America/St_Johns", "2010-11-07T02:45:00Z", "2010-11-07T00:00:00-02:30", "2010-11-08T00:00:00-03:30"),
        # midnight did not exist: the day starts at one o'clock
        ("America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"),
        ("Asia/Beirut", "2026-03-29T12:00:00Z", "2026-03-29T01:00:00+03:00", "2026-03-30T00:00:00+03:00"),
        # 30 September 1969 came twice, as the island changed sides of the date line: one day of 47 hours
        ("Pacific/Kwajalein", "1969-10-01T06:00:00Z", "1969-09-30T00:00:00+11:00", "1969-10-01T00:00:00-12:00"),
        ("Europe/Paris", "1900-06-15T12:00:00Z", "1900-06-15T00:00:00+00:09:21", "1900-06-16T00:00:00+00:09:21"),
    ],
)
def test_day_in_a_zone(zone: str, time: str, start: str, stop: str) -> None:
    windows = Windows(["1d"], zone)
    found = windows.start(windows.lengths[0], ms(time))
    assert (local(found, zone), local(windows.stop(windows.lengths[0], found), zone)) == (start, stop)


@pytest.mark.parametrize(("time", "hours"), [("2026-03-29T12:00:00Z", 23), ("2026-10-25T12:00:00Z", 25)])
def test_day_of_a_clock_change_has_23_or_25_hours(time: str, hours: int) -> None:
    windows = Windows(["1d"], "Europe/Paris")
    start = windows.start(windows.lengths[0], ms(time))
    assert windows.stop(windows.lengths[0], start) - start == hours * HOUR_MS


def test_day_of_lord_howe_changes_by_half_an_hour() -> None:
    windows = Windows(["1d"], "Australia/Lord_Howe")
    start = windows.start(windows.lengths[0], ms("2026-04-04T18:00:00Z"))
    assert windows.stop(windows.lengths[0], start) - start == 24 * HOUR_MS + HOUR_MS // 2


def test_skipped_day_of_apia_has_no_window() -> None:
    windows = Windows(["1d", "1mo"], "Pacific/Apia")
    day, month = windows.lengths
    days = windows.span(day, ms("2011-12-28T12:00:00Z"), ms("2012-01-01T12:00:00Z"))
    assert [local(start, windows.zone)[:10] for start in days] == [
        "2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01", "2012-01-02",
    ]  # fmt: skip
    assert {windows.stop(day, start) - start for start in days} == {DAY_MS}
    december = windows.start(month, days[0])
    assert windows.stop(month, december) - december == 30 * DAY_MS


@pytest.mark.parametrize(
    ("time", "start", "stop"),
    [
        ("2024-02-29T23:59:59.999Z", "2024-02-01T00:00:00+00:00", "2024-03-01T00:00:00+00:00"),
        ("1900-02-28T12:00:00Z", "1900-02-01T00:00:00+00:00", "1900-03-01T00:00:00+00:00"),
        ("1969-12-31T23:59:59.999Z", "1969-12-01T00:00:00+00:00", "1970-01-01T00:00:00+00:00"),
    ],
)
def test_month_ends_where_the_calendar_says(time: str, start: str, stop: str) -> None:
    windows = Windows(["1mo"])
    found = windows.start(windows.lengths[0], ms(time))
    assert (iso(found), iso(windows.stop(windows.lengths[0], found))) == (start, stop)


def test_first_and_last_permitted_moment_have_windows_of_every_length() -> None:
    for zone in ("UTC", "Pacific/Kiritimati", "America/Los_Angeles"):
        windows = Windows([*FIXED, *CALENDAR], zone)
        for length in windows.lengths:
            for time in (MIN_TIME_MS, MAX_TIME_MS - 1):
                start = windows.start(length, time)
                assert start <= time < windows.stop(length, start)


def test_time_outside_the_permitted_years_is_an_error_of_the_caller() -> None:
    windows = Windows(["1d"])
    with pytest.raises(ValueError, match="outside the years"):
        windows.starts(windows.lengths[0], np.array([0, MAX_TIME_MS + 400 * DAY_MS]))


# The calendar, against the oracle


@settings(deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    unit=st.sampled_from(CALENDAR),
    time=st.integers(ms("1900-01-01T00:00:00Z"), ms("2190-01-01T00:00:00Z")),
)
@example(zone="Pacific/Apia", unit="1d", time=ms("2011-12-30T10:00:00Z"))
@example(zone="America/St_Johns", unit="1d", time=ms("2010-11-07T02:31:30Z"))
@example(zone="America/Sao_Paulo", unit="1d", time=ms("2018-11-04T03:00:00Z"))
def test_calendar_window_equals_a_walk_with_datetime(zone: str, unit: str, time: int) -> None:
    windows = Windows([unit], zone)
    start = windows.start(windows.lengths[0], time)
    assert (start, windows.stop(windows.lengths[0], start)) == window_by_datetime(unit, time, ZoneInfo(zone))


@settings(deadline=None, max_examples=40)
@given(zone=st.sampled_from(ZONES), year=st.integers(1900, 2189), data=st.data())
def test_every_day_of_a_random_year_equals_a_walk_with_datetime(zone: str, year: int, data: st.DataObject) -> None:
    first = date(year, data.draw(st.integers(1, 12)), 1)
    days = {day_start_by_datetime(first + timedelta(days=n), ZoneInfo(zone)) for n in range(32)}
    windows = Windows(["1d"], zone)
    assert windows.span(windows.lengths[0], min(days), max(days) + 1) == sorted(days)


def test_shortest_spell_at_an_offset_is_found() -> None:
    windows = Windows(["1d"], "Africa/Freetown")
    days = windows.span(windows.lengths[0], ms("1939-09-01T12:00:00Z"), ms("1939-09-09T12:00:00Z"))
    assert days == [day_start_by_datetime(date(1939, 9, n), ZoneInfo(windows.zone)) for n in range(1, 10)]
    assert len({stop - start for start, stop in itertools.pairwise(days)}) == 3


# Base windows


@pytest.mark.parametrize(
    ("lengths", "zone", "base_s"),
    [
        (("6m", "1h", "1d"), "UTC", 360),
        (("1d", "1w", "1mo"), "UTC", 86_400),
        (("7m", "1h"), "UTC", 60),
        (("7d",), "UTC", 7 * 86_400),
        (("1w",), "UTC", 86_400),
        (("1d",), "Europe/Paris", 3600),
        (("6m", "1d"), "Europe/Paris", 360),
        (("1h", "1d"), "Asia/Kathmandu", 900),
        (("1h", "1d"), "Asia/Kolkata", 1800),
        (("1d",), "Australia/Lord_Howe", 1800),
        (("1d",), "America/St_Johns", 1800),
        (("1d",), "Pacific/Apia", 3600),
    ],
)
def test_base_of_today_is_the_largest_that_divides(lengths: tuple[str, ...], zone: str, base_s: int) -> None:
    bases = Windows(lengths, zone).bases
    assert bases[-1] == (FOREVER, base_s * 1000)


def test_documented_bases_are_true() -> None:
    page = (Path(__file__).parent.parent / "docs" / "windows.md").read_text()
    rows = re.findall(r"^\| (`.+`) \| `(.+)` \| (\d+) s \|$", page, re.MULTILINE)
    assert len(rows) >= 5
    for lengths, zone, base_s in rows:
        assert Windows(re.findall(r"`(\w+)`", lengths), zone).bases[-1] == (FOREVER, int(base_s) * 1000)


def test_base_of_old_local_mean_time_has_seconds() -> None:
    assert Windows(["1d"], "Europe/Paris").bases == ((ms("1911-03-10T00:00:00Z"), 3000), (FOREVER, HOUR_MS))


lists_of_lengths = st.lists(st.sampled_from(FIXED + CALENDAR), min_size=1, max_size=4, unique=True)


@settings(deadline=None, max_examples=50)
@given(lengths=lists_of_lengths, zone=st.sampled_from(ZONES))
def test_bases_are_ascending_and_each_begins_on_a_boundary_of_both(lengths: list[str], zone: str) -> None:
    bases = Windows(lengths, zone).bases
    untils = [until for until, _ in bases]
    assert untils == sorted(set(untils))
    assert untils[-1] == FOREVER
    for (until, before), (_, after) in itertools.pairwise(bases):
        assert (until % before, until % after, after % before) == (0, 0, 0)


@settings(deadline=None)
@given(
    lengths=lists_of_lengths,
    zone=st.sampled_from(ZONES),
    times=st.lists(st.integers(MIN_TIME_MS, MAX_TIME_MS - 1), min_size=1, max_size=30),
)
def test_no_window_splits_a_base_window(lengths: list[str], zone: str, times: list[int]) -> None:
    windows = Windows(lengths, zone)
    at = np.array(times)
    base = windows.base_of(at)
    assert (base <= at).all()
    within = np.maximum(base, MIN_TIME_MS)
    for length in windows.lengths:
        starts = windows.starts(length, at)
        assert starts.tolist() == windows.starts(length, within).tolist()
        for edge in np.concatenate([starts, windows.stops(length, starts)]):
            if MIN_TIME_MS <= edge < MAX_TIME_MS:
                assert windows.base_of(np.array([edge]))[0] == edge


# Spans


def test_span_holds_every_window_that_overlaps_the_range() -> None:
    windows = Windows(["6m"])
    assert windows.span(windows.lengths[0], -1, 360_001) == [-360_000, 0, 360_000]
    assert windows.span(windows.lengths[0], 0, 360_000) == [0]
    assert windows.span(windows.lengths[0], 5, 5) == []


@settings(deadline=None)
@given(
    length=st.sampled_from([parse_length(text) for text in ("24h", "7d", "366d", *CALENDAR)]),
    zone=st.sampled_from(ZONES),
    start=st.integers(MIN_TIME_MS, MAX_TIME_MS - 1),
    days=st.integers(1, 400),
)
def test_span_is_contiguous(length: Length, zone: str, start: int, days: int) -> None:
    windows = Windows([length], zone)
    stop = min(start + days * DAY_MS, MAX_TIME_MS)
    span = windows.span(length, start, stop)
    assert span[0] == windows.start(length, start)
    assert span[-1] == windows.start(length, stop - 1)
    assert windows.stops(length, np.array(span[:-1], dtype=np.int64)).tolist() == span[1:]
