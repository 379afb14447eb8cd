"""Tables: which columns they show, how wide they are, and what is said around them."""

from __future__ import annotations

from io import BytesIO, TextIOWrapper
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from streamgauge.aggregates import count, latest, mean, proportion, quantiles, rate, sum, tally, top
from streamgauge.output import Options, write, writer
from streamgauge.output import table as table_module
from streamgauge.output.cells import window_by
from streamgauge.output.layout import Shown, parts, wrapped
from streamgauge.output.present import Presenter, Query
from tests.output.made import Event, presenter, statistic, table, written

T0 = 1_735_689_600_000  # 2025-01-01T00:00:00Z
ANSWERED = "body.answer IS NOT NULL"
FAILED = "body.b = 'x'"
answered, attempts = count(ANSWERED), count()
BOUND = statistic(
    "carrier_quality",
    {
        "attempts": attempts,
        "answer_rate": proportion(answered, attempts),
        "acd_s": mean("body.talk::DOUBLE"),
        "pdd_ms": quantiles("body.pdd::BIGINT", 0.5, 0.95),
        "replies": tally("body.code"),
    },
    by={"carrier": "body.carrier"},
    help="What each carrier did",
    every=["6m", "1d"],
    min_n=2,
)


def call(minute: int, carrier: str | None, talk: float | None, pdd: int, code: str) -> Event:
    values = {"body.carrier": carrier, "body.talk::DOUBLE": talk, "body.pdd::BIGINT": pdd, "body.code": code}
    return {"time": T0 + minute * 60_000, ANSWERED: talk is not None, **values}


EVENTS = [
    call(0, "acme", 61.5, 1200, "200"),
    call(1, "acme", 30, 1500, "200"),
    call(2, "acme", None, 90, "486"),
    call(3, None, None, 70, "404"),
    call(9, "acme", 10, 1100, "200"),
]


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_a_block_has_title_header_rows_and_what_must_be_said_of_them() -> None:
    with presenter(BOUND, EVENTS, T0 + 360_000) as shown:
        notes = {"carrier_quality": ["late: 2 events"], "": ["malformed: 1 line"]}
        found = table(shown, notes=notes)
    assert lines(found) == [
        "carrier_quality: What each carrier did",
        "windows of 6m, chosen by the time of the event; times in UTC",
        "",
        "                                                                              pdd_ms_  pdd_ms_",
        "start               carrier  attempts  answer_rate                     acd_s      p50      p95  replies",
        "2025-01-01 00:00    acme            3   66.7 % (20.8-93.9, n 3)       45.750    1 208    1 496"
        "  200: 2, 486: 1",
        "2025-01-01 00:00    -               1    0.0 % (0.0-79.3, n 1) low         -       70       70  404: 1",
        "2025-01-01 00:06 *  acme            1  100.0 % (20.7-100.0, n 1) low  10.000    1 100    1 100  200: 1",
        "",
        "* provisional: the watermark has not passed the window yet",
        "low: n is below 2",
        "late: 2 events",
        "",
        "malformed: 1 line",
    ]


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_no_line_is_wider_than_the_width_and_no_value_is_lost(width: int) -> None:
    with presenter(BOUND, EVENTS) as shown:
        found = table(shown, width=width)
    assert max(cell_len(line) for line in lines(found)) <= max(width, 60)
    for value in (
        "66.7 % (20.8-93.9, n 3)" if width >= 120 else "66.7 %",
        "45.750",
        "1 496",
        "486: 1",
        "carrier",
        "acme",
        "-",
    ):
        assert value in found


def test_where_not_all_columns_fit_they_go_on_in_a_second_table_with_the_same_keys() -> None:
    with presenter(BOUND, EVENTS) as shown:
        found = lines(table(shown, width=80))
    assert [line.split() for line in found if line.startswith("start")] == [
        ["start", "carrier", "attempts", "of", "attempts", "acd_s", "p50", "p95"],
        ["start", "carrier", "replies"],
    ]


