"""``POST /v1/events``: the one route by which events come in over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from streamgauge.errors import RetryableError, StoreError, nearest
from streamgauge.log.base import Given, Incoming, Receipt
from streamgauge.sources import cloudevents
from streamgauge.sources.base import State
from streamgauge.sources.delivery import durable
from streamgauge.sources.http import Asked, Holding, HttpOptions, HttpSource, read_query
from streamgauge.sources.http_bodies import ENCODINGS, decompressed, elements, lines_of_body, too_large
from streamgauge.sources.http_openapi import OPERATION
from streamgauge.sources.http_problem import PROBLEM_TYPE, Problem
from streamgauge.sources.lines import Lines

ANSWER_WITHIN_S = 30.0
"""How long a request waits for its events to become durable."""

_DRAIN_S = 1.0
_LARGE = 1 << 20
_LONGEST_KEY = 255
_OPERATOR_WAIT_S = 30.0


def events_router(sources: Callable[[], Mapping[str, HttpSource]] | Mapping[str, HttpSource]) -> APIRouter:
    """The routes for these sources, by name; a function is asked at each request, so that they may change."""
    router = APIRouter()
    known = sources if callable(sources) else lambda: sources

    async def post_events(request: Request) -> Response:
        try:
            return await _post(request, known())
        except Problem as problem:
            if problem.closes:
                await _drain(request)
            return Response(problem.body(), problem.status, problem.headers(), PROBLEM_TYPE)
        except ClientDisconnect:
            # Nobody will read this; what was sent of the body is no request.
            return Response(status_code=HTTPStatus.BAD_REQUEST)

    router.add_api_route("/v1/events", post_events, methods=["POST"], openapi_extra=OPERATION, **_DESCRIPTION)
    return router


_DESCRIPTION: dict[str, Any] = {
    "name": "post_events",
    "operation_id": "post_events",
    "summary": "Send events",
    "response_class": Response,
    "tags": ["events"],
}


async def _post(request: Request, sources: Mapping[str, HttpSource]) -> Response:
    """1. Query and headers. 2. Room. 3. The whole body. 4. Lines. 5. The log. 6. Only then, the answer."""
    asked = read_query(request.query_params.multi_items())
    source = _source(asked.source, sources)
    arrival = source.arrival(asked.envelope)
    key, encoding = _key(request), _encoding(request)
    with source.request() as holding:
        body = await _body(request, source, holding)
        if encoding:
            body = await asyncio.to_thread(decompressed, body, encoding, source.options.max_body_bytes)
            holding.more(len(body))
        read = partial(_lines, request.headers, body, asked, source.options)
        # What takes long does not hold up the other requests.
        lines, given = await asyncio.to_thread(read) if len(body) > _LARGE else read()
        incoming = Incoming(source.lane, arrival, lines.data, lines.refused, key=key, strict=asked.strict, given=given)
        receipt = await _receipt(source, incoming)
    return _answer(receipt, asked)


def _source(name: str, sources: Mapping[str, HttpSource]) -> HttpSource:
    if name not in sources:
        hint = nearest(name, sources) or f"known: {', '.join(sources)}"
        detail = f"no HTTP source is called {name[:80]!r}"
        raise Problem(HTTPStatus.BAD_REQUEST, detail, "source", f'{hint}; declare it as [source.NAME] type = "http"')
    return sources[name]


def _key(request: Request) -> str:
    keys = request.headers.getlist("idempotency-key")
    key = keys[0].strip() if keys else ""
    if len(keys) > 1 or len(key) > _LONGEST_KEY or (keys and not (key.isascii() and key.isprintable() and key)):
        detail = f"Idempotency-Key must be one text of 1 to {_LONGEST_KEY} printable ASCII characters"
        raise Problem(HTTPStatus.BAD_REQUEST, detail, "idempotency-key")
    return key


def _encoding(request: Request) -> str:
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return ""
    encoding = encoding.removeprefix("x-")
    if encoding not in ENCODINGS:
        detail = f"Content-Encoding {encoding[:80]!r} is not known here"
        hint = nearest(encoding, ENCODINGS) or f"one of {', '.join(ENCODINGS)}"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, "content-encoding", hint)
    return encoding


async def _body(request: Request, source: HttpSource, holding: Holding) -> bytes:
    """The whole body, within the limits of size and time."""
    options = source.options
    limit = options.max_body_bytes
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large(limit)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(options.body_timeout_s), asyncio.timeout(options.silence_timeout_s) as silence:
            async for part in request.stream():
                # The time of the loop, which alone these timeouts know.
                silence.reschedule(asyncio.get_running_loop().time() + options.silence_timeout_s)
                size += len(part)
                if size > limit:
                    raise too_large(limit)
                holding.more(len(part))
                parts.append(part)
    except TimeoutError:
        detail = f"the body did not arrive in time; {size} bytes of it did"
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, detail, hint="send smaller bodies", closes=True) from None
    return b"".join(parts)


async def _drain(request: Request) -> None:
    """Read on for a moment, as a client that is still sending may not read an answer to it."""
    try:
        async with asyncio.timeout(_DRAIN_S):
            async for _ in request.stream():
                pass
    except (TimeoutError, ClientDisconnect, RuntimeError):
        return


def _lines(headers: Headers, body: bytes, asked: Asked, options: HttpOptions) -> tuple[Lines, Given | None]:
    """The bodies of the events, and what a CloudEvent says of itself beside its data."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if media_type == cloudevents.BATCHED:
            events = cloudevents.batched(elements(body, options.max_line_bytes, options.max_events))
        elif media_type == cloudevents.STRUCTURED:
            events = cloudevents.structured(body)
        elif "ce-specversion" in headers:
            events = cloudevents.binary(headers, body)
        else:
            return lines_of_body(body, media_type, options.max_line_bytes, options.max_events), None
    except cloudevents.Refused as why:
        detail = f"the message is no CloudEvent: {why}"
        raise Problem(HTTPStatus.BAD_REQUEST, detail, why.attribute) from None
    own = {name: name not in asked.envelope for name in ("topic", "id", "time")}
    return events.lines(), events.given(topic=own["topic"], id_=own["id"], time=own["time"])


