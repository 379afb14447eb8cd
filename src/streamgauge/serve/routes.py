"""The routes: which question is asked where, and how its answer travels."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TypeVar

import orjson
from fastapi import Depends, FastAPI, Request
from fastapi.security import HTTPBearer
from prometheus_client import CollectorRegistry
from starlette.responses import Response, StreamingResponse

from streamgauge.bound import BoundStatistic
from streamgauge.clock import Clock
from streamgauge.errors import RetryableError
from streamgauge.scope import Scope
from streamgauge.serve import answers
from streamgauge.serve.answers import Answer, Asked
from streamgauge.serve.auth import OPEN_PATHS
from streamgauge.serve.base import (
    CannotReplay,
    Condition,
    EventLog,
    Gone,
    Health,
    LoggedEvent,
    Part,
    Reads,
    Replayed,
    ReplayQuery,
    ServeSettings,
    Station,
)
from streamgauge.serve.describe import Counts, described
from streamgauge.serve.documented import extra, responses
from streamgauge.serve.formats import JSON, Format, format_of, json_bytes
from streamgauge.serve.metrics import Found, own_metrics, rendered
from streamgauge.serve.paging import Cursor, link, read_cursor, same_query
from streamgauge.serve.parameters import (
    CELLS,
    DEFAULT_LIMIT,
    EVENTS,
    KEYS,
    LATEST,
    LETTERS,
    MAX_ROWS,
    MOST_ROWS,
    REPLAY,
    Given,
    Parameter,
)
from streamgauge.serve.pool import Pool
from streamgauge.serve.problems import Problem, bad, unknown
from streamgauge.serve.query import CellQuery, cell_query

T = TypeVar("T")

Find = Callable[[Reads, Station, CellQuery, Asked, Format, Sequence[str]], Answer]

_HEADERS = {"Cache-Control": "no-cache", "Vary": "Accept, Authorization", "X-Content-Type-Options": "nosniff"}
_CELL_PATH = "/v1/statistics/{name}"

# For the OpenAPI document alone: the guard has asked for it before.
_TOKEN = HTTPBearer(scheme_name="token", auto_error=False)

PATHS = (
    "/v1/statistics",
    "/v1/statistics/NAME",
    "/v1/statistics/NAME/cells",
    "/v1/statistics/NAME/latest",
    "/v1/statistics/NAME/keys",
    "/v1/statistics/NAME/events",
    "/v1/events",
    "/v1/events/POSITION",
    "/v1/dead-letters",
    "/v1/dead-letters/POSITION",
    "/v1/dead-letters/replay",
    "/v1/sources",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
)
"""What there is, for messages."""


class Routes:
    """The endpoints, over one station."""

    def __init__(
        self, station: Station, settings: ServeSettings, pool: Pool, clock: Clock, registry: CollectorRegistry
    ) -> None:
        self.station, self.settings, self.pool, self.clock, self.registry = station, settings, pool, clock, registry
        self.counts = Counts(clock)

    def add_to(self, app: FastAPI) -> None:
        """Add every route. The order is that of the OpenAPI document."""
        table: tuple[tuple[str, str, Callable[..., Any], str], ...] = (
            ("/v1/statistics", "statistics", self.statistics, "What is declared, and what there is of it"),
            (_CELL_PATH, "statistic", self.statistic, "One statistic"),
            (_CELL_PATH + "/cells", "cells", self.cells, "Cells of a statistic"),
            (_CELL_PATH + "/cells.{suffix}", "cells", self.cells_as, "Cells of a statistic, in a format"),
            (_CELL_PATH + "/latest", "latest", self.latest, "The newest cell of each key"),
            (_CELL_PATH + "/latest.{suffix}", "latest", self.latest_as, "The newest cell of each key, in a format"),
            (_CELL_PATH + "/keys", "keys", self.keys, "The keys of a statistic"),
            (_CELL_PATH + "/events", "cell_events", self.cell_events, "The very events that one cell counted"),
            ("/v1/events/{position}", "event", self.event, "One event of the log"),
            ("/v1/dead-letters", "dead_letters", self.dead_letters, "Messages that could not become events"),
            ("/v1/dead-letters/{position}", "dead_letter", self.dead_letter, "One of them, with all bytes kept"),
            ("/v1/sources", "sources", self.sources, "Every source, and how it is"),
            ("/healthz", "healthz", self.healthz, "Whether it works"),
            ("/readyz", "readyz", self.readyz, "Whether it should be asked"),
            ("/metrics", "metrics", self.metrics, "For Prometheus"),
        )
        for path, name, endpoint, summary in table:
            self._add(app, "GET", path, name, endpoint, summary)
        replay = "Append messages to the log again that could not become events, each once"
        self._add(app, "POST", "/v1/dead-letters/replay", "replay", self.replay, replay)

    def _add(self, app: FastAPI, method: str, path: str, name: str, endpoint: Callable[..., Any], summary: str) -> None:
        asks = self.settings.tokens and path not in OPEN_PATHS
        app.add_api_route(
            path,
            endpoint,
            methods=[method],
            name=endpoint.__name__,
            summary=summary,
            responses=responses(name),
            response_class=Response,
            response_model=None,
            openapi_extra=extra(path, name),
            dependencies=[Depends(_TOKEN)] if asks else [],
        )

    async def statistics(self, request: Request) -> Response:
        given, counts = _given(request, ()), self.counts
        given.refuse_others()

        def find(reads: Reads) -> dict[str, Any]:
            found = self.station.statistics
            standing = self.station.standing
            return {"statistics": [described(reads, s, standing(reads, s), counts) for _, s in sorted(found.items())]}

        return _json(await self.pool.read(find))

    async def statistic(self, request: Request) -> Response:
        statistic, counts = self._statistic(request), self.counts
        _given(request, ()).refuse_others()
        standing = self.station.standing
        return _json(await self.pool.read(lambda r: described(r, statistic, standing(r, statistic), counts)))

    async def cells(self, request: Request) -> Response:
        return await self._cells(request, None, CELLS, answers.cells_answer)

    async def cells_as(self, request: Request) -> Response:
        return await self._cells(request, request.path_params["suffix"], CELLS, answers.cells_answer)

    async def latest(self, request: Request) -> Response:
        return await self._cells(request, None, LATEST, answers.latest_answer)

    async def latest_as(self, request: Request) -> Response:
        return await self._cells(request, request.path_params["suffix"], LATEST, answers.latest_answer)

    async def keys(self, request: Request) -> Response:
        statistic, given = self._statistic(request), _given(request, KEYS)
        asked, cursor = _asked(request, given, statistic.version)
        now_ms = self.clock.now_ms()
        found = await self.pool.read(lambda r: answers.keys_answer(r, statistic, given, asked, cursor, now_ms))
        return _json(found, link(found["next"]))

    async def cell_events(self, request: Request) -> Response:
        statistic, log, given = self._statistic(request), self._log(), _given(request, EVENTS)
        cell, limit = answers.cell_name(statistic, given, self.clock.now_ms()), given.limit()
        asked, cursor = _asked(request, given, statistic.version)
        counted = await self.pool.read(lambda reads: answers.counted_by(reads, cell))
        found = await self._call(
            lambda left_s: log.events_of(cell, cursor.position, limit + 1, Scope.all, left_s) if counted else ()
        )
        more = Cursor(position=found[limit - 1].position) if len(found) > limit else None
        head = answers.cell_events_head(cell, given, counted)
        url = asked.next_url(more)
        return _json({**head, "events": [_event(e) for e in found[:limit]], "next": url}, link(url))

    async def event(self, request: Request) -> Response:
        _given(request, ()).refuse_others()
        at, log = _position(request), self._log()
        found = await self._call(lambda left_s: log.event(at, Scope.all, left_s))
        if found is None:
            raise Problem("not-found", f"there is no event at position {at}; it may be that of a dead letter or a tick")
        return _json(_event(found))

    async def dead_letters(self, request: Request) -> Response:
        given = _given(request, LETTERS)
        given.refuse_others()
        asked, cursor = _asked(request, given)
        now_ms, station = self.clock.now_ms(), self.station
        found = await self.pool.read(lambda r: answers.letters_answer(r, station, given, asked, cursor, now_ms))
        return _json(found, link(found["next"]))

    async def dead_letter(self, request: Request) -> Response:
        _given(request, ()).refuse_others()
        at = _position(request)
        found = await self.pool.read(lambda reads: self.station.dead_letter(reads, Scope.all, at))
        if found is None:
            raise Problem("not-found", f"there is no dead letter at position {at}, or it is not kept any more")
        return _json(answers.letter_document(found))

    async def replay(self, request: Request) -> Response:
        given = _given(request, REPLAY)
        given.refuse_others()
        wanted = answers.replay_query(given)
        found = await self.pool.call(lambda left_s: _replayed(self.station, wanted, left_s))
        return _json(answers.replayed_document(found))

    async def sources(self, request: Request) -> Response:
        _given(request, ()).refuse_others()
        found = await self.pool.read(lambda reads: self.station.sources(reads, Scope.all))
        return _json({"sources": [answers.source_document(source) for source in found]})

    async def healthz(self, request: Request) -> Response:
        health = await self._health()
        told: dict[str, Any] = {"status": health.condition.value}
        if not self.settings.tokens:
            told["parts"] = [{"name": p.name, "condition": p.condition.value, "why": p.why} for p in health.parts]
        return _json(told, status=503 if health.condition is Condition.FAILING else 200)

    async def readyz(self, request: Request) -> Response:
        health = await self._health()
        store = next(part for part in health.parts if part.name == "store")
        ready = health.ready and store.condition is not Condition.FAILING
        told = {"ready": ready, "why": "" if self.settings.tokens else health.why or store.why}
        return _json(told, status=200 if ready else 503)

    async def metrics(self, request: Request) -> Response:
        _given(request, ()).refuse_others()
        health = await self._health()
        station, names = self.station, self.settings.metrics
        found = await self.pool.read(lambda reads: own_metrics(station, reads, health, names))
        body, media_type = rendered([self.registry, Found(found)], request.headers.get("accept", ""))
        return Response(body, media_type=media_type, headers=_HEADERS)

    async def _cells(self, request: Request, suffix: str | None, known: Sequence[Parameter], find: Find) -> Response:
        statistic, given = self._statistic(request), _given(request, known)
        format_ = format_of(suffix, request.headers.get("accept", ""))
        asked, cursor = _asked(request, given, statistic.version)
        rows = DEFAULT_LIMIT if format_ is JSON else MAX_ROWS
        query = cell_query(statistic, given, self.clock.now_ms(), cursor, rows)
        unless, station = _unless(request), self.station
        large = query.limit > MOST_ROWS
        found = await self.pool.read(lambda r: find(r, station, query, asked, format_, unless), large)
        headers = {**_HEADERS, "ETag": found.etag, **link(found.next)}
        if found.parts is None:
            return Response(status_code=304, headers=headers)
        if len(found.parts) == 1:
            return Response(found.parts[0], headers=headers, media_type=format_.media_type)
        headers["Content-Length"] = str(sum(map(len, found.parts)))
        return StreamingResponse(_each(found.parts), headers=headers, media_type=format_.media_type)

    async def _health(self) -> Health:
        """That of the program, and whether the store can be read."""
        health = self.station.health()
        return Health([*health.parts, await self._store()], health.ready, health.why)

    async def _store(self) -> Part:
        try:
            await self.pool.read(lambda reads: reads.check())
        except Problem as problem:
            busy = problem.kind == "busy"
            why = problem.detail
            return Part("store", Condition.DEGRADED if busy else Condition.FAILING, why)
        return Part("store", Condition.OK)

    async def _call(self, work: Callable[[float], T]) -> T:
        try:
            return await self.pool.call(work)
        except Gone as e:
            raise Problem("gone", str(e)) from e

    def _log(self) -> EventLog:
        log = self.station.log
        if log is None:
            raise Problem("no-log", f"events cannot be read here: {self.station.no_log}")
        return log

    def _statistic(self, request: Request) -> BoundStatistic:
        name: str = request.path_params["name"]
        found = self.station.statistics.get(name)
        if found is None:
            raise unknown("there is no statistic", name, sorted(self.station.statistics))
        return found


def _given(request: Request, known: Sequence[Parameter]) -> Given:
    return Given(request.scope["query_string"], known)


def _replayed(station: Station, wanted: ReplayQuery, left_s: float) -> Replayed:
    try:
        return station.replay(wanted, left_s)
    except CannotReplay as e:
        raise Problem("no-program", f"nothing can be replayed here: {e}") from e
    except RetryableError as e:
        wait = {"Retry-After": str(max(1, round(e.retry_after_s)))}
        raise Problem("not-now", f"nothing can be replayed just now: {e}", headers=wait) from e


def _asked(request: Request, given: Given, *more: object) -> tuple[Asked, Cursor]:
    """The request, and where its page begins."""
    path = request.url.path
    fingerprint = same_query(path.partition(".")[0], given.pairs, *more)
    return Asked(path, given.pairs, fingerprint), read_cursor(given.text("cursor"), fingerprint)


def _unless(request: Request) -> list[str]:
    """The tags that the client has already; weak ones, as all of ours are."""
    tags = (tag.strip() for tag in request.headers.get("if-none-match", "").split(","))
    return [tag if tag == "*" or tag.startswith("W/") else f"W/{tag}" for tag in tags if tag]


def _position(request: Request) -> int:
    text: str = request.path_params["position"]
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    raise bad("position", f"position: {text[:100]!r} is not a number from 0 on")


def _event(event: LoggedEvent) -> dict[str, Any]:
    return {**answers.event_document(event), "body": orjson.Fragment(event.body)}


def _json(document: Any, headers: Mapping[str, str] | None = None, status: int = 200) -> Response:
    return Response(json_bytes(document), status, {**_HEADERS, **(headers or {})}, JSON.media_type)


async def _each(parts: Sequence[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
