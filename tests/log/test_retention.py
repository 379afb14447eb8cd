"""What may be deleted of the log: the oldest first, never past whoever still needs it, and said where that matters."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streamgauge.log.retention import Decision, Holder, LogFile, Policy, decide, duration_text, size_text

NOW_MS = 1_000_000_000
HOUR_MS = 3_600_000


def files(count: int, size: int = 100) -> list[LogFile]:
    """Files of ten blocks and a thousand positions each, received one an hour, the last one hour ago."""
    return [
        LogFile(
            name=f"segment-{n}",
            first_block=10 * n,
            last_block=10 * n + 9,
            position=1000 * n,
            next_position=1000 * n + 1000,
            size=size,
            received_ms=NOW_MS - (count - n) * HOUR_MS,
        )
        for n in range(count)
    ]


def deleted(decision: Decision) -> list[str]:
    return [file.name for file in decision.delete]


@st.composite
def any_files(draw: st.DrawFn) -> list[LogFile]:
    found: list[LogFile] = []
    block = position = 0
    for n in range(draw(st.integers(0, 8))):
        blocks, records = draw(st.integers(1, 5)), draw(st.integers(0, 5))
        received = draw(st.integers(0, 2 * NOW_MS))
        found.append(
            LogFile(
                name=str(n),
                first_block=block,
                last_block=block + blocks - 1,
                position=position,
                next_position=position + records,
                size=draw(st.integers(0, 1000)),
                received_ms=received,
                newest_ms=draw(st.none() | st.integers(0, 2 * NOW_MS)),
            )
        )
        block, position = block + blocks, position + records
    return found


policies = st.builds(Policy, st.none() | st.integers(0, NOW_MS), st.none() | st.integers(0, 4000))
exact = st.builds(Holder, st.just("reader"), st.integers(0, 40), st.integers(-1, 40))
inexact = st.builds(Holder, st.just("outbox"), st.integers(0, 40))


@given(any_files(), policies, st.lists(exact | inexact, max_size=3))
def test_never_past_a_reader_and_the_oldest_first(found: list[LogFile], policy: Policy, holders: list[Holder]) -> None:
    decision = decide(found, policy, holders, NOW_MS)
    assert list(decision.delete) == found[: len(decision.delete)]
    for file in decision.delete:
        for holder in holders:
            if holder.block is None:
                assert file.next_position < holder.position
            else:
                assert file.last_block <= holder.block


@given(any_files(), policies, st.lists(exact | inexact, max_size=3))
def test_within_the_policy_or_it_is_said_who_holds_it(
    found: list[LogFile], policy: Policy, holders: list[Holder]
) -> None:
    decision = decide(found, policy, holders, NOW_MS)
    left = found[len(decision.delete) :]
    assert decision.size == sum(file.size for file in left)
    too_large = policy.max_bytes is not None and decision.size > policy.max_bytes
    too_old = bool(left) and policy.keep_ms is not None and left[0].age_ms(NOW_MS) > policy.keep_ms
    assert (too_large or too_old) == (decision.held is not None) == bool(decision.problem)
    if decision.held:
        assert decision.held.holders
        assert all(holder.needs(left[0]) for holder in decision.held.holders)


@given(any_files(), policies, st.lists(exact | inexact, max_size=3))
def test_no_more_is_deleted_than_must_be(found: list[LogFile], policy: Policy, holders: list[Holder]) -> None:
    delete = decide(found, policy, holders, NOW_MS).delete
    assume(delete)
    last = delete[-1]
    kept = sum(file.size for file in found[len(delete) - 1 :])
    old = policy.keep_ms is not None and last.age_ms(NOW_MS) > policy.keep_ms
    assert old or (policy.max_bytes is not None and kept > policy.max_bytes)


@given(any_files(), policies, st.lists(exact | inexact, max_size=3))
def test_a_second_decision_after_the_deletion_deletes_nothing(
    found: list[LogFile], policy: Policy, holders: list[Holder]
) -> None:
    first = decide(found, policy, holders, NOW_MS)
    second = decide(found[len(first.delete) :], policy, holders, NOW_MS)
    assert second.delete == ()
    assert second.problem == first.problem


def test_without_a_bound_all_is_kept() -> None:
    assert decide(files(5), Policy(), [], NOW_MS) == Decision((), 500)


def test_an_age_exactly_at_the_bound_is_kept() -> None:
    assert deleted(decide(files(5), Policy(keep_ms=4 * HOUR_MS), [], NOW_MS)) == ["segment-0"]
    assert deleted(decide(files(5), Policy(keep_ms=4 * HOUR_MS - 1), [], NOW_MS)) == ["segment-0", "segment-1"]


def test_a_size_exactly_at_the_bound_is_kept() -> None:
    assert deleted(decide(files(5), Policy(max_bytes=500), [], NOW_MS)) == []
    assert deleted(decide(files(5), Policy(max_bytes=499), [], NOW_MS)) == ["segment-0"]


def test_what_goes_for_its_age_counts_for_the_size() -> None:
    assert deleted(decide(files(5), Policy(keep_ms=4 * HOUR_MS, max_bytes=400), [], NOW_MS)) == ["segment-0"]


def test_events_of_long_ago_are_kept_for_as_long_as_those_of_today() -> None:
    replayed = LogFile("a", 0, 0, 0, 1, 100, received_ms=NOW_MS - 5, newest_ms=0)
    assert decide([replayed], Policy(keep_ms=10), [], NOW_MS).delete == ()


def test_a_clock_that_was_wrong_deletes_nothing_before_its_time() -> None:
    # received in 1970, as a machine without a battery believes after a start; its events tell more
    found = [*files(3), LogFile("b", 30, 39, 3000, 4000, 100, received_ms=0, newest_ms=NOW_MS - HOUR_MS)]
    assert decide(found, Policy(keep_ms=3 * HOUR_MS), [], NOW_MS).delete == ()
    # and one that was ahead keeps what it saw: its true age is not known
    ahead = LogFile("c", 0, 9, 0, 1000, 100, received_ms=2 * NOW_MS)
    assert decide([ahead], Policy(keep_ms=1), [], NOW_MS).delete == ()


def test_the_file_that_is_written_to_stays() -> None:
    found = [LogFile("a", 0, 9, 0, 1000, 2**30, NOW_MS - 5, closed=False)]
    decision = decide(found, Policy(max_bytes=2**20), [], NOW_MS)
    assert decision.delete == ()
    assert decision.problem == "log: 1023.0 MB over the limit, held because it is being written to"


def test_who_holds_the_log_is_said() -> None:
    holders = [Holder("outbox of sink mail", 2500, 25), Holder("reader live", 1500, 15), Holder("reader new", 5000, 50)]
    decision = decide(files(5, 2**30), Policy(max_bytes=2**30), holders, NOW_MS)
    assert deleted(decision) == ["segment-0"]
    assert decision.over == 3 * 2**30
    assert decision.held is not None
    assert (decision.held.files, decision.held.bytes) == (3, 3 * 2**30)
    assert decision.problem == "log: 3.0 GB over the limit, held by reader live at position 1500"


def test_several_who_hold_the_same_file_and_an_age() -> None:
    holders = [Holder("reader live", 500, 5), Holder("outbox of sink mail", 100)]
    decision = decide(files(100), Policy(keep_ms=2 * HOUR_MS), holders, NOW_MS)
    assert decision.problem == "log: 4 d older than is kept, held by outbox of sink mail at position 100 and 1 more"


def test_ticks_behind_the_last_event_are_kept_from_a_reader_whose_block_is_not_known() -> None:
    (file,) = files(1)
    assert Holder("reader", 1000).needs(file)
    assert not Holder("reader", 1001).needs(file)
    assert Holder("reader", 1000, block=8).needs(file)
    assert not Holder("reader", 1000, block=9).needs(file)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KB"), (12 * 2**30, "12.0 GB")]
)
def test_sizes_as_people_write_them(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(("ms", "text"), [(0, "0 ms"), (90_000, "1 min"), (86_400_000 * 3, "3 d"), (7_200_000, "2 h")])
def test_durations_as_people_write_them(ms: int, text: str) -> None:
    assert duration_text(ms) == text
