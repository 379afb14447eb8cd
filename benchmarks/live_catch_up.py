"""Catching up: a log that no statistic has read yet, against ``report`` over the same events."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

import _live
import _ours
from _bench import Claim, arguments, call_file, conclude, figure
from _blocks import write_log


def caught_up(data: Path, events: int) -> float:
    """Seconds to count all events, from the moment that the program listens."""
    with _live.program(data) as server:
        started = time.perf_counter()
        already = server.read()
        server.wait_counted(events)
        taken = time.perf_counter() - started
    return taken * events / (events - already)


def reported(path: Path) -> float:
    """Seconds of a report of the same statistic, without the start of a process."""
    started = time.perf_counter()
    _ours.compute(path, _live.LIVE)
    return time.perf_counter() - started


def main() -> None:
    given = arguments(events=2_000_000)
    path = call_file(given.events)
    folder = Path(tempfile.mkdtemp(prefix="streamgauge-bench-"))
    rounds = []
    try:
        _ours.warm_up()
        for _ in range(given.runs):
            write_log(path, folder / "data" / "log")
            rounds.append((caught_up(folder / "data", given.events), reported(path)))
            shutil.rmtree(folder / "data")
    finally:
        shutil.rmtree(folder)
    mine, other = (given.events / median(times) for times in zip(*rounds, strict=True))
    figure("catching up", mine, "events/s")
    figure("report", other, "events/s")
    conclude(Claim("catching up against report", "events/s", mine, other, mine / other, must=0.7, aim=0.9))


if __name__ == "__main__":
    main()
