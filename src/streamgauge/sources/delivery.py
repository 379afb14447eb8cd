"""Handing messages over until they are durable, and saying honestly how that goes: the same for every source."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from streamgauge.clock import Clock
from streamgauge.errors import RetryableError, StreamgaugeError
from streamgauge.log.base import Incoming, Intake, Receipt
from streamgauge.sources.base import STOP_WITHIN_S, SourceStatus, State

_Found = TypeVar("_Found")
_RATE_S = 10.0
_LONGEST_WAIT_S = 30.0
_LAST_RECEIPT_S = 2.0


class Stopped(Exception):
    """The source was asked to stop. Raised where it waits, so that nothing in between has to ask."""


class Rate:
    """How many a second, of late: an average that forgets with a time constant of ten seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at = clock.monotonic_s()
        self._value = 0.0

    def add(self, count: int) -> None:
        """Count some more."""
        self._value = self.now() + count / _RATE_S

    def now(self) -> float:
        """The rate at this moment."""
        at = self._clock.monotonic_s()
        self._value *= math.exp(-max(0.0, at - self._at) / _RATE_S)
        self._at = at
        return self._value


class Delivery:
    """One source's way to the intake: its status, its stop, and hand-overs that are repeated until they succeed."""

    def __init__(self, name: str, type_: str, clock: Clock) -> None:
        self._clock = clock
        self._status = SourceStatus(name, type_, since_ms=clock.now_ms())
        self._rate = Rate(clock)
        self._stop = asyncio.Event()
        self._done = asyncio.Event()
        self._done.set()

    def status(self) -> SourceStatus:
        """The status at this moment."""
        return replace(self._status, rate=round(self._rate.now(), 3))

    def say(self, state: State) -> None:
        """Be in this state from now on."""
        self._status = self._status.in_state(state, self._clock.now_ms())

    def rest_after(self, quiet_ms: int) -> None:
        """Be waiting, instead of running, if nothing has come for so long."""
        known = self._status
        if known.state is State.RUNNING and self._clock.now_ms() - (known.last_received_ms or 0) > quiet_ms:
            self.say(State.WAITING)

    def note(self, **changes: Any) -> None:
        """Change fields of the status: a lag, notes."""
        self._status = replace(self._status, **changes)

    def fault(self, error: Exception | str, state: State = State.STALLED) -> None:
        """Something went wrong; the state says if it is tried again."""
        self.say(state)
        self.note(last_error=str(error), last_error_ms=self._clock.now_ms())

    @property
    def stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stop.is_set()

    async def stop(self) -> None:
        """Ask ``run`` to return and wait for it, as Source.stop."""
        self._stop.set()
        try:
            await asyncio.wait_for(self._done.wait(), STOP_WITHIN_S)
        except TimeoutError:
            self.fault("did not stop in time", State.FAILED)

    async def __aenter__(self) -> Delivery:
        self._done.clear()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self._done.set()
        if error is None or isinstance(error, Stopped | asyncio.CancelledError):
            self.say(State.STOPPED)
            return isinstance(error, Stopped)
        if isinstance(error, Exception):
            self.fault(error, State.FAILED)
        return False

    async def pause(self, seconds: float) -> None:
        """Wait, but not longer than until the stop. Raises Stopped."""
        if not self.stopping and seconds > 0:
            try:
                await asyncio.wait_for(self._stop.wait(), seconds)
            except TimeoutError:
                return
        self.go_on()

    def go_on(self) -> None:
        """Raises Stopped where ``stop`` was called."""
        if self.stopping:
            raise Stopped

    async def aside(self, function: Callable[..., _Found], *args: Any) -> _Found:
        """What ``function`` finds, in a thread. Raises Stopped at once, leaving it to end by itself."""
        self.go_on()
        work = asyncio.ensure_future(asyncio.to_thread(function, *args))
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            if not work.done():
                work.add_done_callback(_retrieve)
        self.go_on()
        return work.result()

    async def deliver(self, intake: Intake, incoming: Incoming) -> Receipt:
        """Hand over until it is durable, however often it is refused for lack of room.

        After a stop it is tried once more. Raises Stopped where that did not do, and StoreError where the operator
        must act.
        """
        while True:
            try:
                receipt = await self._receipt(intake, incoming)
            except RetryableError as error:
                self.fault(error)
                await self.pause(min(max(error.retry_after_s, 0.05), _LONGEST_WAIT_S))
                continue
            self.count(receipt)
            return receipt

    def count(self, receipt: Receipt) -> None:
        """Messages became durable."""
        number = receipt.accepted + receipt.duplicates + receipt.malformed
        known = self._status
        self.note(
            received=known.received + number,
            malformed=known.malformed + receipt.malformed,
            duplicates=known.duplicates + receipt.duplicates,
        )
        if number:
            self._rate.add(number)
            self.note(last_received_ms=self._clock.now_ms())
            self.say(State.RUNNING)
        elif known.state is State.STALLED:
            self.say(State.WAITING)

    async def _receipt(self, intake: Intake, incoming: Incoming) -> Receipt:
        """The receipt; after a stop only if it comes soon."""
        answer = asyncio.ensure_future(durable(intake, incoming))
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({answer, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                await asyncio.wait({answer}, timeout=_LAST_RECEIPT_S)
        finally:
            stop.cancel()
            if not answer.done():
                answer.add_done_callback(_retrieve)
        if not answer.done():
            raise Stopped
        return answer.result()


async def durable(intake: Intake, incoming: Incoming) -> Receipt:
    """The receipt of one submission. Giving up waiting does not take the submission back: the log owns it by then."""
    return await asyncio.shield(asyncio.wrap_future(intake.submit(incoming)))


def _retrieve(task: asyncio.Future[Any]) -> None:
    """Look at the outcome that nobody waits for any more."""
    if not task.cancelled() and isinstance(task.exception(), StreamgaugeError):
        return
