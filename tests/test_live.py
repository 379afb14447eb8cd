"""When the next window becomes final, which says when silence is to be told."""

from __future__ import annotations

from pathlib import Path

from streamgauge.event import FOREVER, NEVER
from streamgauge.live import ends_of, next_end
from tests.running import declare

T = 1_700_000_000_000
"""2023-11-14T22:13:20Z."""

DECLARED = """
[statistic.quick]
topic = "*"
every = ["1s", "1h"]
measures = { n = "count()" }

[statistic.slow]
topic = "*"
every = ["1s", "1d"]
lateness = "5s"
zone = "Europe/Paris"
measures = { n = "count()" }
"""


def after(folder: Path, offset_ms: int, newest_ms: int) -> int:
    """The next end after T and this offset, where the newest event is at T and that offset; counted from T."""
    ends = ends_of(list(declare(folder, DECLARED).statistics.values()))
    found = next_end(ends, T + offset_ms, T + newest_ms)
    return found - T if found != FOREVER else FOREVER


def test_the_next_end_is_that_of_the_shortest_window(tmp_path: Path) -> None:
    assert after(tmp_path, 0, 0) == 1000
    assert after(tmp_path, 999, 10_000) == 1000
    assert after(tmp_path, 1000, 10_000) == 2000


def test_behind_the_newest_event_only_its_own_windows_end(tmp_path: Path) -> None:
    assert after(tmp_path, 5000, 500) == 5000 + 1000, "what a statistic adds to lateness is waited for"
    assert after(tmp_path, 6000, 500) == 2_800_000, "23:00"
    assert after(tmp_path, 2_800_000, 500) == 2_805_000, "midnight in Paris, and 5 s"
    assert after(tmp_path, 2_805_000, 500) == FOREVER


def test_where_nothing_came_nothing_ends(tmp_path: Path) -> None:
    assert after(tmp_path, 0, NEVER) == FOREVER
    assert next_end(ends_of([]), T, T) == FOREVER
    assert after(tmp_path, NEVER, 0) == FOREVER
