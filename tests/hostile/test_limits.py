"""Every limit, from outside, with real clients against a real program: refused clearly, and it goes on."""

from __future__ import annotations

import functools
import os
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import zstandard

from tests.hostile.program import Program, lines, problem, until

SMALL = """
[source.http]
type = "http"
max_body_bytes = 100_000
max_line_bytes = 1_000
max_events = 500
max_held_bytes = 150_000
concurrency = 3
body_timeout_s = 4
silence_timeout_s = 1
"""

MB = 1 << 20


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A program with small limits."""
    with Program(tmp_path_factory.mktemp("small"), config=SMALL).ready() as program:
        yield program
        program.serves()
        assert "Traceback" not in program.log


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A program as it comes."""
    with Program(tmp_path_factory.mktemp("usual")).ready() as program:
        yield program
        program.serves()
        assert "Traceback" not in program.log


@contextmanager
def connected(program: Program) -> Iterator[socket.socket]:
    """A bare connection."""
    url = httpx.URL(program.url)
    with socket.create_connection((url.host, url.port or 0), timeout=20) as raw:
        yield raw


def head(length: int, *more: str) -> bytes:
    """The head of a request that announces so many bytes."""
    fields = ["POST /v1/events HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *more]
    return "\r\n".join([*fields, "", ""]).encode()


def read_all(raw: socket.socket) -> bytes:
    """What is answered until the connection is closed."""
    found = b""
    while data := raw.recv(65536):
        found += data
    return found


@functools.cache
def bomb(kind: str) -> bytes:
    """A gigabyte of nothing, compressed."""
    if kind == "deflate":
        return bomb("gzip")[10:-8]  # without a header, as some clients send it
    compressor = zlib.compressobj(1, wbits=31) if kind == "gzip" else zstandard.ZstdCompressor().compressobj()
    nothing = bytes(MB)
    return b"".join([*(compressor.compress(nothing) for _ in range(1024)), compressor.flush()])


def test_a_body_over_the_limit_is_refused(small: Program) -> None:
    found = problem(small.post(b'{"k":"' + b"x" * 100_000 + b'"}'))
    assert (found["status"], found["hint"]) == (413, "send it in several requests")


def test_a_body_of_unknown_length_is_refused_at_the_limit(small: Program) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b'{"k":"a"}\n' * 100

    with small.client as client:
        found = problem(client.post("/v1/events", content=endless()))
    assert found["status"] == 413


def test_too_many_events_are_refused(small: Program) -> None:
    for body, kind in ((b"{}\n" * 501, "x-ndjson"), (b"[" + b"{}," * 500 + b"{}]", "json")):
        found = problem(small.post(body, {"content-type": f"application/{kind}"}))
        assert (found["status"], found["detail"]) == (413, "the body has more than 500 events")
    assert small.post(b"{}\n" * 500).json()["accepted"] == 500


def test_a_line_over_the_limit_is_a_dead_letter(small: Program) -> None:
    found = small.post(lines([{"k": "x" * 2000}, {"k": "a"}])).json()
    assert (found["accepted"], found["malformed"], found["refusals"][0]["line"]) == (1, 1, 1)


def test_too_many_requests_at_a_time_are_sent_away(small: Program) -> None:
    held = []
    try:
        for _ in range(3):
            raw = socket.create_connection((httpx.URL(small.url).host, httpx.URL(small.url).port or 0), timeout=20)
            held.append(raw)
            raw.sendall(head(50) + b"{")

        def full() -> httpx.Response | None:
            answer = small.post([{"k": "a"}])
            return answer if answer.status_code == 429 else None

        answer = until(full, 0.9)
        assert problem(answer)["status"] == 429
        assert answer.headers["retry-after"] == "1"
        assert small.health()["status"] == "ok", "others are served"
    finally:
        for raw in held:
            raw.close()
    until(lambda: small.post([{"k": "a"}]).status_code == 200, 5)


def test_too_many_bytes_at_a_time_are_sent_away(small: Program) -> None:
    with connected(small) as raw:
        raw.sendall(head(99_000) + b"x" * 98_000)
        time.sleep(0.3)
        answer = small.post(b'{"k":"' + b"x" * 60_000 + b'"}')
        assert problem(answer)["status"] == 503
        assert answer.headers["retry-after"] == "1"
    until(lambda: small.post(b'{"k":"' + b"x" * 60_000 + b'"}').status_code == 200, 5)


def test_half_a_body_is_not_waited_for(small: Program) -> None:
    with connected(small) as raw:
        raw.sendall(head(100) + b'{"k"')
        began = time.monotonic()
        assert raw.recv(100).startswith(b"HTTP/1.1 408 ")
        assert 0.5 < time.monotonic() - began < 3


def test_a_body_that_drips_is_not_waited_for(small: Program) -> None:
    with connected(small) as raw:
        raw.sendall(head(10_000))
        raw.settimeout(0.2)
        began, answer = time.monotonic(), b""
        while not answer and time.monotonic() - began < 8:
            raw.sendall(b" ")
            try:
                answer = raw.recv(100)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert 3 < time.monotonic() - began < 7


def test_who_hangs_up_leaves_nothing_behind(small: Program) -> None:
    for _ in range(30):
        with connected(small) as raw:
            raw.sendall(head(100) + b'{"k":"hung up"}\n')
    until(lambda: small.post([{"k": "a"}]).status_code == 200, 5)
    assert small.cells(every="1h", **{"key.k": "hung up"}) == []


@pytest.mark.slow
def test_heads_that_do_not_come_are_not_waited_for(usual: Program) -> None:
    url = httpx.URL(usual.url)
    held = [socket.create_connection((url.host, url.port or 0), timeout=20) for _ in range(200)]
    try:
        began = time.monotonic()
        for raw in held:
            raw.sendall(b"POST /v1/events HTTP/1.1\r\nHost: local")
        assert usual.post([{"k": "a", "v": 1}]).status_code == 200, "others are served meanwhile"
        for _ in range(4):
            time.sleep(2)
            for raw in held:
                raw.sendall(b"x")
        assert all(read_all(raw) == b"" for raw in held), "closed without an answer"
        assert time.monotonic() - began < 14
    finally:
        for raw in held:
            raw.close()


HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"GET /", b"x" * MB),
        (HEAD + b"X-More: ", b"x" * MB),
        (HEAD, b"X-More: more\r\n" * 70_000),
        (HEAD + b"\r\n", (HEAD + b"\r\n") * 20_000),
        (CHUNKED + b"1;", b"x" * MB),
        (CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-More: more\r\n" * 70_000),
    ],
    ids=["path", "header", "headers", "pipelined", "chunk extension", "trailers"],
)
def test_nothing_but_a_body_is_long(usual: Program, first: bytes, more: bytes) -> None:
    before, sent = usual.peak_mb, 0
    with connected(usual) as raw:
        raw.settimeout(5)
        try:
            raw.sendall(first)
            while sent < 200:
                raw.sendall(more)
                sent += 1
        except OSError:
            pass
    assert sent < 200, "the connection is closed"
    assert usual.peak_mb - before < 60
    assert usual.health()["status"] == "ok"


