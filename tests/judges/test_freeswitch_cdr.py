"""Thirteen real FreeSWITCH call records, of 2012 to 2022, against expectations that were read from them by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgauge.app import report
from streamgauge.reporting import Report
from tests.data import data_path
from tests.packs.call_fields import fields_of, run

COLUMNS = (
    "account carrier direction leg from to start ringing answer end billed_ms billed_s sip_code cause_q850 "
    "pdd_180_ms pdd_18x_ms codec user_agent"
).split()

JITSI = "Jitsi2.10.5550"

# fmt: off
EXPECTED = {
    # Called by a carrier, early media after 6.2 s, given up: 487, and the network did its part.
    "f0d74224": ("test", "203.0.113.49", "inbound", "A", "33976543210", "33654321012",
                 1350552905775, 1350552911975, None, 1350552916574, 0, 0, 487, 16, None, 6200,
                 None, "CCNQ nomedia ingress-test"),
    # No sip_term_status of its own; an answered call needs none. Percent-encoded throughout.
    "c8ccef5e": ("1001", "192.168.56.1", "inbound", "A", "1001", "1002",
                 1368707608847, 1368707608927, 1368707611310, 1368707632287, 20977, 21, 200, 16, 80, 80,
                 "PCMA", "Jitsi2.2.4603.9615Linux"),
    "01df56f4": (None, "2.3.4.5", "inbound", "A", "dan", "+4986517174963",
                 1375609854385, 1375609854505, 1375609856285, 1375609860205, 3920, 4, 200, 16, 120, 120,
                 "PCMU", "Jitsi2.2.4603.9615Linux"),
    "86cfd6e2": ("1001", "192.168.56.1", "inbound", "A", "1001", "1002",
                 1396984221278, 1396984221497, 1396984227717, 1396984242257, 14540, 15, 200, 16, 219, 219,
                 "G722", "Jitsi2.5.5065Linux"),
    # Transferred before it rang: progressmsec says 28, but both epochs say that nothing rang.
    "e3133bf7": ("1001", "127.0.0.1", "inbound", "A", "1001", "1003",
                 1436280728471, None, 1436280728971, 1436280794010, 65039, 66, 200, 16, None, None,
                 "SPEEX", "PJSUA v2.3 Linux-3.2.0.4/x86_64/glibc-2.13"),
    "1b17f1e5": (None, "192.168.0.104", "inbound", "A", "1234", "85595975802",
                 1474362923276, None, None, 1474362924396, 0, 0, 487, 16, None, None,
                 "PCMA", "Z 3.3.25608 r25552"),
    "3da8bf84": (None, "10.10.10.100", "inbound", "A", "1001", "1002",
                 1515666344534, 1515666344594, 1515666347954, 1515666415494, 67540, 68, 200, 16, 60, 60,
                 "PCMU", f"{JITSI}Linux"),
    "5282f87c": ("1001", "192.168.56.1", "inbound", "A", "1001", "1002",
                 1520944103557, 1520944103637, 1520944105037, 1520944164057, 59020, 59, 200, 16, 80, 80,
                 "G722", f"{JITSI}Windows 10"),
    "5a3a1d91": ("1001", "192.168.56.1", "inbound", "A", "1001", "1002",
                 1521025758006, 1521025758116, 1521025767766, 1521025788366, 20600, 21, 200, 16, 110, 110,
                 "G722", f"{JITSI}Windows 10"),
    # The B leg of the next one: early media before the 180.
    "7bfa8442": (None, "175.100.32.29", "outbound", "B", "1294", "0715100860",
                 1624793631053, 1624793636853, 1624793640273, 1624793648693, 8420, 8, 200, 16, 6660, 5800,
                 "PCMA", None),
    # Outbound, but nobody's B leg: the switch itself began the call.
    "21bc47f2": (None, "54.172.60.2", "outbound", "A", "1294", "1234",
                 1624793642833, 1624793643135, 1624793643193, 1624793648713, 5520, 5, 200, 16, 302, 302,
                 "PCMU", "Twilio"),
    # Answered and ended with cause 31: answered is a time, not a cause.
    "77e3b4f2": (None, "27.109.112.140", "inbound", "A", "+85516234567", "1294",
                 1657097403370, 1657097403413, 1657097404230, 1657097407610, 3380, 3, 200, 31, None, 43,
                 "PCMA", None),
    "cc709c52": (None, "104.152.200.238", "outbound", "A", "+50222787192", "6998050496961447",
                 1657099351150, 1657099352549, None, 1657099430149, 0, 0, 480, 18, None, 1399,
                 "PCMA", None),
}
# fmt: on


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Report]:
    folder = tmp_path_factory.mktemp("cdr")
    with run([data_path("voip/freeswitch_cdr/unique_by_uuid.jsonl")], folder, min_calls=1) as found:
        yield found


def test_each_field_of_each_call_is_as_read_by_hand(found: Report) -> None:
    ours = {str(leg)[:8]: tuple(f[name] for name in COLUMNS) for leg, f in fields_of(found).items()}
    assert ours == EXPECTED


def total(found: Report, statistic: str, measure: str) -> int:
    return sum(row[measure] for row in found.rows(statistic, "1mo"))


def test_carriers_have_the_three_outbound_legs(found: Report) -> None:
    rows = {row["carrier"]: row for row in found.rows("carrier_quality", "1mo")}
    figures = {
        carrier: (row["attempts"], row["answered"], row["asr"], row["ner_e425"], row["seer"], row["acd_s"])
        for carrier, row in rows.items()
    }
    assert figures == {
        "175.100.32.29": (1, 1, 1.0, 1.0, 1.0, 8.42),
        "54.172.60.2": (1, 1, 1.0, 1.0, 1.0, 5.52),
        "104.152.200.238": (1, 0, 0.0, 1.0, 1.0, None),
    }
    assert rows["54.172.60.2"]["short_calls"] == 1.0
    assert rows["104.152.200.238"]["short_calls"] is None


def test_accounts_have_the_twelve_a_legs(found: Report) -> None:
    attempts: dict[str | None, int] = {}
    for row in found.rows("account_quality", "1mo"):
        attempts[row["account"]] = attempts.get(row["account"], 0) + row["attempts"]
    assert attempts == {"test": 1, "1001": 5, None: 6}
    assert total(found, "account_quality", "answered") == 9


def test_giving_up_is_effective_only_after_ringing(found: Report) -> None:
    month = {row["start"][:7]: row for row in found.rows("account_quality", "1mo")}
    assert month["2012-10"]["ner_e425"] == 1.0
    assert month["2016-09"]["ner_e425"] == 0.0
    assert (month["2016-09"]["ser"], month["2016-09"]["isa"]) == (0.0, 0.0)


def test_replies_and_causes_count_every_record_once(found: Report) -> None:
    assert sum(row["legs"] for row in found.rows("hangup_causes", "1d")) == 13
    assert sum(row["legs"] for row in found.rows("codecs", "1d")) == 13
    replies = {(row["carrier"], row["code"]): row["calls"] for row in found.rows("sip_replies", "1d")}
    assert replies == {("175.100.32.29", 200): 1, ("54.172.60.2", 200): 1, ("104.152.200.238", 480): 1}


def test_a_file_for_each_record_gives_the_same_calls_once(tmp_path: Path) -> None:
    files = sorted(data_path("voip/freeswitch_cdr/json").glob("*.json"))
    whole = [f for f in files if "invalid_json" not in f.name and is_record(f)]
    with run(whole, tmp_path) as found:
        ours = {str(leg)[:8]: tuple(f[name] for name in COLUMNS) for leg, f in fields_of(found).items()}
        assert ours == EXPECTED
        assert (found.summary["events"], found.summary["duplicates"]) == (13, len(whole) - 13)


def is_record(path: Path) -> bool:
    variables = json.loads(path.read_bytes()).get("variables")
    return isinstance(variables, dict) and "end_uepoch" in variables


def test_the_two_invalid_documents_are_named_with_line_and_column(tmp_path: Path) -> None:
    bad = sorted(data_path("voip/freeswitch_cdr/json").glob("*invalid_json.json"))
    good = data_path("voip/freeswitch_cdr/json/somleng_2026-04-06_a496096_freeswitch_cdr.json")
    with report([bad[0], good, bad[1]], pack="voip") as found:
        letters = list(found.dead_letters())
        assert total(found, "volume", "legs") == 1
    assert [Path(letter.lane).name for letter in letters] == [path.name for path in bad]
    for letter in letters:
        said = f"{letter.reason} {letter.detail}"
        assert "not JSON" in said
        assert letter.line == 30 or "line 30" in said
        assert letter.column == 30 or "column 30" in said
