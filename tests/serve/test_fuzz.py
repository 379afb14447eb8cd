"""Whatever is asked, the answer is a result or a problem document: never a 500, never a hang."""

from __future__ import annotations

import json
import socket
import string
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamgauge.serve.parameters import CELLS, EVENTS, KEYS, LATEST, LETTERS
from tests.serve.serving import Client, T

HOSTILE = [
    "",
    "-1",
    "0",
    "1e999",
    "nan",
    "9" * 400,
    "-" + "9" * 30,
    "9223372036854775808",
    "'; DROP TABLE cell; --",
    '" OR 1=1',
    "%",
    "_",
    "\\",
    "../../etc/passwd",
    "%00",
    "\x00",
    "\u202e\ud7ff\U0010ffff",
    "\u0661\u0662",
    "\u00b2",
    "null",
    "true",
    "[]",
    "{}",
    "1h",
    "-1h",
    "-999999999999999d",
    "+1h",
    "now",
    "today",
    "today-1d",
    "0001-01-01",
    "9999-12-31T23:59:59+23:59",
    "2023-11-14T22:00:00 01:00",
    str(T),
    "max",
    "asc",
    "-asr",
    "6m",
    "1d",
    "1mo",
    "Europe/Paris",
    "/etc/localtime",
    "carrier",
    "carrier,carrier",
    ",,,",
    "WyJhIl0",
    "W10",
    "bnVsbA",
    "x" * 5000,
]
NAMES = [p.name for p in (*CELLS, *LATEST, *KEYS, *EVENTS, *LETTERS)] + [
    "key.carrier",
    "key.carrier__null",
    "key.carrier__prefix",
    "key.code",
    "key.share",
    "key.ok",
    "key.tag",
    "key.",
    "key.__null",
    "asr__lt",
    "attempts__ge",
    "pdd_p50__eq",
    "codes__eq",
    "state__eq",
    "row__ne",
    "last__gt",
    "start__lt",
    "__lt",
    "__",
]
PATHS = [
    *(f"/v1/statistics/{name}/{what}" for name in ("quality", "pairs", "tags", "volume", "months") for what in
      ("cells", "cells.csv", "cells.parquet", "cells.ndjson", "latest", "latest.arrow", "keys", "events")),
    "/v1/statistics",
    "/v1/dead-letters",
    "/v1/events/1",
    "/v1/sources",
    "/metrics",
    "/healthz",
]  # fmt: skip

values = st.sampled_from(HOSTILE) | st.text(max_size=30) | st.text(string.digits + "-+.:TZ dhms", max_size=20)
parameters = st.lists(st.tuples(st.sampled_from(NAMES) | st.text(max_size=12), values), max_size=5)


def asked(client: Client, path: str, query: str, accept: str = "*/*") -> None:
    found = client.http.get(f"{path}?{query}", headers={"Accept": accept})
    known = {200, 400, 404, 406, 413, 501}
    assert found.status_code in known, (found.status_code, path, query, found.text[:300])
    if found.status_code != 200:
        problem = json.loads(found.content)
        assert problem["status"] == found.status_code
        assert problem["detail"]


def escaped(pairs: list[tuple[str, str]]) -> str:
    return "&".join(f"{quote(n, errors='replace')}={quote(v, errors='replace')}" for n, v in pairs)


@settings(max_examples=400)
@given(path=st.sampled_from(PATHS), pairs=parameters, accept=st.sampled_from(["*/*", "text/csv", "image/png", ",;q=x"]))
@example("/v1/statistics/quality/cells", [("start", "-1h"), ("stop", "9999-12-31T23:59:59+23:59")], "*/*")
def test_no_parameters_break_it(client: Client, path: str, pairs: list[tuple[str, str]], accept: str) -> None:
    asked(client, path, escaped(pairs), accept)


@settings(max_examples=100)
@given(path=st.sampled_from(PATHS[:40]), modes=st.fixed_dictionaries(
    {},
    optional={
        "every": st.sampled_from(["6m", "1h", "1d", "1mo"]),
        "start": st.sampled_from(["0", str(T), "1800-01-01", "2199-12-31", "-1h"]),
        "stop": st.sampled_from(["1", str(T + 10_000_000), "1800-01-02", "2199-12-31T23:00"]),
        "gaps": st.sampled_from(["true", "false"]),
        "rolling": st.sampled_from(["12m", "2h", "1000h", "7d", "100d"]),
        "rollup": st.sampled_from(["", "carrier", "code,carrier", "tag"]),
        "order": st.sampled_from(["asc", "desc", "events", "-events", "row"]),
        "limit": st.sampled_from(["1", "100", "1000"]),
        "tz": st.sampled_from(["UTC", "Europe/Paris", "Asia/Kathmandu", "America/St_Johns"]),
        "fields": st.sampled_from(["start", "events,stop", "start_ms,row"]),
        "key.carrier__null": st.sampled_from(["true", "false"]),
        "events__gt": st.sampled_from(["1", "3"]),
    },
))  # fmt: skip
def test_no_combination_breaks_it(client: Client, path: str, modes: dict[str, str]) -> None:
    asked(client, path, escaped(list(modes.items())))


@settings(max_examples=100)
@given(query=st.binary(max_size=60))
def test_no_bytes_in_a_query_break_it(client: Client, query: bytes) -> None:
    asked(client, "/v1/statistics/quality/cells", quote(query))


@settings(max_examples=100)
@given(parts=st.lists(st.text(max_size=8) | st.sampled_from(["..", "cells", "v1", "statistics"]), max_size=5))
def test_no_path_breaks_it(client: Client, parts: list[str]) -> None:
    path = "/" + "/".join(quote(part, safe="", errors="replace") for part in parts)
    found = client.http.get(client.http.base_url.copy_with(raw_path=path.encode()))
    assert found.status_code in (200, 400, 404), (path, found.text)


@settings(max_examples=60)
@given(place=st.integers(), noise=st.binary(min_size=1, max_size=3))
def test_no_broken_cursor_breaks_it(client: Client, place: int, noise: bytes) -> None:
    url = client.json("/v1/statistics/quality/cells?every=1h&limit=2")["next"]
    head, _, cursor = url.rpartition("cursor=")
    at = place % len(cursor)
    broken = cursor[:at] + quote(noise) + cursor[at + 1 :]
    asked(client, urlsplit(head).path, urlsplit(head + "cursor=" + broken).query)


def test_too_many_parameters_are_refused(client: Client) -> None:
    found = client.problem("/v1/statistics/quality/cells?" + "&".join(f"key.carrier={n}" for n in range(301)))
    assert (found["status"], "more than 300 parameters" in found["detail"]) == (400, True)


def test_many_keys_are_one_question(client: Client) -> None:
    many = "&".join(f"key.{name}={n}" for name in ("carrier", "code", "share") for n in range(80))
    assert client.get(f"/v1/statistics/pairs/cells?{many}").json()["cells"] == []


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"]
)
def test_a_name_must_be_given_once(client: Client, sent: bytes) -> None:
    url = client.http.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=10) as raw:
        raw.sendall(sent)
        assert b" 421 " in raw.recv(4096).splitlines()[0]
