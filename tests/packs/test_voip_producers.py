"""What each producer of the shape ``call`` makes of a message, and which messages are whose."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.data import data_path
from tests.packs.call_fields import fields_of, run, write_lines

START, RINGING, ANSWER, END = 1_700_000_000_000, 1_700_000_002_500, 1_700_000_010_000, 1_700_000_070_250

RECORD = {
    "uuid": "leg-1",
    "call_uuid": "leg-1",
    "direction": "inbound",
    "accountcode": "acme",
    "sip_network_ip": "192.0.2.1",
    "sip_from_user": "%2B33123456789",
    "sip_req_user": "4912345",
    "start_uepoch": f"{START}123",
    "progress_uepoch": f"{RINGING}999",
    "progress_media_uepoch": "0",
    "answer_uepoch": f"{ANSWER}000",
    "end_uepoch": f"{END}001",
    "mduration": "70250",
    "billmsec": "60250",
    "billsec": "60",
    "hangup_cause": "NORMAL_CLEARING",
    "hangup_cause_q850": "16",
    "rtp_use_codec_name": "PCMA",
    "sip_user_agent": "Phone%201.0",
}
FAILED = {"answer_uepoch": "0", "billmsec": "0", "billsec": "0"}


def record(**changes: Any) -> dict[str, Any]:
    """A call record with these variables changed; None takes one away."""
    return {"variables": {k: v for k, v in (RECORD | changes).items() if v is not None}, "switchname": "fs1"}


def call(tmp_path: Path, event: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    """The fields of the one call that this event is."""
    with run([write_lines(tmp_path / "call.jsonl", [event])], tmp_path, **parameters) as found:
        (fields,) = fields_of(found).values()
    return fields


def records(tmp_path: Path, cases: Sequence[tuple[dict[str, Any], Any]]) -> Path:
    """A file with one record for each case, whose account is the case's number."""
    legs = (record(uuid=f"leg-{n}", accountcode=f"{n}", **variables) for n, (variables, _) in enumerate(cases))
    return write_lines(tmp_path / "cases.jsonl", legs)


def check_cases(tmp_path: Path, cases: Sequence[tuple[dict[str, Any], Any]], field: str) -> None:
    """Each case's variables must give its value of this field."""
    with run([records(tmp_path, cases)], tmp_path) as found:
        ours = {int(f["account"]): f[field] for f in fields_of(found).values()}
    assert [(variables, ours[n]) for n, (variables, _) in enumerate(cases)] == list(cases)


def test_a_record_fills_every_field(tmp_path: Path) -> None:
    assert call(tmp_path, record(sip_gateway_name="gw%2Fone", sip_call_id="a%40b")) == {
        "call_id": "leg-1",
        "account": "acme",
        "carrier": "gw/one",
        "direction": "inbound",
        "leg": "A",
        "from": "+33123456789",
        "to": "4912345",
        "start": START,
        "ringing": RINGING,
        "answer": ANSWER,
        "end": END,
        "duration_ms": 70250,
        "billed_ms": 60250,
        "billed_s": 60,
        "sip_code": 200,
        "cause_q850": 16,
        "cause": "NORMAL_CLEARING",
        "pdd_180_ms": 2500,
        "pdd_18x_ms": 2500,
        "codec": "PCMA",
        "host": "fs1",
        "user_agent": "Phone 1.0",
        "sip_call_id": "a@b",
    }


def test_a_couchdb_document_and_a_row_of_changes_are_the_same_call(tmp_path: Path) -> None:
    expected = call(tmp_path, record())
    assert call(tmp_path, {"_id": "x", "_rev": "1-a", **record()}) == expected
    assert call(tmp_path, {"seq": "1-g1AA", "id": "x", "changes": [{"rev": "1-a"}], "doc": record()}) == expected


