"""Made-up traffic: repeatable, realistic, of the promised form, and true to what it says was planted."""

from __future__ import annotations

import itertools
import json
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from streamgauge.demo import START_MS, Traffic, bus, calls, part_by, planted, write_calls

DAY_MS = 86_400_000
Record = dict[str, Any]


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return [json.loads(line) for line in calls(40_000)]


def answered(records: list[Record]) -> list[Record]:
    return [r for r in records if r["answer"] is not None]


def empty_share(records: list[Record]) -> float:
    return sum(r["billed_s"] == 0 for r in answered(records)) / len(answered(records))


def refused_share(records: list[Record]) -> float:
    return sum(r["sip_code"] == 503 for r in records) / len(records)


def test_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    assert list(calls(500, seed=3)) == list(calls(500, seed=3))
    assert not set(calls(500, seed=3)) & set(calls(500, seed=4))


def test_file_holds_what_is_yielded(tmp_path: Path) -> None:
    size = write_calls(tmp_path / "calls.jsonl", 70_001, seed=3, duplicates=0.01, malformed=0.001)
    written = (tmp_path / "calls.jsonl").read_bytes()
    assert size == len(written)
    assert written == b"".join(calls(70_001, seed=3, duplicates=0.01, malformed=0.001))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 32_768, 32_769])
def test_count_is_the_number_of_lines(count: int) -> None:
    lines = list(calls(count))
    assert len(lines) == count
    assert all(line.endswith(b"\n") for line in lines)


def test_line_has_about_345_bytes() -> None:
    assert 330 <= sum(map(len, calls(5_000))) / 5_000 <= 365


def test_records_have_the_flat_fields_in_their_types(records: list[Record]) -> None:
    always = {
        "call_id": str, "account": str, "carrier": str, "direction": str, "from": str, "to": str, "start": int,
        "end": int, "billed_ms": int, "billed_s": int, "sip_code": int, "cause_q850": int, "cause": str, "host": str,
    }  # fmt: skip
    sometimes = {"ringing": int, "pdd_18x_ms": int, "pdd_180_ms": int, "codec": str, "user_agent": str}
    for record in records:
        assert {name: type(record[name]) for name in always} == always
        rest = record.keys() - always.keys() - {"answer"}
        assert {name: type(record[name]) for name in rest} == {name: sometimes[name] for name in rest}
    assert {name for record in records for name in record} == {*always, *sometimes, "answer"}


def test_times_of_a_call_are_in_order(records: list[Record]) -> None:
    for r in records:
        answer = r["end"] if r["answer"] is None else r["answer"]
        assert r["start"] <= r.get("ringing", r["start"]) <= answer <= r["end"]
        assert r["billed_ms"] == (0 if r["answer"] is None else r["end"] - r["answer"])
        assert r.get("pdd_180_ms", r.get("pdd_18x_ms")) == r.get("pdd_18x_ms")


def test_answered_is_exactly_a_200(records: list[Record]) -> None:
    assert all((r["sip_code"] == 200) == (r["answer"] is not None) for r in records)


def test_two_legs_of_a_call_share_account_and_carrier_and_not_the_id(records: list[Record]) -> None:
    assert Counter(r["direction"] for r in records) == {"inbound": 20_000, "outbound": 20_000}
    assert len({r["call_id"] for r in records}) == 40_000
    by_call = Counter((r["from"], r["to"], r["account"], r["carrier"]) for r in records)
    assert set(by_call.values()) <= {2, 4}


def test_ends_lie_within_the_days_and_lines_are_slightly_out_of_order(records: list[Record]) -> None:
    ends = [r["end"] for r in records]
    assert min(ends) >= START_MS
    assert max(ends) < START_MS + DAY_MS + 1000
    back = [a - b for a, b in itertools.pairwise(ends) if b < a]
    assert 0.05 < len(back) / len(ends) < 0.5
    assert max(back) < 60_000


