"""What may go wrong while a store is used: each ends in a clear error, nothing half written, and can be tried again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamgauge.errors import RetryableError, StoreError
from streamgauge.store import open_store
from streamgauge.store.base import CellChange, Commit, RawCell, StoreUnavailable, key_id
from streamgauge.store.sql import SqlStore
from tests.servers.postgres import Postgres
from tests.store.cutting import Wire
from tests.store.making import CALLS, TEXTS, dumped, full_commit, raw
from tests.store.test_sql_letters import letters


def test_what_passes_by_itself_is_a_store_error_and_can_be_retried() -> None:
    error = StoreUnavailable("gone", 2.5)
    assert isinstance(error, StoreError)
    assert isinstance(error, RetryableError)
    assert (error.retry_after_s, error.exit_code) == (2.5, 2)


def may_mount() -> bool:
    return bool(shutil.which("unshare")) and not subprocess.run(["unshare", "--mount", "true"], check=False).returncode


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def big_commit() -> Commit:
    """Of 5 MB."""
    big = full_commit(20)
    big.dead_letters = letters(500, 10_000, 50)
    return big


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (2**16, 2**10, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


DISKS = ["sqlite", "postgresql"] if may_mount() else []


@pytest.mark.parametrize("kind", DISKS)
def test_a_full_disk_loses_only_that_commit_which_can_be_made_when_there_is_room(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with small_disk_store(kind, tmp_path, request) as (url, disk), open_store(url) as store:
        store.commit(full_commit())
        before = dumped(store)
        fill(disk / "filler")
        with pytest.raises(StoreUnavailable, match="disk is full; free some room"):
            store.commit(big_commit())
        assert dumped(store) == before
        (disk / "filler").unlink()
        store.commit(big_commit())
        assert store.load_reader("report").position == 20
        assert store.counters("report")["events"] == 8


@contextmanager
def small_disk_store(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    if kind == "sqlite":
        with small_disk(tmp_path / "small", "16m") as disk:
            yield f"sqlite:///{disk / 's.db'}", disk
        return
    server: Postgres = request.getfixturevalue("postgres")
    with small_disk(server.folder / "small", "32m") as disk:
        space = disk / "space"
        space.mkdir()
        shutil.chown(space, "postgres", "postgres")
        server.execute(f"CREATE TABLESPACE small LOCATION '{space}'")
        server.execute("CREATE DATABASE on_small TABLESPACE small")
        try:
            yield server.url("on_small"), disk
        finally:
            server.execute("DROP DATABASE on_small WITH (FORCE)")
            server.execute("DROP TABLESPACE small")
    (server.folder / "small").rmdir()


LIMITED = """
import resource, sys
from streamgauge.errors import StoreError
from streamgauge.store import open_store
from streamgauge.store.base import StoreUnavailable
from tests.store.making import dumped, full_commit
from tests.store.test_sql_failing import big_commit

with open_store(sys.argv[1]) as store:
    store.commit(full_commit())
    before = dumped(store)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, most))
    try:
        store.commit(big_commit())
    except StoreUnavailable as error:
        print(error)
    assert dumped(store) == before
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    store.commit(big_commit())
    print(store.load_reader("report").position)
