"""Reading over REST: 28 800 cells as JSON, the newest cell of 40 keys, and a page of the messages behind one."""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import median

import _live
from _bench import CACHE, HERE, Claim, arguments, conclude, figure

KEYS, HOURS = 40, 30 * 24
START = 1_772_409_600_000
EVENTS_OF_ONE = 500


def events(path: Path) -> Path:
    """One event for each key and hour of 30 days, and many of one key in the last hour."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            for hour in range(HOURS):
                for key in range(KEYS):
                    for n in range(EVENTS_OF_ONE if (hour, key) == (HOURS - 1, 7) else 1):
                        end = START + hour * 3_600_000 + key * 1000 + n
                        event = {"call_id": f"{hour}-{key}-{n}", "carrier": f"c{key:03}", "end": end, "answer": end}
                        event |= {"billed_ms": n, "direction": "outbound", "sip_code": 200}
                        file.write(json.dumps(event) + "\n")
    return path


def best(server: _live.Server, path: str, runs: int) -> float:
    """The median time of a request, after one to warm up."""
    server.get(path)
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        server.get(path)
        times.append(time.perf_counter() - started)
    return median(times)


def main() -> None:
    given = arguments(events=KEYS * HOURS)
    runs = max(given.runs, 9)
    path = events(CACHE / "reads.jsonl")
    wanted = KEYS * HOURS + EVENTS_OF_ONE - 1
    with _live.program(declarations=HERE / "reads.toml") as server:
        _live.load(server.port, path, connections=1)
        server.wait_counted(wanted)
        base = "/v1/statistics/volume"
        page = server.get(f"{base}/cells?every=1h&limit=max")
        if json.loads(page)["rows"] != KEYS * HOURS:
            raise SystemExit(f"void: {json.loads(page)['rows']} rows")
        last = START + (HOURS - 1) * 3_600_000
        asked = {
            "cells, 28 800 rows, as JSON": (f"{base}/cells?every=1h&limit=max", 0.3, 0.12),
            "latest of 40 keys": (f"{base}/latest?every=1h", 0.015, 0.005),
            "a drill-down page of 100": (f"{base}/events?every=1h&start={last}&key.carrier=c007&limit=100", 0.2, 0.05),
        }
        claims = []
        for name, (query, must, aim) in asked.items():
            taken = best(server, query, runs)
            figure(name, taken * 1000, "ms")
            claims.append(Claim(name, "s", taken, None, taken, must, aim, less=True))
    conclude(*claims)


if __name__ == "__main__":
    main()
