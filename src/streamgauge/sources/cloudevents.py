"""CloudEvents 1.0 over HTTP: structured, batched and binary messages, as events.

``type`` is the topic, ``time`` the time, ``source`` and ``id`` together the id (only together are they unique), and
``data`` the body. A body is an object: any other ``data`` becomes ``{"data": ...}``, text as a text, bytes as
``{"data_base64": "..."}``; without data it is ``{}``. Other attributes are not kept.

See https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md and bindings/http-protocol-binding.md there.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from streamgauge.codecs.base import KEPT_BYTES
from streamgauge.event import RefusedLine
from streamgauge.log.base import Given
from streamgauge.sources.jsontext import Member, members
from streamgauge.sources.lines import Lines

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
REASON = "not a CloudEvent"

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_FORBIDDEN = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]")
_JSON_TYPE = re.compile(r"(application|text)/(json|[\w.!#$&^+-]+\+json)", re.IGNORECASE)


class Refused(Exception):
    """Why a message is no CloudEvent; ``attribute`` is the one to be mended, if it is one."""

    def __init__(self, problem: str, attribute: str = "") -> None:
        super().__init__(problem)
        self.attribute = attribute


@dataclass(slots=True)
class CloudEvents:
    """Events as they are collected: the lines of their bodies, and what was said of them outside."""

    parts: list[bytes] = field(default_factory=list)
    refused: list[RefusedLine] = field(default_factory=list)
    topics: list[str | None] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    times: list[int | None] = field(default_factory=list)

    def add(self, body: bytes, topic: str, id_: str, time_ms: int | None) -> None:
        """One event more."""
        self.parts.append(body)
        self._given(topic, id_, time_ms)

    def refuse(self, line: RefusedLine) -> None:
        """One message more that is none."""
        self.parts.append(b"!")
        self.refused.append(line)
        self._given(None, None, None)

    def _given(self, topic: str | None, id_: str | None, time_ms: int | None) -> None:
        self.topics.append(topic)
        self.ids.append(id_)
        self.times.append(time_ms)

    def lines(self) -> Lines:
        """Their bodies."""
        data = b"".join(part + b"\n" for part in self.parts)
        return Lines(data, tuple(self.refused), len(self.parts))

    def given(self, *, topic: bool, id_: bool, time: bool) -> Given:
        """What they say of themselves, of that which the request does not say otherwise."""
        return Given(
            tuple(self.topics) if topic else (), tuple(self.ids) if id_ else (), tuple(self.times) if time else ()
        )


def structured(data: bytes) -> CloudEvents:
    """The event of a structured message. Raises Refused."""
    events = CloudEvents()
    events.add(*_event(data))
    return events


def batched(lines: Lines) -> CloudEvents:
    """The events of a batch, of which the elements are lines already."""
    events = CloudEvents()
    known = {line.record: line for line in lines.refused}
    for record, line in enumerate(lines.data.split(b"\n")[:-1]):
        if record in known:
            events.refuse(known[record])
            continue
        try:
            events.add(*_event(line))
        except Refused as why:
            kept = line[:KEPT_BYTES]
            events.refuse(RefusedLine(record, 0, record + 1, REASON, kept, len(line), str(why)))
    return events


def binary(headers: Mapping[str, str], data: bytes) -> CloudEvents:
    """The event of a binary message: attributes in ``ce-`` headers (lower case), data in the body. Raises Refused."""
    attributes = {name[3:]: _header(value) for name, value in headers.items() if name.startswith("ce-")}
    topic, id_, time_ms = _attributes(attributes)
    events = CloudEvents()
    events.add(_body_of_bytes(data, headers.get("content-type", "")), topic, id_, time_ms)
    return events


def _header(value: str) -> str:
    """A header's value without its quotes and its percent-encoding."""
    if len(value) > 1 and value.startswith('"') and value.endswith('"'):
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    return unquote(value)


def _event(data: bytes) -> tuple[bytes, str, str, int | None]:
    try:
        text = data.decode().strip(" \t\r\n")
    except UnicodeDecodeError:
        raise Refused("it is not UTF-8") from None
    found = members(text)
    if found is None:
        raise Refused("it is no JSON object")
    attributes = {name: member.value for name, member in found.items()}
    topic, id_, time_ms = _attributes(attributes)
    return _body(text, found), topic, id_, time_ms


def _attributes(attributes: Mapping[str, Any]) -> tuple[str, str, int | None]:
    """Topic, id and time. Raises Refused."""
    for name in ("specversion", "type", "source", "id"):
        value = attributes.get(name)
        if value is None:
            raise Refused(f"it has no {name!r}", name)
        if not isinstance(value, str) or not value:
            raise Refused(f"its {name!r} is {json.dumps(value)[:80]}, expected a text", name)
        if _FORBIDDEN.search(value):
            raise Refused(f"its {name!r} has a character that no CloudEvent may have", name)
    version = attributes["specversion"]
    if not version.startswith("1."):
        raise Refused(f"its 'specversion' is {version[:80]!r}, expected '1.0'", "specversion")
    id_ = f"{attributes['source']} {attributes['id']}"
    return attributes["type"], id_, _time_ms(attributes.get("time"))


def _time_ms(value: Any) -> int | None:
    """A time of RFC 3339 in ms. Raises Refused."""
    if value is None:
        return None
    found = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Refused(f"its 'time' is {json.dumps(value)[:80]}, expected a time such as 2018-04-05T17:31:00Z", "time")
    whole, fraction = value[:17] + found[1] + found[3], found[2] or ""
    # A leap second is the last moment of its minute.
    if found[1] == "60":
        whole, fraction = value[:17] + "59" + found[3], ".999"
    try:
        moment = datetime.fromisoformat(whole.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused(f"its 'time' {value!r} is no time that there is", "time") from None
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * 1000 + int((fraction[1:] + "000")[:3])


def _body(text: str, found: Mapping[str, Member]) -> bytes:
    """The body of an event in its JSON form: the bytes of its data, where these are an object."""
    if "data_base64" in found:
        encoded = found["data_base64"].value
        try:
            data = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise Refused("its 'data_base64' is no base64", "data_base64") from None
        kind = found["datacontenttype"].value if "datacontenttype" in found else ""
        return _body_of_bytes(data, kind if isinstance(kind, str) else "")
    if "data" not in found:
        return b"{}"
    member = found["data"]
    own = text[member.start : member.end]
    try:
        return _object(own.encode(), member.value)
    except UnicodeEncodeError:
        raise Refused("its 'data' is not UTF-8", "data") from None


def _body_of_bytes(data: bytes, content_type: str) -> bytes:
    """The body of data that is given as bytes with a media type."""
    kind = content_type.partition(";")[0].strip().lower()
    if not data:
        return b"{}"
    if not kind or _JSON_TYPE.fullmatch(kind):
        try:
            return _object(data.strip(b" \t\r\n"), json.loads(data.decode()))
        except (ValueError, RecursionError):
            if kind:
                raise Refused("its data is not JSON, as its content type says", "datacontenttype") from None
    if kind.startswith("text/"):
        try:
            return _line({"data": data.decode()})
        except UnicodeDecodeError:
            pass
    return _line({"data_base64": base64.b64encode(data).decode()})


def _object(own: bytes, value: Any) -> bytes:
    """An object's own bytes; what is none is put into one. A line feed between values becomes a carriage return."""
    if isinstance(value, dict):
        return own.replace(b"\n", b"\r")
    return b'{"data":' + own.replace(b"\n", b"\r") + b"}"


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
