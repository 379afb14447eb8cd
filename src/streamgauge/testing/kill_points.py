"""Where a program may be killed, what kills it there, and a program that is.

Every part names its steps, and calls a ``step`` with each name as it goes by; ``STEPS`` has them all. ``kill_at`` ends
a run in this process, ``die_at`` the process itself, by SIGKILL, so that nothing is flushed, closed or said::

    with pytest.raises(Killed):
        run_report(files, declarations, options, step=kill_at("before_commit", 2))
    run_report(files, declarations, options)  # goes on from the last commit

As a program, it runs what ``streamgauge run`` runs, until it dies::

    python -m streamgauge.testing.kill_points before_commit:2 --data FOLDER --config streamgauge.toml
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from streamgauge import housekeeping, pipeline
from streamgauge.clock import Clock
from streamgauge.declare import Declarations, load
from streamgauge.log import archive, intake, recall, tail
from streamgauge.service import Program, RunSettings, settings_of
from streamgauge.step import Step
from streamgauge.store import sql_open

__all__ = ["PARTS", "STEPS", "Killed", "die_at", "kill_at", "run_program", "steps"]

PARTS: Mapping[str, tuple[str, ...]] = {
    "store": sql_open.STEPS,
    "intake": intake.STEPS,
    "log": tail.STEPS,
    "ids": recall.STEPS,
    "pipeline": pipeline.STEPS,
    "archive": archive.STEPS,
    "housekeeping": housekeeping.STEPS,
}
"""The names of the steps of each part, in the order in which they go by."""

STEPS = tuple(name for names in PARTS.values() for name in names)


class Killed(BaseException):
    """The run ends here, as if its process had been killed. No Exception, so that nothing on the way handles it."""


def kill_at(step: str, nth: int = 1) -> Step:
    """What raises Killed when the step of this name goes by for the nth time. Raises ValueError for an unknown one."""

    def killed() -> None:
        raise Killed(f"at step {step}, time {nth}")

    return _at(step, nth, killed)


def die_at(step: str, nth: int = 1) -> Step:
    """What kills this process (SIGKILL) when the step of this name goes by for the nth time, in whichever thread."""
    return _at(step, nth, lambda: os.kill(os.getpid(), signal.SIGKILL))


def steps(all_: Iterable[Step]) -> Step:
    """All of these, one after another."""
    told = tuple(all_)

    def passing(name: str) -> None:
        for step in told:
            step(name)

    return passing


def run_program(
    declarations: Declarations,
    settings: RunSettings,
    on_start: Callable[[int], None] = lambda port: None,
    clock: Clock | None = None,
) -> None:
    """Run the program until SIGTERM, SIGINT, or the end that its step brings. ``on_start`` is told its port."""
    program = Program(declarations, settings, clock)
    asyncio.run(program.run(lambda running: on_start(running.port)))


def _at(step: str, nth: int, end: Callable[[], None]) -> Step:
    if step not in STEPS:
        raise ValueError(f"no step is called {step!r}; one of {', '.join(STEPS)}")
    left, lock = nth, threading.Lock()

    def passing(name: str) -> None:
        nonlocal left
        if name != step:
            return
        with lock:
            left -= 1
            last = left == 0
        if last:
            end()

    return passing


def _main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m streamgauge.testing.kill_points", description="Run, and die.")
    parser.add_argument("step", help="STEP or STEP:N, one of " + ", ".join(STEPS))
    parser.add_argument("--data", type=Path, required=True, help="the folder of log and store")
    parser.add_argument("--config", type=Path, help="a streamgauge.toml")
    parser.add_argument("--port", type=int, default=0, help="listen on this port; any that is free, printed")
    given = parser.parse_args(arguments)
    name, _, nth = given.step.partition(":")
    if name not in STEPS or not (nth or "1").isdecimal():
        parser.error(f"no step is called {given.step!r}; one of {', '.join(STEPS)}")
    declarations = load(config=given.config)
    settings = settings_of(declarations.configuration, given.data, "", {"port": given.port})
    settings = replace(settings, step=die_at(name, int(nth or 1)))
    run_program(declarations, settings, lambda port: print(port, flush=True))


if __name__ == "__main__":
    _main(sys.argv[1:])