@pytest.mark.parametrize(
    ("others", "width", "header", "cells", "told"),
    [
        (2, 95, "share", ["66.7 % (20.8-93.9, n 3)", "0.0 % (0.0-79.3, n 1)"], False),
        (2, 90, "of attempts", ["66.7 % (20.8-93.9)", "0.0 % (0.0-79.3, n 1)"], False),
        (2, 80, "of attempts", ["66.7 %", "0.0 % (n 1)"], True),
        (9, 119, "of attempts", ["66.7 %", "0.0 % (n 1)"], True),
        (9, 120, "of attempts", ["66.7 % (20.8-93.9)", "0.0 % (0.0-79.3, n 1)"], False),
    ],
)
def test_where_it_is_narrow_n_stands_in_its_own_column_only_and_then_intervals_go(
    others: int, width: int, header: str, cells: list[str], told: bool
) -> None:
    shares = {"share": proportion(answered, attempts), "unnamed": proportion(count(FAILED), count("body.c = 'x'"))}
    long = {f"a_long_name_{n}": mean("body.talk::DOUBLE") for n in range(others)}
    bound = statistic("wide", {"attempts": attempts, **shares, **long})
    events = [{**call(0, None, talk, 0, ""), FAILED: False, "body.c = 'x'": talk == 1} for talk in (1, 2, None)]
    with presenter(bound, events) as shown:
        found = lines(table(shown, width=width))
    row = next(line for line in found if line.startswith("2025"))
    assert [cell.strip() for cell in row.split("  ") if "%" in cell] == cells
    assert any(header in line for line in found)
    assert any("95 % intervals stand in" in line for line in found) is told


def test_a_map_that_does_not_fit_beside_the_keys_is_folded_between_its_entries() -> None:
    codes = [f"reason-{n}" for n in range(5)]
    bound = statistic("s", {"n": count(), "codes": tally("body.c")}, by={"k": "body.k"})
    with presenter(bound, [{"time": 0, "body.k": "k" * 30, "body.c": code} for code in codes]) as shown:
        found = lines(table(shown, width=80))
    assert max(map(len, found)) <= 80
    rows = found[found.index(next(line for line in found if "codes" in line)) + 1 :]
    assert [line.split("  ")[-1].strip() for line in rows if "reason" in line] == [
        "reason-0: 1, reason-1: 1,",
        "reason-2: 1, reason-3: 1,",
        "reason-4: 1",
    ]


def test_the_columns_of_a_measure_stay_together() -> None:
    def column(name: str, width: int, measure: str = "") -> Shown:
        shown = Shown(name, lambda row: ("", ""), measure=measure)
        shown.fit([("", "x" * width)])
        return shown

    lead = [column("start", 10)]
    rest = [column("a", 10), column("b", 8, "q"), column("c", 8, "q"), column("d", 30)]
    found = [[c.name for c in group] for group in parts(lead, rest, 40)]
    assert found == [["start", "a"], ["start", "b", "c"], ["start", "d"]]
    assert [[c.name for c in group] for group in parts(lead, rest, 12)] == [["start", c] for c in "abcd"]


@given(name=st.from_regex(r"[a-z][a-z0-9_]{0,30}", fullmatch=True), width=st.integers(1, 40))
def test_a_header_is_wrapped_behind_underscores_only(name: str, width: int) -> None:
    found = wrapped(name, width)
    assert "".join(found) == name
    assert all(line.endswith("_") for line in found[:-1] if line)
    assert all(len(line) <= width or "_" not in line[:-1] for line in found)


def test_a_key_that_could_steer_the_terminal_or_rich_is_shown_and_not_obeyed() -> None:
    keys = ["\x1b[2J", "[bold]x[/bold]", ":smile:", "a\nb", "\x9b", "x" * 300]
    bound = statistic("s", {"n": count()}, by={"k": "body.k"}, help="[red]not markup[/red]\x1b[31m")
    with presenter(bound, [{"time": 0, "body.k": k} for k in keys]) as shown:
        found = table(shown, width=80)
    assert not any(c in found for c in "\x1b\x9b\r")
    for seen in ('"\\u001b[2J"', "[bold]x[/bold]", ":smile:", '"a\\nb"', '"\\u009b"', "[red]not markup[/red]\\u001b"):
        assert seen in found
    assert found.count("x") == 300 + 1