def test_a_hangup_event_is_the_same_call_as_the_record(tmp_path: Path) -> None:
    event = {f"variable_{k}": v for k, v in RECORD.items()}
    event |= {"Event-Name": "CHANNEL_HANGUP_COMPLETE", "FreeSWITCH-Switchname": "fs1"}
    assert call(tmp_path, event, producer="hangup_events") == call(tmp_path, record())


def test_each_family_leaves_the_others_events_alone(tmp_path: Path) -> None:
    event = {f"variable_{k}": v for k, v in RECORD.items()} | {"Event-Name": "CHANNEL_HANGUP_COMPLETE"}
    create = event | {"Event-Name": "CHANNEL_CREATE", "variable_uuid": "leg-2"}
    path = write_lines(tmp_path / "mixed.jsonl", [record(), event, create])
    for family in ("records", "hangup_events"):
        with run([path], tmp_path, producer=family) as found:
            assert sum(row["legs"] for row in found.rows("volume", "1d")) == 1


def test_zero_means_that_it_did_not_happen(tmp_path: Path) -> None:
    found = call(tmp_path, record(progress_uepoch="0", hangup_cause_q850="0", **FAILED))
    assert (found["ringing"], found["answer"], found["pdd_180_ms"], found["pdd_18x_ms"]) == (None,) * 4
    assert found["cause_q850"] is None


def test_epoch_seconds_serve_where_microseconds_are_missing(tmp_path: Path) -> None:
    old = {f"{name}_uepoch": None for name in ("start", "answer", "end")}
    old |= {"start_epoch": "1700000000", "answer_epoch": "1700000010", "end_epoch": "1700000070", "billmsec": None}
    found = call(tmp_path, record(**old))
    assert (found["start"], found["answer"], found["end"]) == (START, ANSWER, 1_700_000_070_000)
    assert (found["billed_ms"], found["sip_code"]) == (60_000, 200)


def test_numbers_may_be_numbers(tmp_path: Path) -> None:
    numbers = {k: int(v) for k, v in RECORD.items() if v.isdigit() and k != "sip_req_user"}
    assert call(tmp_path, record(**numbers)) == call(tmp_path, record())


def test_early_media_before_ringing_is_the_first_18x(tmp_path: Path) -> None:
    found = call(tmp_path, record(progress_media_uepoch=f"{START + 400}000"))
    assert (found["pdd_180_ms"], found["pdd_18x_ms"], found["ringing"]) == (2500, 400, START + 400)


REPLIES: list[tuple[dict[str, Any], int | None]] = [
    (FAILED | {"proto_specific_hangup_cause": "sip:487", "sip_invite_failure_status": "486"}, 487),
    (FAILED | {"proto_specific_hangup_cause": "sip%3A487", "sip_term_status": "486"}, 487),
    (FAILED | {"sip_invite_failure_status": "503", "sip_term_status": "500"}, 503),
    (FAILED | {"sip_term_status": "480", "last_bridge_proto_specific_hangup_cause": "sip%3A404"}, 480),
    (FAILED | {"last_bridge_proto_specific_hangup_cause": "sip:404"}, 404),
    # Nobody answered, so a 200 is the reply to something else.
    (FAILED | {"sip_term_status": "200", "last_bridge_proto_specific_hangup_cause": "sip:486"}, 486),
    (FAILED | {"proto_specific_hangup_cause": "sip:200", "hangup_cause": "USER_BUSY"}, 486),
    (FAILED | {"proto_specific_hangup_cause": "sip:999", "hangup_cause": "NO_ANSWER"}, 480),
    (FAILED | {"hangup_cause": "UNALLOCATED_NUMBER"}, 404),
    (FAILED | {"hangup_cause": "NO_USER_RESPONSE"}, 408),
    (FAILED | {"hangup_cause": "CALL_REJECTED"}, 603),
    (FAILED | {"hangup_cause": "ORIGINATOR_CANCEL"}, 487),
    (FAILED | {"hangup_cause": "GATEWAY_DOWN"}, 503),
    (FAILED | {"hangup_cause": "RECOVERY_ON_TIMER_EXPIRE"}, 504),
    (FAILED | {"hangup_cause": "INCOMPATIBLE_DESTINATION"}, 488),
    (FAILED | {"hangup_cause": "EXCHANGE_ROUTING_ERROR"}, 483),
    (FAILED | {"hangup_cause": "SOMETHING_NEW"}, 480),
    (FAILED | {"hangup_cause": None, "hangup_cause_q850": None}, None),
]


