"""The log writer's thread: what becomes of what is handed over, and what of it survives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.engines.base import NO_TIME, NOT_JSON, OUT_OF_RANGE, UNFIT_TIME
from streamgauge.errors import RetryableError
from streamgauge.event import RefusedLine
from streamgauge.expression import TimeUnit
from streamgauge.log.base import IN_FUTURE, Given, LaneName, Receipt, Refusal
from streamgauge.log.idle import IdleRules
from streamgauge.log.intake import LogIntake
from streamgauge.watermark import LaneMark, LaneState, observe
from tests.log.taking import BY_ID, Gate, HandClock, Log, T, arriving, bodies, body, eventually, incoming

HOUR = 3_600_000


def test_an_event_is_one_line_with_our_envelope_and_its_own_bytes(tmp_path: Path) -> None:
    own = b'{"topic":"a.b" , "time":1700000000000,"id":"x\\"1","n":1.10}'
    with Log(tmp_path) as log:
        assert log.take(own) == Receipt(1, 0, 0, position=0, block=0)
        [block] = log.blocks()
    assert block.events == b'{"time":1700000000000,"topic":"a.b","id":"x\\"1","source":"http","body":' + own + b"}\n"
    header = block.header
    assert (header.lane, header.source, header.name, header.position, header.events) == (0, "http", "", 0, 1)
    assert (header.oldest_ms, header.newest_ms, header.topics, header.received_ms) == (T, T, ("a.b",), T + 1000)


def test_blanks_around_a_message_are_not_kept(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        log.take(b' {"time":1700000000000}\r', b'\x0b{"time":1700000000001}\x0c\t', b'{"time":1700000000002,\r"a":1}')
        [block] = log.blocks()
        assert [e["time"] - T for e in log.events()] == [0, 1, 2]
    assert block.events.split(b'"body":')[1].startswith(b'{"time":1700000000000}}\n')


FORGERIES = [
    b'1},"topic":"x","y":{',
    b'{"time":1700000000000},"topic":"forged","y":{}',
    b'{"time":1700000000000}},{"time":1,"topic":"forged","body":{}',
    b'{"time":1700000000000},"owner":"someone"',
    b'{"time":1700000000000}{"time":1}',
    b'{"time":1700000000000},',
    b'"time":1700000000000',
    b'[{"time":1700000000000}]',
    b'{"time":1700000000000}\x00',
    b'{"time":1700000000000,"a":"\x00"}',
    b'{"time":1700000000000,"a":"\xff"}',
    b'{"time":1700000000000,"a":"\\ud800"}',
    b'{"time":1700000000000} //',
    b"\xef\xbb\xbf" + b'{"time":1700000000000}',
    b'\xe2\x80\xa8{"time":1700000000000}',
    b'{"time":1700000000000',
    b"null",
    b"{}",
]


@pytest.mark.parametrize("forged", FORGERIES)
def test_a_body_cannot_forge_its_envelope(tmp_path: Path, forged: bytes) -> None:
    with Log(tmp_path) as log:
        receipt = log.take(body(n=1), forged, body(n=2))
        assert (receipt.accepted, receipt.malformed) == (2, 1)
        assert [e["body"]["n"] for e in log.events()] == [1, 2]
        assert all(list(e) == ["time", "topic", "source", "body"] and e["topic"] == "" for e in log.events())
        [dead] = log.dead()
        assert dead["length"] == len(forged)
        assert receipt.refusals[0].line == 2


@settings(max_examples=60)
@given(
    lines=st.lists(st.binary(max_size=40).filter(lambda b: b"\n" not in b and b.strip(b" \t\r\x0b\x0c")), max_size=6)
)
def test_whatever_is_handed_over_every_line_of_the_log_is_one_of_ours(shared: Log, lines: list[bytes]) -> None:
    before = len(shared.blocks())
    receipt = shared.take(*lines, body(n=1))
    assert receipt.accepted + receipt.malformed == len(lines) + 1
    for block in shared.blocks()[before:]:
        assert [list(json.loads(line)) for line in block.events.split(b"\n")[:-1]] == [
            ["time", "topic", "source", "body"]
        ] * receipt.accepted


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Log(tmp_path_factory.mktemp("shared")) as log:
        yield log


def test_a_dead_letter_says_why_and_keeps_the_bytes(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        receipt = log.take(
            b'{"a":', b'{"a":1}', b'{"time":"tomorrow"}', b'{"time":1e14}', b"\xff\xfe", body(T + 3 * HOUR), body(T)
        )
        dead = log.dead()
        [block] = log.blocks()
    assert [d["reason"] for d in dead] == [NOT_JSON, NO_TIME, UNFIT_TIME, OUT_OF_RANGE, NOT_JSON, IN_FUTURE]
    assert [(d.get("raw"), d.get("base64"), d["length"]) for d in dead[:5:4]] == [('{"a":', None, 5), (None, "//4=", 2)]
    assert dead[0]["detail"] == "not JSON: Expecting value at character 6"
    assert dead[2]["detail"] == "got 'tomorrow'"
    assert dead[5]["detail"] == "2023-11-15T01:13:20.000Z is ahead of the clock, which allows 2023-11-14T23:13:21.000Z"
    assert {d["time"] for d in dead} == {T + 1000}
    assert receipt == Receipt(
        1, 0, 6, 0, 0, refusals=tuple(Refusal(n + 1, d["reason"], d["detail"]) for n, d in enumerate(dead))
    )
    assert (block.header.events, block.header.dead, block.header.next_position) == (1, 6, 7)


def test_a_line_that_the_source_refused_keeps_its_own_reason_and_bytes(tmp_path: Path) -> None:
    refused = RefusedLine(1, 0, 2, "line over max_line", b"x" * 100_000, 5_000_000, "1 MB allowed")
    with Log(tmp_path) as log:
        log.take(body(n=1), b"!", refused=(refused,))
        [dead] = log.dead()
    assert (dead["reason"], dead["detail"], dead["length"], len(dead["raw"])) == (
        "line over max_line", "1 MB allowed", 5_000_000, 65536,
    )  # fmt: skip


def test_blank_lines_and_a_missing_line_feed_do_no_harm(tmp_path: Path) -> None:
    message = incoming(body(n=1), b"", b" \r", body(n=2))
    with Log(tmp_path) as log:
        receipt = log.intake.submit(message).result(20)
        assert (receipt.accepted, receipt.malformed) == (2, 0)
        without = incoming(body(n=3))
        assert (
            log.intake.submit(type(without)(without.lane, without.arrival, without.data[:-1])).result(20).accepted == 1
        )
        assert [e["body"]["n"] for e in log.events()] == [1, 2, 3]


def test_an_id_is_a_duplicate_in_its_source_only(tmp_path: Path) -> None:
    other = LaneName("tail", "a.log")
    with Log(tmp_path) as log:
        assert log.take(*bodies([1, 2, 1])) == Receipt(2, 1, 0, position=0, block=0)
        assert log.take(*bodies([2, 3])) == Receipt(1, 1, 0, position=2, block=1)
        assert log.take(*bodies([3]), lane=LaneName("http", "another lane")) == Receipt(0, 1, 0, -1, block=2)
        assert log.take(*bodies([1]), lane=other) == Receipt(1, 0, 0, position=3, block=3)
        assert log.take(body(), body()).duplicates == 0
        assert [b.header.duplicates for b in log.blocks()] == [1, 1, 1, 0, 0]
        log.restart()
        assert log.take(*bodies([4, 1, 2, 3])) == Receipt(1, 3, 0, position=6, block=5)


def test_one_bad_message_refuses_all_where_that_is_wanted(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        receipt = log.take(*bodies([1]), b"{", strict=True, key="k", cursor=7)
        assert (receipt.kept, receipt.accepted, receipt.malformed, receipt.refusals[0].line) == (False, 0, 1, 2)
        assert log.blocks() == []
        assert log.take(*bodies([1]), strict=True, key="k") == Receipt(1, 0, 0, position=0, block=0)


def test_the_same_key_gets_the_first_answer_also_after_a_restart(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        first = log.take(*bodies([1]), b"{", key="k")
        again = log.take(*bodies([2]), key="k")
        assert again == Receipt(1, 0, 1, 0, 0, refusals=first.refusals, again=True)
        log.restart()
        assert log.take(*bodies([3]), key="k") == again
        assert log.take(*bodies([3]), key="k", lane=LaneName("other")).accepted == 1
        assert len(log.events()) == 2


def test_the_same_key_while_the_first_is_on_its_way_joins_it(tmp_path: Path) -> None:
    go = Gate()
    with Log(tmp_path, step=go) as log:
        futures = [log.intake.submit(incoming(*bodies([n]), key="k")) for n in range(3)]
        go.open()
        receipts = [future.result(20) for future in futures]
    assert [r.again for r in receipts] == [False, True, True]
    assert {r.position for r in receipts} == {0}


def test_many_that_wait_are_appended_at_once_a_block_for_each_lane(tmp_path: Path) -> None:
    go = Gate()
    with Log(tmp_path, step=go) as log:
        first = log.intake.submit(incoming(*bodies(["first"])))
        eventually(lambda: log.intake.waiting_bytes == 0)
        futures = [log.intake.submit(incoming(*bodies([n]), lane=LaneName("http", str(n % 2)))) for n in range(6)]
        go.open()
        assert first.result(20).block == 0
        assert [f.result(20).position for f in futures] == [1, 4, 2, 5, 3, 6]
        assert [(b.header.name, b.header.events) for b in log.blocks()] == [("", 1), ("0", 3), ("1", 3)]


def test_a_full_queue_refuses_at_once(tmp_path: Path) -> None:
    go = Gate()
    with Log(tmp_path, queue_bytes=3000, step=go) as log:
        log.intake.submit(incoming(body(n=0)))
        eventually(lambda: log.intake.waiting_bytes == 0)
        futures = [log.intake.submit(incoming(body(n=n, fill="x" * 900))) for n in range(4)]
        refused = [f for f in futures if f.done()]
        assert len(refused) == 2
        with pytest.raises(RetryableError, match="wait to be appended to the log, at most 3000 may"):
            refused[0].result()
        go.open()
        assert [f.result(20).accepted for f in futures if f not in refused] == [1, 1]


def test_cursor_is_that_of_the_last_durable_block_that_had_one(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        lane = LaneName("http")
        assert log.intake.cursor(lane) is None
        log.take(body(), cursor={"offset": 5})
        log.take(body())
        assert log.intake.cursor(lane) == {"offset": 5}
        log.take(cursor={"offset": 9})
        log.restart()
        assert log.intake.cursor(lane) == {"offset": 9}
        assert [b.header.cursor for b in log.blocks()] == [{"offset": 5}, None, {"offset": 9}]


def test_nothing_to_append_is_answered_and_not_appended(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        assert log.take() == Receipt(0, 0, 0)
        assert log.take(behind=True) == Receipt(0, 0, 0)
        assert log.blocks() == []


def test_masked_bodies_are_canonical_and_dead_letters_keep_no_bytes(tmp_path: Path) -> None:
    arrival = arriving(id="body.id", mask=("body.to", "body.a.b[1]"), keep_bytes=False)
    deep = b'{"time":1700000000000,"to":' + b"[" * 5000 + b"]" * 5000 + b"}"
    with Log(tmp_path) as log:
        receipt = log.take(
            b'{"to":"secret", "time":1700000000000,"a":{"b":[1,"secret"]},"n":1.50}',
            b'{"to":"secret"',
            deep,
            b'{"time":"secret"}',
            arrival=arrival,
        )
        [block] = log.blocks()
        assert receipt.accepted == 1
        assert [d["reason"] for d in log.dead()] == [NOT_JSON, "cannot be masked", UNFIT_TIME]
    assert block.events.endswith(b'"body":{"a":{"b":[1,null]},"n":1.5,"time":1700000000000,"to":null}}\n')
    assert b"secret" not in block.events + block.dead
    assert b"raw" not in block.dead
    assert b'"length":14' in block.dead


def test_owners_stand_in_the_envelope(tmp_path: Path) -> None:
    arrival = arriving(owner="coalesce(body.tenant, source)")
    with Log(tmp_path) as log:
        log.take(body(tenant="a"), body(tenant='"b'), body(), arrival=arrival)
        assert [e["owner"] for e in log.events()] == ["a", '"b', "http"]
        assert list(log.events()[0]) == ["time", "topic", "source", "owner", "body"]


def test_without_a_time_the_time_of_receipt_counts_where_that_is_wanted(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        receipt = log.take(body(T), b'{"a":1}', b'{"time":"x"}', b"!", arrival=arriving(receipt_time=True))
        assert (receipt.accepted, receipt.receipt_times, receipt.malformed) == (2, 1, 2)
        assert [e["time"] for e in log.events()] == [T, T + 1000]


def test_what_is_given_goes_before_what_is_found(tmp_path: Path) -> None:
    given_ = Given(topics=["a", None, "c"], ids=["1", "2", "1"], times_ms=[None, T + 1, T + 2])
    with Log(tmp_path) as log:
        assert log.take(body(id="x"), b'{"topic":"own"}', body(), given=given_).duplicates == 1
        events = log.events()
        assert [(e["topic"], e["id"], e["time"]) for e in events] == [("a", "1", T), ("own", "2", T + 1)]
        log.restart()
        assert log.take(body(), given=Given(ids=["2"])).duplicates == 1
        with pytest.raises(ValueError, match="gives 2 topics, ids or times of 1 records"):
            log.take(body(), given=Given(ids=["2", "3"]))


def test_one_that_cannot_be_taken_harms_no_other(tmp_path: Path) -> None:
    go = Gate()
    with Log(tmp_path, step=go) as log:
        log.intake.submit(incoming(body()))
        eventually(lambda: log.intake.waiting_bytes == 0)
        futures = [log.intake.submit(incoming(body(), given=g)) for g in (None, Given(ids=["1", "2"]), None)]
        go.open()
        assert [f.result(20).accepted for f in futures[::2]] == [1, 1]
        assert isinstance(futures[1].exception(20), ValueError)
        assert log.take(body()).position == 3


def test_the_unit_of_a_lane_is_that_of_its_first_event_with_a_time(tmp_path: Path) -> None:
    arrival = arriving()
    with Log(tmp_path) as log:
        log.take(b'{"a":1}', arrival=arrival)
        log.take(b'{"time":1700000000}', arrival=arrival)
        log.restart()
        log.take(b'{"time":1700000001.5}', arrival=arrival)
        log.take(b'{"time":"2023-11-14T22:13:20Z"}', arrival=arrival, lane=LaneName("http", "iso"))
        log.take(b'{"time":1700000000}', b'{"time":"2023-11-14T22:13:20Z"}', arrival=arrival, lane=LaneName("x"))
        assert [b.header.unit for b in log.blocks()] == ["", "s", "s", "iso", "s"]
        assert [e["time"] for e in log.events()] == [T, T + 1500, T, T]


def test_marks_are_those_of_each_blocks_events(tmp_path: Path) -> None:
    jump = 2 * 86_400_000
    clock = HandClock(T + 30 * 86_400_000)
    arrival = arriving(unit=TimeUnit.MS, lateness_ms=500)
    blocks = [[T], [T + 100, T + jump, T - 50], [T + jump + n for n in range(20)], [T], []]
    mark = LaneMark(lateness_ms=500)
    with Log(tmp_path, clock) as log:
        for times in blocks:
            log.take(*map(body, times), b"{", arrival=arrival)
            mark = observe(mark, times)
            assert log.blocks()[-1].header.mark == mark.to_dict()
            log.restart()
    assert mark.newest == T + jump + 19


def test_a_source_that_knows_more_ticks_and_ends_its_lane(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        log.take(body(T), arrival=arriving(unit=TimeUnit.MS, lateness_ms=1000))
        log.take(complete_to_ms=T + 5000)
        log.take(last=True)
        headers = [b.header for b in log.blocks()]
        marks = [LaneMark.from_dict(h.mark) for h in headers]
        assert [m.watermark for m in marks] == [T - 1000, T + 5000, T + 5000]
        assert [m.state for m in marks] == [LaneState.ACTIVE, LaneState.ACTIVE, LaneState.ENDED]
        assert [(h.events, h.position) for h in headers] == [(1, 0), (0, 1), (0, 1)]


def test_a_wall_clock_that_is_set_back_makes_no_event_one_of_the_future(tmp_path: Path) -> None:
    clock = HandClock(T)
    with Log(tmp_path, clock) as log:
        clock.move(10)
        clock.wall_ms -= HOUR
        assert log.take(body(T + HOUR + 5000)).accepted == 1
        clock.wall_ms += 3 * HOUR
        assert log.take(body(T + 2 * HOUR)).accepted == 1
        assert log.take(body(T + 4 * HOUR)).malformed == 1


def test_coverage_begins_with_the_first_event_and_again_after_a_stop_without_a_cursor(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        log.take(body(T + 5), body(T))
        log.take(body(T + 10))
        log.take(body(T), cursor=1, lane=LaneName("tail", "f"))
        log.restart()
        log.take(body(T + 20))
        log.take(body(T + 30), cursor=2, lane=LaneName("tail", "f"))
        assert [b.header.covered_from_ms for b in log.blocks()] == [T, T, T, T + 20, T]


def test_silence_is_told_by_ticks_and_a_lane_that_is_behind_is_not_silent(tmp_path: Path) -> None:
    clock = HandClock()
    rules = IdleRules(tick_s=0.2, quiet_s=0.2, rest_s=30, grace_s=0)
    with Log(tmp_path, clock, rules=rules) as log:
        arrival = arriving(unit=TimeUnit.MS, lateness_ms=1000)
        log.take(body(T), arrival=arrival)
        log.take(body(T), arrival=arrival, lane=LaneName("tail", "f"), behind=True)
        clock.move(3)
        eventually(lambda: len(log.blocks()) == 3)
        clock.move(40)
        eventually(lambda: len(log.blocks()) == 4)
        told = [(b.header.source, LaneMark.from_dict(b.header.mark)) for b in log.blocks()[2:]]
        assert [(source, mark.watermark - T, mark.state) for source, mark in told] == [
            ("http", 2000, LaneState.ACTIVE),
            ("http", 42000, LaneState.RESTING),
        ]


def test_stop_appends_what_waits_and_refuses_what_comes_after(tmp_path: Path) -> None:
    log = Log(tmp_path)
    futures = [log.intake.submit(incoming(*bodies([n]))) for n in range(50)]
    log.stop()
    assert sum(f.result(0).accepted for f in futures) == 50
    with pytest.raises(RetryableError, match="the log is being closed"):
        log.intake.submit(incoming(body())).result(0)
    log.start()
    assert len(log.events()) == 50
    log.stop()


def test_a_log_writer_that_hangs_does_not_keep_stop_from_returning(tmp_path: Path) -> None:
    go = Gate()
    log = Log(tmp_path, step=go)
    first = log.intake.submit(incoming(body()))
    eventually(lambda: log.intake.waiting_bytes == 0)
    second = log.intake.submit(incoming(body()))
    assert log.intake.stop(within_s=0.1) is False
    with pytest.raises(RetryableError):
        second.result(0)
    go.open()
    assert first.result(20).accepted == 1
    log.stop()


def test_arrivals_are_the_same_by_value(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        for n in range(3):
            log.take(*bodies([n]), arrival=arriving(id="body.id", topic="body.topic", unit=TimeUnit.MS))
        assert len(log.reader._readers) == 1
        assert isinstance(log.intake, LogIntake)
        assert log.take(*bodies([2]), arrival=BY_ID).duplicates == 1
