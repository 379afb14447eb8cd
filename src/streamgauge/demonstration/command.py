"""The demonstration: starts the real program, plays a day into it, shows what comes of it, and says what it found."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from streamgauge.clock import Clock, SystemClock
from streamgauge.declare import load
from streamgauge.demo import Traffic, bus
from streamgauge.demonstration import findings, telling
from streamgauge.demonstration.client import Client
from streamgauge.demonstration.folder import temporary_folder
from streamgauge.demonstration.player import Player, Stream
from streamgauge.demonstration.screen import Lines, Screen
from streamgauge.demonstration.stop import Stop
from streamgauge.serve.base import ServeSettings
from streamgauge.service import Program, RunSettings
from streamgauge.sources import HttpOptions

DAY_MS = 86_400_000
LATENESS = "30s"
"""How far the made-up lines may be out of order: a switch writes a call some seconds after its end."""

CALLS, MESSAGES = 1000, 200
"""Lines of one request."""

PLAY_S = 28.0
"""In a pipe, nothing is played after so long, so that a slow machine is done within a minute, too."""

MORE_S = 10.0
"""How much longer than wanted it may take in a pipe where that is more."""

CATCH_UP_S = 12.0
STILL_S = 10.0
"""Where no more is counted for so long, no more will be: longer than any commit takes, on a busy machine too."""

LOOK_S = 0.5

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to play: how many call records (and a tenth as many bus messages) in how many seconds, and where."""

    calls: int = 200_000
    seconds: float = 15.0
    seed: int = 7
    port: int = 0


def run(wanted: Wanted, stop: Stop, out: TextIO | None = None, clock: Clock | None = None) -> int:
    """Show it. On a terminal it goes on until ``stop``; elsewhere it ends by itself, within a minute.

    The exit code is 0; 1 where the cells do not count what was accepted; 130 where it was stopped before the end.
    Raises StreamgaugeError.
    """
    out = sys.stdout if out is None else out
    with temporary_folder() as folder:
        code = asyncio.run(_Demonstration(wanted, stop, out, clock or SystemClock(), folder).run())
    if code == INTERRUPTED:
        print("interrupted; what was written is removed", file=sys.stderr)
    return code


class _Demonstration:
    def __init__(self, wanted: Wanted, stop: Stop, out: TextIO, clock: Clock, folder: Path) -> None:
        self._wanted, self._stop, self._out, self._clock = wanted, stop, out, clock
        self._stays = out.isatty()
        self._is_behind = False
        # Yesterday: a whole day, and none of it lies ahead of the clock.
        start_ms = (clock.now_ms() // DAY_MS - 1) * DAY_MS
        self._traffic = Traffic(
            wanted.calls, wanted.seed, start_ms, accounts=500, duplicates=0.002, malformed=0.00003,
            refused=0.7, slower=2.5,
        )  # fmt: skip
        self._program = Program(
            load(["voip", "fedora"]),
            RunSettings(
                folder / "data",
                serve=ServeSettings(port=wanted.port),
                sources={name: HttpOptions(lateness=LATENESS) for name in ("calls", "bus")},
            ),
            clock,
        )

    async def run(self) -> int:
        self._stop.attach()
        try:
            if not self._stop.asked:
                await self._program.start()
            return INTERRUPTED if self._stop.asked else await self._show()
        finally:
            self._stop.ask()
            await self._program.stop()

    async def _show(self) -> int:
        truth = self._traffic.planted()
        client = Client(self._program.port, self._stop.wait)
        self._say(
            f"A day of {telling.thousands(self._wanted.calls)} call records and of bus messages "
            f"({telling.day(truth.from_ms)}) is played in about {self._wanted.seconds:g} s.",
            *telling.where_to_look(client, truth.carrier, self._traffic.start_ms),
            "",
        )
        player = self._player()
        try:
            await self._watch(player)
            return INTERRUPTED if self._stop.asked else await self._tell(player, client)
        finally:
            client.close()

    def _player(self) -> Player:
        traffic, calls = self._traffic, self._wanted.calls
        streams = (
            Stream("calls", "/v1/events?source=calls&topic=call&id=body.call_id", calls, CALLS, traffic.lines),
            Stream(
                "bus messages",
                "/v1/events?source=bus&topic=body.topic&id=body.msg_id",
                calls // 10,
                MESSAGES,
                lambda: bus(calls // 10, traffic.seed, traffic.start_ms),
            ),
        )
        most_s = float("inf") if self._stays else max(PLAY_S, self._wanted.seconds + MORE_S)
        return Player(self._program.port, streams, self._wanted.seconds, self._clock, self._stop, most_s)

    async def _watch(self, player: Player) -> None:
        """Show what is counted while it is played, and until all of it is."""
        client = Client(self._program.port, self._stop.wait)
        screen = Screen if self._stays else Lines
        playing = asyncio.create_task(asyncio.to_thread(player.run))
        try:
            with screen(self._out, client, player, self._clock) as shown:
                while not playing.done() and not self._stop.asked:
                    await asyncio.to_thread(shown.look)
                    await asyncio.wait({playing}, timeout=LOOK_S)
                if playing.done():
                    await playing  # what went wrong is told at once
                await self._catch_up(shown.look, player, client)
        finally:
            if not playing.done():
                self._stop.ask()
            client.close()
            await playing

    async def _catch_up(self, look: Callable[[], None], player: Player, client: Client) -> None:
        """Wait until all is counted that was accepted, while it goes on; on a terminal for as long as that takes."""
        now_s = self._clock.monotonic_s
        until_s = now_s() + (float("inf") if self._stays else CATCH_UP_S)
        last, grew_s = -1, now_s()
        while not self._stop.asked and now_s() < until_s and now_s() < grew_s + STILL_S:
            await asyncio.to_thread(look)
            counted = sum(await asyncio.to_thread(findings.counted, client))
            if counted >= _accepted(player):
                return
            if counted > last:
                last, grew_s = counted, now_s()
            await asyncio.sleep(LOOK_S)
        self._is_behind = now_s() >= until_s

    async def _tell(self, player: Player, client: Client) -> int:
        found = await asyncio.to_thread(findings.find_bad_carrier, client)
        counted = await asyncio.to_thread(findings.counted, client)
        top = await asyncio.to_thread(findings.busiest, client)
        self._say("", *telling.when_it_went_bad(found, self._traffic.planted(), player.part == 1.0))
        if found is not None:
            self._say("", *telling.hours_around(found), "", *telling.messages_behind(found))
        self._say("", *telling.what_was_counted(player.played, counted, top))
        if self._is_behind:
            self._say("  (the program is still counting: this machine is too slow for so much in so little time)")
        if self._stays:
            self._say("", "The program goes on and can be asked; Ctrl-C ends it, and removes what it wrote.")
            await self._stop.come()
        else:
            self._say("", "The program ends now, as nobody is at a terminal; what it wrote is removed.")
        return 0 if sum(counted) == _accepted(player) or self._is_behind else 1

    def _say(self, *lines: str) -> None:
        self._out.write("".join(f"{line}\n" for line in lines))
        self._out.flush()


def _accepted(player: Player) -> int:
    return sum(played.accepted for played in player.played.values())