def test_the_reply_of_an_unanswered_call(tmp_path: Path) -> None:
    check_cases(tmp_path, REPLIES, "sip_code")


def test_answered_is_200_whatever_the_codes_say(tmp_path: Path) -> None:
    found = call(tmp_path, record(proto_specific_hangup_cause="sip:487", sip_term_status="603"))
    assert found["sip_code"] == 200


CARRIERS: list[tuple[dict[str, Any], str | None]] = [
    ({"sip_gateway_name": "gw1"}, "gw1"),
    ({}, "192.0.2.1"),
    ({"sip_network_ip": "2001%3Adb8%3A%3A1"}, "2001:db8::1"),
    # Nobody replied at all: the carrier is then the one that was asked.
    ({"sip_network_ip": None, "sip_to_host": "carrier.example.net"}, "carrier.example.net"),
    ({"sip_network_ip": None}, None),
]


def test_the_carrier_is_the_gateway_else_the_remote_address(tmp_path: Path) -> None:
    check_cases(tmp_path, CARRIERS, "carrier")


def test_the_leg_that_caused_the_call_is_a(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str | None]] = [
        ({}, "A"),
        ({"direction": "outbound", "call_uuid": "leg-0"}, "B"),
        ({"direction": "outbound", "call_uuid": "leg-2"}, "A"),
        ({"direction": "outbound", "call_uuid": None}, "B"),
        ({"loopback_leg": "B"}, "B"),
        ({"direction": None}, None),
    ]
    check_cases(tmp_path, cases, "leg")


def test_the_account_may_be_that_of_ccnq(tmp_path: Path) -> None:
    assert call(tmp_path, record(accountcode=None, ccnq_account="test"))["account"] == "test"


def test_two_legs_of_a_call_are_no_duplicates_but_a_record_sent_twice_is(tmp_path: Path) -> None:
    other = record(uuid="leg-2", direction="outbound")
    with run([write_lines(tmp_path / "legs.jsonl", [record(), other, record(), other])], tmp_path) as found:
        assert {f["call_id"] for f in fields_of(found).values()} == {"leg-1"}
        assert [(r["carrier"], r["attempts"]) for r in found.rows("carrier_quality", "1d")] == [("192.0.2.1", 1)]
        assert [(r["account"], r["attempts"]) for r in found.rows("account_quality", "1d")] == [("acme", 1)]
        assert found.summary["duplicates"] == 2


def test_a_record_with_no_leg_or_direction_counts_for_carrier_and_account(tmp_path: Path) -> None:
    with run([write_lines(tmp_path / "bare.jsonl", [record(direction=None)])], tmp_path) as found:
        assert len(found.rows("carrier_quality", "1d")) == len(found.rows("account_quality", "1d")) == 1


def test_a_wrong_type_is_counted_and_null(tmp_path: Path) -> None:
    with run([write_lines(tmp_path / "wrong.jsonl", [record(billsec="sixty")])], tmp_path) as found:
        (fields,) = fields_of(found).values()
        assert (fields["billed_s"], fields["billed_ms"]) == (None, 60_250)
        assert sum(found.summary["wrong_types"].values()) > 0


def test_cgrates_csv_with_a_header(tmp_path: Path) -> None:
    with run([data_path("voip/cgrates_csv/filecsv.fileContent3.txt")], tmp_path) as found:
        (fields,) = fields_of(found).values()
    answer = 1_515_344_410_000  # 2018-01-07 17:00:10
    expected = {
        "call_id": "SessionFromCsv",
        "account": "1001",
        "from": "ANY2CNT",
        "to": "1002",
        "start": answer - 10_000,
        "answer": answer,
        "end": answer + 300_000,
        "billed_ms": 300_000,
        "billed_s": 300,
        "sip_code": 200,
    }
    assert {name: fields[name] for name in expected} == expected


