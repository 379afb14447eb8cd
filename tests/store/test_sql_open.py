"""Opening a store: who may write it, who may read it, and what is refused untouched."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import traceback
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy.exc import DBAPIError

from streamgauge.errors import StoreError
from streamgauge.store import open_store
from streamgauge.store.base import Commit, Expire, key_id
from streamgauge.store.sql import SqlStore
from tests.servers.postgres import Postgres
from tests.store.making import CALLS, change, dumped, full_commit, raw


def test_a_closed_store_leaves_one_file(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db") as store:
        store.commit(full_commit())
    assert [path.name for path in tmp_path.iterdir()] == ["s.db"]


def test_a_second_writer_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    program = "import sys; from streamgauge.store import open_store; open_store(sys.argv[1])"
    with open_store(path):
        with pytest.raises(StoreError, match=rf"another streamgauge .process {os.getpid()} on .*. is writing it; wait"):
            open_store(path)
        second = subprocess.run([sys.executable, "-c", program, str(path)], check=False, capture_output=True, text=True)
        assert "StoreError" in second.stderr
    open_store(path).close()


def test_a_lock_file_left_behind_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "s.db.lock").touch()
    open_store(tmp_path / "s.db").close()


def _text_file(path: Path) -> None:
    path.write_text("not a database at all, but long enough to be one\n" * 100)


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE meta (id INTEGER, name TEXT)")
    connection.close()


def _newer(path: Path) -> None:
    open_store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '3' WHERE name = 'schema'")
    connection.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_text_file, "no streamgauge store; give another path"),
        (_foreign, "is a database of something else; give a path"),
        (_newer, "written by a newer streamgauge .schema 3, this one knows 2.; upgrade"),
        (Path.mkdir, "is a folder; name a file in it"),
    ],
)
def test_what_is_no_store_of_ours_is_refused_untouched(tmp_path: Path, make: object, message: str) -> None:
    path = tmp_path / "s.db"
    make(path)  # type: ignore[operator]
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StoreError, match=message):
        open_store(path)
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert not (tmp_path / "s.db.lock").exists()


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("/no/such/folder/s.db", "there is no folder /no/such/folder; make it first"),
        ("mysql://host/x", "mysql is not supported; use sqlite or postgresql"),
        ("sqlite://", "names no file; write sqlite:///store.db"),
        ("://", "is no URL; give a path"),
    ],
)
def test_a_place_that_cannot_hold_a_store_is_refused(where: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        open_store(where)


AS_ANOTHER_USER = """
import os, sys
from streamgauge.errors import StoreError
from streamgauge.store.sql_open import Opened

if os.geteuid() == 0:
    os.setuid(65534)
try:
    Opened(sys.argv[1])
except StoreError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("mode", "folder_mode", "message"),
    [(0o444, 0o755, "cannot be written; check its permissions"), (0o666, 0o555, "folder of a store must be writable")],
)
def test_a_store_that_may_not_be_written_is_refused(mode: int, folder_mode: int, message: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "s.db")
        open_store(path).close()
        path.chmod(mode)
        Path(folder).chmod(folder_mode)
        # Root may write anything, so it is tried as another user.
        command = [sys.executable, "-c", AS_ANOTHER_USER, str(path)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        Path(folder).chmod(0o755)
    assert message in done.stdout, done.stderr


def test_a_second_writer_of_a_server_is_told_who_the_first_is(postgres: Postgres) -> None:
    with postgres.database() as url:
        with open_store(url) as store:
            with pytest.raises(
                StoreError, match=rf"another streamgauge .streamgauge {os.getpid()} on .*wait"
            ) as refused:
                open_store(url)
            assert "127.0.0.1" in str(refused.value)
            store.commit(full_commit())
        open_store(url).close()


def test_two_databases_of_one_server_have_a_writer_each(postgres: Postgres) -> None:
    with postgres.database() as one, postgres.database() as other, open_store(one), open_store(other):
        pass


def test_a_link_leads_to_the_lock_of_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "s.db")
    with open_store(tmp_path / "s.db"), pytest.raises(StoreError, match="another streamgauge"):
        open_store(tmp_path / "link.db")


