"""From an event posted to the event visible in REST, while 20 000 events a second come in."""

from __future__ import annotations

import http.client
import json
import threading
import time
from pathlib import Path

import _live
from _bench import Claim, arguments, call_file, conclude, figure

RATE = 20_000
PROBES = 200


def probe(server: _live.Server, number: int, time_ms: int) -> float:
    """Post one event of a carrier of its own, and ask for its cell until it is there; seconds."""
    carrier = f"probe-{number}"
    body = json.dumps({"call_id": carrier, "carrier": carrier, "end": time_ms}).encode()
    connection = http.client.HTTPConnection(_live.HOST, server.port, timeout=30)
    started = time.perf_counter()
    connection.request("POST", "/v1/events?topic=call&id=body.call_id&time=body.end&time_unit=ms", body)
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(f"void: {answer.status} {answer.read()!r}")
    answer.read()
    path = f"/v1/statistics/volume/cells?every=6m&key.carrier={carrier}&fields=events"
    while True:
        connection.request("GET", path)
        if json.loads(connection.getresponse().read())["cells"]:
            connection.close()
            return time.perf_counter() - started
        time.sleep(0.005)


def main() -> None:
    given = arguments(events=600_000)
    path: Path = call_file(given.events)
    with path.open("rb") as file:
        time_ms = json.loads(file.readline())["end"]
    with _live.program() as server:
        loading = threading.Thread(target=_live.load, args=(server.port, path), kwargs={"rate": RATE, "lines": 200})
        loading.start()
        time.sleep(2)
        taken, number = list[float](), 0
        while loading.is_alive() and number < PROBES:
            taken.append(probe(server, number, time_ms))
            number += 1
            time.sleep(0.03)
        loading.join()
    taken.sort()
    p50, p99 = taken[len(taken) // 2], taken[len(taken) * 99 // 100]
    figure(f"posted to visible, p50 of {len(taken)}", p50, "s")
    figure("posted to visible, p99", p99, "s")
    conclude(
        Claim("posted to visible at 20 k/s, p50", "s", p50, None, p50, must=0.4, aim=0.2, less=True),
        Claim("posted to visible at 20 k/s, p99", "s", p99, None, p99, must=1.5, aim=0.8, less=True),
    )


if __name__ == "__main__":
    main()