def test_noon_is_busier_than_night(records: list[Record]) -> None:
    hours = Counter((r["end"] - START_MS) // 3_600_000 for r in records)
    assert hours[11] > 10 * hours[3]


def test_carrier_goes_bad_when_the_truth_says_and_no_other_does(records: list[Record]) -> None:
    truth = planted()
    assert truth.carrier == "carrier-007"
    assert START_MS + 11 * 3_600_000 <= truth.from_ms < START_MS + 16 * 3_600_000
    assert truth.from_ms % 360_000 == 0
    its = [r for r in records if r["carrier"] == truth.carrier]
    before, after = ([r for r in its if (r["end"] >= truth.from_ms) == late] for late in (False, True))
    others = [r for r in records if r["carrier"] != truth.carrier]
    assert empty_share(after) == pytest.approx(truth.empty, abs=0.08)
    assert refused_share(after) == pytest.approx(truth.refused, abs=0.08)
    for healthy in (before, others):
        assert empty_share(healthy) < 0.05
        assert refused_share(healthy) < 0.06


def test_harm_is_as_large_as_it_is_wanted() -> None:
    traffic = Traffic(60_000, carriers=8, refused=0.7, empty=0.1, slower=3.0)
    truth = traffic.planted()
    assert (truth.refused, truth.empty, truth.slower) == (0.7, 0.1, 3.0)
    its = [r for line in traffic.lines() if (r := json.loads(line))["carrier"] == truth.carrier]
    before, after = ([r for r in its if (r["end"] >= truth.from_ms) == late] for late in (False, True))
    assert refused_share(after) == pytest.approx(0.7, abs=0.05)
    assert empty_share(after) == pytest.approx(0.1, abs=0.06)
    assert len(answered(after)) / len(after) < len(answered(before)) / len(before) / 2
    assert median_pdd(after) == pytest.approx(3.0 * median_pdd(before), rel=0.15)


def median_pdd(records: list[Record]) -> float:
    return statistics.median(r["pdd_18x_ms"] for r in records if "pdd_18x_ms" in r)


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.9, 1.0])
def test_share_of_the_events_has_happened_by_its_part_of_the_day(records: list[Record], share: float) -> None:
    ends = sorted(r["end"] - START_MS for r in records)
    happened = sum(end < part_by(share) * DAY_MS for end in ends) / len(ends)
    assert happened == pytest.approx(share, abs=0.001)


def test_planted_carrier_of_a_small_network_is_its_last_one() -> None:
    truth = planted(seed=2, days=3, carriers=3)
    assert truth.carrier == "carrier-003"
    assert truth.from_ms > START_MS + 2 * DAY_MS
    assert {json.loads(line)["carrier"] for line in calls(300, carriers=3)} <= {f"carrier-00{n}" for n in (1, 2, 3)}


def test_duplicates_repeat_an_earlier_line() -> None:
    seen = Counter(calls(20_000, duplicates=0.01))
    repeats = sum(seen.values()) - len(seen)
    assert 150 <= repeats <= 250


def test_malformed_lines_are_as_many_as_asked_and_of_several_kinds() -> None:
    bad = []
    for line in calls(20_000, malformed=0.005):
        try:
            json.loads(line)
        except ValueError as e:
            bad.append(type(e).__name__)
    assert 60 <= len(bad) <= 140
    assert set(bad) == {"JSONDecodeError", "UnicodeDecodeError"}


def test_calls_of_several_days_fill_every_day() -> None:
    days = Counter((json.loads(line)["end"] - START_MS) // DAY_MS for line in calls(3_000, days=3))
    assert [round(days[n] / 1000, 1) for n in range(3)] == [1.0, 1.0, 1.0]


def test_bus_messages_look_like_those_of_fedora() -> None:
    messages = [json.loads(line) for line in bus(2_000, seed=5)]
    assert messages == [json.loads(line) for line in bus(2_000, seed=5)]
    for message in messages:
        assert list(message) == ["topic", "timestamp", "i", "msg", "msg_id"]
        assert isinstance(message["timestamp"], float)
        assert START_MS <= message["timestamp"] * 1000 < START_MS + DAY_MS + 1
        assert isinstance(message["msg"], dict)
    categories = Counter(message["topic"].split(".")[3] for message in messages)
    assert categories.most_common(1)[0][0] == "buildsys"
    assert len(categories) == 8
    assert len({message["msg_id"] for message in messages}) == 2_000
