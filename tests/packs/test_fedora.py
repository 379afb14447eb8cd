"""The fedora pack on messages as they were really kept: bare, in an envelope, and of Fedora Messaging."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from streamgauge.app import report
from streamgauge.reporting import Report
from tests.data import data_path
from tests.packs.call_fields import write_lines

DECLARATION = """
[statistic.seen]
of = "message"
every = ["1d"]
by = { event_id = "id", message_topic = "message_topic" }
[statistic.seen.measures]
environment_ = "latest(environment)"
category_ = "latest(category)"
severity_ = "latest(severity)"
sent = "latest(time)"
"""


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data_path(f"fedora/{name}.jsonl").read_text().splitlines()]


def seen(tmp_path: Path, events: list[dict[str, Any]], **parameters: Any) -> list[dict[str, Any]]:
    """What the pack makes of these events, in the order of their ids."""
    declaration = tmp_path / "seen.toml"
    declaration.write_text(DECLARATION)
    path = write_lines(tmp_path / "messages.jsonl", events)
    with report(path, pack="fedora", declarations=declaration, parameters=parameters) as found:
        return sorted(found.rows("seen"), key=lambda row: str(row["event_id"]))


def counts(found: Report, statistic: str, key: str) -> Counter[str | None]:
    total: Counter[str | None] = Counter()
    for row in found.rows(statistic, "1d"):
        total[row[key]] += row["messages"]
    return total


def test_bare_messages_by_topic_and_category() -> None:
    messages = lines("bus_sorted")
    with report(data_path("fedora/bus_sorted.jsonl"), pack="fedora") as found:
        assert counts(found, "volume_by_topic", "message_topic") == Counter(m["topic"] for m in messages)
        assert counts(found, "volume_by_category", "category") == Counter(m["topic"].split(".")[3] for m in messages)
        for every, seconds in {"1s": 1, "5s": 5, "1m": 60, "1h": 3600, "1d": 86400}.items():
            windows = Counter(int(m["timestamp"] // seconds) * seconds * 1000 for m in messages)
            assert {row["start_ms"]: row["messages"] for row in found.rows("volume", every)} == windows


def test_enveloped_messages_with_43_that_have_no_time() -> None:
    messages = [line["message"] for line in lines("fedmsg_messages")]
    timed = [m for m in messages if m.get("timestamp") is not None]
    known: dict[str, dict[str, Any]] = {}
    for number, message in enumerate(timed):
        known.setdefault(message.get("msg_id") or f"no id {number}", message)
    with report(data_path("fedora/fedmsg_messages.jsonl"), pack="fedora") as found:
        assert {reason: n for (_, reason), n in found.summary["dead_letters"].items()} == {"no time": 43}
        assert len(messages) - len(timed) == 43
        # The file shares ids between unlike messages; for a bus, what has a known id is a message sent again.
        assert (found.summary["events"], found.summary["duplicates"]) == (len(known), len(timed) - len(known))
        topics = Counter(m["topic"] for m in known.values())
        assert counts(found, "volume_by_topic", "message_topic") == topics


def test_fedora_messaging_has_its_time_in_the_headers(tmp_path: Path) -> None:
    sent = [m for m in lines("packit_fedora_messaging") if "sent-at" in m.get("headers", {})]
    rows = seen(tmp_path, sent)
    assert [row["event_id"] for row in rows] == sorted(m["id"] for m in sent)
    first = next(row for row in rows if row["event_id"] == "2022-066ad373-95a4-4ac1-a86a-aeb315f62f4f")
    assert first["sent"] == 1_641_375_687_000  # 2022-01-05T09:41:27Z
    assert (first["environment_"], first["category_"]) == ("prod", "buildsys")


def test_severity_is_a_header_of_fedora_messaging(tmp_path: Path) -> None:
    headers = {"sent-at": "2026-01-01T00:00:00+00:00", "fedora_messaging_severity": 30}
    (row,) = seen(tmp_path, [{"topic": "org.fedoraproject.stg.bodhi.x", "id": "1", "body": {}, "headers": headers}])
    assert (row["severity_"], row["environment_"], row["category_"]) == (30, "stg", "bodhi")


def test_the_whole_packit_file_counts_what_has_a_time() -> None:
    messages = lines("packit_fedora_messaging")
    timed = [m for m in messages if "timestamp" in m or "sent-at" in m.get("headers", {})]
    with report(data_path("fedora/packit_fedora_messaging.jsonl"), pack="fedora") as found:
        assert found.summary["events"] + found.summary["duplicates"] == len(timed) > 10
        assert sum(found.summary["dead_letters"].values()) == len(messages) - len(timed)


@pytest.mark.parametrize(
    ("topic", "category"),
    [
        ("org.fedoraproject.prod.bodhi.update.comment", "bodhi"),
        ("org.fedoraproject.prod.bodhi", "bodhi"),
        ("org.centos.prod.git.receive", "git"),
        ("fedoracollege.media.upload", None),
        ("org.fedoraproject.prod", None),
        ("org.fedoraprojectx.prod.bodhi.y", "bodhi"),
    ],
)
def test_the_category_is_the_fourth_part_of_the_topic(tmp_path: Path, topic: str, category: str | None) -> None:
    (row,) = seen(tmp_path, [{"topic": topic, "timestamp": 1_344_344_053.23372}])
    assert (row["category_"], row["sent"]) == (category, 1_344_344_053_233)


def test_another_bus_has_another_prefix() -> None:
    messages = [line["message"] for line in lines("umb_messages")]
    known = {m.get("msg_id") or n: m for n, m in reversed(list(enumerate(messages))) if m.get("timestamp")}
    umb = "/topic/VirtualTopic"
    expected = Counter(m["topic"].removeprefix(umb + ".").split(".")[1] for m in known.values())
    parameters = {"prefix": umb}
    with report(data_path("fedora/umb_messages.jsonl"), pack="fedora", parameters=parameters) as found:
        assert counts(found, "volume_by_category", "category") == expected
        assert expected["brew"] > 10
