"""What the OpenAPI document says of each route: its parameters, and an example of each answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamgauge.serve.formats import FORMATS
from streamgauge.serve.parameters import CELLS, EVENTS, FILTERS, KEYS, LATEST, LETTERS, REPLAY, Parameter
from streamgauge.serve.problems import MEDIA_TYPE

Document = dict[str, Any]

_CELL = {
    "statistic": "carrier_quality",
    "every": "6m",
    "window_by": "end",
    "start": "2026-03-02T11:54:00Z",
    "stop": "2026-03-02T12:00:00Z",
    "start_ms": 1772452440000,
    "stop_ms": 1772452800000,
    "row": "key",
    "carrier": "carrier-007",
    "events": 61,
    "attempts": 61,
    "asr": 0.4098360655737705,
    "late": 0,
    "revision": None,
    "wrong_types": None,
    "state": "final",
}
_NEXT = "/v1/statistics/carrier_quality/cells?every=6m&limit=1&cursor=WyI4ZTFm"
_VERSION = "8d2f0f9a3ad4c1b2"
_CELLS = {
    "statistic": "carrier_quality",
    "every": "6m",
    "rolling": None,
    "rollup": None,
    "start": "2026-03-02T11:00:00.000Z",
    "stop": None,
    "tz": "UTC",
    "version": _VERSION,
    "watermark": "2026-03-02T12:00:41.250Z",
    "final": False,
    "dead_letters": {"not JSON": 3},
    "duplicates": 12,
    "whole": False,
    "rows": 1,
    "next": _NEXT,
    "cells": [_CELL],
}
_EVENT = {
    "position": 481516,
    "time": "2026-03-02T11:57:03.120Z",
    "time_ms": 1772452623120,
    "topic": "call",
    "source": "http",
    "id": "0000000758f4",
    "body": {"call_id": "0000000758f4", "carrier": "carrier-007", "sip_code": 503},
}
_LETTER = {
    "position": 481513,
    "source": "http",
    "lane": "http",
    "line": 12,
    "column": 40,
    "offset": 4012,
    "reason": "not JSON",
    "detail": "",
    "state": "new",
    "received": "2026-03-02T11:57:03.311Z",
    "length": 41,
    "text": '{"call_id":"0000000758f4","carrier":"carr',
}
_REPLAYED = {
    "replayed": 120,
    "accepted": 117,
    "duplicates": 2,
    "still_bad": 1,
    "not_replayable": 1,
    "remaining": 0,
    "next": None,
    "before": 481999,
    "refused": [{"position": 481513, "why": "only the first 4096 of its 70000 bytes were kept"}],
}
_STATISTIC = {
    "name": "carrier_quality",
    "help": "What each carrier did with the calls that were sent to it",
    "shape": "call",
    "where": "direction = 'outbound' OR direction IS NULL",
    "keys": [{"name": "carrier", "type": "VARCHAR", "expression": "carrier"}],
    "window_by": "end",
    "zone": "UTC",
    "windows": [
        {
            "every": "6m",
            "keep": "90d",
            "cells": 92575,
            "first": "2026-03-02T00:00:00Z",
            "last": "2026-03-31T23:54:00Z",
            "stop": "2026-04-01T00:00:00Z",
        }
    ],
    "measures": [
        {
            "name": "attempts",
            "kind": "count",
            "formula": "count()",
            "unit": "",
            "columns": [{"name": "attempts", "type": "int", "unit": "", "help": ""}],
        }
    ],
    "totals": False,
    "version": _VERSION,
    "watermark": "2026-03-02T12:00:41.250Z",
    "final": False,
}
_SOURCE = {
    "name": "http",
    "kind": "http",
    "state": "active",
    "lag_ms": 0,
    "events_per_s": 212.5,
    "last_event": "2026-03-02T12:00:41.250Z",
    "watermark": "2026-03-02T12:00:41.250Z",
    "last_error": "",
    "dead_letters": 3,
    "duplicates": 12,
    "lanes": [],
}
_KEYS = {
    "statistic": "carrier_quality",
    "every": "1mo",
    "keys": [{"row": "key", "carrier": "carrier-007", "last": "2026-03-01T00:00:00Z"}],
    "next": None,
}
_CELL_EVENTS = {
    "statistic": "carrier_quality",
    "every": "6m",
    "start": "2026-03-02T11:54:00Z",
    "stop": "2026-03-02T12:00:00Z",
    "row": "key",
    "carrier": "carrier-007",
    "counted": 61,
    "events": [_EVENT],
    "next": None,
}
_HEALTH = {"status": "ok", "parts": [{"name": "store", "condition": "ok", "why": ""}]}
_READY = {"ready": True, "why": ""}
_PROBLEM = {
    "type": "urn:streamgauge:problem:unknown-parameter",
    "title": "there is no such parameter",
    "status": 400,
    "detail": "evry: there is no such parameter; did you mean every?",
    "parameter": "evry",
    "nearest": "every",
}
_METRICS = '# TYPE streamgauge_requests counter\nstreamgauge_requests_total{route="/healthz",status="200"} 1.0\n# EOF\n'

EXAMPLES: Mapping[str, Any] = {
    "statistics": {"statistics": [_STATISTIC]},
    "statistic": _STATISTIC,
    "cells": _CELLS,
    "latest": {**{n: v for n, v in _CELLS.items() if n not in ("rolling", "rollup", "stop")}, "next": None},
    "keys": _KEYS,
    "cell_events": _CELL_EVENTS,
    "event": _EVENT,
    "dead_letters": {"dead_letters": [_LETTER], "next": None},
    "dead_letter": _LETTER,
    "replay": _REPLAYED,
    "sources": {"sources": [_SOURCE]},
    "healthz": _HEALTH,
    "readyz": _READY,
}
"""An answer of each route, by its name: tests hold them against real ones."""

_PARAMETERS: Mapping[str, Sequence[Parameter]] = {
    "cells": (*CELLS, FILTERS),
    "latest": (*LATEST, FILTERS),
    "keys": (*KEYS, FILTERS),
    "cell_events": (*EVENTS, FILTERS),
    "dead_letters": LETTERS,
    "replay": REPLAY,
}
_PATH = {
    "name": ("A statistic.", "carrier_quality"),
    "suffix": ("json, ndjson, csv, parquet or arrow.", "csv"),
    "position": ("A position in the log.", "481516"),
}
_FAILURES: Mapping[str, Sequence[int]] = {
    "healthz": (503,),
    "readyz": (503,),
    "statistics": (400, 503),
    "sources": (400, 503),
    "statistic": (400, 404, 503),
    "cells": (400, 404, 406, 413, 503),
    "latest": (400, 404, 406, 503),
    "keys": (400, 404, 503),
    "cell_events": (400, 404, 410, 501, 503),
    "event": (400, 404, 410, 501, 503),
    "dead_letters": (400, 503),
    "dead_letter": (400, 404, 503),
    "replay": (400, 501, 503),
}
_TITLES = {
    400: "A parameter is wrong; the document names it, and the nearest right one.",
    404: "There is no such thing.",
    406: "There is no such format.",
    410: "The log does not keep it any more.",
    413: "This asks for too much at once.",
    501: "This service has no log, or writes none.",
    503: "Not now: too busy, too slow, or the store cannot be read.",
}


def schema_of(value: Any) -> Document:
    """The JSON Schema of an example: every member of an object is there, and may be null."""
    if isinstance(value, dict):
        return {"type": "object", "properties": {name: schema_of(v) for name, v in value.items()}}
    if isinstance(value, list):
        return {"type": "array", "items": schema_of(value[0]) if value else {}}
    names = {bool: "boolean", int: "integer", float: "number", str: "string"}
    return {"type": [names[type(value)], "null"]} if value is not None else {}


def _answer(name: str) -> Document:
    if name == "metrics":
        content = {"application/openmetrics-text": {"schema": {"type": "string"}, "example": _METRICS}}
        return {"description": "OpenMetrics, or Prometheus's older text.", "content": content}
    example = EXAMPLES[name]
    content = {"application/json": {"schema": schema_of(example), "example": example}}
    if name in ("cells", "latest"):
        others = (f for f in FORMATS.values() if f.name != "json")
        kind = {"type": "string", "contentMediaType": "application/octet-stream"}
        content |= {f.media_type.partition(";")[0]: {"schema": kind if f.typed else {"type": "string"}} for f in others}
    return {"description": "The answer.", "content": content}


def responses(name: str) -> dict[int | str, Document]:
    """The answers of a route."""
    schema = schema_of(_PROBLEM)
    problem = {MEDIA_TYPE: {"schema": schema, "example": _PROBLEM}}
    failures = {s: {"description": _TITLES[s], "content": problem} for s in _FAILURES.get(name, ())}
    if name in ("cells", "latest"):
        failures[304] = {"description": "It is as the ETag says that it was."}
    return {200: _answer(name), **dict(sorted(failures.items()))}


def extra(path: str, name: str) -> Document:
    """What else a route says: the parameters of its path and of its query string."""
    in_path = [_in_path(part) for part in _PATH if f"{{{part}}}" in path]
    return {"parameters": in_path + [p.openapi() | _free(p) for p in _PARAMETERS.get(name, ())]}


def _in_path(name: str) -> Document:
    help_, example = _PATH[name]
    same = {"name": name, "in": "path", "required": True, "description": help_}
    return {**same, "schema": {"type": "string"}, "example": example}


def _free(parameter: Parameter) -> Document:
    return {"style": "form", "explode": True} if parameter is FILTERS else {}