KILLED = """
import os, signal, sys
from streamgauge.store import open_store
store = open_store(sys.argv[1])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_lock_of_a_killed_writer_is_free_at_once(store_url: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, store_url], check=False)
    assert done.returncode == -signal.SIGKILL
    open_store(store_url).close()


def test_many_read_what_one_writes(store_url: str) -> None:
    with open_store(store_url) as writer, ExitStack() as stack:
        writer.commit(full_commit())
        readers = [stack.enter_context(SqlStore.open_read_only(store_url)) for _ in range(3)]
        assert {dumped(reader) for reader in readers} == {dumped(writer)}
        again = full_commit(20)
        again.counters = {"events": 96}
        writer.commit(again)
        assert [reader.counters("report")["events"] for reader in readers] == [100] * 3
        assert all(reader.load_reader("report").position == 20 for reader in readers)


def test_a_reader_sees_one_moment_for_as_long_as_it_reads(store_url: str) -> None:
    cells = [raw(start, "[]") for start in range(6000)]
    with open_store(store_url) as writer:
        writer.commit(Commit("live", 1, versions=[CALLS], cells=[change(*cells)], keys=[(key_id("[]"), "[]")]))
        with SqlStore.open_read_only(store_url) as reader:
            reading = reader.cells(CALLS.hash, "6m")
            first = next(reading)
            writer.commit(Commit("live", 2, expire=[Expire(CALLS.hash, "6m", 6000)]))
            assert len(first) + sum(map(len, reading)) == 6000
            assert reader.extent(CALLS.hash, "6m") is None


def test_a_reader_goes_on_after_its_writer_ended(store_url: str) -> None:
    writer = open_store(store_url)
    writer.commit(full_commit())
    with SqlStore.open_read_only(store_url) as reader:
        before = dumped(reader)
        writer.close()
        assert dumped(reader) == before
        with open_store(store_url) as second:
            second.commit(Commit("report", 30))
        assert reader.load_reader("report").position == 30


def test_what_was_opened_for_reading_writes_nothing(store_url: str) -> None:
    with open_store(store_url) as store:
        store.commit(full_commit())
        before = dumped(store)
    with SqlStore.open_read_only(store_url) as reader:
        for write in (lambda: reader.commit(full_commit(20)), reader.forget_keys):
            with pytest.raises(StoreError, match="was opened for reading only; nothing can be written"):
                write()
        with pytest.raises(DBAPIError), reader._engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM cell")
        assert dumped(reader) == before


def test_reading_makes_nothing(tmp_path: Path, postgres: Postgres) -> None:
    with pytest.raises(StoreError, match="there is no such file; check the path"):
        SqlStore.open_read_only(tmp_path / "s.db")
    assert not list(tmp_path.iterdir())
    with postgres.database() as url:
        with pytest.raises(StoreError, match="is a database of something else"):
            SqlStore.open_read_only(url)
        assert postgres.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'", url.rsplit("/", 1)[1]) == []


def test_any_file_name_can_be_read(tmp_path: Path) -> None:
    for name in ("a?mode=rwc", "b%41#", "c d&e"):
        with open_store(tmp_path / name) as store:
            store.commit(full_commit())
        with SqlStore.open_read_only(tmp_path / name) as reader:
            assert reader.load_reader("report").position == 10


READS_AS_ANOTHER_USER = """
import os, sys
from streamgauge.errors import StoreError
from streamgauge.store.sql import SqlStore

SqlStore.open(None).close()  # imports what another user may not read
if os.geteuid() == 0:
    os.setuid(65534)
try:
    SqlStore.open_read_only(sys.argv[1]).close()
    print("read")
except StoreError as error:
    print(error)
"""


def test_who_may_write_nothing_reads_what_another_writes_and_else_is_told_why_not() -> None:
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder, "s.db")
        command = [sys.executable, "-c", READS_AS_ANOTHER_USER, str(path)]
        with open_store(path) as store:
            store.commit(full_commit())
            said = [subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()]
        Path(folder).chmod(0o555)
        said.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        Path(folder).chmod(0o755)
    assert said[0] == "read"
    assert "must be allowed to make files beside it" in said[1]


def test_a_commit_is_on_the_disk_when_it_returns(store_url: str) -> None:
    with SqlStore.open(store_url) as store, store._opened.writer.begin() as connection:
        if store_url.startswith("sqlite"):
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        else:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


def test_a_server_that_does_not_wait_for_its_disk_is_told_to(postgres: Postgres) -> None:
    with postgres.database() as url:
        name = url.rsplit("/", 1)[1]
        postgres.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        with SqlStore.open(url) as store, store._opened.writer.begin() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


@pytest.mark.parametrize(
    "where",
    [
        "postgresql://gauge:hunter2@127.0.0.1:1/x",
        "postgresql+psycopg://gauge:hunter2@127.0.0.1:1/x?connect_timeout=1",
        "postgresql://gauge@127.0.0.1:1/x?password=hunter2",
        "postgresql://gauge:hun@ter2@127.0.0.1:abc/x",
        "postgresql://gauge:hunter2@127.0.0.1:abc/x?y=1",
        "mysql://gauge:hunter2@127.0.0.1/x",
        "postgresql://gauge:hunter2@127.0.0.1:1/x?no_such_option=1",
    ],
)
def test_no_error_says_the_password(where: str) -> None:
    with pytest.raises(StoreError) as refused:
        open_store(where)
    text = "".join(traceback.format_exception(refused.value))
    assert "hunter2" not in text
    assert "ter2" not in text.replace("test_", "")
    assert "127.0.0.1" in str(refused.value)


def test_a_wrong_password_is_not_repeated(postgres: Postgres) -> None:
    wrong = "hunter" * 2
    with pytest.raises(StoreError, match="check user and password") as refused:
        open_store(postgres.url(password=wrong))
    assert wrong not in "".join(traceback.format_exception(refused.value))


def test_a_database_that_is_not_there_is_named(postgres: Postgres) -> None:
    with pytest.raises(StoreError, match='database "nowhere" does not exist; create it first'):
        open_store(postgres.url("nowhere"))


def test_a_database_of_something_else_is_left_alone(postgres: Postgres) -> None:
    with postgres.database() as url:
        name = url.rsplit("/", 1)[1]
        postgres.execute("CREATE TABLE customers (id int)", name)
        for opening in (SqlStore.open, SqlStore.open_read_only):
            with pytest.raises(StoreError, match="is a database of something else; give a path or a database"):
                opening(url)
        tables = postgres.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name)
        assert tables == [("customers",)]
