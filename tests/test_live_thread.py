"""The thread of the pipeline over a log that grows: it follows, stops, survives its store, and forgets keys."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from streamgauge.declare import Declarations
from streamgauge.errors import StoreError
from streamgauge.live import FORGET_S, READER
from streamgauge.log.catalog import list_segments
from streamgauge.store import open_store
from streamgauge.store.base import Store
from streamgauge.store.sql import SqlStore
from tests.log.taking import HandClock, arriving, eventually
from tests.logged import Intaking, computed, cut_up, dump, live, write_blocks
from tests.running import MINUTE, T, declare, line, made_up
from tests.servers.postgres import Postgres, postgres
from tests.store.test_sql_failing import DISKS, fill, small_disk
from tests.test_pipeline import DECLARATIONS

__all__ = ["postgres"]


@pytest.fixture(scope="module")
def declarations(tmp_path_factory: pytest.TempPathFactory) -> Declarations:
    return declare(tmp_path_factory.mktemp("declared"), DECLARATIONS)


def test_a_log_that_grows_is_followed(tmp_path: Path, declarations: Declarations) -> None:
    blocks = cut_up(made_up(6, 120), [7])
    with Intaking(tmp_path / "log", declarations, segment_blocks=5) as log, open_store(tmp_path / "s.db") as store:
        with live(tmp_path / "log", declarations, store, lambda: log.writer.next_block) as one:
            for lines in blocks:
                log.take(*lines, arrival=arriving(id="body.id", lateness_ms=MINUTE))
                one.notify()
            eventually(lambda: one.behind == 0)
            assert one.progress.position == log.writer.next_position
            assert one.progress.problem == ""
        followed = dump(store)
    assert followed == computed(tmp_path / "log", declarations, tmp_path / "plain.db")


def test_it_reads_no_block_that_is_not_durable(tmp_path: Path, declarations: Declarations) -> None:
    log, durable = write_blocks(tmp_path, declarations, cut_up(made_up(6, 60), [5])), 3
    with open_store(tmp_path / "s.db") as store, live(log, declarations, store, lambda: durable) as one:
        eventually(lambda: one.progress.block == 3)
        durable = 6
        one.notify()
        eventually(lambda: one.progress.block == 6)
        assert store.load_reader(READER).blocks == 6


def test_stopped_far_behind_it_commits_what_it_read_and_ends(tmp_path: Path, declarations: Declarations) -> None:
    blocks = cut_up(made_up(8, 100), [1])
    log, gate, passed = write_blocks(tmp_path, declarations, blocks), threading.Event(), threading.Event()

    def slow(name: str) -> None:
        if name == "read":
            passed.set()
            assert gate.wait(20)

    with open_store(tmp_path / "s.db") as store:
        with live(log, declarations, store, lambda: len(blocks), slow, slice_bytes=500) as one:
            assert passed.wait(20)
            stopping = threading.Thread(target=one.stop, args=(20,))
            stopping.start()
            eventually(lambda: one._stopping.is_set())
            gate.set()
            stopping.join()
            assert 0 < store.load_reader(READER).blocks < len(blocks)
        assert dump(store) != ""
    assert computed(log, declarations, tmp_path / "s.db") == computed(log, declarations, tmp_path / "plain.db")


def test_what_is_damaged_at_the_end_is_said_once_and_not_read_over_and_over(
    tmp_path: Path, declarations: Declarations
) -> None:
    log = write_blocks(tmp_path, declarations, cut_up(made_up(6, 60), [10]))
    (segment,) = list_segments(log)
    data = bytearray(segment.path.read_bytes())
    data[-3] ^= 1
    segment.path.write_bytes(data)
    count, looks = len(blocks_of_damaged(log)), 0

    def durable() -> int:
        nonlocal looks
        looks += 1
        return count + 1

    with open_store(tmp_path / "s.db") as store, live(log, declarations, store, durable) as one:
        eventually(lambda: one.progress.block == count)
        before = looks
        threading.Event().wait(0.6)
        assert looks - before < 20


def blocks_of_damaged(log: Path) -> list[object]:
    """The blocks before the last one, which is damaged."""
    from streamgauge.log.base import LogBlock
    from streamgauge.log.reading import LogReader

    with LogReader(log) as reader:
        return [item for item in reader.blocks() if isinstance(item, LogBlock)]


def test_other_declarations_are_refused_and_named(tmp_path: Path, declarations: Declarations) -> None:
    log = write_blocks(tmp_path, declarations, cut_up(made_up(6, 20), [5]))
    computed(log, declarations, tmp_path / "s.db")
    other = declare(tmp_path, DECLARATIONS.replace('"10s"', '"11s"').replace('"7m"', '"8m"'))
    with (
        open_store(tmp_path / "s.db") as store,
        live(log, other, store, lambda: 5, start=False) as one,
        pytest.raises(StoreError, match="other definitions of begun, by_key; give the same"),
    ):
        one.start()
    assert not any(thread.name == "pipeline" for thread in threading.enumerate())


@pytest.mark.skipif(not DISKS, reason="needs the right to mount a small disk")
def test_a_store_on_a_full_disk_stands_still_and_goes_on(tmp_path: Path, declarations: Declarations) -> None:
    blocks = cut_up(made_up(9, 300), [30])
    log, durable = write_blocks(tmp_path, declarations, blocks), 2
    with small_disk(tmp_path / "small", "2m") as disk, open_store(disk / "s.db") as store:
        with live(log, declarations, store, lambda: durable) as one:
            eventually(lambda: one.progress.block == 2)
            fill(disk / "filler")
            durable = len(blocks)
            one.notify()
            eventually(lambda: "disk is full" in one.progress.problem)
            assert store.load_reader(READER).blocks == one.progress.block == 2
            (disk / "filler").unlink()
            eventually(lambda: one.behind == 0)
            assert one.progress.problem == ""
        text = dump(store)
    assert text == computed(log, declarations, tmp_path / "plain.db")


def test_a_server_that_crashes_is_waited_for(tmp_path: Path, declarations: Declarations, postgres: Postgres) -> None:
    blocks = cut_up(made_up(9, 200), [20])
    log, durable = write_blocks(tmp_path, declarations, blocks), 2
    with postgres.database() as url, open_store(url) as store:
        with live(log, declarations, store, lambda: durable) as one:
            eventually(lambda: one.progress.block == 2)
            postgres.cut_off()
            durable = len(blocks)
            one.notify()
            eventually(lambda: one.progress.problem != "")
            postgres.start()
            eventually(lambda: one.behind == 0)
        text = dump(store)
    assert text == computed(log, declarations, tmp_path / "plain.db")


KEPT_SHORT = """
[statistic.s]
topic = "*"
every = "1m"
by = { k = "body.k" }
keep = { "1m" = "1m" }
measures = { n = "count()" }
"""


def keys_of(store: Store) -> set[str]:
    assert isinstance(store, SqlStore)
    with store._engine.connect() as connection:
        return {text for (text,) in connection.exec_driver_sql("SELECT text FROM key")}


def test_keys_that_no_cell_has_any_more_are_forgotten_now_and_then(tmp_path: Path) -> None:
    declared, clock = declare(tmp_path, KEPT_SHORT), HandClock()
    by_time = arriving()
    with Intaking(tmp_path / "log", declared) as log, open_store(tmp_path / "s.db") as store:
        with live(tmp_path / "log", declared, store, lambda: log.writer.next_block, clock=clock) as one:

            def take(minute: int, key: str) -> None:
                log.take(line(time=T + minute * MINUTE, k=key), arrival=by_time)
                one.notify()
                eventually(lambda: one.behind == 0)

            take(0, "old")
            take(10, "new")
            assert keys_of(store) == {'["old"]', '["new"]'}
            clock.move(FORGET_S + 1)
            one.notify()
            eventually(lambda: keys_of(store) == {'["new"]'})
            take(10, "new")
            take(11, "old")
            assert keys_of(store) == {'["old"]', '["new"]'}, "the text of a key that comes back is written again"
            clock.move(FORGET_S + 1)
            take(11, "old")
            assert keys_of(store) >= {'["old"]'}
        text = dump(store)
    assert text == computed(tmp_path / "log", declared, tmp_path / "plain.db")


def test_an_engine_that_cannot_be_used_is_closed_before_another_is_made(
    tmp_path: Path, declarations: Declarations, postgres: Postgres
) -> None:
    log = write_blocks(tmp_path, declarations, cut_up(made_up(9, 20), [20]))
    with postgres.database() as url, open_store(url) as store, live(log, declarations, store, lambda: 1) as one:
        eventually(lambda: one.behind == 0)
        postgres.cut_off()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            said = one.progress.problem = "looked at"
            eventually(lambda said=said: one.progress.problem != said)  # type: ignore[misc]
        assert len(os.listdir("/proc/self/fd")) <= before + 10
        postgres.start()
