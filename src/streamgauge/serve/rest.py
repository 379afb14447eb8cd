"""The service put together: its routes, what stands in front of them, and how what goes wrong is answered."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamgauge.clock import Clock, SystemClock
from streamgauge.serve.auth import Guard
from streamgauge.serve.base import ServeSettings, Station
from streamgauge.serve.hosts import check_settings
from streamgauge.serve.metrics import Requests
from streamgauge.serve.pool import Pool
from streamgauge.serve.problems import Problem, unknown
from streamgauge.serve.routes import PATHS, Routes

_LOG = logging.getLogger(__name__)

_STATUS = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}


def create_app(
    station: Station,
    settings: ServeSettings,
    extra_routers: Sequence[APIRouter] = (),
    clock: Clock | None = None,
    collectors: Sequence[Collector] = (),
) -> FastAPI:
    """The service. ``extra_routers``: what else is reached under the same guard, such as the intake of events.

    ``collectors``: more metrics of the program. Raises UsageError where the settings would let anybody in, or name a
    statistic that there is not.
    """
    check_settings(settings)
    clock = clock or SystemClock()
    pool = Pool(station.readings, clock, settings.threads, settings.waiting, settings.limit_s)
    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        pool.close()

    app = FastAPI(
        title="streamgauge",
        summary="Windowed statistics of events, exact to the last digit.",
        version=version("streamgauge"),
        docs_url=None,  # its page would be fetched from the network
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    Routes(station, settings, pool, clock, registry).add_to(app)
    for router in extra_routers:
        app.include_router(router)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(Failures)
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(Requests, registry=registry, clock=clock)
    return app


async def _problem(_: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise error
    return error.response()


async def _http(request: Request, error: Exception) -> Response:
    """What the router itself refuses."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 404 and error.detail == HTTPStatus.NOT_FOUND.phrase:
        return unknown("there is nothing at", request.url.path, PATHS).response()
    kind = _STATUS.get(error.status_code, "refused")
    return Problem(kind, _said(request, error), headers=error.headers, status=error.status_code).response()


def _said(request: Request, error: HTTPException) -> str:
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return f"{request.method[:20]} is not for {request.url.path[:200]}" + (f"; it has {allowed}" if allowed else "")
    return str(error.detail)


async def _invalid(_: Request, error: Exception) -> Response:
    """What FastAPI found wrong with the parameters of a router that is not ours."""
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0] if error.errors() else {"loc": (), "msg": "it cannot be understood"}
    name = ".".join(str(part) for part in first["loc"][1:])
    return Problem("bad-parameter", f"{name}: {first['msg']}", name).response()


class Failures:
    """Middleware that answers for a fault of ours: it is logged whole, and told without what it may hold."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            if started or scope["type"] != "http":
                raise
            _LOG.error("request failed", exc_info=error, extra={"path": scope["path"]})
            hint = "this is a fault of the service; its log says more"
            problem = Problem("internal", f"{scope['method']} {scope['path'][:200]} failed; {hint}")
            await problem.response()(scope, receive, send)
