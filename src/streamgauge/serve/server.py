"""uvicorn, set up for a service that strangers may reach: bounded connections, and no patience with half a request."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from streamgauge.errors import UsageError
from streamgauge.serve.base import ServeSettings
from streamgauge.serve.problems import MEDIA_TYPE, Problem

HEADER_S = 10.0
"""How long a client may take to send the head of a request."""

MOST_HEAD_BYTES = 1 << 16
"""How long the head of a request may be, or anything else that is no body, beside what was read at once."""

MOST_PIPELINED = 100
"""How many requests a client may send on one connection before it has read the answers."""

KEEP_ALIVE_S = 30
MOST_CONNECTIONS = 500

logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # what strangers send wrongly is none of our log's business


class ImpatientProtocol(HttpToolsProtocol):
    """Closes connections whose request does not come, or not to an end.

    uvicorn itself waits for ever for the end of a head, and keeps however much of it comes.
    """

    _timer: asyncio.TimerHandle | None = None
    _moved = False
    _loose = 0

    def data_received(self, data: bytes) -> None:
        """Some more came; what is neither a body nor ends a head is counted."""
        self._moved = False
        super().data_received(data)
        self._loose = 0 if self._moved else self._loose + len(data)
        if self._loose > MOST_HEAD_BYTES and not self.transport.is_closing():
            hint = "send what is long as the body"
            self._refuse(
                Problem("too-large", f"the head of the request passes {MOST_HEAD_BYTES} bytes; {hint}", status=431)
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head; those behind a body are not kept."""
        if self._timer is not None:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._moved = True
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse(Problem("bad-request", f"{msg.rstrip('.')}; send HTTP/1.1", status=400))

    def connection_made(self, transport: Any) -> None:
        """A client is there; the head of its first request is due."""
        super().connection_made(transport)
        self._expect()

    def on_message_begin(self) -> None:
        """The first byte of a request came; the rest of its head is due."""
        self._moved = True
        if len(self.pipeline) >= MOST_PIPELINED:
            # httptools makes of it that this is no HTTP, and the connection is closed.
            raise RuntimeError(f"{len(self.pipeline)} requests wait on one connection")
        self._expect()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._moved = True
        self._forget()
        app = self.app
        try:
            if len(self.connections) > MOST_CONNECTIONS:
                self.app = _full
            super().on_headers_complete()
        finally:
            self.app = app

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._forget()
        super().connection_lost(exc)

    def _expect(self) -> None:
        self._forget()
        self._timer = self.loop.call_later(HEADER_S, self._too_late)

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Answer without having understood, and close."""
        body = problem.response().body
        head = f"HTTP/1.1 {problem.status} {problem.title}\r\nContent-Type: {MEDIA_TYPE}\r\nConnection: close\r\n"
        self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + bytes(body))
        self.transport.close()


async def _full(scope: Scope, receive: Receive, send: Send) -> None:
    headers = {"Retry-After": "1", "Connection": "close"}
    problem = Problem("busy", f"{MOST_CONNECTIONS} connections are open, which is the most; try again", headers=headers)
    await problem.response()(scope, receive, send)


class _Server(uvicorn.Server):
    """One that leaves signals to the program."""

    def capture_signals(self) -> Any:
        from contextlib import nullcontext

        return nullcontext()


class Service:
    """An application that listens, within an event loop that runs already."""

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self._settings = settings
        config = uvicorn.Config(
            app,
            http=ImpatientProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=3,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None
        self.port = settings.port

    async def start(self) -> None:
        """Listen; ``port`` is then the real one, also where it was 0. Raises UsageError where it is taken."""
        listening = self._bind()
        self.port = listening.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]))
        while not self._server.started and not self._task.done():
            await asyncio.sleep(0.005)
        if self._task.done():
            await self._task

    async def stop(self) -> None:
        """Answer what is being asked, for at most 3 s, and listen no more. May be called twice."""
        if self._task is not None:
            self._server.should_exit = True
            task, self._task = self._task, None
            await task

    async def wait(self) -> None:
        """Until it is stopped."""
        if self._task is not None:
            await asyncio.shield(self._task)

    def _bind(self) -> socket.socket:
        host, port = self._settings.host, self._settings.port
        if not 0 <= port < 65536:
            raise UsageError(f"serve: cannot listen on {host}:{port}: a port is 0 to 65535; 0 is any that is free")
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listening = socket.socket(family, kind, protocol)
        except (OSError, UnicodeError) as e:
            raise UsageError(f"serve: cannot listen on {host}:{port}: {e}; check host and port") from e
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(1024)
        except OSError as e:
            listening.close()
            hint = "give another --port, or stop what listens there"
            raise UsageError(f"serve: cannot listen on {host}:{port}: {e.strerror}; {hint}") from e
        return listening
