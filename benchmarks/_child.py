"""A process of its own for one report: ``_child.py FILE DECLARATIONS [STATISTIC...]``. Prints what it took, as JSON."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def run(path: Path, declarations: Path, *statistics: str) -> dict[str, Any]:
    """A report in a fresh process.

    ``seconds`` from the file to the tables, ``run_seconds`` without presenting them, ``peak_bytes`` of the process, and
    ``cells`` by statistic. Imports are not in the seconds.
    """
    command = [sys.executable, __file__, str(path), str(declarations), *statistics]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def peak_bytes() -> int:
    """The most memory that this process has had.

    Where Linux tells it, without what the parent had: ru_maxrss begins with the parent's.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def measure(path: Path, declarations: Path, statistics: Sequence[str]) -> dict[str, Any]:
    """What ``run`` returns, of this process."""
    import _ours

    _ours.warm_up()
    started = time.perf_counter()
    with _ours.report(path, declarations, statistics) as report:
        run_seconds = time.perf_counter() - started
        cells = {name: table.num_rows for name, table in _ours.tables(report).items()}
        taken = time.perf_counter() - started
    return {"seconds": taken, "run_seconds": run_seconds, "peak_bytes": peak_bytes(), "cells": cells}


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])))
