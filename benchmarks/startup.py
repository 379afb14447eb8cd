"""From the start of the process to its end: ``streamgauge --help``, and ``report`` of a file of 10 lines."""

from __future__ import annotations

import compileall
import subprocess
import sys
from functools import partial
from pathlib import Path
from statistics import median

from _bench import HERE, Claim, arguments, call_file, conclude, figure, seconds

LINES = 10


def command(*given: str) -> list[str]:
    """How the command is started: as it is installed beside this interpreter, else by its main function."""
    installed = Path(sys.executable).with_name("streamgauge")
    start = (
        [str(installed)] if installed.exists() else [sys.executable, "-c", "from streamgauge.cli import main; main()"]
    )
    return [*start, *given]


def run(*given: str) -> None:
    """Run the command to its end."""
    subprocess.run(command(*given), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> None:
    given = arguments(events=LINES)
    compileall.compile_dir(HERE.parent / "src", quiet=2)
    path = str(call_file(given.events))
    runs = max(given.runs, 9)
    works = {
        "--help": ("--help",),
        "report of 10 lines": ("report", path, "--time", "body.end"),
        "report of 10 lines, --pack voip": ("report", path, "--pack", "voip"),
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    for words in works.values():
        run(*words)
    python = median(seconds(lambda: subprocess.run([sys.executable, "-c", ""], check=True)) for _ in range(runs))
    for _ in range(runs):
        for name, words in works.items():
            taken[name].append(seconds(partial(run, *words)))
    figure("python -c '', to compare", python, "s")
    for name, times in taken.items():
        figure(f"streamgauge {name}", median(times), "s")
    bounds = dict(zip(works, ((0.3, 0.2), (1.0, 0.8), (1.0, 0.8)), strict=True))
    conclude(
        *(
            Claim(f"streamgauge {name}", "s", median(taken[name]), None, median(taken[name]), *bounds[name], less=True)
            for name in works
        )
    )


if __name__ == "__main__":
    main()
