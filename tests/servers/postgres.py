"""A real PostgreSQL for tests: on loopback, on a free port, in a temporary folder, stopped by its process id.

A test module takes the fixture by its name::

    from tests.servers.postgres import postgres  # noqa: F401

    def test_something(postgres: Postgres) -> None:
        with postgres.database() as url: ...
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

PASSWORD = "s3cret-of-the-tests"
INSTALL = "apt-get install -y --no-install-recommends postgresql"
_READY_S = 60.0


class Missing(Exception):
    """The server is not on this machine; the text says how to install it."""


def programs() -> Path:
    """The folder with ``initdb`` and ``postgres``, installed if need be and allowed. Raises Missing."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        _install()
    found = _installed()
    if found is None:
        raise Missing(f"no PostgreSQL here; install it with: sudo {INSTALL}")
    return found


def _install() -> None:
    """Install it unless it is there. One test process at a time: the others wait, and find it half installed else."""
    with open(Path(tempfile.gettempdir()) / "streamgauge-tests-install", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _installed() is not None:
            return
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in ("apt-get update", f"{INSTALL} -o DPkg::Lock::Timeout=300"):
            subprocess.run(command.split(), check=False, capture_output=True, env=quiet)


def _installed() -> Path | None:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    candidates = [*folders, *([Path(on_path).resolve().parent] if on_path else [])]
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


class Postgres:
    """One server. Its default collation is not that of bytes, as on most real ones."""

    def __init__(self) -> None:
        self.programs = programs()
        self.folder = Path(tempfile.mkdtemp(prefix="sg-pg-"))
        self.port = _free_port()
        self._process: subprocess.Popen[Any] | None = None
        # PostgreSQL refuses to run as root.
        self._user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        try:
            if self._user:
                shutil.chown(self.folder, "postgres", "postgres")
            self._make()
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise RuntimeError("the server does not run")
        return self._process.pid

    def url(self, database: str = "postgres", password: str = PASSWORD) -> str:
        """Where a store may be."""
        return f"postgresql://gauge:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder, "fsync": "off"}
        command = [str(self.programs / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
        command += [f"--{name}={value}" for name, value in settings.items()]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **self._user)
        self._process = process
        deadline = time.monotonic() + _READY_S
        while True:
            try:
                self.execute("SELECT 1")
                return
            except psycopg.OperationalError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()}") from None
                time.sleep(0.05)

    def cut_off(self) -> None:
        """End it at once, with every connection, as a crash would: nothing is finished or said."""
        self._end(signal.SIGQUIT)

    def close(self) -> None:
        """Stop it and delete its folder. May be called twice."""
        self._end(signal.SIGINT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as the server's administrator; the rows, if it has any."""
        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database, dropped at the end whoever still uses it."""
        name = f"test_{uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            if self._process is None:
                self.start()
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _make(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD)
        if self._user:
            shutil.chown(password, "postgres", "postgres")
        options = ["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
        secrets = ["--auth=scram-sha-256", f"--pwfile={password}", "--username=gauge"]
        command = [str(self.programs / "initdb"), "-D", str(self.folder / "data"), *options, *secrets]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=self.folder, **self._user)
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the whole run; skipped, with the command that would install it, where there is none."""
    try:
        server = Postgres()
    except Missing as missing:
        pytest.skip(str(missing))
    yield server
    server.close()
