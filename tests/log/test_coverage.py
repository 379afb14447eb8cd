"""Coverage tells a gap from a zero: what the headers of blocks say, put together over time and over lanes."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.event import FOREVER, NEVER
from streamgauge.log import coverage as module
from streamgauge.log.base import BlockHeader
from streamgauge.log.coverage import Cover, Coverage, judge
from streamgauge.watermark import LaneMark, LaneState


def says(lane: int, since: int | None, watermark: int, state: LaneState = LaneState.ACTIVE) -> BlockHeader:
    """The header of a block, or tick, of a lane."""
    mark = LaneMark(lateness_ms=0, state=state, watermark=watermark)
    return BlockHeader(0, lane, "http", "", 0, mark=mark.to_dict(), covered_from_ms=since)


def book(*headers: BlockHeader) -> Coverage:
    found = Coverage()
    for header in headers:
        found.add(header)
    return found


HORIZON = 40
headers = st.builds(
    says,
    st.integers(0, 2),
    st.none() | st.integers(0, HORIZON),
    st.integers(0, HORIZON),
    st.sampled_from(LaneState),
)
histories = st.lists(headers, max_size=12)


def moments(history: list[BlockHeader], lanes: set[int]) -> set[int]:
    """The covered moments, by the definition: one lane covers it, and no other that counts then does not."""
    covered: set[int] = set()
    missing: set[int] = set()
    for lane in lanes:
        own = [header for header in history if header.lane == lane]
        known = [header.covered_from_ms for header in own if header.covered_from_ms is not None]
        if not known:
            continue
        inside = {
            t for h in own if h.covered_from_ms is not None for t in range(h.covered_from_ms, h.mark["watermark"])
        }
        first = next(n for n, header in enumerate(own) if header.covered_from_ms is not None)
        last = own[first:][-1]
        rests = last.mark["state"] == LaneState.ENDED or (
            last.mark["state"] == LaneState.RESTING and last.covered_from_ms is not None
        )
        end = max(inside, default=min(known) - 1) + 1 if rests else HORIZON + 1
        covered |= inside
        missing |= set(range(min(known), end)) - inside
    return covered - missing


@given(histories, st.sets(st.integers(0, 3)), st.integers(0, HORIZON), st.integers(1, HORIZON))
def test_what_is_covered_is_what_the_definition_says(
    history: list[BlockHeader], lanes: set[int], start: int, length: int
) -> None:
    found = book(*history)
    window = set(range(start, min(start + length, HORIZON + 1)))
    expected = moments(history, lanes) & window
    spans = found.spans(lanes, start, start + length)
    assert {t for a, b in spans for t in range(a, b)} == expected
    assert all(a < b for a, b in spans)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(spans))
    whole = len(expected) == length
    word = Cover.COVERED if whole else Cover.PARTLY if expected else Cover.GAP
    assert found.covered(lanes, start, start + length) == word


@given(histories)
def test_equal_histories_make_equal_books_and_a_book_survives_json(history: list[BlockHeader]) -> None:
    found = book(*history).to_dict()
    assert book(*history).to_dict() == found
    again = Coverage.from_dict(json.loads(json.dumps(found)))
    assert again.to_dict() == found
    more = says(1, 3, 9)
    continued = book(*history, more)
    again.add(more)
    assert again.to_dict() == continued.to_dict()


@given(histories.filter(bool))
def test_a_header_taken_twice_changes_nothing(history: list[BlockHeader]) -> None:
    assert book(*history, history[-1]).to_dict() == book(*history).to_dict()


@given(histories, st.randoms())
def test_intervals_are_a_union_in_whatever_order(history: list[BlockHeader], chance: random.Random) -> None:
    first, second = book(*history), book(*chance.sample(history, len(history)))
    assert all(first.intervals(lane) == second.intervals(lane) for lane in range(4))


@given(histories, histories)
def test_lanes_do_not_disturb_one_another(history: list[BlockHeader], other: list[BlockHeader]) -> None:
    aside = [replace(header, lane=9) for header in other]
    both = book(*history, *aside)
    assert [both.intervals(lane) for lane in range(3)] == [book(*history).intervals(lane) for lane in range(3)]


@given(histories, st.integers(0, HORIZON))
def test_what_is_forgotten_is_a_gap_and_the_rest_stays(history: list[BlockHeader], before: int) -> None:
    found, pruned = book(*history), book(*history)
    pruned.forget(before)
    assert pruned.spans(range(3), before, HORIZON) == found.spans(range(3), before, HORIZON)
    assert pruned.spans(range(3), 0, before) == []


def test_a_healthy_lane_is_one_interval_that_grows() -> None:
    found = book(says(1, 100, 90), says(1, 100, 130), says(1, 100, 160))
    assert found.intervals(1) == [(100, 160)]
    assert found.covered([1], 100, 160) == Cover.COVERED
    assert found.covered([1], 100, 161) == Cover.PARTLY
    assert found.covered([1], 160, 170) == Cover.GAP
    assert found.covered([1], 90, 100) == Cover.GAP


def test_a_lane_that_was_down_has_a_gap() -> None:
    found = book(says(1, 100, 160), says(1, None, 160), says(1, 200, 190), says(1, 200, 260))
    assert found.intervals(1) == [(100, 160), (200, 260)]
    assert found.covered([1], 150, 210) == Cover.PARTLY
    assert found.covered([1], 160, 200) == Cover.GAP
    assert found.covered([1], 200, 260) == Cover.COVERED


def test_a_stop_that_the_cursor_made_up_for_leaves_no_gap() -> None:
    assert book(says(1, 100, 160), says(1, 100, 400)).intervals(1) == [(100, 400)]


def test_a_gap_is_closed_by_a_header_that_says_an_earlier_time() -> None:
    assert book(says(1, 100, 160), says(1, 200, 260), says(1, 100, 300)).intervals(1) == [(100, 300)]


def test_intervals_that_touch_are_one() -> None:
    assert book(says(1, 100, 160), says(1, 160, 200)).intervals(1) == [(100, 200)]
    assert book(says(1, 160, 200), says(1, 100, 160)).intervals(1) == [(100, 200)]


def test_a_window_is_covered_only_where_every_lane_that_counts_is() -> None:
    found = book(says(1, 100, 200), says(2, 100, 150))
    assert found.covered([1, 2], 100, 150) == Cover.COVERED
    assert found.covered([1, 2], 100, 200) == Cover.PARTLY
    assert found.covered([1, 2], 150, 200) == Cover.GAP
    assert found.covered([1], 150, 200) == Cover.COVERED


def test_a_lane_does_not_count_before_it_began() -> None:
    found = book(says(1, 100, 200), says(2, 150, 200))
    assert found.covered([1, 2], 100, 200) == Cover.COVERED


def test_a_lane_that_rests_or_ended_holds_nobody_back() -> None:
    for state in (LaneState.RESTING, LaneState.ENDED):
        found = book(says(1, 100, 200), says(2, 100, 150), says(2, 100, 150, state))
        assert found.covered([1, 2], 100, 200) == Cover.COVERED


def test_a_lane_that_wakes_is_covered_for_the_time_it_rested_if_it_says_so() -> None:
    slept = [says(1, 100, 300), says(2, 100, 150, LaneState.RESTING)]
    assert book(*slept, says(2, 100, 300)).covered([1, 2], 100, 300) == Cover.COVERED
    assert book(*slept, says(2, 250, 300)).spans([1, 2], 100, 300) == [(100, 150), (250, 300)]


def test_a_lane_that_rests_while_its_source_is_unhealthy_is_a_gap() -> None:
    found = book(says(1, 100, 200), says(2, 100, 150), says(2, None, 150, LaneState.RESTING))
    assert found.spans([1, 2], 100, 200) == [(100, 150)]


def test_lanes_that_are_not_known_cover_nothing_and_hold_nobody_back() -> None:
    found = book(says(1, 100, 200), says(3, None, 200))
    assert found.covered([1, 2, 3], 100, 200) == Cover.COVERED
    assert found.covered([2, 3], 100, 200) == Cover.GAP
    assert found.covered([], 100, 200) == Cover.GAP
    assert list(found.lanes) == [1]


def test_a_file_that_was_read_to_its_end_is_covered_for_ever() -> None:
    found = book(says(1, NEVER, FOREVER, LaneState.ENDED))
    assert found.covered([1], NEVER, FOREVER) == Cover.COVERED


def test_a_window_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="no window from 5 to 5"):
        Coverage().covered([1], 5, 5)
    with pytest.raises(ValueError, match="no window from 6 to 5"):
        judge([], 6, 5)


def test_the_oldest_intervals_are_forgotten_and_count_as_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_INTERVALS", 3)
    found = book(says(2, 0, 100), *[says(1, 10 * n, 10 * n + 5) for n in range(6)])
    assert found.intervals(1) == [(30, 35), (40, 45), (50, 55)]
    assert found.covered([1, 2], 0, 5) == Cover.GAP
    assert found.covered([1, 2], 30, 35) == Cover.COVERED


def test_a_lane_of_which_all_is_forgotten_leaves_the_book_if_it_does_not_go_on() -> None:
    found = book(says(1, 0, 10, LaneState.ENDED), says(2, 0, 10), says(3, 0, 30, LaneState.ENDED))
    found.forget(20)
    assert list(found.lanes) == [2, 3]
    assert found.intervals(3) == [(20, 30)]
