"""No request takes for ever: time, threads, connections, half a head."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from streamgauge.clock import SystemClock
from streamgauge.declare import Declarations
from streamgauge.errors import UsageError
from streamgauge.scope import Scope
from streamgauge.serve import server
from streamgauge.serve.base import Reads, ServeSettings, SourceStatus
from streamgauge.serve.station import StoreStation
from streamgauge.store.base import StoreUnavailable
from streamgauge.store.sql_query import SqlReadings, SqlReads
from tests.serve.serving import Client, served

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


class SlowStation(StoreStation):
    """Its sources take for ever, in the database."""

    def sources(self, reads: Reads, scope: Scope) -> Sequence[SourceStatus]:
        assert isinstance(reads, SqlReads)
        reads._connection.exec_driver_sql(ENDLESS)
        return []


class FailingStation(StoreStation):
    """Its store is away for a while, or wrong."""

    error: Exception = StoreUnavailable("store x: connection refused; try again later")

    def sources(self, reads: Reads, scope: Scope) -> Sequence[SourceStatus]:
        raise self.error


@contextmanager
def slow(store: tuple[Declarations, Path], **settings: Any) -> Iterator[Client]:
    readings = SqlReadings.open(store[1], SystemClock())
    station = SlowStation(store[0].statistics, readings, "report")
    with served(station, ServeSettings(port=0, **settings)) as url, Client(url) as client:
        yield client
    readings.close()


def test_what_takes_too_long_is_stopped_in_the_database(store: tuple[Declarations, Path]) -> None:
    with slow(store, limit_s=0.3) as client:
        began = time.monotonic()
        found = client.problem("/v1/sources")
        assert (found["status"], found["type"]) == (503, "urn:streamgauge:problem:too-slow")
        assert "longer than 0.3 s" in found["detail"]
        assert time.monotonic() - began < 3
        assert len(client.cells("volume")) == 50


def test_others_are_answered_meanwhile_and_too_many_are_sent_away(store: tuple[Declarations, Path]) -> None:
    with slow(store, limit_s=2.0, threads=2, waiting=2) as client:
        answers: list[int] = []
        threads = [threading.Thread(target=lambda: answers.append(client.get("/v1/sources").status_code))]
        threads[0].start()
        time.sleep(0.3)
        assert client.get("/v1/statistics/volume/cells").status_code == 200
        threads += [
            threading.Thread(target=lambda: answers.append(client.get("/v1/sources").status_code)) for _ in "abc"
        ]
        for thread in threads[1:]:
            thread.start()
        time.sleep(0.5)
        found = client.get("/v1/sources")
        assert (found.status_code, found.headers["retry-after"]) == (503, "1")
        assert found.json()["type"] == "urn:streamgauge:problem:busy"
        assert client.json("/readyz") == {"ready": True, "why": found.json()["detail"]}
        for thread in threads:
            thread.join()
        assert answers == [503] * 4
        assert client.get("/v1/statistics/volume/cells").status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (StoreUnavailable("store x: connection refused; try again later"), 503, "store-failing"),
        (TimeoutError("store x"), 503, "too-slow"),
        (ZeroDivisionError("a fault with a secret in it"), 500, "internal"),
    ],
)
def test_what_goes_wrong_is_a_problem_document(
    store: tuple[Declarations, Path], error: Exception, status: int, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    readings = SqlReadings.open(store[1], SystemClock())
    station = FailingStation(store[0].statistics, readings, "report")
    station.error = error
    with served(station) as url, Client(url) as client:
        found = client.problem("/v1/sources")
        assert (found["status"], found["type"]) == (status, f"urn:streamgauge:problem:{kind}")
        assert "secret" not in found["detail"]
        assert client.get("/v1/statistics").status_code == 200
    readings.close()


def test_a_store_that_is_damaged_while_it_is_served_is_said(store: tuple[Declarations, Path], tmp_path: Path) -> None:
    copy = tmp_path / "s.db"
    with sqlite3.connect(store[1]) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    source.close()
    target.close()
    readings = SqlReadings.open(copy, SystemClock(), 1)
    with served(StoreStation(store[0].statistics, readings, "report")) as url, Client(url) as client:
        assert client.get("/v1/statistics/quality/cells").status_code == 200
        copy.write_bytes(b"SQLite format 3\0" + b"\xff" * 200_000)
        found = client.problem("/v1/statistics/quality/cells?every=1h")
        assert (found["status"], found["type"]) == (503, "urn:streamgauge:problem:store-failing")
        assert "damaged" in found["detail"] or "not a database" in found["detail"]
        assert client.get("/healthz").status_code in (200, 503)
    readings.close()


def test_half_a_request_is_not_waited_for(station: StoreStation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADER_S", 0.3)
    with served(station) as url:
        address = httpx.URL(url)
        for sent in (
            b"",
            b"GET /healthz HTTP/1.1\r\nHost: local",
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /h",
        ):
            with socket.create_connection((address.host, address.port or 0), timeout=5) as raw:
                raw.sendall(sent)
                began, received = time.monotonic(), b""
                while data := raw.recv(65536):
                    received += data
                assert 0.2 < time.monotonic() - began < 3
                assert received.count(b"HTTP/1.1 200") == sent.count(b"\r\n\r\n")


def test_a_port_that_is_taken_is_said(station: StoreStation) -> None:
    with served(station) as url:
        settings = ServeSettings(port=httpx.URL(url).port or 0)
        problem = rf"cannot listen on 127\.0\.0\.1:{settings.port}: Address already in use"
        with pytest.raises(UsageError, match=problem), served(station, settings):
            pass


def test_a_port_that_is_none_is_said(station: StoreStation) -> None:
    with pytest.raises(UsageError, match="a port is 0 to 65535"), served(station, ServeSettings(port=99_999)):
        pass
