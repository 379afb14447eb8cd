from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import duckdb
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.expression import TimeUnit, detect_unit, time_ms

MICROS = {TimeUnit.S: 10**6, TimeUnit.MS: 10**3, TimeUnit.US: 1}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = ["UTC", "Europe/Paris", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]


def read(duck: duckdb.DuckDBPyConnection, unit: TimeUnit, texts: list[str], zone: str = "UTC") -> list[int | None]:
    sql = time_ms("v", unit, "duckdb", zone)
    source = "(SELECT unnest(CAST($1 AS VARCHAR[])) AS v)"
    return [r for (r,) in duck.execute(f"SELECT {sql} FROM {source}", [texts]).fetchall()]


def exact_ms(text: str, unit: TimeUnit) -> int:
    if unit is TimeUnit.NS:
        return int(text) // 10**6
    return math.floor(Fraction(text) * MICROS[unit] / 1000)


@pytest.mark.parametrize(
    ("text", "unit", "ms"),
    [
        ("1521911721", TimeUnit.S, 1521911721000),
        ("1521911721.001", TimeUnit.S, 1521911721001),
        ("1521911721.0009", TimeUnit.S, 1521911721000),
        ("1521911721.001999", TimeUnit.S, 1521911721001),
        ("1521911721.0019999999", TimeUnit.S, 1521911721002),
        (" 1.521911721e9\n", TimeUnit.S, 1521911721000),
        ("-0.0005", TimeUnit.S, -1),
        ("-1", TimeUnit.MS, -1),
        ("-0.5", TimeUnit.MS, -1),
        ("1521911721001.9", TimeUnit.MS, 1521911721001),
        ("-1", TimeUnit.US, -1),
        ("1521911721001999", TimeUnit.US, 1521911721001),
        ("-1", TimeUnit.NS, -1),
        ("1521911721000999999", TimeUnit.NS, 1521911721000),
        ("7258118399.999", TimeUnit.S, 7258118399999),
        ("NaN", TimeUnit.S, None),
        ("1e999", TimeUnit.S, None),
        ("Infinity", TimeUnit.S, None),
        ("0x1A", TimeUnit.S, None),
        ("1_000", TimeUnit.S, None),
        ("", TimeUnit.S, None),
        ("2018-03-24", TimeUnit.S, None),
        ("9223372036854775807", TimeUnit.S, None),
        ("1521911721", TimeUnit.ISO, None),
    ],
)
def test_numbers_as_times(text: str, unit: TimeUnit, ms: int | None, duck: duckdb.DuckDBPyConnection) -> None:
    assert read(duck, unit, [text]) == [ms]


PLAIN = st.builds(
    lambda whole, digits, sign: sign + str(whole) + (f".{digits}" if digits else ""),
    st.integers(0, 7_258_118_399),
    st.text("0123456789", max_size=6),
    st.sampled_from(["", "-"]),
)


@given(texts=st.lists(PLAIN, min_size=1))
def test_seconds_with_up_to_six_decimals_are_exact(texts: list[str], duck: duckdb.DuckDBPyConnection) -> None:
    assert read(duck, TimeUnit.S, texts) == [exact_ms(t, TimeUnit.S) for t in texts]


@given(values=st.lists(st.integers(-(10**18), 10**18), min_size=1), unit=st.sampled_from(["ms", "us", "ns"]))
def test_integers_are_exact_in_every_unit(values: list[int], unit: str, duck: duckdb.DuckDBPyConnection) -> None:
    texts = [str(v) for v in values]
    assert read(duck, TimeUnit(unit), texts) == [exact_ms(t, TimeUnit(unit)) for t in texts]


@given(
    values=st.lists(st.integers(-(10**15), 10**15), min_size=1), digits=st.text("0123456789", min_size=1, max_size=3)
)
def test_milliseconds_with_up_to_three_decimals_are_exact(
    values: list[int], digits: str, duck: duckdb.DuckDBPyConnection
) -> None:
    texts = [f"{v // 1000}.{digits}" for v in values]
    assert read(duck, TimeUnit.MS, texts) == [exact_ms(t, TimeUnit.MS) for t in texts]


@given(texts=st.lists(st.text("0123456789-+.eE \nx_", max_size=14), min_size=1), unit=st.sampled_from(TimeUnit))
def test_no_text_makes_a_time_raise(texts: list[str], unit: TimeUnit, duck: duckdb.DuckDBPyConnection) -> None:
    assert len(read(duck, unit, texts)) == len(texts)


OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59)
MOMENTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31))


