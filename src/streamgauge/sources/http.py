"""Events by HTTP: what an operator may set, and what a request's parameters mean. The routes are in http_routes."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from streamgauge.clock import Clock
from streamgauge.errors import DeclarationError, Mistake, nearest
from streamgauge.expression import TimeUnit
from streamgauge.forms import whole
from streamgauge.log.base import Arrival, Intake, LaneName
from streamgauge.sources.base import Guarantee, SourceStatus, State
from streamgauge.sources.delivery import Delivery
from streamgauge.sources.http_problem import Problem
from streamgauge.sources.lines import Lines, one_line
from streamgauge.sources.options import CommonOptions, arrival_of, constant_or_expression, expression, setting
from streamgauge.windows import check_zone

DEFAULT_SOURCE = "http"
"""The name of the source that is there without being configured."""

ENVELOPE_PARAMETERS = ("topic", "time", "time_unit", "zone", "id")
PARAMETERS = ("source", *ENVELOPE_PARAMETERS, "strict")
_LONGEST_PARAMETER = 4000
_KEPT_ARRIVALS = 256
_QUIET_MS = 2000
_FINISH_S = 2.0
_GLANCE_S = 0.02


@dataclass(frozen=True, slots=True)
class HttpOptions(CommonOptions):
    """``POST /v1/events``: whoever has events sends them. The query parameters of a request go before these settings.

    Events without any time get that of their receipt. Names: ``/v1/events?source=NAME``; ``http`` is always there.
    """

    max_body_bytes: int = setting("the longest body, also when decompressed; longer: 413", whole("bytes", 1), 64 << 20)
    max_line_bytes: int = setting("the longest event; longer: a dead letter", whole("bytes", 1), 16 << 20)
    max_events: int = setting("events of one body; more: 413", whole("events", 1), 250_000)
    concurrency: int = setting("requests at a time; more: 429", whole("a number from 1", 1, 100_000), 64)
    max_held_bytes: int = setting("bytes of bodies that may be held at a time; more: 503", whole("bytes", 1), 256 << 20)
    body_timeout_s: int = setting("how long a body may take to arrive; longer: 408", whole("seconds", 1, 86_400), 60)
    silence_timeout_s: int = setting("how long nothing of a body may arrive", whole("seconds", 1, 86_400), 10)

    def check(self, what: str, place: Any) -> None:
        """Raises DeclarationError where settings do not go together."""
        if self.max_held_bytes < self.max_body_bytes:
            hint = "give it at least as many"
            raise DeclarationError(
                Mistake(f"{what}: max_held_bytes", "less than max_body_bytes", place("max_held_bytes"), hint=hint)
            )


class HttpSource:
    """One name that events may be sent to.

    It pulls nothing: requests bring messages while ``run`` is active, and are refused with 503 before and after. A
    client that gets no 200 sends again; an ``id``, or an ``Idempotency-Key``, makes of that exactly once. It has no
    cursor, never knows that more is waiting, and asks clients to wait (503, Retry-After) where the intake refuses.
    """

    type = "http"
    guarantee = Guarantee.AT_LEAST_ONCE

    def __init__(self, name: str, options: HttpOptions, clock: Clock) -> None:
        self.name = name
        self.options = options
        self.clock = clock
        self.delivery = Delivery(name, self.type, clock)
        self.intake: Intake | None = None
        self._arrival = arrival_of(options, f"source {name!r}", receipt_time=True)
        self._arrivals: OrderedDict[tuple[tuple[str, str], ...], Arrival] = OrderedDict()
        self._taking = False
        self._requests = 0
        self._held = 0

    @property
    def lane(self) -> LaneName:
        """The one lane of the source."""
        return LaneName(self.name)

    async def run(self, intake: Intake) -> None:
        """Take requests until stopped, as Source.run; then wait for those that are under way."""
        async with self.delivery:
            self.intake, self._taking = intake, True
            self.delivery.say(State.WAITING)
            try:
                while True:
                    await self.delivery.pause(1.0)
                    self.delivery.rest_after(_QUIET_MS)
            finally:
                self._taking = False
                await self._finish()

    async def _finish(self) -> None:
        """Wait for the requests that are under way, which are answered still."""
        for _ in range(int(_FINISH_S / _GLANCE_S)):
            if not self._requests:
                break
            await asyncio.sleep(_GLANCE_S)
        self.intake = None

    async def stop(self) -> None:
        """As Source.stop."""
        await self.delivery.stop()

    def status(self) -> SourceStatus:
        """As Source.status."""
        return self.delivery.status()

    def again(self, message: bytes, reason: str) -> Lines:
        """As Rereads.again."""
        return one_line(message, self.options.max_line_bytes)

    @contextmanager
    def request(self) -> Iterator[Holding]:
        """Room for one request. Raises Problem: 503 where the source does not run, 429 where too many are under way."""
        if not self._taking:
            detail = f"source {self.name!r} takes nothing now"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after_s=2.0, closes=True)
        if self._requests >= self.options.concurrency:
            detail = f"{self._requests} requests to source {self.name!r} are under way, which is the most"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, retry_after_s=1.0, closes=True)
        self._requests += 1
        holding = Holding(self)
        try:
            yield holding
        finally:
            self._requests -= 1
            self._held -= holding.size

    def hold(self, size: int) -> None:
        """Count bytes that are held. Raises Problem 503 where there are too many."""
        if self._held + size > self.options.max_held_bytes:
            detail = f"source {self.name!r} holds {self._held} bytes of requests, which is the most"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after_s=1.0, closes=True)
        self._held += size

    def arrival(self, asked: Mapping[str, str]) -> Arrival:
        """How the events of a request become events. Raises Problem 400, naming the parameter.

        ``asked``: the query parameters among ENVELOPE_PARAMETERS. Found again for the next request that asks alike.
        """
        if not asked:
            return self._arrival
        key = tuple(sorted(asked.items()))
        known = self._arrivals.get(key)
        if known is None:
            envelope = _envelope(self._arrival, asked)
            known = self._arrivals[key] = replace(self._arrival, envelope=envelope, asked=key)
            if len(self._arrivals) > _KEPT_ARRIVALS:
                self._arrivals.popitem(last=False)
        self._arrivals.move_to_end(key)
        return known


class Holding:
    """The bytes that one request holds; they are given back at its end."""

    def __init__(self, source: HttpSource) -> None:
        self._source = source
        self.size = 0

    def more(self, size: int) -> None:
        """Hold some more. Raises Problem 503."""
        self._source.hold(size)
        self.size += size


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request's query says. ``envelope``: the parameters of it that say how messages become events."""

    source: str
    envelope: Mapping[str, str]
    strict: bool


