"""When silence is told, and how far it moves a watermark."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.event import FOREVER
from streamgauge.log.idle import Closes, IdleRules, Silence, at_any_time, due, next_mark, silence_at_start
from streamgauge.watermark import LaneMark, LaneState, observe, rest, tick

T = 1_700_000_000_000
RULES = IdleRules(tick_s=0.5, quiet_s=10, rest_s=300, grace_s=5)
ACTIVE = LaneMark(lateness_ms=2000, newest=T, state=LaneState.ACTIVE, watermark=T - 2000)


def told(
    mark: LaneMark, silence: Silence, now_s: float, closes: Closes = at_any_time, alone: bool = False
) -> int | None:
    """The watermark that a tick tells, counted from T."""
    found = next_mark(mark, silence, now_s, closes, RULES, alone=alone)
    return None if found is None else found.watermark - T


def test_the_watermark_moves_by_the_time_of_silence_from_the_newest_event() -> None:
    silence = Silence(100.0)
    assert told(ACTIVE, silence, 100.4) is None
    assert told(ACTIVE, silence, 100.5) == -1500
    assert told(ACTIVE, silence, 107.25) == 5250


def test_a_tick_comes_half_a_second_after_the_last_one() -> None:
    silence = Silence(100.0, told_s=103.0)
    assert told(ACTIVE, silence, 103.4) is None
    assert told(ACTIVE, silence, 103.5) == 1500


def test_where_no_window_becomes_final_ticks_are_rare() -> None:
    silence = Silence(100.0, told_s=103.0)
    assert told(ACTIVE, silence, 112.9, lambda _: FOREVER) is None
    assert told(ACTIVE, silence, 113.0, lambda _: FOREVER) == 11000


def test_a_tick_comes_when_it_makes_a_window_final() -> None:
    silence = Silence(100.0, told_s=103.0)
    mark = tick(ACTIVE, T + 1000)
    assert told(mark, silence, 105.9, lambda after: after + 3000) is None
    assert told(mark, silence, 106.0, lambda after: after + 3000) == 4000
    assert told(mark, silence, 103.4, lambda after: after) is None, "but not more often than that"


def test_a_lane_that_is_behind_is_not_idle() -> None:
    silence = Silence(100.0, behind=True)
    assert told(ACTIVE, silence, 1000.0) is None
    silence.speak(200.0, behind=True)
    assert told(ACTIVE, silence, 1000.0) is None
    silence.speak(1000.0, behind=False)
    assert told(ACTIVE, silence, 1001.0) == -1000
    silence.speak(1001.0, behind=False)
    assert told(ACTIVE, silence, 1002.0) == 0, "saying again that it is not behind interrupts nothing"


def test_what_it_brings_interrupts_silence() -> None:
    silence = Silence(100.0)
    silence.interrupt(200.0, behind=False)
    assert told(ACTIVE, silence, 201.0) == -1000


def test_a_lane_idle_for_long_rests_and_tells_so() -> None:
    found = next_mark(ACTIVE, Silence(100.0), 400.0, at_any_time, RULES, alone=False)
    assert found == replace(ACTIVE, state=LaneState.RESTING, watermark=T - 2000 + 300_000)


@pytest.mark.parametrize("state", [LaneState.RESTING, LaneState.ENDED])
def test_the_lane_that_was_active_last_goes_on_and_no_other(state: LaneState) -> None:
    mark = replace(ACTIVE, state=state)
    assert told(mark, Silence(100.0), 500.0) is None
    assert told(mark, Silence(100.0), 500.0, alone=True) == 398_000
    found = next_mark(mark, Silence(100.0), 500.0, at_any_time, RULES, alone=True)
    assert found is not None
    assert found.state is state


def test_a_lane_without_events_rests_and_moves_nothing() -> None:
    mark = observe(LaneMark(lateness_ms=0), [])
    assert told(mark, Silence(100.0), 200.0) is None
    assert next_mark(mark, Silence(100.0), 400.0, at_any_time, RULES, alone=False) == rest(mark)


def test_a_lane_of_unlimited_lateness_is_moved_by_its_source_only() -> None:
    assert told(replace(ACTIVE, lateness_ms=None), Silence(100.0), 200.0) is None


def test_what_the_source_knew_is_not_taken_back() -> None:
    mark = tick(ACTIVE, T + 60_000)
    assert told(mark, Silence(100.0), 110.0) is None
    assert told(mark, Silence(100.0), 163.0) == 61_000


def test_after_a_start_silence_goes_on_from_what_was_told() -> None:
    mark = tick(ACTIVE, T + 8000)
    silence = silence_at_start(mark, 50.0)
    assert told(mark, silence, 54.0) is None, "its source has said nothing yet"
    assert told(mark, silence, 55.0) == 13_000
    silence.speak(52.0, behind=False)
    assert told(mark, silence, 52.5) == 10_500
    silence.speak(52.5, behind=True)
    assert told(mark, silence, 100.0) is None


def test_lanes_that_bring_something_just_now_are_not_asked() -> None:
    marks = {0: ACTIVE, 1: ACTIVE, 2: rest(ACTIVE), 3: rest(ACTIVE)}
    silences = {n: Silence(100.0) for n in marks}
    assert set(due(marks, silences, 110.0, at_any_time, RULES, None, busy=[0])) == {1}
    resting = {2: rest(ACTIVE), 3: rest(ACTIVE)}
    assert set(due(resting, silences, 110.0, at_any_time, RULES, 3)) == {3}


@given(st.lists(st.floats(0.01, 40), min_size=1, max_size=30), st.integers(0, 5000))
def test_a_watermark_never_runs_ahead_of_silence_and_stays_within_a_second_of_it(
    pauses: list[float], lateness: int
) -> None:
    mark = observe(LaneMark(lateness_ms=lateness), [T])
    silence, now_s = Silence(0.0), 0.0
    for pause in pauses:
        for _ in range(max(1, int(pause / 0.125))):
            now_s += min(pause, 0.125)
            moved = next_mark(mark, silence, now_s, at_any_time, RULES, alone=True)
            if moved is not None:
                assert moved.watermark > mark.watermark
                mark, silence.told_s = moved, now_s
            # Half a second between ticks, and as often as it is asked.
            assert -700 < mark.watermark - (T - lateness + now_s * 1000) <= 0
