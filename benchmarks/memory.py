"""Peak memory of a report on a file of 1.7 GB, against one of 17 MB. Each report has a process of its own."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import _child
import _ours
from _bench import Claim, arguments, call_file, conclude, figure

MB = 10**6


def main() -> None:
    given = arguments(events=4_930_000)
    large, small = call_file(given.events), call_file(given.events // 100)
    claims = []
    for declarations, name in ((_ours.ONE, "one statistic"), (_ours.TEN, "ten statistics")):
        peaks: dict[Path, list[float]] = {large: [], small: []}
        for _ in range(given.runs):
            for path, found in peaks.items():
                found.append(_child.run(path, declarations)["peak_bytes"] / MB)
        high, low = median(peaks[large]), median(peaks[small])
        figure(f"{name}, a file of {small.stat().st_size / MB:,.0f} MB", low, "MB at most")
        figure(f"{name}, a file of {large.stat().st_size / MB:,.0f} MB", high, "MB at most")
        claim = f"memory of the large file beyond the small one's, {name}"
        claims.append(Claim(claim, "MB", high, low, high - low, must=300, aim=150, less=True))
    conclude(*claims)


if __name__ == "__main__":
    main()
