"""Who may come in, and what is said of secrets: nothing."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from streamgauge.serve.auth import hashed
from tests.hostile.program import COMMAND, DECLARATIONS, Program, configured, ended, problem

# Not made anew in each run: they stand in the names of tests, which are the same in all processes that share them.
READ, WRITE = "sg_a-token-that-reads", "sg_a-token-that-writes"
READ_LINE, WRITE_LINE = (f"sha256:{hashed(token)}" for token in (READ, WRITE))
TOKENS = f"""
[serve.tokens]
reader = {{ hash = "{READ_LINE}", allow = ["read"] }}
writer = {{ hash = "{WRITE_LINE}", allow = "write" }}
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A program that listens on every address, with tokens."""
    folder = tmp_path_factory.mktemp("guarded")
    with Program(folder, "--host", "0.0.0.0", config=TOKENS).ready() as program:
        program.url = program.url.replace("0.0.0.0", "127.0.0.1")
        yield program
        for secret in (READ, WRITE):
            assert secret not in program.log
        assert program.stop() == 0


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A program as it comes."""
    with Program(tmp_path_factory.mktemp("usual")).ready() as program:
        yield program


def test_elsewhere_than_on_loopback_it_asks_for_tokens(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::"):
        code, said = ended(tmp_path, "--host", host)
        assert (code, "tokens" in said, "--insecure" in said, "Traceback" in said) == (2, True, True, False), said
    with Program(tmp_path, "--host", "0.0.0.0", "--insecure").ready() as program:
        program.url = program.url.replace("0.0.0.0", "127.0.0.1")
        program.serves()


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("GET", "/v1/statistics", "", 401),
        ("GET", "/v1/statistics", "nonsense", 401),
        ("GET", "/v1/statistics", READ, 200),
        ("GET", "/v1/statistics", WRITE, 403),
        ("POST", "/v1/events", "", 401),
        ("POST", "/v1/events", READ, 403),
        ("POST", "/v1/events", WRITE, 200),
        ("GET", "/metrics", "", 401),
        ("GET", "/openapi.json", "", 401),
        ("GET", "/healthz", "", 200),
        ("GET", "/readyz", "", 200),
        ("GET", "/v1/nothing", "", 401),
    ],
)
def test_tokens(guarded: Program, method: str, path: str, token: str, status: int) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with guarded.client as client:
        answer = client.request(method, path, content=b"{}" if method == "POST" else b"", headers=headers)
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert token not in answer.text or not token
        problem(answer)
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer ")


def test_without_a_token_health_says_no_more_than_whether_it_works(guarded: Program) -> None:
    assert guarded.health() == {"status": "ok"}


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Host", "evil.example", 421),
        ("Host", "localhost.evil.example", 421),
        ("Host", "10.0.0.1", 421),
        ("Host", "localhost:1", 200),
        ("Origin", "http://evil.example", 403),
        ("Origin", "null", 403),
        ("Origin", "http://localhost.evil.example", 403),
    ],
)
def test_foreign_names_and_origins(usual: Program, header: str, value: str, status: int) -> None:
    with usual.client as client:
        for method, path in (("GET", "/v1/statistics"), ("POST", "/v1/events"), ("GET", "/healthz")):
            answer = client.request(method, path, content=b"{}" if method == "POST" else b"", headers={header: value})
            assert answer.status_code == status, answer.text
            if status >= 400:
                problem(answer)


def test_what_is_logged_in_a_pipe_is_json(tmp_path: Path) -> None:
    with Program(tmp_path).ready() as program:
        url = httpx.URL(program.url)
        for sent in (b"\0\0\0 nonsense", b"GET / HTTP/9.9", b"GET /\xff HTTP/1.1\r\nHost: x", b"TEST / HTTP/1.1"):
            with socket.create_connection((url.host, url.port or 0), timeout=10) as raw:
                raw.sendall(sent + b"\r\n\r\n")
                assert raw.recv(1000).startswith(b"HTTP/1.1 4"), sent
        program.get("/v1/statistics/%0a{}/cells")
        assert program.stop() == 0
        for line in program.lines:
            assert set(json.loads(line)) >= {"time", "level", "logger", "message"}, line


def test_on_a_terminal_it_is_for_people(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    command = [
        *COMMAND,
        "run",
        *configured(tmp_path, "", 'statistic.n = {topic = "*", every = ["1m"], measures = {n = "count()"}}'),
    ]
    process = subprocess.Popen([*command, "--port", "0", "--data", str(tmp_path / "data")], stderr=follower)
    os.close(follower)
    said = b""
    try:
        while b"listening" not in said:
            said += os.read(leader, 10_000)
    finally:
        process.terminate()
        assert process.wait(10) == 0
        os.close(leader)
    assert re.match(rb"\d\d:\d\d:\d\d INFO    listening on http://127\.0\.0\.1:\d+, data in ", said), said


def test_a_password_in_a_url_is_never_said(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        for url in (
            f"postgresql://user:s3cr3t-w0rd@127.0.0.1:{port}/streamgauge",
            f"postgresql+psycopg://user:s3cr3t-w0rd@127.0.0.1:{port}/streamgauge?connect_timeout=1",
            "postgresql://user:s3cr3t-w0rd@127.0.0.1:port/x",
            "mysql://user:s3cr3t-w0rd@127.0.0.1/x",
            "nonsense://user:s3cr3t-w0rd@@@/x",
            "postgresql://user:s3cr3t-w0rd@[::1/x",
        ):
            for command in ("run", "serve"):
                found = subprocess.run(
                    [*COMMAND, command, "--store", url, *configured(tmp_path, "", DECLARATIONS), "--port", "0"],
                    cwd=tmp_path,
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
                said = found.stdout + found.stderr
                assert (found.returncode, "s3cr3t" in said, "Traceback" in said) == (2, False, False), said
                assert said.startswith("error: "), said
