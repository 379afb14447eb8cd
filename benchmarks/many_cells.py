"""More than 200 000 cells, by account, against 720 cells of the same events and measures; and the memory it takes.

``windows``: 2 000 accounts in 6 minutes, each cell changes in a few slices and is then done with. ``days``: 350 000
accounts in a day, all cells are open to the end and each slice changes a large share of them. Each report has a process
of its own.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import _child
import _ours
from _bench import Claim, arguments, call_file, conclude, figure

MB = 10**6
FEW = "few"
ACCOUNTS = {"windows": 2_000, "days": 350_000}
"""By statistic, how many accounts there are among a million records, for more than 200 000 cells."""


def measure(path: Path, names: tuple[str, ...], runs: int) -> dict[str, dict[str, Any]]:
    """The medians of each statistic, which take turns: ``seconds``, ``run_seconds``, ``peak_bytes``, ``cells``."""
    rounds = [{name: _child.run(path, _ours.CELLS, name) for name in names} for _ in range(runs + 1)][1:]
    figures = ("seconds", "run_seconds", "peak_bytes")
    return {
        name: {
            **{which: median(r[name][which] for r in rounds) for which in figures},
            "cells": rounds[0][name]["cells"][name],
        }
        for name in names
    }


def claims(name: str, events: int, many: dict[str, Any], few: dict[str, Any]) -> list[Claim]:
    """What is claimed of a statistic of many cells."""
    what, peak = f"{many['cells']:,} cells ({name})", many["peak_bytes"] / MB
    rates = events / many["seconds"], events / few["seconds"]
    return [
        Claim(f"{what} against few", "events/s", *rates, few["seconds"] / many["seconds"], must=0.4, aim=0.7),
        Claim(f"memory of {what}", "MB", peak, None, peak, must=500, aim=300, less=True),
    ]


def main() -> None:
    given = arguments(events=1_000_000)
    found = []
    for name, accounts in ACCOUNTS.items():
        taken = measure(call_file(given.events, accounts=accounts), (FEW, name), given.runs)
        for which, of in taken.items():
            figure(f"{which}: {of['cells']:,} cells, file to result", given.events / of["seconds"], "events/s")
            figure(f"{which}: without presenting them", given.events / of["run_seconds"], "events/s")
            figure(f"{which}: memory", of["peak_bytes"] / MB, "MB at most")
        found += claims(name, given.events, taken[name], taken[FEW])
    conclude(*found)


if __name__ == "__main__":
    main()
