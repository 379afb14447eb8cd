"""The rigs under which every source is tried: real files, a real pipe, a real server on loopback."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI

from streamgauge.clock import SystemClock
from streamgauge.sources import (
    HttpOptions,
    HttpSource,
    ReplayOptions,
    ReplaySource,
    StdinOptions,
    StdinSource,
    TailOptions,
    TailSource,
)
from streamgauge.sources.http_routes import events_router

CLOCK = SystemClock()


class TailRig:
    sends_first = False
    pulls = True

    def __init__(self, folder: Path) -> None:
        self.path = folder / "events.log"

    def source(self) -> TailSource:
        return TailSource("logs", TailOptions(path=str(self.path), id="body.id", poll_ms=20), CLOCK)

    async def send(self, lines: Sequence[bytes]) -> None:
        for start in range(0, len(lines), 100):
            with open(self.path, "ab") as file:
                file.write(b"".join(line + b"\n" for line in lines[start : start + 100]))
            await asyncio.sleep(0.002)

    async def close(self) -> None:
        pass


class ReplayRig:
    sends_first = True
    pulls = True

    def __init__(self, folder: Path, speed: str = "max") -> None:
        self.path = folder / "recording.jsonl"
        self.speed = speed

    def source(self) -> ReplaySource:
        options = ReplayOptions(path=str(self.path), id="body.id", speed=self.speed, times="kept")
        return ReplaySource("again", options, CLOCK)

    async def send(self, lines: Sequence[bytes]) -> None:
        self.path.write_bytes(b"".join(line + b"\n" for line in lines))

    async def close(self) -> None:
        pass


class StdinRig:
    sends_first = False
    pulls = True

    def __init__(self, folder: Path) -> None:
        del folder
        self.reads, self.writes = os.pipe()

    def source(self) -> StdinSource:
        return StdinSource("stdin", StdinOptions(id="body.id"), CLOCK, self.reads)

    async def send(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            await asyncio.to_thread(os.write, self.writes, line + b"\n")

    async def close(self) -> None:
        os.close(self.writes)
        os.close(self.reads)


@asynccontextmanager
async def served(sources: dict[str, HttpSource]) -> AsyncIterator[str]:
    """A real server of the events route, on loopback; yields its URL."""
    app = FastAPI()
    app.include_router(events_router(sources))
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="error", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task
        # Requests that the log never answered: their connections are given up, not closed, by the server.
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)


class HttpRig:
    sends_first = False
    pulls = False

    def __init__(self, folder: Path) -> None:
        del folder
        self.sources: dict[str, HttpSource] = {}
        self.site = AsyncExitStack()
        self.client: httpx.AsyncClient | None = None

    def source(self) -> HttpSource:
        self.sources["http"] = HttpSource("http", HttpOptions(), CLOCK)
        return self.sources["http"]

    async def send(self, lines: Sequence[bytes]) -> None:
        """As a client should: the same request again, until it is answered with 200."""
        if self.client is None:
            url = await self.site.enter_async_context(served(self.sources))
            self.client = await self.site.enter_async_context(httpx.AsyncClient(base_url=url, timeout=0.7))
        for start in range(0, len(lines), 100):
            body = b"\n".join(lines[start : start + 100])
            while not await self._sent(self.client, body):
                await asyncio.sleep(0.05)

    async def _sent(self, client: httpx.AsyncClient, body: bytes) -> bool:
        try:
            return (await client.post("/v1/events?id=body.id", content=body)).status_code == 200
        except httpx.TransportError:
            return False

    async def close(self) -> None:
        await self.site.aclose()
