"""Memory of a running program: 20 000 events a second for ten minutes, into more than 200 000 cells."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import _live
from _bench import HERE, Claim, arguments, call_file, conclude, figure

RATE = 20_000
MB = 10**6
PATH = "/v1/events?topic=call&time=body.end&time_unit=ms"
"""Without ids: the same million is sent again and again."""


def resident_bytes(server: _live.Server) -> int:
    """What the process has in memory now."""
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024


def main() -> None:
    given = arguments(events=12_000_000)
    distinct = min(given.events, 1_000_000)
    path = call_file(distinct, accounts=350_000)
    with _live.program(declarations=HERE / "memory.toml") as server:
        options = {"rate": RATE, "repeat": given.events // distinct, "path": PATH}
        loading = threading.Thread(target=_live.load, args=(server.port, path), kwargs=options)
        started = time.perf_counter()
        loading.start()
        samples: list[tuple[float, int]] = []
        while loading.is_alive():
            samples.append((time.perf_counter() - started, resident_bytes(server)))
            time.sleep(1)
        loading.join()
        server.wait_counted(given.events)
        peak = server.peak_bytes() / MB
    for share in (0.25, 0.5, 0.75, 1.0):
        at, size = samples[max(0, int(len(samples) * share) - 1)]
        figure(f"after {at:.0f} s", size / MB, "MB")
    figure("at most", peak, "MB")
    what = f"memory at 20 k/s for {samples[-1][0]:.0f} s"
    conclude(Claim(what, "MB", peak, None, peak, must=600, aim=400, less=True))


if __name__ == "__main__":
    main()
