"""Closed segments become archives and old ones go, while the pipeline reads the log."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamgauge.declare import Declarations
from streamgauge.housekeeping import Housekeeping
from streamgauge.live import Live
from streamgauge.log.archive import SUFFIX
from streamgauge.log.catalog import list_segments
from streamgauge.log.retention import Policy
from streamgauge.store import open_store
from streamgauge.testing.kill_points import Killed, kill_at
from tests.log.taking import arriving, eventually
from tests.logged import LATER, Intaking, blocks_of, computed, dump, live
from tests.running import MINUTE, T, declare, line

DECLARED = """
[statistic.s]
topic = "*"
every = "1m"
by = { k = "body.k" }
measures = { n = "count()", total = "sum(body.x::BIGINT)" }
"""


@pytest.fixture
def declarations(tmp_path: Path) -> Declarations:
    return declare(tmp_path, DECLARED)


def fill(log: Intaking, blocks: int, first: int = 0) -> None:
    for n in range(first, first + blocks):
        log.take(*(line(time=T + n * MINUTE, k=f"k{m}", x=n) for m in range(5)), arrival=arriving())


def forms(folder: Path) -> str:
    """The segments in order: ``a`` an archive, ``w`` as it was written."""
    return "".join("w" if segment.written else "a" for segment in list_segments(folder, [SUFFIX]))


@contextmanager
def kept(log: Intaking, one: Live, policy: Policy | None = None, look_s: float = 60) -> Iterator[Housekeeping]:
    made = Housekeeping(log.writer, one, policy or Policy(), log.clock, look_s)
    try:
        yield made
    finally:
        made.stop()


def test_segments_that_were_read_become_archives_and_others_stay(tmp_path: Path, declarations: Declarations) -> None:
    folder, durable = tmp_path / "log", 5
    with Intaking(folder, declarations, segment_blocks=2) as log, open_store(tmp_path / "s.db") as store:
        fill(log, 9)
        with live(folder, declarations, store, lambda: durable) as one, kept(log, one) as keeping:
            eventually(lambda: one.progress.block == 5)
            keeping.compact()
            assert forms(folder) == "aawww"
            durable = 9
            one.notify()
            eventually(lambda: one.behind == 0)
            keeping.compact()
            assert forms(folder) == "aaaaw", "the newest is being written"
        assert [block.header.number for block in blocks_of(folder)] == list(range(9))


def test_archives_are_made_while_the_pipeline_reads(tmp_path: Path, declarations: Declarations) -> None:
    folder = tmp_path / "log"
    with Intaking(folder, declarations, segment_blocks=3) as log, open_store(tmp_path / "s.db") as store:
        with (
            live(folder, declarations, store, lambda: log.writer.next_block) as one,
            kept(log, one, look_s=0.001) as keeping,
        ):
            keeping.start()
            fill(log, 60)
            one.notify()
            eventually(lambda: one.behind == 0)
            eventually(lambda: forms(folder) == "a" * 19 + "w")
            assert one.progress.damages == []
            assert keeping.problem == ""
        followed = dump(store)
    assert followed == computed(folder, declarations, tmp_path / "plain.db")


def test_nothing_goes_that_the_reader_still_needs_and_health_says_so(
    tmp_path: Path, declarations: Declarations
) -> None:
    folder, durable = tmp_path / "log", 3
    with Intaking(folder, declarations, segment_blocks=1) as log, open_store(tmp_path / "s.db") as store:
        fill(log, 6)
        with live(folder, declarations, store, lambda: durable) as one, kept(log, one, Policy(max_bytes=1)) as keeping:
            eventually(lambda: one.progress.block == 3)
            keeping.compact()
            keeping.prune()
            assert forms(folder) == "www", "what it has read has gone"
            one.progress.block = 1
            durable = 6
            one.notify()
            eventually(lambda: one.behind == 0)
            keeping.compact()
            one.progress.block, one.progress.position = 4, 20
            held = keeping.prune()
            assert forms(folder) == "aw"
            assert "over the limit, held by reader live at position 20" in held.problem
            assert keeping.held == held.problem


def test_age_counts_from_the_youngest_thing_in_a_segment(tmp_path: Path, declarations: Declarations) -> None:
    folder, day = tmp_path / "log", 86_400_000
    with Intaking(folder, declarations, segment_blocks=1) as log, open_store(tmp_path / "s.db") as store:
        fill(log, 2)
        log.clock.wall_ms = LATER + 2 * day
        fill(log, 2, first=2)
        with (
            live(folder, declarations, store, lambda: log.writer.next_block) as one,
            kept(log, one, Policy(keep_ms=day)) as keeping,
        ):
            eventually(lambda: one.behind == 0)
            keeping.compact()
            assert keeping.prune().problem == ""
            assert forms(folder) == "aw"
            assert blocks_of(folder)[0].header.number == 2


def test_a_damaged_segment_is_left_alone_and_said(tmp_path: Path, declarations: Declarations) -> None:
    folder = tmp_path / "log"
    with Intaking(folder, declarations, segment_blocks=2) as log, open_store(tmp_path / "s.db") as store:
        fill(log, 7)
        with live(folder, declarations, store, lambda: 7) as one, kept(log, one) as keeping:
            eventually(lambda: one.behind == 0)
            damaged = list_segments(folder)[1].path
            data = bytearray(damaged.read_bytes())
            data[-10] ^= 4
            damaged.write_bytes(data)
            for _ in range(2):
                keeping.compact()
            assert forms(folder) == "awaw"
            assert damaged.read_bytes() == data
            keeping.prune()
            (said,) = keeping.damages
            assert damaged.name in said


STEPS = (
    "archive_written",
    "archive_synced",
    "archive_compared",
    "archive_named",
    "archive_durable",
    "segment_archived",
)


@pytest.mark.parametrize("step", STEPS)
def test_what_a_kill_left_of_an_archive_is_mended(tmp_path: Path, declarations: Declarations, step: str) -> None:
    folder = tmp_path / "log"
    with Intaking(folder, declarations, segment_blocks=2) as log, open_store(tmp_path / "s.db") as store:
        fill(log, 5)
        before = blocks_of(folder)
        with live(folder, declarations, store, lambda: 5) as one:
            eventually(lambda: one.behind == 0)
            killed = Housekeeping(log.writer, one, Policy(), log.clock, 60, kill_at(step, 2))
            with pytest.raises(Killed):
                killed.compact()
            assert blocks_of(folder) == before
            with kept(log, one) as keeping:
                keeping.start()
                assert not list(folder.glob("*.new"))
                keeping.compact()
        assert forms(folder) == "aaw"
        assert blocks_of(folder) == before


def test_an_archive_beside_its_segment_is_trusted_only_where_it_is_the_same(
    tmp_path: Path, declarations: Declarations
) -> None:
    folder = tmp_path / "log"
    with Intaking(folder, declarations, segment_blocks=2) as log, open_store(tmp_path / "s.db") as store:
        fill(log, 5)
        before = blocks_of(folder)
        with live(folder, declarations, store, lambda: 5) as one, kept(log, one) as keeping:
            eventually(lambda: one.behind == 0)
            first, second = list_segments(folder)[:2]
            shutil.copy(first.path, tmp_path / "first")
            keeping.compact()
            shutil.copy(second.path.with_suffix(SUFFIX), first.path.with_suffix(SUFFIX))
            shutil.copy(tmp_path / "first", first.path)
            keeping.compact()
        assert forms(folder) == "aaw"
        assert blocks_of(folder) == before


def test_a_full_disk_that_leaves_no_room_for_an_archive_does_not_keep_old_ones(
    tmp_path: Path, declarations: Declarations
) -> None:
    folder = tmp_path / "log"
    with Intaking(folder, declarations, segment_blocks=1) as log, open_store(tmp_path / "s.db") as store:
        fill(log, 2)
        with live(folder, declarations, store, lambda: log.writer.next_block) as one:
            eventually(lambda: one.behind == 0)
            with kept(log, one, Policy(max_bytes=1), look_s=0.01) as keeping:
                keeping.compact()
                fill(log, 2, first=2)
                one.notify()
                eventually(lambda: one.behind == 0)
                # Where a folder stands in its way, an archive cannot be written.
                (folder / (list_segments(folder)[1].path.with_suffix(SUFFIX).name + ".new")).mkdir()
                keeping._thread.start()
                eventually(lambda: list_segments(folder, [SUFFIX])[0].block >= 1)
                eventually(lambda: keeping.problem != "")
