"""The demonstration's client waits where it is told to, sends again where no answer came, and says what went wrong."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from streamgauge.demonstration.client import Client, Refused, with_query
from tests.demonstration.rig import said, service


def never(seconds: float) -> bool:
    raise AssertionError(f"was told to wait {seconds} s")


def test_every_page_of_cells_is_read() -> None:
    first = said({"cells": [{"n": 1}, {"n": 2}], "next": "/v1/more?cursor=x"})
    with service(first, said({"cells": [{"n": 3}], "next": None})) as told, closing(Client(told.port, never)) as client:
        assert list(client.cells("calls", {"every": "6m"})) == [{"n": 1}, {"n": 2}, {"n": 3}]
        assert [path for _, path, _ in told.requests] == [
            "/v1/statistics/calls/cells?limit=1000&every=6m",
            "/v1/more?cursor=x",
        ]


@pytest.mark.parametrize("status", [429, 503])
def test_later_is_waited_for_as_long_as_the_service_says(status: int) -> None:
    waited = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return False

    with service(said({}, status, Retry_After="7"), said({"accepted": 2})) as told:
        with closing(Client(told.port, wait)) as client:
            assert client.post("/v1/events", b"{}\n{}\n") == {"accepted": 2}
        assert waited == [7.0]
        assert told.requests == [("POST", "/v1/events", b"{}\n{}\n")] * 2


def test_later_is_refused_where_the_end_was_asked_for() -> None:
    with (
        service(said({}, 503, Retry_After="7")) as told,
        closing(Client(told.port, lambda _: True)) as client,
        pytest.raises(Refused, match="503"),
    ):
        client.post("/v1/events", b"{}\n")


def test_connection_that_was_closed_in_between_is_opened_again() -> None:
    with service(said({"n": 1}), closes=True) as told, closing(Client(told.port, never)) as client:
        assert [client.get("/v1/sources") for _ in range(3)] == [{"n": 1}] * 3
        assert len(told.requests) == 3


def test_refusal_says_what_was_asked_and_what_was_answered() -> None:
    with (
        service(said({"detail": "no such thing"}, 404)) as told,
        closing(Client(told.port, never)) as client,
        pytest.raises(Refused, match=r"GET /v1/x\?a=1 was answered with 404: .*no such thing"),
    ):
        client.get("/v1/x", {"a": 1})


def test_nobody_listens() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    with closing(Client(port, never)) as client, pytest.raises(Refused, match="no answer"):
        client.get("/v1/sources")


def test_query_is_escaped_but_for_what_can_be_read_as_it_is() -> None:
    assert with_query("/x", {"start": "2026-01-01T00:00Z", "a": "b,c&d"}) == "/x?start=2026-01-01T00:00Z&a=b,c%26d"
    assert with_query("/x", None) == "/x"
