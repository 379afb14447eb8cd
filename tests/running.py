"""Runs reports over made-up files, and says what their stores hold."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamgauge.declare import Declarations, load
from streamgauge.reporting import Report, ReportOptions, run_report
from streamgauge.step import Step
from streamgauge.testing.kill_points import Killed

MINUTE = 60_000
DAY = 86_400_000
T = 1_700_000_000_000


def declare(folder: Path, toml: str) -> Declarations:
    """What a TOML text declares."""
    path = folder / "declarations.toml"
    path.write_text(toml)
    return load(files=[path])


def write(path: Path, lines: Sequence[bytes], end: bytes = b"\n") -> str:
    """A file of these lines; its name."""
    path.write_bytes(b"\n".join(lines) + end)
    return str(path)


def line(**event: Any) -> bytes:
    """An event as a line."""
    return json.dumps(event).encode()


@contextmanager
def reported(
    files: Sequence[str], declarations: Declarations, step: Step | None = None, stdin: Any = None, **options: Any
) -> Iterator[Report]:
    """A report that is closed in the end."""
    with run_report(files, declarations, ReportOptions(**options), stdin, step=step) as found:
        yield found


def dump(report: Report) -> str:
    """What the store holds that two runs must have in common."""
    out = io.StringIO()
    report.store.dump(out)
    return out.getvalue()


def tables(text: str, *names: str) -> list[str]:
    """The lines of a dump that are rows of these tables."""
    return [row for row in text.splitlines() if next(iter(json.loads(row))) in names]


def dumped(files: Sequence[str], declarations: Declarations, steps: Sequence[Step] = (), **options: Any) -> str:
    """The dump after a run that was killed by each of ``steps`` in turn, and then left alone."""
    for step in steps:
        try:
            with reported(files, declarations, step, **options):
                pass
        except Killed:
            pass
    with reported(files, declarations, **options) as report:
        return dump(report)


def made_up(seed: int, count: int, ids: bool = True) -> list[bytes]:
    """Lines of one file: mostly in order, some late, some far ahead, some bad, some seen before."""
    r = random.Random(seed)
    lines: list[bytes] = []
    now = T + r.randrange(3) * MINUTE
    for n in range(count):
        now += r.choice([0, 10, 1000, 20_000])
        time = now + r.choice([0, 0, 0, 0, -30_000, -5 * MINUTE, -2 * DAY, 3 * DAY if r.random() < 0.2 else 0])
        event: dict[str, Any] = {
            "time": time,
            "k": f"k{r.randrange(12)}",
            "x": r.choice([n, "bad", None, 1.5, -n, 2**62]),
        }
        event["s"] = f"s{r.randrange(9)}" if r.random() < 0.8 else f"u{r.randrange(10**9)}"
        event["tags"] = r.choice([None, [], ["a"], ["b", "a", "b"], "no list"])
        event["at"] = time - r.randrange(10 * MINUTE)
        event["d"] = r.choice([r.random() * 100, 0.1, 1e300, "-0.0"])
        event["v"] = r.choice([{"y": n}, {"y": "2"}, "no object", None])
        if ids and r.random() < 0.9:
            event["id"] = r.choice([seed * 10**6 + n, seed * 10**6 + r.randrange(n + 1), r.randrange(50)])
        lines.append(json.dumps(event).encode())
        if r.random() < 0.1:
            lines.append(
                r.choice([b"", b" \r", b"{", b"nonsense", b'{"k":1}', b'{"time":"soon"}', b"\xef\xbb\xbf" + lines[-1]])
            )
    return lines
