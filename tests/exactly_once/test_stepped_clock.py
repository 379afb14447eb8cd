from __future__ import annotations

import random
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.exactly_once.trial import Trial, blocks_of, finish, sending, trial

HOUR_MS = 3_600_000


@pytest.mark.slow
@pytest.mark.parametrize("base", ["now", "long ago"])
def test_a_wall_clock_that_steps_an_hour_loses_and_doubles_nothing(base: str, tmp_path: Path) -> None:
    r = random.Random(base)
    base_ms = time.time_ns() // 1_000_000 - 1_200_000 if base == "now" else 1_400_000_000_000
    with trial(tmp_path, stepped=True) as one, sending(one, threads=3, base_ms=base_ms) as threads:
        for step_ms in (0, HOUR_MS, 0, -HOUR_MS, 0, HOUR_MS, -HOUR_MS):
            _set(one, step_ms)
            if one.port is None:
                one.start()
            elif r.random() < 0.5:
                one.start_again()
            time.sleep(0.25)
        # Silence, too, is counted by another clock.
        finish(one, threads)
    received = [block.header.received_ms for block in blocks_of(one.log)]
    steps = [after - before for before, after in pairwise(received)]
    assert max(steps) > HOUR_MS / 2, "the clock was never stepped"
    assert min(steps) < -HOUR_MS / 2


def _set(one: Trial, step_ms: int) -> None:
    new = one.folder / "wall.new"
    new.write_text(str(step_ms))
    new.rename(one.folder / "wall")
