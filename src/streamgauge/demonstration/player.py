"""Plays a made-up day over HTTP, sped up, as a switch and a bus would send it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from streamgauge.clock import Clock
from streamgauge.demo import part_by
from streamgauge.demonstration.client import Client
from streamgauge.demonstration.stop import Stop


@dataclass(frozen=True, slots=True)
class Stream:
    """Lines that happened within a day along the daily curve, and where they are sent, how many in a request."""

    name: str
    path: str
    count: int
    together: int
    lines: Callable[[], Iterator[bytes]]


@dataclass(slots=True)
class Played:
    """How far a stream is: ``part`` of the day (0 to 1), lines sent, and what the answers said of them."""

    part: float = 0.0
    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    malformed: int = 0


@dataclass
class Player:
    """Plays streams beside one another, each in a thread, so that the day takes ``seconds``, or longer.

    Where the program is slower than that it is waited for; ``most_s`` after its start nothing more is sent.
    """

    port: int
    streams: tuple[Stream, ...]
    seconds: float
    clock: Clock
    stop: Stop
    most_s: float = float("inf")
    played: dict[str, Played] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.played = {stream.name: Played() for stream in self.streams}

    @property
    def part(self) -> float:
        """The part of the day that has been sent of every stream."""
        return min(played.part for played in self.played.values())

    @property
    def sent(self) -> int:
        """How many lines were sent."""
        return sum(played.sent for played in self.played.values())

    def run(self) -> None:
        """Play all; returns when all is sent, or the end was asked for. Raises Refused."""
        failures: list[Exception] = []
        began_s = self.clock.monotonic_s()
        threads = [
            threading.Thread(target=self._play, args=(stream, began_s, failures), name=f"play {stream.name}")
            for stream in self.streams
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures and not self.stop.asked:
            raise failures[0]

    def _play(self, stream: Stream, began_s: float, failures: list[Exception]) -> None:
        client = Client(self.port, self.stop.wait)
        try:
            self._send(client, stream, self.played[stream.name], began_s, failures)
        except Exception as e:
            # Told by run, in whose thread somebody listens.
            failures.append(e)
        finally:
            client.close()

    def _send(self, client: Client, stream: Stream, played: Played, began_s: float, failures: list[Exception]) -> None:
        lines = stream.lines()
        while together := list(islice(lines, stream.together)):
            # Sent when the last of them has happened.
            part = part_by((played.sent + len(together)) / stream.count)
            passed_s = self.clock.monotonic_s() - began_s
            if self.stop.wait(part * self.seconds - passed_s) or passed_s > self.most_s or failures:
                return
            self._post(client, stream, played, together)
            played.part = part

    def _post(self, client: Client, stream: Stream, played: Played, lines: list[bytes]) -> None:
        answer = client.post(stream.path, b"".join(lines))
        played.sent += len(lines)
        played.accepted += answer["accepted"]
        played.duplicates += answer["duplicates"]
        played.malformed += answer["malformed"]
