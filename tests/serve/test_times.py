"""Times as a query says them."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.event import MAX_TIME_MS, MIN_TIME_MS
from streamgauge.serve.problems import Problem
from streamgauge.serve.times import moment_ms

UTC, PARIS = ZoneInfo("UTC"), ZoneInfo("Europe/Paris")
NOW = 1_711_843_200_000
"""2024-03-31T00:00:00Z: in Paris it is 1:00, and an hour later the clocks go forward."""
HOUR = 3_600_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("-1h", NOW - HOUR),
        ("+90m", NOW + 3 * HOUR // 2),
        ("now-7d", NOW - 168 * HOUR),
        ("today", NOW - HOUR),
        ("yesterday", NOW - 25 * HOUR),
        ("today+1d", NOW + 23 * HOUR),
        ("2024-03-31", NOW - HOUR),
        ("2024-03-31T03:00", NOW + HOUR),
        ("2024-03-31T00:00Z", NOW),
        ("2024-03-31T02:00:00+02:00", NOW),
        ("2024-03-31T02:00:00 02:00", NOW),
        ("2024-03-31 02:00", NOW + HOUR),
        ("1711843200", NOW),
        ("1711843200000", NOW),
        ("-1", -1000),
        (" now ", NOW),
    ],
)
def test_every_form(text: str, expected: int) -> None:
    assert moment_ms(text, "start", PARIS, NOW) == expected


@pytest.mark.parametrize("text", ["soon", "1h", "today1d", "2024-13-01", "-1y", "0001-01-01", "2200-01-01", "-1mo", ""])
def test_what_is_no_time_is_said(text: str) -> None:
    with pytest.raises(Problem, match=r"^start: ") as found:
        moment_ms(text, "start", UTC, NOW)
    assert found.value.parameter == "start"


@given(text=st.text(max_size=40) | st.from_regex(r"(now|today)?[-+ ][0-9]{1,20}[a-z]{0,3}"))
def test_any_text_is_a_time_or_a_problem(text: str) -> None:
    try:
        found = moment_ms(text, "start", PARIS, NOW)
    except Problem:
        return
    assert MIN_TIME_MS <= found < MAX_TIME_MS