def test_what_is_no_http_is_refused(usual: Program) -> None:
    with connected(usual) as raw:
        raw.sendall(b"\0\0 nonsense\r\n\r\n")
        answer = read_all(raw)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"Content-Type: application/problem+json" in head
    assert b'"status":400' in body


def test_more_connections_than_there_is_room_for(usual: Program) -> None:
    url = httpx.URL(usual.url)
    held = []
    try:
        for _ in range(600):
            held.append(socket.create_connection((url.host, url.port or 0), timeout=20))
        answer = usual.get("/healthz")
        assert (problem(answer)["status"], answer.headers["retry-after"]) == (503, "1")
    finally:
        for raw in held:
            raw.close()
    until(lambda: usual.get("/healthz").status_code == 200, 5)


@pytest.mark.parametrize("kind", ["gzip", "deflate", "zstd"])
def test_a_bomb_of_a_gigabyte_takes_no_memory(usual: Program, kind: str) -> None:
    body, before = bomb(kind), usual.peak_mb
    found = problem(usual.post(body, {"content-encoding": kind}))
    assert (found["status"], "decompressed" in found["detail"]) == (413, True)
    assert usual.peak_mb - before < 120


def test_bombs_at_the_same_time_take_bounded_memory(usual: Program) -> None:
    body, found = bomb("gzip"), list[int]()

    def send() -> None:
        found.append(usual.post(body, {"content-encoding": "gzip"}).status_code)

    threads = [threading.Thread(target=send) for _ in range(30)]
    for thread in threads:
        thread.start()
    assert usual.health()["status"] == "ok"
    for thread in threads:
        thread.join()
    assert set(found) <= {413, 429, 503}, found
    assert usual.peak_mb < 900, usual.peak_mb


@pytest.mark.parametrize("body", [b"{}\n", b'{"a":', b"[", b"x\n", b"\n", b'"', b"\\", b"\0"], ids=repr)
def test_a_small_body_that_becomes_much_takes_bounded_memory(usual: Program, body: bytes) -> None:
    compressed = zlib.compress(body * (60 * MB // len(body)), 1)
    answer = usual.post(compressed, {"content-encoding": "deflate"})
    assert answer.status_code in (200, 400, 413), answer.text
    assert usual.peak_mb < 900, usual.peak_mb


@pytest.mark.slow
def test_ten_thousand_new_keys_a_second(tmp_path: Path) -> None:
    seconds = 20 if int(os.environ.get("STREAMGAUGE_FUZZ", "1000")) > 1000 else 5
    with Program(tmp_path).ready() as program:
        began = time.monotonic()
        for second in range(seconds):
            for part in range(2):
                first = second * 10_000 + part * 5000
                sent = [{"k": f"key {n}", "v": 1} for n in range(first, first + 5000)]
                assert program.post(sent).json()["accepted"] == 5000
            time.sleep(max(0, began + second + 1 - time.monotonic()))
        assert program.peak_mb < 250 + 15 * seconds, program.peak_mb
        until(lambda: program.cells(every="1h", **{"key.k": f"key {seconds * 10_000 - 1}"}))
        program.serves()
        assert program.stop() == 0


def test_many_topics_keys_and_ways_of_sending(usual: Program) -> None:
    sent = [{"k": "a", "v": 1, "t": f"topic {n}"} for n in range(20_000)]
    assert usual.post(sent, topic="body.t").json()["accepted"] == 20_000
    with usual.client as client:
        for n in range(150):
            query = {"topic": f"topic-{n}", "id": f"body.x{n}"}
            answer = client.post("/v1/events", content=b"{}", params=query, headers={"Idempotency-Key": f"{n}"})
            assert answer.json()["accepted"] == 1
        again = client.post("/v1/events", content=b"{}", headers={"Idempotency-Key": "7"})
        assert (again.json()["again"], again.json()["accepted"]) == (True, 1)
    assert usual.peak_mb < 900
