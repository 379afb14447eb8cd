"""HTTP NDJSON in, durable, and counted by one statistic; against a handler that parses, appends and counts nothing.

1000 events a request, each with an id, from a process of its own on the same cores.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import _live
from _bench import HERE, Claim, arguments, call_file, conclude, figure


def ours(path: Path, events: int) -> float:
    """Seconds from the first request until all events are durable, counted, and seen over REST."""
    with _live.program() as server:
        started = time.perf_counter()
        said = _live.load(server.port, path)
        if said["errors"]:
            raise SystemExit(f"void: {said['errors']}")
        server.wait_counted(events)
        return time.perf_counter() - started


def peer(path: Path) -> float:
    """Seconds until all requests were answered."""
    with tempfile.TemporaryDirectory(prefix="streamgauge-bench-") as folder:
        log = Path(folder) / "log.ndjson"
        with _live.listening([sys.executable, str(HERE / "_http_peer.py"), str(log)], Path(folder)) as server:
            started = time.perf_counter()
            said = _live.load(server.port, path)
            if said["errors"]:
                raise SystemExit(f"void: {said['errors']}")
            return time.perf_counter() - started


def main() -> None:
    given = arguments(events=1_000_000)
    path = call_file(given.events)
    rounds = [(ours(path, given.events), peer(path)) for _ in range(given.runs)]
    mine, other = (given.events / median(times) for times in zip(*rounds, strict=True))
    figure("HTTP in, durable, counted by one statistic", mine, "events/s")
    figure("a handler with orjson that counts nothing", other, "events/s")
    conclude(
        Claim("HTTP in, durable, counted", "events/s", mine, None, mine, must=100_000, aim=200_000),
        Claim("HTTP in against a handler that counts nothing", "events/s", mine, other, mine / other, 0.3, 0.5),
    )


if __name__ == "__main__":
    main()
