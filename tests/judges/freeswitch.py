"""FreeSWITCH's event socket, as recorded: frames of headers, each perhaps followed by a body."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from urllib.parse import unquote

from tests.data import data_path


def frames(raw: bytes) -> Iterator[tuple[dict[str, str], bytes]]:
    """Headers and body of each frame: headers end with an empty line, ``Content-Length`` says how long the body is."""
    place = 0
    while place < len(raw):
        end = raw.index(b"\n\n", place)
        headers = pairs(raw[place:end])
        place = end + 2
        size = int(headers.get("Content-Length", "0"))
        yield headers, raw[place : place + size]
        place += size


def pairs(text: bytes) -> dict[str, str]:
    """``name: value`` lines, as they stand."""
    return dict(line.split(": ", 1) for line in text.decode().split("\n") if ": " in line)


def events(form: str) -> list[dict[str, str]]:
    """Every event of the recording in this form (``plain`` or ``json``), decoded."""
    raw = gzip.decompress(data_path(f"voip/freeswitch_events/inbound_{form}.esl.gz").read_bytes())
    bodies = [body for headers, body in frames(raw) if headers.get("Content-Type") == f"text/event-{form}"]
    if form == "json":
        return [json.loads(body) for body in bodies]
    return [{name: unquote(value) for name, value in pairs(body).items()} for body in bodies]
