"""The start of ``run`` on a store of about a million cells and a log of 10 GB, until it answers."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

import _live
from _bench import HERE, Claim, arguments, call_file, conclude, figure
from _blocks import blocks

from streamgauge.clock import SystemClock
from streamgauge.log.writer import LogWriter

DISTINCT = 1_000_000


def written(path: Path, events: int, folder: Path) -> int:
    """A log of so many events, the file again and again; its bytes."""
    made = list(blocks(path))
    with LogWriter.open(folder, SystemClock()) as writer:
        while writer.next_position < events:
            for start in range(0, len(made), 20):
                part = []
                block, position = writer.next_block, writer.next_position
                for one in made[start : start + 20]:
                    part.append(replace(one, header=replace(one.header, number=block, position=position)))
                    block, position = block + 1, position + one.header.events
                writer.append(part)
    return sum(f.stat().st_size for f in folder.iterdir())


def main() -> None:
    given = arguments(events=23_000_000)
    path = call_file(min(given.events, DISTINCT), accounts=350_000)
    folder = Path(tempfile.mkdtemp(prefix="streamgauge-bench-"))
    toml = HERE / "start.toml"
    try:
        size = written(path, given.events, folder / "log")
        with _live.program(folder, toml) as server:
            server.wait_counted(given.events, within_s=600)
            described = json.loads(server.get("/v1/statistics/volume"))
        starts = []
        for _ in range(given.runs):
            with _live.program(folder, toml) as server:
                starts.append(server.start_seconds)
    finally:
        shutil.rmtree(folder)
    taken = median(starts)
    figure("log", size / 10**9, "GB")
    figure("store", max(cells_of(described), default=0), "cells")
    figure("start", taken, "s")
    conclude(Claim("start of run", "s", taken, None, taken, must=2.5, aim=1.5, less=True))


def cells_of(described: dict[str, object]) -> list[int]:
    """The numbers of cells that the description tells, wherever they stand."""
    found: list[int] = []
    waiting: list[object] = [described]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            found += [v for k, v in one.items() if k == "cells" and isinstance(v, int)]
            waiting += list(one.values())
        elif isinstance(one, list):
            waiting += one
    return found


if __name__ == "__main__":
    main()