def test_the_rows_all_and_other_do_not_look_like_keys_of_these_names() -> None:
    bound = statistic("s", {"n": count()}, by={"k": "body.k", "l": "body.l"}, totals=True, max_keys=2)
    events = [{"time": 0, "body.k": k, "body.l": "x"} for k in ("all", "(all)", "c")]
    with presenter(bound, events) as shown:
        found = [line.split() for line in lines(table(shown)) if line.startswith("1970")]
    assert [line[2:] for line in found] == [["(all)", "3"], ["(other)", "1"], ['"(all)"', "x", "1"], ["all", "x", "1"]]


def test_a_number_that_is_a_key_has_no_separators() -> None:
    by = {"code": "body.c::BIGINT", "price": "body.p::DOUBLE"}
    bound = statistic("s", {"n": count()}, by=by)
    with presenter(bound, [{"time": 0, "body.c::BIGINT": 1234567, "body.p::DOUBLE": 0.1234567}] * 1234) as shown:
        assert "1234567  0.1234567  1 234" in table(shown)


def test_events_are_shown_unless_a_measure_is_their_count() -> None:
    with presenter(statistic("s", {"n": count("body.a = '1'")}), [{"time": 0}]) as shown:
        assert "events" in table(shown)
    with presenter(statistic("s", {"n": count()}), [{"time": 0}]) as shown:
        assert "events" not in lines(table(shown))[3]


def test_what_only_repeats_is_left_out() -> None:
    bound = statistic("s", {"r": rate(), "t": tally("body.k", 1), "u": top("body.k", 1), "l": latest("body.k")})
    with presenter(bound, [{"time": 0, "body.k": k} for k in "abbc"]) as shown:
        header, row = lines(table(shown))[3:5]
    assert header.split() == ["start", "events", "r", "t", "u", "l"]
    assert row == "1970-01-01 00:00       4  0.0111  a: 1, … (3 other)  b: 2, … (2 other)  c"


class TestTimes:
    @pytest.mark.parametrize(
        ("every", "zone", "tz", "start"),
        [
            ("6m", "UTC", "UTC", "2025-01-01 00:00"),
            ("5s", "UTC", "UTC", "2025-01-01 00:00:00"),
            ("1d", "UTC", "UTC", "2025-01-01"),
            ("1mo", "Europe/Paris", "Europe/Paris", "2025-01-01"),
            ("1d", "Europe/Paris", "UTC", "2024-12-31 23:00"),
            ("24h", "UTC", "UTC", "2025-01-01 00:00"),
            ("6m", "UTC", "Asia/Kathmandu", "2025-01-01 05:45+05:45"),
        ],
    )
    def test_a_start_is_written_as_short_as_is_clear(self, every: str, zone: str, tz: str, start: str) -> None:
        bound = statistic("s", {"n": count()}, every=every, zone=zone)
        with presenter(bound, [{"time": T0}]) as shown:
            assert lines(table(shown, Query(tz=tz)))[4].startswith(f"{start}  ")

    def test_a_day_that_starts_at_one_o_clock_says_so(self) -> None:
        bound = statistic("s", {"n": count()}, every="1d", zone="America/Sao_Paulo")
        with presenter(bound, [{"time": 1_541_300_400_000}]) as shown:  # 2018-11-04, whose midnight was skipped
            assert "2018-11-04 01:00-02:00" in table(shown, Query(tz="America/Sao_Paulo"))

    @pytest.mark.parametrize(
        ("settings", "query", "title"),
        [
            ({}, Query(), "windows of 6m, chosen by the time of the event; times in UTC"),
            ({"every": "1d", "zone": "Asia/Tokyo"}, Query(), "windows of 1d in Asia/Tokyo, chosen by the time"),
            ({}, Query(tz="Asia/Tokyo"), "times in Asia/Tokyo"),
            ({"by": {"k": "body.k", "l": "body.l"}}, Query(by=("l",)), "; rolled up to l; times"),
            ({"by": {"k": "body.k", "l": "body.l"}}, Query(by=()), "; rolled up to one row per window; times"),
        ],
    )
    def test_the_title_says_what_the_windows_are(self, settings: dict[str, Any], query: Query, title: str) -> None:
        with presenter(statistic("s", {"n": count()}, **settings), []) as shown:
            assert title in lines(table(shown, query))[1]


