from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from streamgauge.drilldown import ARCHIVES
from streamgauge.log.base import LogBlock
from streamgauge.log.reading import LogReader
from tests.exactly_once.losing import lose_power
from tests.exactly_once.sending import Sending
from tests.exactly_once.trial import Trial, counts_of, eventually, finish, sending, trial

IMAGES = 2
MOST_BEGUN = 4 + 8
"""Batches that may have been begun and not acknowledged, of the first senders and of those who send again."""

STEPS = [
    "before_log_write",
    "before_log_fsync",
    "log_durable",
    "before_segment_rename",
    "before_folder_fsync",
    "archive_written",
    "archive_named",
    "before_commit",
    "committed",
    "before_seal",
]


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_power_lost_at_a_step(step: str, tmp_path: Path) -> None:
    r = random.Random(step)
    with trial(tmp_path / "run") as one, sending(one, threads=4) as threads:
        one.start(step, r.randint(2, 4))
        one.wait_dead()
        for n in range(IMAGES):
            _lost(one, threads, tmp_path / f"image-{n}", r)
        finish(one, threads)


@pytest.mark.slow
def test_what_is_not_durable_yet_is_counted_by_nobody(tmp_path: Path) -> None:
    # The disk takes so long that whoever reads what is merely written would have committed it.
    with trial(tmp_path / "run") as one, sending(one, threads=4) as threads:
        one.pauses = {"before_log_fsync": 0.6}
        one.start("log_durable", 4)
        one.wait_dead()
        one.pauses = {}
        for n in range(IMAGES):
            _lost(one, threads, tmp_path / f"image-{n}", random.Random(n))


@pytest.mark.slow
def test_power_lost_at_random_moments(tmp_path: Path) -> None:
    r = random.Random(4)
    with trial(tmp_path / "run") as one, sending(one, threads=4) as threads:
        one.start()
        for n in range(8):
            time.sleep(r.uniform(0.02, 0.3))
            _frozen(one)
            _lost(one, threads, tmp_path / f"image-{n}", r)
            os.kill(one.pid, signal.SIGCONT)
        finish(one, threads)


def _frozen(one: Trial) -> None:
    """The program does nothing any more, for now."""
    os.kill(one.pid, signal.SIGSTOP)
    eventually(lambda: all(_state_of(task) in "tTD" for task in Path(f"/proc/{one.pid}/task").iterdir()))
    eventually(lambda: all(_state_of(task) in "tT" for task in Path(f"/proc/{one.pid}/task").iterdir()))


def _state_of(task: Path) -> str:
    return (task / "stat").read_text().rpartition(")")[2].split()[0]


def _lost(one: Trial, threads: Sending, image: Path, r: random.Random) -> None:
    """An image of a trial that does nothing now has all that was acknowledged, once, and goes on as if nothing were."""
    with threads.told() as acknowledged:
        said = {topic: set(ids) for topic, ids in acknowledged.items()}
        batches = threads.batches
    lose_power(one.folder, image, r)
    with trial(image, one.settings) as other:
        other.start()
        found = _ids(other.log)
        for topic, ids in said.items():
            assert not ids - found[topic].keys(), f"{topic}: acknowledged, and not in the log any more"
            assert set(found[topic].values()) <= {1}, f"{topic}: twice in the log"
        if any(found.values()):
            expected = {topic: len(ids) for topic, ids in found.items() if ids}
            eventually(lambda: counts_of(other) == expected)
        # Whoever was not told sends again; here that is everybody, as if nobody remembered.
        with sending(other, threads=8, pause_s=0) as again:
            eventually(lambda: again.batches > batches + MOST_BEGUN)
            other.start_again()
            finish(other, again)
    shutil.rmtree(image)


def _ids(log: Path) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {"call": {}, "keyed": {}}
    with LogReader(log, archives=ARCHIVES) as reader:
        for block in reader.blocks():
            assert isinstance(block, LogBlock), block
            for line in block.events.splitlines():
                event = json.loads(line)
                id_ = event["body"]["id"]
                found[event["topic"]][id_] = found[event["topic"]].get(id_, 0) + 1
    return found