@given(moment=MOMENTS, minutes=OFFSETS, form=st.sampled_from(["{}:{}", "{}{}"]), join=st.sampled_from("T "))
def test_iso_with_an_offset(
    moment: datetime, minutes: int, form: str, join: str, duck: duckdb.DuckDBPyConnection
) -> None:
    sign = "-" if minutes < 0 else "+"
    offset = sign + form.format(f"{abs(minutes) // 60:02}", f"{abs(minutes) % 60:02}")
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert read(duck, TimeUnit.ISO, [moment.isoformat(join) + offset]) == [(aware - EPOCH) // timedelta(milliseconds=1)]


@pytest.mark.parametrize("zone", ZONES)
@settings(max_examples=10)
@given(moments=st.lists(st.datetimes(datetime(1800, 1, 2), datetime(2199, 12, 30)), min_size=20))
def test_iso_without_an_offset_is_local_time(
    moments: list[datetime], zone: str, duck: duckdb.DuckDBPyConnection
) -> None:
    local = [m.replace(tzinfo=ZoneInfo(zone), fold=0) for m in moments]
    expected = [(m - EPOCH) // timedelta(milliseconds=1) for m in local]
    assert read(duck, TimeUnit.ISO, [m.isoformat() for m in moments], zone) == expected
    assert read(duck, TimeUnit.ISO, [f" {m.isoformat()}\t" for m in moments], zone) == expected


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2024-03-31T01:59:59", "2024-03-31T00:59:59"),
        ("2024-03-31T02:30:00", "2024-03-31T01:30:00"),
        ("2024-03-31T03:00:00", "2024-03-31T01:00:00"),
        ("2024-10-27T02:30:00", "2024-10-27T00:30:00"),
        ("2024-10-27T03:00:00", "2024-10-27T02:00:00"),
    ],
)
def test_a_skipped_hour_moves_forward_and_a_doubled_one_is_the_first(
    text: str, utc: str, duck: duckdb.DuckDBPyConnection
) -> None:
    assert read(duck, TimeUnit.ISO, [text], "Europe/Paris") == read(duck, TimeUnit.ISO, [utc + "Z"])


def test_what_an_iso_time_means_does_not_depend_on_the_zone_of_the_session() -> None:
    texts = ["2024-03-31T02:30:00", "2024-03-31T02:30:00+02:00", "2024-03-31"]
    with duckdb.connect() as here, duckdb.connect() as there:
        here.execute("SET TimeZone = 'UTC'")
        there.execute("SET TimeZone = 'Australia/Lord_Howe'")
        assert read(here, TimeUnit.ISO, texts) == read(there, TimeUnit.ISO, texts)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00", 0),
        (" 1970-01-01 00:00:01 \n", 1000),
        ("1970-01-01T00:00:01.", 1000),
        ("1970-01-01T00:00:00.0019999999Z", None),
        ("1970-01-01T00:00:00.001999999Z", 1),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("1970-01-01T01:00:00+01", 0),
        ("1969-12-31T24:00:00Z", None),
        ("1970-02-30T00:00:00Z", None),
        ("1970-01-01T00:00:60Z", None),
        ("0000-01-01T00:00:00Z", None),
        ("10000-01-01T00:00:00Z", None),
        ("1970-01-01Z", None),
        ("1970-1-1", None),
        ("infinity", None),
        ("epoch", None),
        ("now", None),
        ("1970-01-01 (BC)", None),
        ("1970-01-01T00:00:00 Europe/Paris", None),
        ("1970-01-01T00:00:00 Z", None),
        ("١٩٧٠-01-01", None),
    ],
)
def test_the_grammar_of_iso(text: str, ms: int | None, duck: duckdb.DuckDBPyConnection) -> None:
    assert read(duck, TimeUnit.ISO, [text]) == [ms]


@given(year=st.integers(1971, 2199), unit=st.sampled_from(["s", "ms", "us", "ns"]), fraction=st.booleans())
def test_the_unit_of_any_year_is_told_from_its_magnitude(year: int, unit: str, fraction: bool) -> None:
    seconds = int((datetime(year, 7, 1, tzinfo=UTC) - EPOCH).total_seconds())
    factor = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    assert detect_unit([f" {seconds * factor}{'.5' if fraction else ''}"]) == unit


@pytest.mark.parametrize(
    ("samples", "unit"),
    [
        ([], None),
        (["", "yesterday", "NaN", "true", "1e999"], None),
        (["0"], TimeUnit.S),
        (["0", "0", "0", "1521911721001"], TimeUnit.MS),
        (["1521911721", "1521911721001", "1521911722"], TimeUnit.S),
        (["2018-03-24T17:15:21Z", "2018-03-24", "5000000000"], TimeUnit.ISO),
        (["1521911721001", "1521911721"], TimeUnit.MS),
        (["-1521911721"], TimeUnit.S),
        (["31536000"], TimeUnit.S),
        (["31536000000"], TimeUnit.MS),
    ],
)
def test_the_unit_is_that_of_most_samples(samples: list[str], unit: TimeUnit | None) -> None:
    assert detect_unit(samples) == unit


def test_an_unknown_zone_is_named() -> None:
    with pytest.raises(ZoneInfoNotFoundError, match="Mars"):
        time_ms("v", TimeUnit.ISO, "duckdb", "Mars/Olympus")


@pytest.mark.parametrize("unit", list(TimeUnit))
def test_every_unit_has_a_spark_lowering(unit: TimeUnit) -> None:
    sqlglot.parse_one(f"SELECT {time_ms('v', unit, 'spark', 'Europe/Paris')}", read="spark")
    assert not re.search(r"\bVARCHAR\b", time_ms("v", unit, "spark"))
