"""34 calls that a real FreeSWITCH made over its loopback, in both forms of its event socket.

The dialled name says the outcome. Each call has two legs, and so two CHANNEL_HANGUP_COMPLETE; the ``-a`` leg is
outbound. What is expected is computed here from the events, plainly.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgauge.reporting import Report
from tests.judges.freeswitch import events
from tests.packs.call_fields import fields_of, run, write_lines

OUTCOMES = {  # dialled name: sip_code, Q.850 cause, whether it was answered
    "short": (200, 16, True),
    "long": (200, 16, True),
    "zero": (200, 16, True),
    "busy": (486, 17, False),
    "noanswer": (480, 19, False),
    "unalloc": (404, 1, False),
}


@pytest.fixture(scope="module", params=["plain", "json"])
def recorded(request: pytest.FixtureRequest) -> list[dict[str, str]]:
    return events(request.param)


@pytest.fixture
def ended(recorded: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    """The legs that ended, by id."""
    legs = [e for e in recorded if e["Event-Name"] == "CHANNEL_HANGUP_COMPLETE"]
    return {e["variable_uuid"]: e for e in legs}


@pytest.fixture
def found(recorded: list[dict[str, str]], tmp_path: Path) -> Iterator[Report]:
    path = write_lines(tmp_path / "events.jsonl", recorded)
    with run([path], tmp_path, producer="hangup_events", min_calls=1) as found:
        yield found


def dialled(event: dict[str, str]) -> str:
    name = re.match(r"loopback/([a-z]+)\d", event["Channel-Name"])
    assert name
    return name.group(1)


def test_every_leg_is_a_call_record(found: Report, ended: dict[str, dict[str, str]]) -> None:
    assert len(ended) == 68
    assert fields_of(found).keys() == ended.keys()


def test_outcomes_are_what_the_dialled_name_says(found: Report, ended: dict[str, dict[str, str]]) -> None:
    for leg, fields in fields_of(found).items():
        name = dialled(ended[leg])
        outcome = (fields["sip_code"], fields["cause_q850"], fields["answer"] is not None)
        assert outcome == OUTCOMES[name], ended[leg]["Channel-Name"]


def test_times_and_billing_are_those_of_the_event(found: Report, ended: dict[str, dict[str, str]]) -> None:
    for leg, fields in fields_of(found).items():
        event = ended[leg]
        times = {name: int(event[f"variable_{name}_uepoch"]) // 1000 or None for name in ("start", "answer", "end")}
        assert {name: fields[name] for name in times} == times
        assert fields["billed_ms"] == int(event["variable_billmsec"])
        assert fields["billed_s"] == int(event["variable_billsec"])


def test_no_answer_rang_and_busy_did_not(found: Report, ended: dict[str, dict[str, str]]) -> None:
    rang = {dialled(ended[leg]) for leg, f in fields_of(found).items() if f["ringing"] is not None}
    assert rang == {"long", "noanswer"}


def test_every_zero_call_is_found_as_zero_and_no_long_one(found: Report, ended: dict[str, dict[str, str]]) -> None:
    legs = fields_of(found).items()
    zero = Counter(dialled(ended[leg]) for leg, f in legs if f["answer"] is not None and f["billed_s"] == 0)
    assert zero["zero"] == 8
    assert zero["long"] == 0
    # billsec counts ticks of the second's clock: most calls of 320 ms have passed none, and are zero for the biller.
    expected = sum(dialled(e) == "short" and e["variable_billsec"] == "0" for e in ended.values())
    assert zero["short"] == expected


def test_carrier_quality_counts_the_outbound_legs(found: Report, ended: dict[str, dict[str, str]]) -> None:
    outbound = [e for e in ended.values() if e["variable_direction"] == "outbound"]
    answered = [e for e in outbound if e["variable_answer_uepoch"] != "0"]
    (row,) = found.rows("carrier_quality", "1d")
    assert (row["attempts"], row["seizures"], row["answered"]) == (34, 34, 22)
    assert row["asr"] == 22 / 34
    assert row["zero_duration"] == sum(e["variable_billsec"] == "0" for e in answered) / 22
    assert row["short_calls"] == 1.0
    assert row["minutes"] == pytest.approx(sum(int(e["variable_billmsec"]) for e in answered) / 60_000, rel=1e-12)
    # Answered, busy and not answered reached the other side; the number that does not exist did not.
    assert row["ner_e425"] == (22 + 5 + 4) / 34
    assert (row["seer"], row["isa"], row["ner_isa"]) == ((22 + 5 + 4) / 34, 0.0, 1.0)
    assert row["unexpected"] == 0


def test_account_quality_counts_one_leg_a_call(found: Report) -> None:
    assert sum(row["attempts"] for row in found.rows("account_quality", "1d")) == 34


def test_as_call_records_these_events_are_no_calls(recorded: list[dict[str, str]], tmp_path: Path) -> None:
    with run([write_lines(tmp_path / "events.jsonl", recorded)], tmp_path) as found:
        assert found.rows("volume", "1d") == []
