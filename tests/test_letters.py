"""Dead letters appended again: each once, through kills, and the store as if it were computed anew from the log."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from streamgauge.live import READER
from streamgauge.log.intake import STEPS
from streamgauge.recompute import recompute
from streamgauge.store.base import Store
from streamgauge.store.sql import SqlStore
from tests.exactly_once.trial import Trial, dump, trial

T = 1_700_000_000_000
CONFIG = """
[source.http]
type = "http"

[source.pbx]
type = "http"
topic = "cdr"
time = "body.start"
time_unit = "ms"
id = "body.id"

[statistic.volume]
topic = "*"
every = ["1m"]
by = { topic_name = "topic" }
measures = { count = "count()" }
"""
MENDED = CONFIG.replace("body.start", "body.ended")


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Trial]:
    """A program whose source looks for the time in the wrong place, and four records, of which one has no time."""
    with trial(tmp_path, {}) as found:
        (tmp_path / "streamgauge.toml").write_text(CONFIG)
        found.start()
        lines = [record(n) for n in range(3)] + [b'{"id": "x", "start": "soon", "ended": "soon"}']
        said = post(found, "/v1/events?source=pbx", b"\n".join(lines))
        assert (said["accepted"], said["malformed"]) == (0, 4)
        yield found


def record(n: int) -> bytes:
    return json.dumps({"id": f"r{n}", "start": "soon", "ended": T + n}).encode()


def mend(one: Trial, step: str = "", nth: int = 1) -> None:
    """Stop the program, mend its configuration, and start it."""
    one.kill(signal.SIGTERM)
    (one.folder / "streamgauge.toml").write_text(MENDED)
    one.start(step, nth)


def ask(one: Trial, path: str) -> Any:
    return httpx.get(f"http://127.0.0.1:{one.port}{path}", timeout=20).json()


def post(one: Trial, path: str, body: bytes = b"") -> dict[str, Any]:
    headers = {"content-type": "application/x-ndjson"}
    answer = httpx.post(f"http://127.0.0.1:{one.port}{path}", content=body, headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def replay(one: Trial, query: str = "") -> dict[str, Any]:
    return post(one, f"/v1/dead-letters/replay{query}")


def states(store: Store) -> dict[int, str]:
    return {letter.position: letter.state for letter in store.find_letters(READER)}


def counted(one: Trial) -> dict[str, int]:
    cells = ask(one, "/v1/statistics/volume/cells")["cells"]
    return {cell["topic_name"]: cell["count"] for cell in cells}


def check_recomputed(one: Trial) -> None:
    """A store that is computed anew from the log says the same, of the letters too."""
    with SqlStore.open(one.store) as store:
        ours, letters = dump(store), states(store)
    with SqlStore.open(one.folder / "fresh.db") as fresh:
        recompute(one.log, one.declarations, fresh)
        assert (dump(fresh), states(fresh)) == (ours, letters)


def test_what_was_mended_is_counted_once_and_what_is_still_bad_says_which_letter_it_was(broken: Trial) -> None:
    mend(broken)
    found = replay(broken)
    assert [found[n] for n in ("replayed", "accepted", "still_bad", "remaining")] == [4, 3, 1, 0]
    assert counted(broken) == {"cdr": 3}
    letters = ask(broken, "/v1/dead-letters")["dead_letters"]
    assert [letter["state"] for letter in letters] == ["replayed"] * 4 + ["new"]
    assert letters[-1]["detail"].startswith("dead letter 3, replayed: ")
    assert letters[-1]["text"] == letters[3]["text"]
    broken.kill(signal.SIGTERM)
    check_recomputed(broken)


def test_what_nothing_agrees_with_is_left_alone(broken: Trial) -> None:
    mend(broken)
    assert replay(broken, "?source=http")["replayed"] == 0
    assert replay(broken, "?reason=not%20JSON")["replayed"] == 0
    assert replay(broken, "?position=99")["replayed"] == 0
    assert replay(broken, "?position=1")["accepted"] == 1
    assert replay(broken, "?position=1")["replayed"] == 0
    assert replay(broken, "?after=1&before=3")["accepted"] == 1
    assert counted(broken) == {"cdr": 2}


def test_a_limit_leaves_the_rest_for_the_next_request(broken: Trial) -> None:
    mend(broken)
    first = replay(broken, "?limit=2")
    assert [first[n] for n in ("replayed", "remaining", "next", "before")] == [2, 2, 1, 4]
    second = replay(broken, f"?after={first['next']}&before={first['before']}")
    assert [second[n] for n in ("replayed", "remaining", "next")] == [2, 0, None]


def test_what_its_sender_has_sent_again_by_then_is_a_duplicate(broken: Trial) -> None:
    mend(broken)
    assert post(broken, "/v1/events?source=pbx", record(1))["accepted"] == 1
    found = replay(broken)
    assert [found[n] for n in ("accepted", "duplicates", "still_bad")] == [2, 1, 1]
    assert counted(broken) == {"cdr": 3}


def test_what_a_request_said_of_its_events_still_holds_when_they_are_replayed(broken: Trial) -> None:
    post(broken, "/v1/events?source=pbx&topic=late", record(7))
    mend(broken)
    assert replay(broken)["accepted"] == 4
    assert counted(broken) == {"cdr": 3, "late": 1}


def test_what_was_cut_is_not_replayed_and_says_why(broken: Trial) -> None:
    post(broken, "/v1/events?source=pbx", b'{"id": "long", "start": "soon", "text": "%s"}' % (b"x" * 70_000))
    mend(broken)
    found = replay(broken)
    assert [found[n] for n in ("replayed", "not_replayable", "remaining")] == [4, 1, 0]
    assert found["refused"] == [{"position": 4, "why": "only the first 65536 of its 70043 bytes were kept"}]
    assert ask(broken, "/v1/dead-letters/4")["state"] == "new"


def test_more_than_the_store_keeps_of_a_message_comes_from_the_log(broken: Trial) -> None:
    body = b'{"id": "long", "start": "soon", "ended": %d, "text": "%s"}' % (T, b"x" * 20_000)
    post(broken, "/v1/events?source=pbx", body)
    mend(broken)
    position = ask(broken, "/v1/dead-letters")["dead_letters"][-1]["position"]
    assert replay(broken, f"?position={position}")["accepted"] == 1
    with httpx.Client(base_url=f"http://127.0.0.1:{broken.port}") as http:
        event = http.get(f"/v1/events/{position + 1}")
    assert event.json()["body"]["text"] == "x" * 20_000


def test_a_source_that_is_gone_takes_nothing(broken: Trial) -> None:
    broken.kill(signal.SIGTERM)
    lines = MENDED.replace("[source.pbx]", "[source.other]")
    (broken.folder / "streamgauge.toml").write_text(lines)
    broken.start()
    found = replay(broken)
    assert (found["replayed"], found["not_replayable"]) == (0, 4)
    assert found["refused"][0]["why"] == "no source is called 'pbx' now"


def test_neither_watermark_nor_coverage_moves(broken: Trial) -> None:
    mend(broken)
    post(broken, "/v1/events?source=pbx", b'{"id": "now", "ended": %d}' % (T + 3_600_000))
    assert replay(broken)["accepted"] == 3
    with SqlStore.open_read_only(broken.store) as store:
        lanes = {lane.name: lane for lane in store.load_reader(READER).lanes}
    aside = lanes["pbx:dead-letters"]
    assert (aside.mark["newest"], aside.mark["state"], aside.coverage) == (None, "ended", ())
    found = ask(broken, "/v1/statistics/volume/cells?gaps=true")
    assert found["watermark"] >= "2023-11-14T23:13:10"
    late = next(cell for cell in found["cells"] if cell["start_ms"] == T // 60_000 * 60_000)
    assert (late["count"], late["late"], late["state"]) == (3, 3, "final")
    source = next(s for s in ask(broken, "/v1/sources")["sources"] if s["name"] == "pbx")
    assert source["watermark"] == found["watermark"]


# What happens to the letters is between their append and the commit of what they became.
KILLS = [*((step, 1) for step in STEPS), ("settled", 1), ("merged", 1), ("before_commit", 2), ("committed", 2)]


@pytest.mark.parametrize(("step", "nth"), KILLS)
def test_each_is_replayed_once_wherever_the_program_dies(broken: Trial, step: str, nth: int) -> None:
    mend(broken, step, nth)
    while broken.port is None:
        # It went by at the start, for what was left of the run before.
        broken.wait_dead()
        nth += 1
        broken.start(step, nth)
    with pytest.raises(httpx.HTTPError):
        replay(broken)
    broken.wait_dead()
    broken.start()
    replay(broken, "?before=4")
    assert counted(broken) == {"cdr": 3}
    assert replay(broken, "?before=4")["replayed"] == 0
    letters = ask(broken, "/v1/dead-letters")["dead_letters"]
    assert [letter["state"] for letter in letters] == ["replayed"] * 4 + ["new"]
    broken.kill(signal.SIGTERM)
    check_recomputed(broken)
