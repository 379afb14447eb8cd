"""The player sends every line once, in order, so many at a time, and not before it has happened."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from streamgauge.clock import SystemClock
from streamgauge.demo import part_by
from streamgauge.demonstration.client import Refused
from streamgauge.demonstration.player import Player, Stream
from streamgauge.demonstration.stop import Stop
from tests.demonstration.rig import Told, said, service

ACCEPTED = said({"accepted": 3, "duplicates": 2, "malformed": 1})


def stream(name: str, count: int, together: int) -> Stream:
    def lines() -> Iterator[bytes]:
        return (f"{name} {n}\n".encode() for n in range(count))

    return Stream(name, f"/v1/events?source={name}", count, together, lines)


def player(told: Told, *streams: Stream, seconds: float = 0.1, most_s: float = 60.0) -> Player:
    return Player(told.port, streams, seconds, SystemClock(), Stop(), most_s)


def bodies(told: Told, name: str) -> list[bytes]:
    return [body for _, path, body in told.requests if path == f"/v1/events?source={name}"]


def test_all_lines_are_sent_once_and_in_order_no_more_than_wanted_at_a_time() -> None:
    with service(ACCEPTED) as told:
        playing = player(told, stream("a", 95, 10), stream("b", 7, 3))
        playing.run()
    for name, count, together in (("a", 95, 10), ("b", 7, 3)):
        sent = bodies(told, name)
        assert b"".join(sent).splitlines() == [f"{name} {n}".encode() for n in range(count)]
        assert max(body.count(b"\n") for body in sent) == together
    assert (playing.sent, playing.part) == (102, 1.0)


def test_answers_are_added_up() -> None:
    with service(ACCEPTED) as told:
        playing = player(told, stream("a", 40, 10))
        playing.run()
    played = playing.played["a"]
    assert (played.sent, played.accepted, played.duplicates, played.malformed) == (40, 12, 8, 4)


def test_day_takes_its_time() -> None:
    with service(ACCEPTED) as told:
        started = time.monotonic()
        player(told, stream("a", 24, 1), seconds=0.8).run()
        assert time.monotonic() - started >= 0.8


def test_nothing_is_sent_after_the_most_seconds() -> None:
    with service(ACCEPTED) as told:
        playing = player(told, stream("a", 100, 1), seconds=1.0, most_s=0.5)
        playing.run()
    # At most what had happened in the first half of the day, and the line that was being waited for.
    assert 0 < playing.part < 0.7
    assert playing.part == pytest.approx(part_by(playing.sent / 100))


def test_end_that_is_asked_for_ends_it() -> None:
    with service(ACCEPTED) as told:
        playing = player(told, stream("a", 100, 1), seconds=3600)
        playing.stop.ask()
        playing.run()
        assert not told.requests


def test_refusal_of_one_stream_ends_all() -> None:
    with service(said({"detail": "no"}, 400)) as told:
        playing = player(told, stream("a", 100, 1), stream("b", 100, 1), seconds=1.0)
        with pytest.raises(Refused, match="400"):
            playing.run()
        assert len(told.requests) <= 2
