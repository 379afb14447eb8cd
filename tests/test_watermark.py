"""Lanes and watermarks: newest time, jumps, lateness, rest and end; a plain loop is the oracle."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.event import FOREVER, NEVER
from streamgauge.watermark import (
    AGREEMENTS,
    JUMP_MS,
    MOST_CANDIDATES,
    LaneMark,
    Lanes,
    LaneState,
    end,
    observe,
    rest,
    tick,
)

MINUTE = 60_000
YEAR = 365 * JUMP_MS


def array(times: Iterable[int]) -> np.ndarray:
    return np.array(list(times), dtype=np.int64)


def after(times: Iterable[int], lateness_ms: int | None = 0) -> LaneMark:
    return observe(LaneMark(lateness_ms=lateness_ms), array(times))


def newest_by_a_loop(times: Sequence[int], jump: int) -> tuple[int | None, list[int]]:
    """The oracle: ``(newest, times of the pending candidates)``, by the words of the documentation."""
    newest: int | None = None
    pending: list[list[int]] = []  # a candidate, then all that agreed with it
    for time in times:
        if newest is None:
            newest = time
            continue
        jumped = time > newest + jump
        newest = newest if jumped else max(newest, time)
        for one in pending:
            if abs(time - one[0]) <= jump:
                one.append(time)
        newest = max([newest, *(max(one) for one in pending if len(one) > AGREEMENTS)])
        if jumped:
            pending.append([time])
        pending = [one for one in pending if one[0] > newest][-MOST_CANDIDATES:]
    return newest, [one[0] for one in pending]


def cut(times: Sequence[int], places: Iterable[int]) -> list[Sequence[int]]:
    edges = sorted({0, len(times), *(p % (len(times) + 1) for p in places)})
    return [times[a:b] for a, b in itertools.pairwise(edges)]


# times on a coarse grid around a few far places, so that jumps, agreements and ties all happen
places = st.sampled_from([0, 0, 0, 1, 2, 3, 5, 9, -4])
steps = st.integers(-12, 12)
sequences = st.lists(st.tuples(places, steps).map(lambda p: p[0] * 10 + p[1]), max_size=300)
runs = st.lists(st.tuples(sequences, st.integers(1, 40)).map(lambda p: p[0][:3] * p[1]), max_size=6).map(
    lambda parts: [time for part in parts for time in part]
)


# One lane: the newest time


def test_lane_without_events_knows_nothing() -> None:
    mark = after([])
    assert (mark.newest, mark.watermark, mark.state) == (None, NEVER, LaneState.ACTIVE)


def test_watermark_is_the_newest_time_less_the_lateness() -> None:
    mark = after([5 * MINUTE, 9 * MINUTE, 7 * MINUTE], lateness_ms=2 * MINUTE)
    assert (mark.newest, mark.watermark) == (9 * MINUTE, 7 * MINUTE)


def test_unlimited_lateness_leaves_the_watermark_at_never() -> None:
    mark = after([0, MINUTE], lateness_ms=None)
    assert (mark.newest, mark.watermark) == (MINUTE, NEVER)


def test_older_block_does_not_move_the_watermark_back() -> None:
    mark = observe(after([10 * MINUTE]), array([MINUTE]))
    assert mark.watermark == 10 * MINUTE


def test_greater_lateness_in_a_later_run_does_not_move_the_watermark_back() -> None:
    lanes = Lanes()
    lanes.declare(0, 0)
    lanes.observe(0, array([10 * MINUTE]))
    lanes.declare(0, 5 * MINUTE)
    lanes.observe(0, array([11 * MINUTE]))
    assert lanes.watermark == 10 * MINUTE


def test_tick_moves_the_watermark_forward_only() -> None:
    mark = tick(after([10 * MINUTE]), 12 * MINUTE)
    assert mark.watermark == 12 * MINUTE
    assert tick(mark, 3 * MINUTE).watermark == 12 * MINUTE


# One lane: jumps


def test_event_exactly_a_jump_ahead_is_believed() -> None:
    assert after([0, JUMP_MS]).newest == JUMP_MS


def test_event_more_than_a_jump_ahead_moves_nothing() -> None:
    mark = after([0, JUMP_MS + 1])
    assert (mark.newest, mark.watermark, [c.time for c in mark.candidates]) == (0, 0, [JUMP_MS + 1])


def test_first_event_of_a_lane_is_believed_wherever_it_is() -> None:
    assert after([50 * YEAR]).newest == 50 * YEAR


@pytest.mark.parametrize(("later", "newest"), [(15, 0), (16, YEAR + 16)])
def test_jump_is_believed_after_sixteen_later_events_near_it(later: int, newest: int) -> None:
    assert after([0, YEAR, *(YEAR + n for n in range(1, later + 1))]).newest == newest


def test_believed_jump_leaves_no_candidate_behind() -> None:
    assert after([0, *(YEAR + n for n in range(17))]).candidates == ()


def test_newest_is_the_latest_that_agreed_not_the_last() -> None:
    assert after([0, YEAR, YEAR + 70, *[YEAR - 5] * 15]).newest == YEAR + 70


def test_event_exactly_a_jump_from_the_candidate_agrees_and_one_beyond_does_not() -> None:
    assert after([0, YEAR, *[YEAR - JUMP_MS] * 16]).newest == YEAR
    assert after([0, YEAR, *[YEAR - JUMP_MS - 1] * 15]).newest == 0


def test_agreement_exactly_a_jump_away_is_not_missed_in_a_later_block() -> None:
    pending = after([0, YEAR])
    assert observe(pending, array([YEAR - JUMP_MS] * 16)).newest == YEAR
    assert observe(pending, array([YEAR - JUMP_MS - 1, *[YEAR - JUMP_MS] * 15])).newest == 0


def test_events_that_do_not_jump_may_agree() -> None:
    candidate = JUMP_MS + JUMP_MS // 2
    mark = after([0, candidate, *[JUMP_MS] * 16])
    assert mark.newest == candidate


def test_single_stray_event_is_never_believed() -> None:
    mark = after([0, YEAR, *range(0, 1_000_000, 7)])
    assert (mark.newest, len(mark.candidates)) == (999_999, 1)


def test_candidate_that_the_lane_reaches_is_forgotten() -> None:
    mark = after([0, JUMP_MS + 1, JUMP_MS, JUMP_MS + 1])
    assert (mark.newest, mark.candidates) == (JUMP_MS + 1, ())


def test_pending_jumps_are_bounded_and_the_oldest_are_forgotten() -> None:
    strays = [YEAR * n for n in range(1, 101)]
    mark = after([0, *strays])
    assert [c.time for c in mark.candidates] == strays[-MOST_CANDIDATES:]


def test_end_of_the_lane_believes_pending_jumps() -> None:
    mark = end(after([0, YEAR, 2 * YEAR, MINUTE]))
    assert (mark.newest, mark.watermark, mark.candidates, mark.state) == (2 * YEAR, 2 * YEAR, (), LaneState.ENDED)


def test_end_of_an_empty_lane_leaves_the_watermark() -> None:
    assert end(after([])).watermark == NEVER


def test_rest_keeps_pending_jumps() -> None:
    mark = after([0, YEAR])
    assert rest(mark).candidates == mark.candidates


# One lane: properties


@given(times=st.one_of(sequences, runs))
def test_observe_equals_a_plain_loop(times: list[int]) -> None:
    mark = observe(LaneMark(), array(times), jump_ms=10)
    assert (mark.newest, [c.time for c in mark.candidates]) == newest_by_a_loop(times, 10)


@given(times=st.one_of(sequences, runs), places=st.lists(st.integers(0, 1000), max_size=12))
def test_where_blocks_are_cut_changes_neither_newest_nor_jumps(times: list[int], places: list[int]) -> None:
    whole = observe(LaneMark(lateness_ms=0), array(times), jump_ms=10)
    mark = LaneMark(lateness_ms=0)
    for part in cut(times, places):
        before = mark.watermark
        mark = observe(mark, array(part), jump_ms=10)
        assert mark.watermark >= before
    assert (mark.newest, mark.candidates) == (whole.newest, whole.candidates)
    assert mark.watermark == whole.watermark


@given(times=st.one_of(sequences, runs), state=st.sampled_from(LaneState), lateness=st.none() | st.integers(0, 99))
def test_mark_survives_json(times: list[int], state: LaneState, lateness: int | None) -> None:
    mark = observe(LaneMark(lateness_ms=lateness), array(times), jump_ms=10)
    again = LaneMark.from_dict(json.loads(json.dumps(mark.to_dict())))
    assert again == mark
    assert json.dumps(again.to_dict()) == json.dumps(mark.to_dict())


def test_large_block_of_many_jumps_equals_a_plain_loop() -> None:
    rng = np.random.default_rng(1)
    times = np.arange(50_000) + np.where(rng.random(50_000) < 0.1, rng.integers(1, 100, 50_000) * YEAR, 0)
    mark = observe(LaneMark(), times)
    assert mark.newest == newest_by_a_loop(times.tolist(), JUMP_MS)[0]


# Many lanes


def test_lane_declared_from_the_start_holds_the_watermark_until_its_first_block() -> None:
    lanes = Lanes()
    lanes.declare(0, 0)
    lanes.declare(1, 0)
    lanes.observe(0, array([MINUTE]))
    assert lanes.watermark == NEVER
    lanes.observe(1, array([5 * MINUTE]))
    assert lanes.watermark == MINUTE


def test_block_of_dead_letters_only_holds_the_watermark() -> None:
    lanes = Lanes()
    lanes.declare(0, 0)
    lanes.declare(1, 0)
    lanes.observe(0, array([MINUTE]))
    lanes.observe(1, array([]))
    assert lanes.watermark == NEVER


def test_resting_lane_holds_nobody_back_and_keeps_its_mark() -> None:
    lanes = Lanes()
    for lane in (0, 1):
        lanes.declare(lane, 0)
    lanes.observe(0, array([MINUTE]))
    lanes.observe(1, array([9 * MINUTE]))
    lanes.rest(0)
    assert lanes.watermark == 9 * MINUTE
    assert lanes.marks[0].newest == MINUTE


def test_lane_that_comes_back_behind_moves_nothing_back() -> None:
    lanes = Lanes()
    for lane in (0, 1):
        lanes.declare(lane, 0)
    lanes.observe(0, array([MINUTE]))
    lanes.observe(1, array([9 * MINUTE]))
    lanes.rest(0)
    lanes.observe(0, array([2 * MINUTE]))
    assert lanes.watermark == 9 * MINUTE
    lanes.observe(1, array([11 * MINUTE]))
    assert lanes.watermark == 9 * MINUTE
    lanes.observe(0, array([10 * MINUTE]))
    assert lanes.watermark == 10 * MINUTE


def test_where_no_lane_is_active_the_watermark_stays() -> None:
    lanes = Lanes()
    for lane in (0, 1):
        lanes.declare(lane, 0)
    lanes.observe(0, array([9 * MINUTE]))
    lanes.observe(1, array([MINUTE]))
    lanes.rest(0)
    lanes.rest(1)
    assert (lanes.watermark, lanes.holding()) == (MINUTE, False)


def test_where_no_lane_is_active_the_ticks_of_the_last_one_go_on() -> None:
    lanes = Lanes()
    for lane in (0, 1):
        lanes.declare(lane, 0)
        lanes.observe(lane, array([MINUTE]))
    lanes.rest(0)
    lanes.rest(1)
    lanes.tick(0, 30 * MINUTE)
    assert lanes.watermark == MINUTE
    lanes.tick(1, 20 * MINUTE)
    assert lanes.watermark == 20 * MINUTE


def test_last_lane_takes_the_watermark_to_its_end() -> None:
    lanes = Lanes()
    lanes.declare(0, MINUTE)
    lanes.observe(0, array([0, YEAR]))
    assert lanes.watermark == -MINUTE
    lanes.end(0)
    assert lanes.watermark == YEAR - MINUTE


def test_second_run_waits_for_a_known_file_where_the_first_left_it() -> None:
    lanes = Lanes()
    lanes.declare(0, 0)
    lanes.observe(0, array([5 * MINUTE]))
    lanes.rest(0)
    again = Lanes.from_dict(lanes.to_dict())
    again.declare(0, 0)
    again.declare(1, 0)
    again.observe(1, array([20 * MINUTE]))
    assert again.watermark == 5 * MINUTE
    again.rest(0)
    assert again.watermark == 20 * MINUTE


def test_unlimited_lateness_keeps_every_window_open_until_the_final_tick() -> None:
    lanes = Lanes()
    lanes.declare(0, None)
    lanes.observe(0, array([0, YEAR]))
    lanes.end(0)
    assert lanes.watermark == NEVER
    lanes.finish()
    assert lanes.watermark == FOREVER


def test_undeclared_lane_is_an_error_of_the_caller() -> None:
    with pytest.raises(KeyError):
        Lanes().observe(3, array([0]))


# Many lanes: properties

actions = st.lists(
    st.tuples(
        st.sampled_from(["observe", "observe", "observe", "rest", "end", "tick", "declare"]),
        st.integers(0, 3),
        st.lists(st.integers(-30, 60), max_size=3),
    ),
    max_size=120,
)


def apply(lanes: Lanes, action: tuple[str, int, list[int]]) -> None:
    verb, lane, times = action
    if verb == "declare" or lane not in lanes.marks:
        lanes.declare(lane, sum(times[:1]) % 7)
    elif verb == "observe":
        lanes.observe(lane, array(times))
    elif verb == "tick":
        lanes.tick(lane, sum(times))
    elif verb == "rest":
        lanes.rest(lane)
    else:
        lanes.end(lane)


@given(actions=actions)
def test_watermark_is_the_least_of_the_holding_lanes_and_never_moves_back(
    actions: list[tuple[str, int, list[int]]],
) -> None:
    lanes = Lanes(jump_ms=10)
    expected = NEVER
    last: int | None = None
    for action in actions:
        held = {lane for lane, mark in lanes.marks.items() if mark.state in ("waiting", "active")}
        apply(lanes, action)
        holding = [mark.watermark for mark in lanes.marks.values() if mark.state in ("waiting", "active")]
        if not holding and action[1] in held:
            last = action[1]
        follows = [lanes.marks[last].watermark] if not holding and last == action[1] else []
        expected = max([expected, min(holding, default=NEVER), *follows])
        assert lanes.watermark == expected
        assert lanes.holding() == bool(holding)


@given(actions=actions, stop=st.integers(0, 120))
def test_book_goes_on_from_the_store_as_if_never_stopped(actions: list[tuple[str, int, list[int]]], stop: int) -> None:
    whole, part = Lanes(jump_ms=10), Lanes(jump_ms=10)
    for action in actions:
        apply(whole, action)
    for action in actions[:stop]:
        apply(part, action)
    resumed = Lanes.from_dict(json.loads(json.dumps(part.to_dict())))
    for action in actions[stop:]:
        apply(resumed, action)
    assert json.dumps(resumed.to_dict()) == json.dumps(whole.to_dict())


def test_book_of_many_lanes_stays_small_and_quick() -> None:
    lanes = Lanes()
    for lane in range(500):
        lanes.declare(lane, 0)
    for n in range(20_000):
        lanes.observe(1 + n % 499, array([n]))
    assert lanes.watermark == NEVER
    assert len(lanes._heap) <= 2 * 500 + 65