def test_cgrates_csv_without_a_header(tmp_path: Path) -> None:
    with run([data_path("voip/cgrates_csv/filecsv.fileContent1.txt")], tmp_path) as found:
        fields = sorted(fields_of(found).values(), key=lambda f: f["end"])
    answer = 1_383_813_746_000  # 2013-11-07 08:42:26
    assert [f["call_id"] for f in fields] == ["dsafdsaf", "dsafdsag"]
    assert [f["to"] for f in fields] == ["+4986517174963", "+4986517174964"]
    assert [f["start"] for f in fields] == [answer - 1000, answer + 3_599_000]
    assert [f["end"] for f in fields] == [answer + 10_000, answer + 3_620_000]
    assert [f["billed_s"] for f in fields] == [10, 20]


def test_cgrates_json(tmp_path: Path) -> None:
    with run([data_path("voip/cgrates_csv/filejson.fileContent.txt")], tmp_path) as found:
        (fields,) = fields_of(found).values()
    assert (fields["billed_ms"], fields["host"]) == (120_000, "192.168.1.1")
    assert fields["end"] - fields["answer"] == 120_000


USAGES = {
    "10s": 10_000,
    "5m": 300_000,
    "1m30s": 90_000,
    "26h": 93_600_000,
    "1h0m0.5s": 3_600_500,
    "250ms": 250,
    "1m0s": 60_000,
    "0s": 0,
    "0": 0,
    "62000000000": 62_000,
}


