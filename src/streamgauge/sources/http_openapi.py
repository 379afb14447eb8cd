"""What the OpenAPI document says of ``POST /v1/events``."""

from __future__ import annotations

from typing import Any

from streamgauge.expression import TimeUnit
from streamgauge.sources.cloudevents import BATCHED, STRUCTURED
from streamgauge.sources.http_problem import PROBLEM_TYPE

_EVENT = {"type": "object", "additionalProperties": True}
_EXAMPLE = {"call_id": "7f3a", "time": 1523208000, "carrier": "carrier-007"}
_LINES = '{"call_id": "7f3a", "time": 1523208000}\n{"call_id": "81b2", "time": 1523208003}\n'

_REFUSAL = {
    "type": "object",
    "properties": {
        "line": {"type": "integer", "description": "which of the events, from 1"},
        "reason": {"type": "string"},
        "detail": {"type": "string"},
    },
}
_RECEIPT = {
    "type": "object",
    "properties": {
        "accepted": {"type": "integer", "description": "events that are durable in the log"},
        "duplicates": {"type": "integer", "description": "events whose id the log had already"},
        "malformed": {"type": "integer", "description": "messages that became dead letters"},
        "position": {"type": "integer", "description": "the position of the first of them, -1 without any"},
        "receipt_times": {"type": "integer", "description": "events without a time, which got that of their receipt"},
        "refusals": {"type": "array", "items": _REFUSAL, "description": "the first 100 malformed messages"},
        "again": {"type": "boolean", "description": "the stored answer of an earlier request with this key"},
    },
}
_PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "parameter": {"type": "string", "description": "the query parameter or header that is to be mended"},
        "hint": {"type": "string"},
    },
}


def _query(name: str, help_: str, schema: dict[str, Any], example: Any = None) -> dict[str, Any]:
    shown = {} if example is None else {"example": example}
    return {"name": name, "in": "query", "required": False, "description": help_, "schema": schema, **shown}


def _refusal(help_: str) -> dict[str, Any]:
    return {"description": help_, "content": {PROBLEM_TYPE: {"schema": _PROBLEM}}}


_TEXT = {"type": "string", "minLength": 1, "maxLength": 4000}
_ANSWER = {
    "accepted": 2,
    "duplicates": 0,
    "malformed": 0,
    "position": 0,
    "receipt_times": 0,
    "refusals": [],
    "again": False,
}

OPERATION: dict[str, Any] = {
    "description": (
        "Takes newline-delimited JSON, a JSON array, one object, or CloudEvents 1.0; compressed with gzip, deflate or "
        "zstd. Answers 200 only when the events are durable. A malformed event is kept as a dead letter and refuses "
        "nothing else. A request that is repeated may count its events twice, unless they have an id, or it has an "
        "Idempotency-Key."
    ),
    "parameters": [
        _query("source", "the configured HTTP source that they belong to", _TEXT, "http"),
        _query("topic", "their topic: a name, or an SQL expression over body", _TEXT, "call"),
        _query("time", "when each happened: an SQL expression", _TEXT, "body.time"),
        _query("time_unit", "the unit of those times", {"type": "string", "enum": [str(u) for u in TimeUnit]}, "s"),
        _query("zone", "the time zone of times that are written without one", _TEXT, "UTC"),
        _query("id", "what tells an event from all others: an SQL expression", _TEXT, "body.call_id"),
        _query("strict", "refuse all of them if one is malformed", {"type": "boolean"}, False),
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "the same request with the same key gets the first answer again, and changes nothing",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        },
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/x-ndjson": {"schema": {"type": "string"}, "example": _LINES},
            "application/json": {
                "schema": {"oneOf": [_EVENT, {"type": "array", "items": _EVENT}]},
                "example": _EXAMPLE,
            },
            STRUCTURED: {"schema": _EVENT},
            BATCHED: {"schema": {"type": "array", "items": _EVENT}},
        },
    },
    "responses": {
        "200": {
            "description": "the events are durable",
            "content": {"application/json": {"schema": _RECEIPT, "example": _ANSWER}},
        },
        "400": _refusal("a parameter, a header or the body cannot be understood"),
        "408": _refusal("the body did not arrive in time"),
        "413": _refusal("the body is too long, perhaps only when decompressed"),
        "415": _refusal("an unknown Content-Type or Content-Encoding"),
        "422": _refusal("strict=true, and a message is malformed: nothing was kept"),
        "429": _refusal("too many requests at a time; see Retry-After"),
        "503": _refusal("no room in the log, or the program is stopping; see Retry-After"),
    },
}