def test_a_limit_says_of_how_many_rows() -> None:
    with presenter(BOUND, EVENTS) as shown:
        assert "2 of 3 rows" in lines(table(shown, Query(limit=2)))
        assert " rows" not in table(shown, Query(limit=3))
        assert " rows" not in table(shown)
        assert "0 of 3 rows" in lines(table(shown, Query(limit=0)))


def test_no_rows_are_said_to_be_none() -> None:
    with presenter(BOUND, []) as shown:
        assert lines(table(shown)) == [
            "carrier_quality: What each carrier did",
            "windows of 6m, chosen by the time of the event; times in UTC",
            "",
            "no rows",
        ]
    assert written("table") == "no statistic\n"


def test_notes_stand_once_below_the_last_block_of_their_statistic() -> None:
    with presenter(BOUND, EVENTS) as shown:
        notes = {"carrier_quality": ["late: 2 events"]}
        found = lines(written("table", (shown, Query()), (shown, Query(every="1d")), notes=notes))
    assert found.count("late: 2 events") == 1
    assert found[-1] == "late: 2 events"


def test_a_long_table_goes_on_with_its_header_and_stays_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "CHUNK", 10)
    bound = statistic("s", {"n": count()}, by={"k": "body.k"})
    with presenter(bound, [{"time": n * 360_000, "body.k": "k" * (20 if n == 0 else 1)} for n in range(25)]) as shown:
        found = lines(table(shown))
    headers = [line for line in found if line.startswith("start")]
    assert len(headers) == 3
    assert len(set(headers)) == 1
    assert len([line for line in found if line.startswith("1970")]) == 25


@pytest.mark.parametrize("terminal", [False, True])
def test_a_closed_pipe_is_told_and_does_not_end_the_program(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(BytesIO):
        def write(self, data: Any) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(table_module, "CHUNK", 1)
    out = TextIOWrapper(Closed(), encoding="utf-8", write_through=True)
    with presenter(BOUND, EVENTS) as shown, pytest.raises(BrokenPipeError):
        write("table", [(shown, Query())], out, terminal=terminal)


def test_an_output_without_our_characters_gets_a_table_all_the_same() -> None:
    raw = BytesIO()
    out = TextIOWrapper(raw, encoding="ascii", newline="")
    events = [call(0, "日本", 1, 1, "é"), call(0, None, None, 1, "200")]
    with presenter(BOUND, events) as shown:
        writer("table").write([(shown, Query())], out)
        out.flush()
    found = raw.getvalue().decode("ascii")
    assert "100.0 % (20.7-100.0, n 1)" in found
    assert '"\\u65e5\\u672c"' in found


def test_colours_are_for_terminals_only() -> None:
    with presenter(BOUND, EVENTS) as shown:
        assert "\x1b[" not in written("table", (shown, Query()))
        coloured = written("table", (shown, Query()), terminal=True, width=100)
        assert "\x1b[" in coloured


def test_a_statistic_over_a_shape_says_which_field_chose_the_window() -> None:
    from streamgauge.declare import load

    voip = load(packs=["voip"]).statistics["carrier_quality"]
    shown = Presenter(voip, None, 0)  # type: ignore[arg-type]
    assert "chosen by the end of the call" in table_module.title(shown, Query())
    assert window_by(voip) == "end"
    by_start = load(packs=["voip"], parameters={"window_by": "start"}).statistics["carrier_quality"]
    assert window_by(by_start) == "start"


def test_all_options_have_defaults() -> None:
    assert Options() == Options(csv_safe=False, width=None, terminal=None, notes={})


def test_a_sum_of_any_size_is_written_in_full() -> None:
    with presenter(statistic("s", {"t": sum("body.v::BIGINT")}), [{"time": 0, "body.v::BIGINT": 2**62}] * 8) as shown:
        assert "36 893 488 147 419 103 232" in table(shown)
