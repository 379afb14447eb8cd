"""Events over HTTP, from outside: a real client, a real server."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import zstandard

from streamgauge.errors import StoreError
from streamgauge.log.base import Given, LaneName
from streamgauge.sources import HttpOptions, HttpSource
from streamgauge.sources.base import State
from streamgauge.testing.intake import ListIntake
from streamgauge.testing.sources import eventually
from tests.sources.rigs import CLOCK, served

NDJSON = {"content-type": "application/x-ndjson"}


class Site:
    """A served source, its intake, and a client."""

    def __init__(self, url: str, client: httpx.AsyncClient, intake: ListIntake, sources: dict[str, HttpSource]) -> None:
        self.url, self.client, self.intake, self.sources = url, client, intake, sources

    async def post(self, content: Any, query: str = "", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(f"{self.url}/v1/events{query}", content=content, headers=named)


@asynccontextmanager
async def site(**options: Any) -> AsyncIterator[Site]:
    intake = ListIntake()
    sources = {name: HttpSource(name, HttpOptions(**options), CLOCK) for name in ("http", "calls")}
    async with served(sources) as url, httpx.AsyncClient(timeout=20) as client:
        tasks = [asyncio.ensure_future(source.run(intake)) for source in sources.values()]
        await asyncio.sleep(0)
        try:
            yield Site(url, client, intake, sources)
        finally:
            await asyncio.gather(*(source.stop() for source in sources.values()))
            await asyncio.gather(*tasks)


def on_a_site(test: Callable[[Site], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with site(**options) as there:
            await test(there)

    asyncio.run(run())


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document


@pytest.mark.parametrize(
    ("content_type", "body", "lines"),
    [
        ("application/x-ndjson", b'{"a":1}\n{"a":2}\n', [b'{"a":1}', b'{"a":2}']),
        ("application/x-ndjson", b'\xef\xbb\xbf{"a":1}\r\n\n  \n{"a":2}', [b'{"a":1}', b'{"a":2}']),
        ("application/json", b'[{"a": 1.50},\n {"b":[1, {"c":"}"}]}]', [b'{"a": 1.50}', b'{"b":[1, {"c":"}"}]}']),
        ("application/json", b'{"a": 1}', [b'{"a": 1}']),
        ("application/json", b'{"a":1}\n{"a":2}', [b'{"a":1}', b'{"a":2}']),
        ("application/json; charset=utf-8", b'{\n  "a": 1\n}\n', [b'{\r  "a": 1\r}']),
        ("application/x-www-form-urlencoded", b'{"a":1}\n{"a":2}', [b'{"a":1}', b'{"a":2}']),
        ("text/plain", b' [{"a":1} , {"a":2}]', [b'{"a":1}', b'{"a":2}']),
        ("application/json", b"[]", []),
    ],
)
def test_a_body_becomes_the_lines_of_its_events_byte_for_byte(
    content_type: str, body: bytes, lines: list[bytes]
) -> None:
    async def test(there: Site) -> None:
        answer = await there.post(body, content_type=content_type)
        assert answer.status_code == 200, answer.text
        assert answer.json()["accepted"] == len(lines)
        assert there.intake.lines() == lines

    on_a_site(test)


def test_the_answer_counts_what_became_of_each_event() -> None:
    async def test(there: Site) -> None:
        body = b'{"id":1,"time":5}\nnonsense\n{"id":1,"time":5}\n{"id":2}\n'
        answer = (await there.post(body, "?id=body.id", **{"content-type": "application/x-ndjson"})).json()
        assert answer == {
            "accepted": 2,
            "duplicates": 1,
            "malformed": 1,
            "position": 0,
            "receipt_times": 1,
            "refusals": [{"line": 2, "reason": "not JSON", "detail": ""}],
            "again": False,
        }

    on_a_site(test)


def test_query_parameters_say_how_messages_become_events() -> None:
    async def test(there: Site) -> None:
        query = "?source=calls&topic=call&id=body.call_id&time=body.start&time_unit=s&zone=Europe/Paris"
        assert (await there.post(b'{"call_id":"x"}', query)).status_code == 200
        (incoming,) = there.intake.appended
        envelope = incoming.arrival.envelope
        assert incoming.lane == LaneName("calls")
        assert (envelope.topic.text, envelope.id.text, envelope.time.text) == ("'call'", "body.call_id", "body.start")
        assert (envelope.time_unit, envelope.zone) == ("s", "Europe/Paris")
        assert incoming.arrival.receipt_time

    on_a_site(test)


def test_the_settings_of_a_source_stand_where_the_query_says_nothing() -> None:
    async def test(there: Site) -> None:
        await there.post(b"{}", "?topic=body.kind")
        await there.post(b"{}")
        first, second = (incoming.arrival.envelope for incoming in there.intake.appended)
        assert (first.topic.text, first.id.text) == ("body.kind", "body.uuid")
        assert (second.topic.text, second.id.text) == ("'call'", "body.uuid")

    on_a_site(test, topic="call", id="body.uuid")


@pytest.mark.parametrize(
    ("query", "parameter", "said"),
    [
        ("?topik=call", "topik", "did you mean topic?"),
        ("?id=body.id&id=body.x", "id", "given twice"),
        ("?id=", "id", "is empty"),
        ("?source=cals", "source", "did you mean calls?"),
        ("?strict=yes", "strict", "expected true or false"),
        ("?time_unit=sec", "time_unit", "unknown unit"),
        ("?zone=Europe/Pariss", "zone", "did you mean Europe/Paris?"),
        ("?id=body.id::BIGNT", "id", "did you mean BIGINT?"),
        ("?time=read_csv('x')", "time", "read_csv"),
        ("?topic=lower(body.a", "topic", "at 7"),
        ("?topic='" + "x" * 5000 + "'", "topic", "longer than 4000"),
        ("?id=1;DROP TABLE x", "id", "at"),
    ],
)
def test_a_wrong_parameter_is_named_with_the_nearest_right_one(query: str, parameter: str, said: str) -> None:
    async def test(there: Site) -> None:
        document = problem(await there.post(b"{}", query), 400)
        assert document["parameter"] == parameter
        assert said in f"{document['detail']} {document.get('hint', '')}"
        assert there.intake.submissions == 0

    on_a_site(test)


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", lambda data: gzip.compress(data[:50]) + gzip.compress(data[50:])),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data)[2:-4]),
        ("zstd", zstandard.compress),
        ("zstd", lambda data: zstandard.compress(data[:50]) + zstandard.compress(data[50:])),
        ("identity", bytes),
    ],
)
def test_compressed_bodies(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    async def test(there: Site) -> None:
        body = b"".join(b'{"number":%d}\n' % n for n in range(100_000))
        answer = await there.post(pack(body), content_encoding=encoding)
        assert answer.json()["accepted"] == 100_000
        assert b"\n".join(there.intake.lines()) + b"\n" == body

    on_a_site(test)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_a_compressed_body_that_is_cut_or_damaged_is_refused(encoding: str) -> None:
    async def test(there: Site) -> None:
        pack = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}[encoding]
        packed = pack(b'{"a":1}\n' * 1000)
        for body in (packed[:-5], packed[: len(packed) // 2], b"not compressed at all", b"", packed + b"more"):
            document = problem(await there.post(body, content_encoding=encoding), 400)
            assert document["parameter"] == "content-encoding"
        assert there.intake.submissions == 0

    on_a_site(test)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_a_bomb_is_refused_without_holding_what_it_unpacks_to(encoding: str) -> None:
    async def test(there: Site) -> None:
        gigabyte = 1 << 30
        document = problem(await there.post(bomb(encoding, gigabyte), content_encoding=encoding), 413)
        assert "16777216 bytes decompressed" in document["detail"]
        assert peak_mb() - before < 120

    before = peak_mb()
    on_a_site(test, max_body_bytes=16 << 20)


def bomb(encoding: str, size: int) -> bytes:
    """So many zeros, compressed a part at a time."""
    part = bytes(1 << 20)
    if encoding == "zstd":
        packer = zstandard.ZstdCompressor(level=1).compressobj()
    else:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    return b"".join([packer.compress(part) for _ in range(size >> 20)]) + packer.flush()


def peak_mb() -> float:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def test_unknown_types_and_encodings_are_refused() -> None:
    async def test(there: Site) -> None:
        assert problem(await there.post(b"<x/>", content_type="application/xml"), 415)["parameter"] == "content-type"
        answer = await there.post(b"{}", content_encoding="gzp")
        document = problem(answer, 415)
        assert (document["parameter"], document["hint"]) == ("content-encoding", "did you mean gzip?")
        assert answer.headers["accept-encoding"] == "gzip, deflate, zstd"

    on_a_site(test)


def test_an_empty_body_is_refused() -> None:
    async def test(there: Site) -> None:
        for body in (b"", b" \n\n", b"\xef\xbb\xbf\n"):
            assert "at least one event" in problem(await there.post(body), 400)["detail"]

    on_a_site(test)


def test_a_long_body_is_refused_by_its_length_and_by_its_bytes() -> None:
    async def test(there: Site) -> None:
        problem(await there.post(b"x" * 1001), 413)

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(11):
                yield b"x" * 100

        problem(await there.post(chunks()), 413)
        assert (await there.post(b"{}" + b" " * 998)).status_code == 200

    on_a_site(test, max_body_bytes=1000)


def test_a_long_line_is_a_dead_letter_and_the_others_are_not() -> None:
    async def test(there: Site) -> None:
        for body, content_type in (
            (b'{"a":1}\n{"b":"' + b"x" * 100 + b'"}\n{"c":1}\n', "application/x-ndjson"),
            (b'[{"a":1},{"b":"' + b"x" * 100 + b'"},{"c":1}]', "application/json"),
        ):
            answer = (await there.post(body, content_type=content_type)).json()
            assert (answer["accepted"], answer["malformed"]) == (2, 1)
            assert answer["refusals"] == [{"line": 2, "reason": "line over max_line", "detail": ""}]
            assert there.intake.appended[-1].refused[0].length == 108

    on_a_site(test, max_line_bytes=50)


def test_strict_refuses_all_because_of_one() -> None:
    async def test(there: Site) -> None:
        document = problem(await there.post(b'{"a":1}\nnonsense\n', "?strict=true"), 422)
        assert (document["parameter"], document["line"], document["malformed"]) == ("strict", 2, 1)
        assert there.intake.lines() == []
        assert (await there.post(b'{"a":1}\n', "?strict=true")).status_code == 200

    on_a_site(test)


def test_the_same_key_gets_the_first_answer_again() -> None:
    async def test(there: Site) -> None:
        first = (await there.post(b'{"a":1}', idempotency_key="k1")).json()
        again = (await there.post(b'{"a":1}', idempotency_key="k1")).json()
        assert again == {**first, "again": True}
        assert len(there.intake.lines()) == 1

    on_a_site(test)


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\u00e9"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    async def test(there: Site) -> None:
        headers = [(b"idempotency-key", key.encode())]
        answer = await there.client.post(f"{there.url}/v1/events", content=b"{}", headers=headers)
        assert problem(answer, 400)["parameter"] == "idempotency-key"

    on_a_site(test)


def test_no_room_in_the_log_is_503_with_retry_after() -> None:
    async def test(there: Site) -> None:
        there.intake.refuse(1, retry_after_s=2.4)
        answer = await there.post(b"{}")
        assert "no room" in problem(answer, 503)["detail"]
        assert answer.headers["retry-after"] == "3"
        assert there.sources["http"].status().state is State.STALLED
        assert (await there.post(b"{}")).status_code == 200
        assert there.sources["http"].status().state is State.RUNNING

    on_a_site(test)


def test_a_broken_log_is_503_and_a_failed_source() -> None:
    async def test(there: Site) -> None:
        there.intake.broken = True
        assert str(StoreError("the log cannot be written")) in problem(await there.post(b"{}"), 503)["detail"]
        assert there.sources["http"].status().state is State.FAILED

    on_a_site(test)


def test_too_many_requests_at_a_time_are_429() -> None:
    async def test(there: Site) -> None:
        there.intake.delay_s = 0.5
        answers = await asyncio.gather(*(there.post(b"{}") for _ in range(5)))
        codes = sorted(answer.status_code for answer in answers)
        assert codes == [200, 200, 429, 429, 429]
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.headers["retry-after"] == "1"
        problem(refused, 429)
        assert (await there.post(b"{}")).status_code == 200

    on_a_site(test, concurrency=2)


def test_too_many_bytes_at_a_time_are_503() -> None:
    async def test(there: Site) -> None:
        there.intake.delay_s = 0.5
        body = b"{}\n" * 300
        answers = await asyncio.gather(*(there.post(body) for _ in range(3)))
        assert sorted(answer.status_code for answer in answers) == [200, 503, 503]
        assert (await there.post(body)).status_code == 200

    on_a_site(test, max_body_bytes=1000, max_held_bytes=1500)


@pytest.mark.parametrize("speed", ["half sent", "drop by drop"])
def test_a_body_that_does_not_arrive_in_time_is_408(speed: str) -> None:
    async def test(there: Site) -> None:
        port = int(there.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")

        async def drops() -> None:
            while True:
                await asyncio.sleep(0.2)
                writer.write(b" ")

        dropping = asyncio.ensure_future(drops()) if speed == "drop by drop" else None
        answer = await asyncio.wait_for(reader.read(), 10)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"connection: close" in answer.lower()
        if dropping:
            dropping.cancel()
        writer.close()
        assert there.intake.submissions == 0
        assert (await there.post(b"{}")).status_code == 200

    options = {"silence_timeout_s": 1} if speed == "half sent" else {"body_timeout_s": 1}
    on_a_site(test, **options)


def test_a_client_that_goes_away_leaves_nothing() -> None:
    async def test(there: Site) -> None:
        port = int(there.url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{}\n")
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.close()
        for _ in range(3):
            assert (await there.post(b"{}")).status_code == 200
        assert len(there.intake.appended) == 3

    on_a_site(test, concurrency=1)


def test_a_source_that_does_not_run_is_503() -> None:
    async def test(there: Site) -> None:
        await there.sources["http"].stop()
        answer = await there.post(b"{}")
        assert "takes nothing now" in problem(answer, 503)["detail"]
        assert answer.headers["retry-after"]
        assert (await there.post(b"{}", "?source=calls")).status_code == 200

    on_a_site(test)


def test_requests_under_way_are_answered_at_a_stop() -> None:
    async def test(there: Site) -> None:
        there.intake.delay_s = 0.4
        asked = asyncio.ensure_future(there.post(b"{}"))
        await eventually(lambda: there.intake.submissions == 1, "the request is under way")
        await there.sources["http"].stop()
        assert (await asked).status_code == 200

    on_a_site(test)


ATTRIBUTES = {"specversion": "1.0", "type": "com.example.call", "source": "/pbx/1", "id": "a1"}


def test_a_structured_cloud_event() -> None:
    async def test(there: Site) -> None:
        event = {**ATTRIBUTES, "time": "2018-04-08T17:20:00.123Z"}
        body = json.dumps(event)[:-1].encode() + b', "data": {"n" : 1.50}}'
        assert (await there.post(body, content_type="application/cloudevents+json")).status_code == 200
        (incoming,) = there.intake.appended
        assert incoming.data == b'{"n" : 1.50}\n'
        assert incoming.given == Given(("com.example.call",), ("/pbx/1 a1",), (1523208000123,))

    on_a_site(test)


def test_the_query_goes_before_what_a_cloud_event_says() -> None:
    async def test(there: Site) -> None:
        body = json.dumps({**ATTRIBUTES, "data": {"n": 1}})
        await there.post(body, "?topic=call&id=body.n", content_type="application/cloudevents+json")
        (incoming,) = there.intake.appended
        assert incoming.given == Given((), (), (None,))
        assert incoming.arrival.envelope.topic.text == "'call'"

    on_a_site(test)


def test_a_batch_of_cloud_events_of_which_one_is_none() -> None:
    async def test(there: Site) -> None:
        batch = [{**ATTRIBUTES, "data": {"n": 1}}, {"id": "x"}, {**ATTRIBUTES, "id": "a3", "data": "text"}]
        answer = await there.post(json.dumps(batch), content_type="application/cloudevents-batch+json")
        assert answer.json()["refusals"] == [
            {"line": 2, "reason": "not a CloudEvent", "detail": "it has no 'specversion'"}
        ]
        (incoming,) = there.intake.appended
        assert incoming.data == b'{"n": 1}\n!\n{"data":"text"}\n'
        assert incoming.given.ids == ("/pbx/1 a1", None, "/pbx/1 a3")

    on_a_site(test)


def test_a_binary_cloud_event() -> None:
    async def test(there: Site) -> None:
        headers = {f"ce-{name}": value for name, value in ATTRIBUTES.items()}
        headers |= {"ce-id": "caf%C3%A9", "ce-time": "2018-04-08T19:20:00+02:00", "content-type": "application/json"}
        answer = await there.client.post(f"{there.url}/v1/events", content=b'{\n"n":1}', headers=headers)
        assert answer.status_code == 200, answer.text
        (incoming,) = there.intake.appended
        assert incoming.data == b'{\r"n":1}\n'
        assert incoming.given == Given(("com.example.call",), ("/pbx/1 caf\u00e9",), (1523208000000,))

    on_a_site(test)


def test_a_message_that_is_no_cloud_event_is_refused_by_its_attribute() -> None:
    async def test(there: Site) -> None:
        kind = "application/cloudevents+json"
        for change, attribute in (
            ({"specversion": "0.3"}, "specversion"),
            ({"type": None}, "type"),
            ({"id": 7}, "id"),
            ({"source": "a\nb"}, "source"),
            ({"time": "yesterday"}, "time"),
            ({"time": "2018-13-01T00:00:00Z"}, "time"),
            ({"data_base64": "***"}, "data_base64"),
        ):
            document = problem(await there.post(json.dumps({**ATTRIBUTES, **change}), content_type=kind), 400)
            assert document["parameter"] == attribute
        for body in (b"", b"[]", b"{", b"\xff", b'{"a":1'):
            problem(await there.post(body, content_type=kind), 400)
        problem(await there.post(b"{}", content_type="application/json", ce_specversion="1.0"), 400)
        assert there.intake.submissions == 0

    on_a_site(test)


def test_the_openapi_document_names_every_parameter() -> None:
    async def test(there: Site) -> None:
        document = (await there.client.get(f"{there.url}/openapi.json")).json()
        operation = document["paths"]["/v1/events"]["post"]
        assert [p["name"] for p in operation["parameters"]] == [
            *("source", "topic", "time", "time_unit", "zone", "id", "strict"),
            "Idempotency-Key",
        ]
        assert {"200", "400", "408", "413", "415", "422", "429", "503"} <= operation["responses"].keys()

    on_a_site(test)