def read_query(pairs: Sequence[tuple[str, str]]) -> Asked:
    """The query of a request. Raises Problem 400 that names the parameter, and the nearest right one."""
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in PARAMETERS:
            hint = nearest(name, PARAMETERS) or f"known: {', '.join(PARAMETERS)}"
            raise _bad(name, f"unknown query parameter {name[:80]!r}", hint)
        if name in given:
            raise _bad(name, f"query parameter {name!r} is given twice", "give it once")
        if not value or len(value) > _LONGEST_PARAMETER:
            problem = "is empty" if not value else f"is longer than {_LONGEST_PARAMETER} characters"
            raise _bad(name, f"query parameter {name!r} {problem}")
        given[name] = value
    strict = given.pop("strict", "false")
    if strict not in ("true", "false"):
        raise _bad("strict", f"strict is {strict[:80]!r}, expected true or false", nearest(strict, ("true", "false")))
    return Asked(given.pop("source", DEFAULT_SOURCE), given, strict == "true")


def _envelope(known: Arrival, asked: Mapping[str, str]) -> Any:
    changes: dict[str, Any] = {}
    for name, value in asked.items():
        try:
            changes[name] = _parameter(name, value)
        except DeclarationError as error:
            mistake = error.mistakes[0]
            raise _bad(name, str(replace(mistake, hint="")), mistake.hint) from None
    if "time" in changes:
        # A unit that was configured belongs to the time that was configured.
        changes.setdefault("time_unit", None)
    return replace(known.envelope, **changes)


def _parameter(name: str, value: str) -> Any:
    """The value of an envelope's parameter. Raises DeclarationError."""
    if name == "time_unit":
        if value not in list(TimeUnit):
            hint = nearest(value, list(TimeUnit)) or f"one of {', '.join(TimeUnit)}"
            raise DeclarationError(Mistake(name, "unknown unit", got=value, hint=hint))
        return TimeUnit(value)
    if name == "zone":
        return check_zone(value, name)
    return expression(value if name == "time" else constant_or_expression(value), name)


def _bad(parameter: str, detail: str, hint: str = "") -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, detail, parameter[:80], hint)