def test_cgrates_usage_is_a_go_duration_or_nanoseconds(tmp_path: Path) -> None:
    answered = {"SetupTime": "2018-01-07T17:00:00Z", "AnswerTime": "2018-01-07T17:00:10Z"}
    events = [answered | {"OriginID": usage, "Usage": usage} for usage in USAGES]
    with run([write_lines(tmp_path / "usages.jsonl", events)], tmp_path) as found:
        ours = {k: (f["billed_ms"], f["billed_s"]) for k, f in fields_of(found).items()}
    assert ours == {usage: (ms, -(-ms // 1000)) for usage, ms in USAGES.items()}


def test_a_cgrates_call_without_an_answer_is_none(tmp_path: Path) -> None:
    setup = {"SetupTime": "2018-01-07 17:00:00 +0000 UTC", "Usage": "0s"}
    zeros = ["0001-01-01T00:00:00Z", "0001-01-01 00:00:00 +0000 UTC", None]
    events = [setup | {"OriginID": f"{n}", "AnswerTime": zero} for n, zero in enumerate(zeros)]
    with run([write_lines(tmp_path / "zeros.jsonl", events)], tmp_path) as found:
        fields = list(fields_of(found).values())
    assert [(f["answer"], f["sip_code"]) for f in fields] == [(None, None)] * 3
    assert {(f["start"], f["end"]) for f in fields} == {(1_515_344_400_000, 1_515_344_400_000)}


def test_a_cgrates_call_rated_twice_is_one_call_and_a_text_message_none(tmp_path: Path) -> None:
    event = {"CGRID": "c", "OriginID": "1", "SetupTime": "2018-01-07T17:00:00Z", "Usage": "1s"}
    events = [event | {"RunID": "*raw"}, event | {"RunID": "*default"}, event | {"CGRID": "d", "ToR": "*sms"}]
    with run([write_lines(tmp_path / "runs.jsonl", events)], tmp_path) as found:
        assert list(fields_of(found)) == ["c"]


FLAT = {"call_id": "c1", "start": START, "answer": ANSWER, "end": END, "billed_ms": 60_250, "sip_code": 487}


def test_flat_json(tmp_path: Path) -> None:
    found = call(tmp_path, FLAT | {"ringing": RINGING, "from": "1", "to": "2", "account": "a", "carrier": "b"})
    assert (found["from"], found["to"], found["account"], found["carrier"]) == ("1", "2", "a", "b")
    assert (found["billed_s"], found["duration_ms"], found["pdd_18x_ms"]) == (60, 70_250, 2_500)
    assert found["sip_code"] == 200


def test_flat_legs_of_one_call_are_two_events_and_their_direction_tells_the_leg(tmp_path: Path) -> None:
    legs = [FLAT | {"direction": "inbound"}, FLAT | {"direction": "outbound"}]
    with run([write_lines(tmp_path / "legs.jsonl", legs)], tmp_path) as found:
        assert {k: f["leg"] for k, f in fields_of(found).items()} == {"c1/inbound": "A", "c1/outbound": "B"}
        assert [r["attempts"] for r in found.rows("carrier_quality", "1d")] == [1]
        assert [r["attempts"] for r in found.rows("account_quality", "1d")] == [1]


def test_a_flat_record_of_a_whole_call_counts_for_carrier_and_account(tmp_path: Path) -> None:
    for whole in ({}, {"direction": "outbound", "leg": "A"}):
        with run([write_lines(tmp_path / "call.jsonl", [FLAT | whole])], tmp_path) as found:
            assert len(found.rows("carrier_quality", "1d")) == len(found.rows("account_quality", "1d")) == 1


OWN_PRODUCER = """
[shape.call.producer.my_billing]
when = "body.c10 IS NOT NULL AND body.c2 LIKE '*%'"
time = "iso_ms(body.c6) + body.c7::BIGINT * 1000"
time_unit = "ms"
id = "body.c1"
[shape.call.producer.my_billing.fields]
account = "body.c4"
to = "body.c5"
answer = "iso_ms(body.c6)"
end = "iso_ms(body.c6) + body.c7::BIGINT * 1000"
billed_ms = "body.c7::BIGINT * 1000"
billed_s = "body.c7::BIGINT"
sip_code = "200"
"""


def test_an_operator_can_add_a_producer(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(OWN_PRODUCER)
    with run([data_path("voip/cgrates_csv/filecsv.fileContent2.txt")], tmp_path, own) as found:
        fields = fields_of(found)
        assert [fields[k]["billed_s"] for k in ("accid21", "accid22", "accid23")] == [62, 123, 26]
        assert {r["account"]: r["answered"] for r in found.rows("account_quality", "1d")} == {"1001": 4}


def test_an_operators_producer_is_tried_before_the_packs(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("""
[shape.call.producer.mine]
when = "body.variables.uuid IS NOT NULL"
time = "body.variables.end_uepoch"
time_unit = "us"
[shape.call.producer.mine.fields]
carrier = "'mine'"
""")
    with run([write_lines(tmp_path / "call.jsonl", [record()])], tmp_path, own) as found:
        assert [row["carrier"] for row in found.rows("carrier_quality", "1d")] == ["mine"]


def test_windows_by_answer_leave_out_calls_without_one(tmp_path: Path) -> None:
    events = [record(), record(uuid="leg-9", **FAILED)]
    path = write_lines(tmp_path / "calls.jsonl", events)
    with run([path], tmp_path, window_by="answer") as found:
        (row,) = found.rows("account_quality", "6m")
        assert (row["start_ms"], row["attempts"], row["answered"]) == (ANSWER // 360_000 * 360_000, 1, 1)
    with run([path], tmp_path, window_by="start") as found:
        (row,) = found.rows("account_quality", "6m")
        assert (row["start_ms"], row["attempts"]) == (START // 360_000 * 360_000, 2)


def test_the_longest_known_prefix_names_the_destination(tmp_path: Path) -> None:
    dialled = ["+4912345", "004912345", "4912345", "35212345", "0612", None]
    events = [record(uuid=f"leg-{n}", direction="outbound", sip_req_user=to) for n, to in enumerate(dialled)]
    with run([write_lines(tmp_path / "calls.jsonl", events)], tmp_path) as found:
        assert {r["prefix"]: r["attempts"] for r in found.rows("destinations", "1d")} == {"49": 3, "352": 1, None: 2}


NER: list[tuple[dict[str, Any], bool]] = [  # answered, ringing, cause, q850, sip_code: effective?
    ({}, True),
    ({"hangup_cause": "NORMAL_TEMPORARY_FAILURE", "hangup_cause_q850": "41"}, True),
    (FAILED | {"hangup_cause": "USER_BUSY", "hangup_cause_q850": "17"}, True),
    (FAILED | {"hangup_cause": "NO_USER_RESPONSE", "hangup_cause_q850": "18", "progress_uepoch": "0"}, True),
    (FAILED | {"hangup_cause": "NO_ANSWER", "hangup_cause_q850": "19"}, True),
    (FAILED | {"hangup_cause": "CALL_REJECTED", "hangup_cause_q850": "21", "progress_uepoch": "0"}, True),
    (FAILED | {"hangup_cause": "ORIGINATOR_CANCEL"}, True),
    (FAILED | {"hangup_cause": "ORIGINATOR_CANCEL", "progress_uepoch": "0"}, False),
    (FAILED | {"hangup_cause": "UNALLOCATED_NUMBER", "hangup_cause_q850": "1"}, False),
    # A cause is there, so the reply does not count.
    (FAILED | {"hangup_cause": "X", "hangup_cause_q850": "38", "sip_term_status": "486"}, False),
    (FAILED | {"hangup_cause": None, "hangup_cause_q850": None, "sip_term_status": "486"}, True),
    (FAILED | {"hangup_cause": None, "hangup_cause_q850": None, "sip_term_status": "487"}, True),
    (FAILED | {"hangup_cause": None, "hangup_cause_q850": None, "sip_term_status": "503"}, False),
]


def test_ner_counts_what_reached_the_other_side(tmp_path: Path) -> None:
    with run([records(tmp_path, NER)], tmp_path) as found:
        ours = {int(r["account"]): (r["ner_e425"], r["ner_e425_n"]) for r in found.rows("account_quality", "1d")}
    assert ours == {n: (float(effective), 1) for n, (_, effective) in enumerate(NER)}


def test_an_attempt_with_neither_reply_nor_cause_is_no_seizure(tmp_path: Path) -> None:
    event = record(**FAILED, hangup_cause=None, hangup_cause_q850=None)
    with run([write_lines(tmp_path / "call.jsonl", [event])], tmp_path) as found:
        (row,) = found.rows("account_quality", "1d")
    assert (row["attempts"], row["seizures"], row["asr"], row["ser"]) == (1, 0, None, 0.0)


def test_a_redirection_is_no_attempt_for_ser_and_seer(tmp_path: Path) -> None:
    events = [record(), record(uuid="leg-3", **FAILED, sip_term_status="302")]
    with run([write_lines(tmp_path / "calls.jsonl", events)], tmp_path) as found:
        (row,) = found.rows("account_quality", "1d")
    assert (row["attempts"], row["ser"], row["ser_n"], row["seer"]) == (2, 1.0, 1, 1.0)


def test_minutes_are_exact(tmp_path: Path) -> None:
    calls = [record(uuid=f"leg-{n}", billmsec="10000", billsec="10") for n in range(3)]
    with run([write_lines(tmp_path / "calls.jsonl", calls)], tmp_path) as found:
        (row,) = found.rows("account_quality", "1d")
    assert json.dumps(row["minutes"]) == "0.5"


def test_expected_replies_are_the_operators_to_say(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "call.jsonl", [record(**FAILED, hangup_cause="USER_BUSY", direction="outbound")])
    for expected, unexpected in ([200], 1), ([200, 486], 0):
        with run([path], tmp_path, expected_replies=expected) as found:
            (row,) = found.rows("sip_replies", "1d")
            assert (row["code"], row["unexpected"]) == (486, unexpected)