async def _receipt(source: HttpSource, incoming: Incoming) -> Receipt:
    """What the log says. Raises Problem 503 where there is no room, or no answer in time."""
    if source.intake is None:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the program is stopping", retry_after_s=2.0)
    try:
        receipt = await asyncio.wait_for(durable(source.intake, incoming), ANSWER_WITHIN_S)
    except RetryableError as error:
        source.delivery.fault(error)
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry_after_s=error.retry_after_s) from None
    except StoreError as error:
        source.delivery.fault(error, State.FAILED)
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry_after_s=_OPERATOR_WAIT_S) from None
    except TimeoutError:
        detail = "the events were taken, but are not durable yet; sending them again may count them twice"
        hint = "send them with an id, or the same Idempotency-Key"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, hint=hint, retry_after_s=5.0) from None
    source.delivery.count(receipt)
    return receipt


def _answer(receipt: Receipt, asked: Asked) -> Response:
    answer = {k: v for k, v in asdict(receipt).items() if k not in ("block", "kept")}
    answer["refusals"] = _shown(receipt)
    if not receipt.kept:
        first = answer["refusals"][0] if answer["refusals"] else {}
        detail = f"{receipt.malformed} of the messages are malformed, and strict=true was asked for: nothing was kept"
        more = {
            "malformed": receipt.malformed,
            "refusals": answer["refusals"],
            **({"line": first["line"]} if first else {}),
        }
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, "strict", "mend them, or send without strict", more=more)
    return Response(json.dumps(answer), media_type="application/json")


def _shown(receipt: Receipt) -> Sequence[dict[str, Any]]:
    return [asdict(refusal) for refusal in receipt.refusals]
