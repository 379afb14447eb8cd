"""What the benchmarks share: made-up calls kept between runs, interleaved timing, and how a claim is printed."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / "build" / "bench"
RUNS = 3


def arguments(events: int, peer_events: int = 0) -> argparse.Namespace:
    """The command line of a benchmark: how much, and how often."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=events, help=f"records of our input; {events}")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"timed runs, of which the median counts; {RUNS}")
    if peer_events:
        parser.add_argument(
            "--peer-events", type=int, default=peer_events, help=f"first records, for the peer; {peer_events}"
        )
    return parser.parse_args()


def call_file(events: int, cache: Path = CACHE, **traffic: int) -> Path:
    """A file of so many call records of about 345 bytes, made by the seeded generator unless it is there already."""
    from streamgauge.demo import write_calls

    name = "-".join(["calls", str(events), *(f"{k}{v}" for k, v in sorted(traffic.items()))])
    return _made(cache / f"{name}.jsonl", lambda path: write_calls(path, events, **traffic))


def first_records(path: Path, events: int) -> Path:
    """A file of the first records of another."""

    def write(part: Path) -> None:
        with path.open("rb") as whole, part.open("wb") as file:
            file.writelines(islice(whole, events))

    return _made(path.with_name(f"{path.stem}-first-{events}.jsonl"), write)


def _made(path: Path, make: Callable[[Path], object]) -> Path:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        make(unfinished)
        unfinished.rename(path)
    return path


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def interleaved(works: Sequence[Callable[[], object]], runs: int) -> list[float]:
    """The median seconds of each: once all of them to warm up, then so many rounds in which each has its turn."""
    for work in works:
        work()
    rounds = [[seconds(work) for work in works] for _ in range(runs)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


@dataclass(frozen=True)
class Claim:
    """A line of the table in docs/performance.md. ``ratio`` is what must be at least ``must`` (at most, if ``less``).

    ``ours`` and ``peer`` are the two figures that it is made of, in ``unit``.
    """

    claim: str
    unit: str
    ours: float
    peer: float | None
    ratio: float
    must: float
    aim: float
    less: bool = False

    @property
    def verdict(self) -> str:
        """``aim``, ``must``, or ``MISSED``."""
        for bound, word in ((self.aim, "aim"), (self.must, "must")):
            if self.ratio <= bound if self.less else self.ratio >= bound:
                return word
        return "MISSED"

    def to_dict(self) -> dict[str, Any]:
        """What is printed as JSON."""
        return {**asdict(self), "ratio": round(self.ratio, 3), "verdict": self.verdict}


def figure(name: str, value: float, unit: str) -> None:
    """Print one figure."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.3g}"
    print(f"{name:<58} {text:>14} {unit}", flush=True)


def conclude(*claims: Claim) -> None:
    """Print the verdicts, for people and then, a line for each claim, as JSON."""
    for claim in claims:
        sign = "<=" if claim.less else ">="
        bounds = f"must {sign} {claim.must:g}, aim {sign} {claim.aim:g}"
        print(f"{claim.verdict:<7} {claim.claim}: {claim.ratio:.3g} ({bounds})")
    for claim in claims:
        print(json.dumps({**claim.to_dict(), **environment()}), flush=True)


def environment() -> dict[str, str]:
    """The machine, the versions and the day."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "machine": f"{_processor()}, {cores} cores",
        "versions": f"Python {platform.python_version()}, DuckDB {version('duckdb')}, numpy {version('numpy')}",
        "date": datetime.now(UTC).date().isoformat(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
