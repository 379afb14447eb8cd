"""More than 200 000 cells, by account, against 720 cells of the same events and measures; and the memory it takes.

``windows``: accounts in 6 minutes, each cell changes in a few slices and is then done with. ``days``: accounts in a
day, all cells are open to the end and each slice changes a large share of them. Each report has a process of its own.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

import _child
import _ours
from _bench import Claim, arguments, call_file, conclude, figure

MB = 10**6
NAMES = ("few", "windows", "days")
ACCOUNTS = 600_000
"""So many accounts that more than 200 000 of them have calls among a million records."""

Taken = dict[str, tuple[float, float, int]]
"""By statistic: seconds, peak memory in MB, cells."""


def measure(path: Path, runs: int) -> Taken:
    """The medians, the statistics taking turns."""
    rounds = [{name: _child.run(path, _ours.CELLS, name) for name in NAMES} for _ in range(runs + 1)][1:]
    return {
        name: (
            median(r[name]["seconds"] for r in rounds),
            median(r[name]["peak_bytes"] for r in rounds) / MB,
            rounds[0][name]["cells"][name],
        )
        for name in NAMES
    }


def main() -> None:
    given = arguments(events=1_000_000)
    taken = measure(call_file(given.events, accounts=ACCOUNTS), given.runs)
    for name, (seconds, peak, cells) in taken.items():
        figure(f"{name}: {cells:,} cells", given.events / seconds, "events/s")
        figure(f"{name}: {cells:,} cells", peak, "MB at most")
    few_s = taken["few"][0]
    claims = []
    for name in NAMES[1:]:
        seconds, peak, cells = taken[name]
        rates = given.events / seconds, given.events / few_s
        claims += [
            Claim(f"{cells:,} cells ({name}) against few", "events/s", *rates, few_s / seconds, must=0.4, aim=0.7),
            Claim(f"memory of {cells:,} cells ({name})", "MB", peak, None, peak, must=500, aim=300, less=True),
        ]
    conclude(*claims)


if __name__ == "__main__":
    main()
