"""Who may come in: names, origins, tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from fastapi import APIRouter

from streamgauge.errors import UsageError
from streamgauge.serve.auth import hashed, new_token, tokens_from
from streamgauge.serve.base import ServeSettings, Token
from streamgauge.serve.station import StoreStation
from tests.serve.serving import served

READ, WRITE, BOTH = "sg_read", "sg_write", "sg_both"
TOKENS = (
    Token("reader", hashed(READ)),
    Token("writer", hashed(WRITE), read=False, write=True),
    Token("operator", hashed(BOTH), read=True, write=True),
)


def intake() -> APIRouter:
    """A route that writes."""
    router = APIRouter()

    @router.post("/v1/events")
    async def post() -> dict[str, int]:
        return {"accepted": 0}

    return router


@contextmanager
def asking(station: StoreStation, settings: ServeSettings) -> Iterator[httpx.Client]:
    with served(station, settings, intake()) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(station: StoreStation) -> Iterator[httpx.Client]:
    with asking(station, ServeSettings(port=0, tokens=TOKENS)) as client:
        yield client


@pytest.fixture(scope="module")
def local(station: StoreStation) -> Iterator[httpx.Client]:
    settings = ServeSettings(port=0, hosts=("gauge.example",), origins=("https://board.example",))
    with asking(station, settings) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("GET", "/v1/statistics", READ, 200),
        ("GET", "/v1/statistics", BOTH, 200),
        ("GET", "/v1/statistics", WRITE, 403),
        ("GET", "/v1/statistics", "sg_other", 401),
        ("GET", "/metrics", None, 401),
        ("GET", "/openapi.json", None, 401),
        ("GET", "/nothing", None, 401),
        ("POST", "/v1/events", READ, 403),
        ("POST", "/v1/events", WRITE, 200),
        ("POST", "/v1/events", BOTH, 200),
        ("POST", "/v1/events", None, 401),
        ("GET", "/healthz", None, 200),
        ("GET", "/readyz", None, 200),
    ],
)
def test_a_token_allows_what_it_is_for(
    guarded: httpx.Client, method: str, path: str, token: str | None, status: int
) -> None:
    found = guarded.request(method, path, headers={} if token is None else bearer(token))
    assert found.status_code == status
    if status == 401:
        assert found.headers["www-authenticate"].startswith('Bearer realm="streamgauge"')
        assert found.headers["content-type"] == "application/problem+json"


def test_other_schemes_are_no_tokens(guarded: httpx.Client) -> None:
    for header in (READ, f"Basic {READ}", f"Bearer{READ}", "Bearer", "Bearer \xe9"):
        assert guarded.get("/v1/statistics", headers={"Authorization": header.encode("latin-1")}).status_code == 401
    assert guarded.get("/v1/statistics", headers={"Authorization": f"bearer  {READ}"}).status_code == 200


def test_without_a_token_health_tells_no_more_than_whether_it_works(guarded: httpx.Client) -> None:
    assert guarded.get("/healthz").json() == {"status": "ok"}


def test_the_openapi_document_says_what_asks_for_a_token(guarded: httpx.Client) -> None:
    document = guarded.get("/openapi.json", headers=bearer(READ)).json()
    assert document["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    assert document["paths"]["/v1/sources"]["get"]["security"] == [{"token": []}]
    assert "security" not in document["paths"]["/healthz"]["get"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:9", 200),
        ("127.0.0.1:8080", 200),
        ("127.9.9.9", 200),
        ("[::1]:80", 200),
        ("gauge.example", 200),
        ("gauge.example.:80", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("localhost@evil.example", 421),
        ("localhost/evil", 421),
        ("10.0.0.1", 421),
        ("", 421),
        ("[::1", 421),
        ("localhost:x", 421),
    ],
)
def test_a_foreign_name_is_refused(local: httpx.Client, host: str, status: int) -> None:
    found = local.get("/healthz", headers={"Host": host})
    assert found.status_code == status
    if status == 421:
        assert "[serve] hosts" in found.json()["detail"]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8080", 200),
        ("https://board.example", 200),
        ("http://localhost:9999", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("http://localhost:8080.evil.example", 403),
        ("ftp://localhost:8080", 403),
        ("", 403),
    ],
)
def test_a_foreign_origin_is_refused(local: httpx.Client, origin: str, status: int) -> None:
    for method, path in (("GET", "/v1/statistics"), ("POST", "/v1/events")):
        headers = {"Host": "localhost:8080", "Origin": origin}
        assert local.request(method, path, headers=headers).status_code == status


def test_elsewhere_than_on_loopback_a_token_is_demanded(station: StoreStation) -> None:
    why = r"serve on 0\.0\.0\.0: whoever reaches this address could read every result, and post events"
    with pytest.raises(UsageError, match=why), asking(station, ServeSettings(host="0.0.0.0", port=0)):
        pass


def test_insecure_is_for_those_who_say_so_and_still_knows_its_names(station: StoreStation) -> None:
    with asking(station, ServeSettings(host="0.0.0.0", port=0, insecure=True)) as client:
        assert client.get("/v1/statistics").status_code == 200
        assert client.get("/v1/statistics", headers={"Host": "192.0.2.7:8080"}).status_code == 200
        assert client.get("/v1/statistics", headers={"Host": "rebound.example"}).status_code == 421


def test_a_new_token_is_long_and_only_its_hash_is_written_down() -> None:
    token, kept = new_token()
    (known,) = tokens_from({"board": {"hash": kept, "allow": ["read", "write"]}})
    assert known == Token("board", hashed(token), True, True)
    assert token not in kept
    assert len(token) > 40
    assert new_token()[0] != token


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"board": "sg_secret"}, r'\[serve.tokens\] board: write \{ hash = "sha256:'),
        ({"board": {"hash": "sg_secret"}}, "hash is not sha256: and the 64 hexadecimal digits"),
        ({"board": {"hash": "sha256:" + "0" * 64, "alow": "read"}}, "unknown setting 'alow'; did you mean allow?"),
        ({"board": {"hash": "sha256:" + "0" * 64, "allow": "admin"}}, "allow is a list"),
    ],
)
def test_a_token_that_is_declared_wrongly_is_said(table: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as found:
        tokens_from(table)
    assert "sg_secret" not in str(found.value)
