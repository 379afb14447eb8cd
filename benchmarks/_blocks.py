"""A file of calls as the blocks of a log: 1000 events each, as the log writer makes them of requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from streamgauge.clock import SystemClock
from streamgauge.log.base import BlockHeader, LogBlock
from streamgauge.log.compose import event_lines
from streamgauge.log.writer import LogWriter
from streamgauge.watermark import LaneMark, observe

BLOCK = 1000
LATENESS_MS = 10_000


def blocks(path: Path) -> Iterator[LogBlock]:
    """The blocks of one lane, in the order of the file, an id and a topic in each event's envelope."""
    mark, number = LaneMark(lateness_ms=LATENESS_MS), 0
    with path.open("rb") as file:
        while lines := [line.rstrip(b"\n") for line in islice(file, BLOCK)]:
            read = [json.loads(line) for line in lines]
            times, ids = [event["end"] for event in read], [event["call_id"] for event in read]
            mark = observe(mark, np.array(times, dtype=np.int64))
            events = event_lines(times, ["call"] * len(lines), ids, None, "http", lines)
            header = BlockHeader(
                number=number,
                lane=0,
                source="http",
                name="",
                position=number * BLOCK,
                events=len(lines),
                size=len(events),
                received_ms=max(times),
                mark=mark.to_dict(),
                unit="ms",
                oldest_ms=min(times),
                newest_ms=max(times),
                topics=("call",),
            )
            yield LogBlock(header, events, b"")
            number += 1


def write_log(path: Path, folder: Path) -> None:
    """A log of a file of calls."""
    with LogWriter.open(folder, SystemClock()) as writer:
        found = blocks(path)
        while part := list(islice(found, 20)):
            writer.append(part)
