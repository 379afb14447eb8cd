"""Kills at random moments, as many as wanted."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

from streamgauge.log.retention import Policy
from streamgauge.log.writer import WriterOptions
from tests.exactly_once.trial import Trial, check, finish, sending, settle, trial

SHORTEST_S, LONGEST_S = 0.005, 0.4
KILLS_OF_A_LOG = 60


def kill_at_random(folder: Path, kills: int, seed: int, checks: int = 3) -> int:
    """Kill a program so many times while events are posted to it; look at everything ``checks`` times, and at the end.

    Returns how many events were acknowledged.
    """
    r = random.Random(seed)
    with trial(folder) as one, sending(one, seed=seed, threads=3) as threads:
        for kill in range(1, kills + 1):
            one.settings = random_settings(r)
            one.add_lines(r.randrange(40), rotate=r.random() < 0.1)
            # In every other run, the moment may come before anything is listened to.
            _run_for(one, r, awake=r.random() < 0.5)
            if checks and kill % (kills // checks + 1) == 0:
                threads.hold()
                one.start()
                settle(one, threads, ending=False)
                one.kill()
                check(one, threads)
                threads.hold(False)
        finish(one, threads)
        return sum(threads.counts().values())


def random_settings(r: random.Random) -> dict[str, Any]:
    """Segments, archives, runs of ids and retention such that a lot happens in any order."""
    return {
        "log": WriterOptions(segment_bytes=r.choice([10_000, 60_000, 400_000]), segment_blocks=r.choice([7, 20_000])),
        "look_s": r.choice([0.01, 0.05, 0.5]),
        "run_ids": r.choice([30, 400, 100_000]),
        "keep": r.choice([Policy(), Policy(max_bytes=100_000)]),
    }


def _run_for(one: Trial, r: random.Random, awake: bool) -> None:
    """Run it for a while, counted from when it listens (``awake``), or from its first instruction."""
    seconds = r.uniform(SHORTEST_S, LONGEST_S)
    if awake:
        one.start()
        time.sleep(seconds)
        if r.random() < 0.3:
            # One that was asked to end, and is not waited for.
            os.kill(one.pid, signal.SIGTERM)
            time.sleep(r.uniform(0, 0.1))
        one.kill()
        return
    until = time.monotonic() + seconds
    with one.launch() as ready:
        if ready.poll(seconds):
            one.port = ready.recv()
            time.sleep(max(0.0, until - time.monotonic()))
        one.kill()
