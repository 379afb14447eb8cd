"""What the demonstration says of what it found, and of what was planted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from streamgauge.demo import START_MS, Planted
from streamgauge.demonstration.change import Fall
from streamgauge.demonstration.findings import Found
from streamgauge.demonstration.player import Played
from streamgauge.demonstration.telling import (
    SLOT_MS,
    hours_around,
    messages_behind,
    table,
    what_was_counted,
    when_it_went_bad,
)

NOON_MS = START_MS + 12 * 3_600_000
TRUTH = Planted("carrier-007", NOON_MS, 0.7, 0.4)
BODY = {"end": NOON_MS + 5000, "account": "acct-1", "to": "44123", "sip_code": 503, "cause": "BUSY", "billed_s": 0}


def found(from_ms: int = NOON_MS, carrier: str = "carrier-007", hours: tuple[Mapping[str, Any], ...] = ()) -> Found:
    window = {"start_ms": from_ms, "answered": 2}
    events = [{"position": 17, "body": BODY}]
    return Found(carrier, Fall(120, 0.5, 0.1, 50.0), window, [dict(h) for h in hours], events, 9, "http://x/events")


@pytest.mark.parametrize(
    ("windows", "said"), [(0, "the very window"), (2, "found 12 minutes late"), (-1, "found 6 minutes early")]
)
def test_found_and_planted_are_both_said_and_how_far_they_are_apart(windows: int, said: str) -> None:
    first, second, third = when_it_went_bad(found(NOON_MS + windows * SLOT_MS), TRUTH, is_whole=True)
    at = {0: "12:00", 2: "12:12", -1: "11:54"}[windows]
    assert first == f"Found:   carrier-007 went bad at {at} UTC on 2026-03-02: answered 50.0 % before, 10.0 % after"
    assert second == "Planted: carrier-007 goes bad at 12:00 UTC on 2026-03-02"
    assert said in third


def test_another_carrier_is_not_compared() -> None:
    assert len(list(when_it_went_bad(found(carrier="carrier-001"), TRUTH, is_whole=True))) == 2


def test_nothing_found_and_not_all_played() -> None:
    first, second, third = when_it_went_bad(None, TRUTH, is_whole=False)
    assert first == "Found:   no carrier's answers fell clearly"
    assert second.startswith("Planted: carrier-007")
    assert "not all of the day was played" in third


def test_hours_are_a_table_in_which_a_call_that_never_rang_has_no_delay() -> None:
    hour = {"start_ms": NOON_MS, "attempts": 1234, "asr": None, "refused": 3, "pdd_18x_p50": None}
    heading, heads, row = hours_around(found(hours=(hour,)))
    assert heading == "What the cells of carrier-007 say, an hour each:"
    assert heads.split("  ")[1:3] == ["hour (UTC)", "calls"]
    assert row.split() == ["12:00", "1", "234", "-", "3", "-", "ms"]
    assert len(row) == len(heads)


def test_messages_behind_are_counted_addressed_and_shown() -> None:
    assert list(messages_behind(found())) == [
        "The messages behind one number, the 9 calls of carrier-007 in the 6 minutes from 12:00 (2 answered):",
        "  curl -s 'http://x/events'",
        "  position 17: ended 12:00:05, acct-1 called 44123, 503 BUSY, billed 0 s",
    ]


def test_what_was_sent_stands_beside_what_was_counted() -> None:
    played = {"calls": Played(1.0, 1000, 990, 7, 3), "bus": Played(1.0, 10, 10, 0, 0)}
    lines = list(what_was_counted(played, (990, 9), [{"category": "git", "messages": 1200}]))
    assert lines[2].split() == ["calls", "1", "000", "3", "7", "990", "990"]
    assert lines[3].split() == ["bus", "10", "0", "0", "10", "9"]
    assert lines[4:] == ["  most messages: git 1 200"]
    assert len(list(what_was_counted(played, (990, 9), []))) == 4


def test_columns_of_a_table_are_as_wide_as_their_widest_text() -> None:
    assert list(table([("name", "n"), ("x", "1000")])) == ["  name     n", "  x     1000"]
