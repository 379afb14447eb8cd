"""The peer of HTTP intake: a uvicorn handler that parses each line with orjson, appends and fsyncs, counts nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


def application(path: Path) -> Starlette:
    """The handler, which appends to this file."""
    file = path.open("ab", buffering=0)

    async def post(request: Request) -> JSONResponse:
        body = await request.body()
        events = [orjson.loads(line) for line in body.split(b"\n") if line]
        file.write(body)
        os.fsync(file.fileno())
        return JSONResponse({"accepted": len(events)})

    return Starlette(routes=[Route("/v1/events", post, methods=["POST"])])


class Server(uvicorn.Server):
    """Says where it listens."""

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        port = self.servers[0].sockets[0].getsockname()[1]
        print(f"listening on http://127.0.0.1:{port}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    given = application(Path(sys.argv[1]))
    Server(uvicorn.Config(given, host="127.0.0.1", port=0, log_level="error", http="httptools")).run()
