"""Kill the program at random moments, many times, and look at all that it kept. ``make soak`` runs it."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.exactly_once.killing import KILLS_OF_A_LOG, kill_at_random


def main() -> None:
    """Every log is killed KILLS_OF_A_LOG times; the seeds are printed, so that a failure can be repeated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    done = 0
    for seed in range(given.seed, given.seed + given.kills):
        kills = min(KILLS_OF_A_LOG, given.kills - done)
        print(f"seed {seed}: {kills} kills", end=", ", flush=True)
        with tempfile.TemporaryDirectory(prefix="streamgauge-soak-") as folder:
            events = kill_at_random(Path(folder), kills, seed)
        done += kills
        print(f"{events} acknowledged events counted once, {done} of {given.kills} kills done", flush=True)
        if done == given.kills:
            return


if __name__ == "__main__":
    main()
