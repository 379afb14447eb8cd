from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from streamgauge.testing.kill_points import PARTS, STEPS
from tests.exactly_once.sending import Sending
from tests.exactly_once.trial import PRUNED, SMALL, Trial, eventually, expired, finish, sending, trial, with_settings
from tests.servers.postgres import Postgres, postgres

__all__ = ["postgres"]

# Where each step goes by for the first time, and where it does in the middle of things.
TIMES = (1, 4)
ONCE = ("created", "migrating", "migrated")
REPEATED = [name for name in STEPS if name not in ONCE]


@pytest.mark.slow
@pytest.mark.parametrize("step", REPEATED)
def test_killed_at_a_step_nothing_is_lost_or_counted_twice(step: str, tmp_path: Path) -> None:
    settings = PRUNED if step in PARTS["housekeeping"] else SMALL
    with trial(tmp_path, settings) as one, sending(one, threads=4) as threads:
        for nth in TIMES:
            one.add_lines(25, rotate=nth == 4)
            one.start(step, nth)
            one.wait_dead()
        assert one.kills == len(TIMES)
        finish(one, threads)


def test_killed_while_the_store_is_made(tmp_path: Path) -> None:
    with trial(tmp_path) as one, sending(one) as threads:
        assert not one.start("created")
        one.wait_dead()
        one.start("committed", 3)
        one.wait_dead()
        finish(one, threads)


@pytest.mark.parametrize("step", ["appended", "recalled", "log_durable"])
def test_an_answer_that_was_never_heard_is_given_again(step: str, tmp_path: Path) -> None:
    # These requests have an Idempotency-Key, and their events no id: without the stored answer they would double.
    with trial(tmp_path) as one, sending(one, threads=3, numbers=itertools.count(3, 4)) as threads:
        for nth in (1, 3):
            one.start(step, nth)
            one.wait_dead()
        finish(one, threads)
        assert threads.counts()["keyed"] > 0


@pytest.mark.parametrize("step", ["before_commit", "committed"])
def test_killed_while_cells_expire(step: str, tmp_path: Path) -> None:
    with trial(tmp_path) as one, sending(one, threads=4) as threads:
        for _ in range(3):
            one.start(step, 5)
            one.wait_dead()
        one.start()
        _wait_batches(threads, 60)
        finish(one, threads)
        assert expired(one) > 0


@pytest.mark.slow
def test_killed_where_the_store_is_on_a_server(postgres: Postgres, tmp_path: Path) -> None:
    with postgres.database() as url, trial(tmp_path, url=url) as one, sending(one, threads=4) as threads:
        assert not one.start("created")
        one.wait_dead()
        for step in ("before_commit", "committed", "merged", "committed"):
            one.start(step, 3)
            one.wait_dead()
        one.start()
        _wait_batches(threads, threads.batches + 20)
        one.kill()
        finish(one, threads)


def test_ended_by_sigterm_it_goes_on_where_it_was(tmp_path: Path) -> None:
    with trial(tmp_path) as one, sending(one) as threads:
        for _ in range(2):
            one.start()
            _wait_batches(threads, threads.batches + 5)
            one.kill(signal.SIGTERM)
        assert one.kills == 0
        finish(one, threads, signal.SIGTERM)


def test_a_log_that_stays_empty_at_first_is_kept_in_order_later(tmp_path: Path) -> None:
    with trial(tmp_path, with_settings(look_s=0.01)) as one:
        assert one.start("segment_removed", 2)
        time.sleep(0.2)
        with sending(one, threads=4) as threads:
            one.wait_dead()
            finish(one, threads)


def test_killed_at_each_start_before_anything_is_taken(tmp_path: Path) -> None:
    # Whatever is done at a start, it is done again: recovery, the memory of ids, the first commit.
    with trial(tmp_path, with_settings(run_ids=50)) as one, sending(one) as threads:
        one.start()
        _wait_batches(threads, 12)
        one.kill()
        for step in ("ids_sealed", "committed", "archive_named", "received"):
            one.start(step)
            one.wait_dead()
        finish(one, threads)


def test_the_program_that_dies_at_a_step_is_the_real_one(tmp_path: Path) -> None:
    one: Any = Trial(tmp_path)
    command = [sys.executable, "-m", "streamgauge.testing.kill_points", "before_log_fsync:3"]
    command += ["--data", str(tmp_path / "data"), "--config", str(tmp_path / "streamgauge.toml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, sending(one) as threads:
        assert process.stdout is not None
        one.port = int(process.stdout.readline())
        assert process.wait(30) == -signal.SIGKILL
        one.port = None
        finish(one, threads)
    one.close()


def test_a_step_that_nobody_has_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "streamgauge.testing.kill_points", "before_comit", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no step is called 'before_comit'" in done.stderr


def test_every_step_has_a_name_of_its_own() -> None:
    assert len(set(STEPS)) == len(STEPS)


def _wait_batches(threads: Sending, count: int) -> None:
    eventually(lambda: threads.batches >= count)