"""


def test_a_file_that_may_not_grow_says_so_and_loses_only_that_commit(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "s.db")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    assert "nothing of the last commit was written" in lines[0]
    assert lines[1] == "20"


PAGE = 4096


def cut_short(data: bytes, page: int) -> bytes:
    return data[: page * PAGE]


def zeroed(data: bytes, page: int) -> bytes:
    return data[: page * PAGE] + bytes(PAGE) + data[(page + 1) * PAGE :]


def scrambled(data: bytes, page: int) -> bytes:
    return data[: page * PAGE] + bytes(byte ^ 0x5A for byte in data[page * PAGE :][:PAGE]) + data[(page + 1) * PAGE :]


@pytest.mark.parametrize("damage", [cut_short, zeroed, scrambled])
def test_a_damaged_file_is_named_and_never_a_crash(tmp_path: Path, damage: object) -> None:
    whole, refused = tmp_path / "whole.db", 0
    with open_store(whole) as store:
        store.commit(full_commit())
    data = whole.read_bytes()
    for page in range(1, len(data) // PAGE):
        path = tmp_path / f"{page}.db"
        path.write_bytes(damage(data, page))  # type: ignore[operator]
        refusal = refused_with(path)
        if refusal:
            refused += 1
            assert str(path) in refusal
            assert any(word in refusal for word in ("damaged", "is a database of something else"))
    assert refused > len(data) // PAGE // 2


def refused_with(path: Path) -> str:
    """What reading all of a damaged store says; nothing where only a text was hit, as SQLite keeps no checksums."""
    try:
        with SqlStore.open_read_only(path) as store:
            dumped(store)
    except StoreError as error:
        return str(error)
    return ""


def test_a_state_that_cannot_be_unpacked_is_said_to_be_damaged(store_url: str) -> None:
    cell = (0, key_id("[]"), 1, 0, None, None, b"\xc1")
    with open_store(store_url) as store:
        broken = CellChange(CALLS.hash, "6m", [[cell]])
        store.commit(Commit("report", 1, versions=[CALLS], cells=[broken], keys=[(key_id("[]"), "[]")]))
        with pytest.raises(StoreError, match=r"holds what cannot be read .*it is damaged; restore it from a backup"):
            list(store.cells(CALLS.hash, "6m"))


def test_a_server_that_goes_in_the_middle_of_a_commit_leaves_nothing_of_it(postgres: Postgres) -> None:
    def torn() -> Iterator[list[RawCell]]:
        yield [raw(0, TEXTS[0], 99)]
        postgres.cut_off()
        yield [raw(1, TEXTS[0], 99)]

    with postgres.database() as url, open_store(url) as store:
        store.commit(full_commit())
        before = dumped(store)
        broken = full_commit(20)
        broken.cells = [CellChange(CALLS.hash, "6m", torn())]
        with pytest.raises(StoreUnavailable):
            store.commit(broken)
        with pytest.raises(StoreUnavailable, match="check that the server runs"):
            store.counters("report")
        with pytest.raises(StoreUnavailable, match="check that the server runs"):
            store.commit(full_commit(20))
        with pytest.raises(StoreUnavailable, match="check that the server runs"):
            SqlStore.open_read_only(url)
        postgres.start()
        assert dumped(store) == before
        store.commit(full_commit(20))
        assert store.counters("report")["events"] == 8


def test_a_reader_cut_off_in_the_middle_is_told_and_reads_again(postgres: Postgres) -> None:
    with postgres.database() as url, open_store(url) as store:
        cells = [raw(start, "[]") for start in range(20_000)]
        change = CellChange(CALLS.hash, "6m", [cells])
        store.commit(Commit("live", 1, versions=[CALLS], cells=[change], keys=[(key_id("[]"), "[]")]))
        reading = store.cells(CALLS.hash, "6m")
        next(reading)
        postgres.cut_off()
        with pytest.raises(StoreUnavailable):
            list(reading)
        postgres.start()
        assert sum(map(len, store.cells(CALLS.hash, "6m"))) == 20_000


COMMIT = b"COMMIT\0"


@contextmanager
def wired(postgres: Postgres) -> Iterator[tuple[str, Wire]]:
    """A store's URL over a wire that can be cut."""
    with postgres.database() as url, Wire(postgres.port) as wire:
        yield url.replace(f":{postgres.port}/", f":{wire.port}/"), wire


@pytest.mark.parametrize("made", [True, False])
def test_a_commit_of_which_nobody_heard_is_made_once_when_given_again(postgres: Postgres, made: bool) -> None:
    with wired(postgres) as (url, wire), open_store(url) as store:
        store.commit(full_commit())
        wire.cut_at(COMMIT, answered=made)
        with pytest.raises(StoreUnavailable):
            store.commit(full_commit(20))
        assert wire.cuts == 1
        assert store.load_reader("report").position == (20 if made else 10)
        store.commit(full_commit(20))
        assert store.counters("report")["events"] == 8
        store.commit(full_commit(30))
        assert store.counters("report")["events"] == 12


def test_another_commit_after_one_that_was_made_unheard_is_refused(postgres: Postgres) -> None:
    with wired(postgres) as (url, wire), open_store(url) as store:
        store.commit(full_commit())
        wire.cut_at(COMMIT, answered=True)
        with pytest.raises(StoreUnavailable):
            store.commit(full_commit(20))
        other = full_commit(20)
        other.replayed = [3]
        with pytest.raises(StoreError, match=r"was made although its connection broke.*start again from the stored"):
            store.commit(other)
        assert [letter.state for letter in store.find_letters("report")] == ["new"]
        assert store.counters("report")["events"] == 8


def test_a_writer_that_lost_its_lock_to_another_may_not_go_on(postgres: Postgres) -> None:
    with postgres.database() as url, open_store(url) as first:
        first.commit(full_commit())
        postgres.cut_off()
        postgres.start()
        with open_store(url) as second:
            with pytest.raises(StoreUnavailable):  # its connection is gone
                first.commit(full_commit(20))
            with pytest.raises(StoreError, match=r"another streamgauge .* is writing it"):
                first.commit(full_commit(20))
            second.commit(full_commit(15))
        with pytest.raises(StoreError, match="another streamgauge wrote it while this one was not connected"):
            first.commit(full_commit(20))
        assert first.load_reader("report").position == 15


def test_a_connection_that_the_server_ended_is_made_again(postgres: Postgres) -> None:
    with postgres.database() as url, open_store(url) as store:
        store.commit(full_commit())
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'streamgauge%'"
        assert postgres.execute(ended)
        with pytest.raises(StoreUnavailable):
            store.commit(full_commit(20))
        store.commit(full_commit(20))
        assert store.load_reader("report").position == 20
