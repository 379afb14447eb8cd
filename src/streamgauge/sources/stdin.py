"""Events from standard input, or any other pipe: newline-delimited JSON."""

from __future__ import annotations

import asyncio
import os
import select
import stat
from collections.abc import Mapping
from dataclasses import dataclass

from streamgauge.clock import Clock
from streamgauge.errors import InputError
from streamgauge.forms import whole
from streamgauge.log.base import Arrival, Incoming, Intake, LaneName
from streamgauge.sources.base import Guarantee, SourceStatus, State
from streamgauge.sources.delivery import Delivery
from streamgauge.sources.lines import LineKeeper, Lines, one_line
from streamgauge.sources.options import CommonOptions, arrival_of, setting

_READ_BYTES = 1 << 20
_LOOK_S = 0.2
_QUIET_MS = 2000


@dataclass(frozen=True, slots=True)
class StdinOptions(CommonOptions):
    """Newline-delimited JSON from standard input: `program | streamgauge run`.

    The lane ends with the input, and holds back the windows of no other.
    """

    max_line_bytes: int = setting("the longest event; longer: a dead letter", whole("bytes", 1), 16 << 20)


class StdinSource:
    """Reads a pipe to its end.

    It has no cursor: what it took and had not appended when the program was killed is lost, as nobody else has it.
    Where the intake refuses, it reads no more, so that the pipe fills and its writer waits. A last line without a line
    feed counts. At the end its lane is ``last``; ``run`` then returns.
    """

    type = "stdin"
    guarantee = Guarantee.WHILE_IT_RUNS

    def __init__(self, name: str, options: StdinOptions, clock: Clock, descriptor: int = 0) -> None:
        self.name = name
        self._descriptor = descriptor
        self._arrival = arrival_of(options, f"source {name!r}")
        self._most = options.max_line_bytes
        self._keeper = LineKeeper(options.max_line_bytes)
        self._delivery = Delivery(name, self.type, clock)

    async def run(self, intake: Intake) -> None:
        """As Source.run."""
        async with self._delivery as delivery:
            delivery.say(State.WAITING)
            while True:
                # Waited for even after a stop: what it takes out of the pipe is nowhere else.
                data = await asyncio.to_thread(self._read)
                if data is None:
                    delivery.rest_after(_QUIET_MS)
                    delivery.go_on()
                    continue
                lines = self._keeper.push(data) if data else self._keeper.end()
                if lines.data or not data:
                    await delivery.deliver(intake, self._incoming(lines, last=not data))
                if not data:
                    return
                delivery.go_on()

    async def stop(self) -> None:
        """As Source.stop."""
        await self._delivery.stop()

    def status(self) -> SourceStatus:
        """As Source.status."""
        return self._delivery.status()

    def arrival(self, asked: Mapping[str, str]) -> Arrival:
        """As Rereads.arrival."""
        return self._arrival

    def again(self, message: bytes, reason: str) -> Lines:
        """As Rereads.again."""
        return one_line(message, self._most)

    def _incoming(self, lines: Lines, last: bool) -> Incoming:
        return Incoming(LaneName(self.name), self._arrival, lines.data, lines.refused, last=last)

    def _read(self) -> bytes | None:
        """What is there; nothing at the end; None where nothing has come for a moment. For a thread."""
        try:
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                ready, _, _ = select.select([self._descriptor], [], [], _LOOK_S)
                if not ready:
                    return None
            return os.read(self._descriptor, _READ_BYTES)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"standard input: cannot be read: {reason}") from None
