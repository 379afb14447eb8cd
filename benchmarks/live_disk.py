"""The Parquet form of the log against the raw NDJSON that was posted."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from _bench import Claim, arguments, call_file, conclude, figure
from _blocks import blocks

from streamgauge.log.archive import write_archive


def main() -> None:
    given = arguments(events=300_000)
    path = call_file(given.events)
    with tempfile.TemporaryDirectory(prefix="streamgauge-bench-") as folder:
        made, archive = list(blocks(path)), Path(folder) / "segment.parquet"
        started = time.perf_counter()
        facts = write_archive(made, archive)
        seconds = time.perf_counter() - started
    raw = path.stat().st_size
    figure("archived, and read back to compare", given.events / seconds, "events/s")
    figure("raw NDJSON", raw / 10**6, "MB")
    figure("Parquet", facts.size / 10**6, "MB")
    claim = "disk: Parquet log against raw NDJSON"
    conclude(Claim(claim, "MB", facts.size / 10**6, raw / 10**6, facts.size / raw, must=0.3, aim=0.2, less=True))


if __name__ == "__main__":
    main()
