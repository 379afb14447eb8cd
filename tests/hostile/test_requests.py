"""Made-up requests by the thousand against a real program: an answer or a clear refusal, never a 500, never a hang.

``STREAMGAUGE_FUZZ`` is how many requests are made in all, 1000 unless it is set.
"""

from __future__ import annotations

import gzip
import json
import os
import socket
import string
import zlib
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.hostile.program import Program

REQUESTS = int(os.environ.get("STREAMGAUGE_FUZZ", "1000"))
HOSTILE = [
    "'; DROP TABLE cell; --",
    '" OR 1=1 --',
    "$1",
    "(SELECT 1)",
    "body.x); SELECT 1",
    "read_csv('/etc/passwd')",
    "getenv('HOME')",
    "body",
    "body.",
    "body.a.b[1]",
    "body.a::",
    "body.a::BIGINT",
    "1e999",
    "../../../etc/passwd",
    "/etc/localtime",
    "%00",
    "\0",
    "\u202e\u0000\ud7ff\U0010ffff",
    "\u0661",
    "-1",
    "0",
    "9" * 400,
    "nan",
    "null",
    "[]",
    "{}",
    "x" * 5000,
    "((((" * 500,
    "NOT " * 300 + "true",
]
MB = 1 << 20


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One program for all requests, which must be well in the end."""
    with Program(tmp_path_factory.mktemp("fuzzed")).ready() as program:
        program.post([{"k": f"k{n % 5}", "v": n} for n in range(200)])
        yield program
        program.serves()
        assert program.peak_mb < 700, program.peak_mb
        assert "Traceback" not in program.log, program.log[-4000:]
        assert program.stop() == 0


@pytest.fixture(scope="module")
def client(program: Program) -> Iterator[httpx.Client]:
    """A client that keeps its connection."""
    with program.client as client:
        yield client


def answered(answer: Any, shown: object) -> None:
    """It is an answer, or a refusal that says why."""
    said = (answer.status_code, shown, answer.text[:300])
    assert answer.status_code < 500 or answer.status_code in (501, 503), said
    assert answer.status_code != 503 or "retry-after" in answer.headers, said
    if answer.status_code >= 400:
        kind = answer.headers["content-type"]  # which schemathesis gives as a list
        assert kind in ("application/problem+json", ["application/problem+json"]), said
        assert answer.json()["status"] == answer.status_code, said
        assert answer.json()["detail"], said


def share(parts: int) -> Any:
    """So many examples as are the part of one of so many kinds of requests."""
    filtered = [HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=max(10, REQUESTS // parts), database=None, suppress_health_check=filtered)


def test_what_the_openapi_document_describes(program: Program) -> None:
    described = schemathesis.openapi.from_url(f"{program.url}/openapi.json")
    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) > 12
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @share(len(operations) * 4)
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                answered(case.call(timeout=20), (case.method, case.path, case.query, case.body))

            # Where there is nothing to be said, nothing can be said wrongly.
            with suppress(Unsatisfiable) if mode is GenerationMode.NEGATIVE else nullcontext():
                ask()


names = st.sampled_from(["topic", "id", "time", "time_unit", "zone", "source", "strict"]) | st.text(max_size=8)
values = st.sampled_from(HOSTILE) | st.text(max_size=30) | st.text(string.punctuation + "body.abc10 ", max_size=30)
queries = st.lists(st.tuples(names, values), max_size=3)

members = st.sampled_from(["k", "v", "time", "timestamp", "id", "specversion", "type", "a b", ""]) | st.text(max_size=5)
numbers = st.integers() | st.floats() | st.sampled_from([2**63, -(2**63) - 1, 1e308, 10**400])
leaves = st.none() | st.booleans() | numbers | st.text(max_size=20) | st.sampled_from(HOSTILE)
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(members, inner, max_size=4), max_leaves=12
)
events = st.dictionaries(members, documents, max_size=5)


def text_of(document: Any) -> bytes:
    """As JSON, or what many take for it (NaN); with bytes that are no UTF-8 where there are lone surrogates."""
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


bodies = st.one_of(
    st.lists(events, max_size=6).map(lambda found: b"\n".join(map(text_of, found))),
    documents.map(text_of),
    st.lists(events, max_size=4).map(text_of),
    st.binary(max_size=200),
    st.tuples(events, st.integers(0, 200)).map(lambda cut: text_of(cut[0])[: cut[1]]),
    st.sampled_from([b"{" * 5000, b"[" * 5000, b'{"a":' * 3000 + b"1" + b"}" * 3000, b"\xef\xbb\xbf{}", b"\x1e{}\n"]),
)
types = st.sampled_from(
    [
        "application/x-ndjson",
        "application/json",
        "application/json; charset=utf-16",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "application/json-seq",
        "text/plain",
        "text/html",
        "multipart/form-data; boundary=x",
        "image/png",
        ";;;",
        "",
    ]
)
packed = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "br": bytes,
    "gzip, gzip": bytes,
}
headers = st.dictionaries(
    st.sampled_from(["Idempotency-Key", "ce-specversion", "ce-type", "ce-id", "ce-source", "ce-time", "X-Other"]),
    st.text(string.printable.strip() + "\u00e9", min_size=1, max_size=12),
    max_size=4,
)


@share(4)
@given(query=queries, body=bodies, kind=types, encoding=st.sampled_from(list(packed)), more=headers, cut=st.booleans())
def test_no_body_breaks_it(
    client: httpx.Client,
    query: list[tuple[str, str]],
    body: bytes,
    kind: str,
    encoding: str,
    more: dict[str, str],
    cut: bool,
) -> None:
    data = packed[encoding](body)
    data = data[: len(data) // 2] if cut and encoding else data
    said = {"content-type": kind, "content-encoding": encoding} | more
    sent = [(name.encode(), value.encode()) for name, value in said.items() if value]
    text = "&".join(f"{quote(name, errors='replace')}={quote(value, errors='replace')}" for name, value in query)
    answer = client.post(f"/v1/events?{text}", content=data, headers=sent)
    answered(answer, (query, body, said))
    if answer.status_code == 200:
        assert set(answer.json()) >= {"accepted", "duplicates", "malformed"}


PATHS = (
    "/v1/events",
    "/v1/events/0",
    "/v1/statistics",
    "/v1/statistics/volume",
    "/v1/statistics/volume/cells",
    "/v1/statistics/volume/latest",
    "/v1/statistics/volume/keys",
    "/v1/statistics/volume/events",
    "/v1/statistics/x/cells",
    "/v1/dead-letters",
    "/v1/dead-letters/0",
    "/v1/sources",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/",
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "PROPFIND", "M-SEARCH")


@share(4)
@given(
    method=st.sampled_from(METHODS),
    path=st.sampled_from(PATHS) | st.text(max_size=20).map(lambda text: "/" + quote(text, errors="replace")),
    kind=types,
    body=st.binary(max_size=50),
)
def test_no_method_breaks_it(client: httpx.Client, method: str, path: str, kind: str, body: bytes) -> None:
    sent = {"content-type": kind} if kind else {}
    answer = client.request(method, path, content=body if method not in ("GET", "HEAD", "TRACE") else b"", headers=sent)
    if method == "HEAD":
        assert answer.status_code in (200, 400, 404, 405)
        return
    answered(answer, (method, path, kind, body))


asked = st.sampled_from(
    "every start stop tz limit cursor order fields gaps rolling rollup key.k key.k__prefix key.k__null key.nothing "
    "n__lt n__between Limit page".split()
)
said_values = values | st.sampled_from(
    ["1h", "-1h", "today", "now", "6m", "1s", "2099-01-01", "-999999999999d", "1", "-1", "1001", "carrier", "UTC", "k"]
)


@share(4)
@given(path=st.sampled_from(PATHS), query=st.lists(st.tuples(asked, said_values), max_size=4))
def test_no_parameter_breaks_it(client: httpx.Client, path: str, query: list[tuple[str, str]]) -> None:
    text = "&".join(f"{quote(name, errors='replace')}={quote(value, errors='replace')}" for name, value in query)
    answered(client.get(f"{path}?{text}"), (path, query))


@share(20)
@given(data=st.binary(max_size=300), good=st.booleans())
def test_no_bytes_break_it(program: Program, data: bytes, good: bool) -> None:
    url = httpx.URL(program.url)
    with socket.create_connection((url.host, url.port or 0), timeout=20) as raw:
        raw.sendall((b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\n" if good else b"") + data)
        raw.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while more := raw.recv(65536):
                answer += more
        except ConnectionResetError:
            pass
        assert not answer or answer[9:10] in b"24", answer[:200]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/statistics/volume/cells?limit=-1", 400),
        ("/v1/statistics/volume/cells?limit=1e3", 400),
        ("/v1/statistics/volume/cells?limit=99999999999999999999", 400),
        ("/v1/statistics/volume/cells?start=2024-01-02&stop=2024-01-01", 400),
        ("/v1/statistics/volume/cells?startt=2024-01-02", 400),
        ("/v1/statistics/volume/cells?key.x=1", 400),
        ("/v1/statistics/volume/cells?every=2s", 400),
        ("/v1/statistics/volum/cells", 404),
        ("/v1/statistics/volume/cells.exe", 404),
        ("/v1/events/-1", 400),
        ("/v1/events/99999999999999999999999", 400),
        ("/v1/dead-letters/x", 400),
        ("/v1/nothing", 404),
        ("/v1/statistics/..%2f..%2fetc%2fpasswd", 404),
        ("/v1/statistics/volume%00/cells", 404),
    ],
)
def test_a_clear_refusal(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(path)
    answered(answer, path)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    "expression",
    ["getenv('HOME')", "read_text('/etc/passwd')", "(SELECT 1)", "body.a; DROP TABLE x", "1 UNION SELECT 2", "$1", "?"],
)
@pytest.mark.parametrize("parameter", ["topic", "id", "time"])
def test_no_expression_reaches_sql_as_text(program: Program, parameter: str, expression: str) -> None:
    answer = program.post([{"k": "a"}], **{parameter: expression})
    answered(answer, (parameter, expression))
    if answer.status_code == 200:
        assert parameter == "topic", answer.text
        return
    assert (answer.status_code, answer.json()["parameter"]) == (400, parameter)
