"""The lines of a block: its events, whose envelope is ours and whose body is the message's own, and its dead letters.

Nothing in a body can be taken for the envelope: a body is one JSON object, as the engine that read it says, and it
stands last; every text before it is written by us.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring as quoted
from operator import add
from typing import Any

import numpy as np

from streamgauge.codecs.base import BLANKS

KEPT_BYTES = 64 << 10
"""How much of a dead letter's message is kept."""

_ENDS = b" \t\r\x0b\x0c"
_FEED, _OPEN, _CLOSE = b"\n{}"


def lines_of(data: bytes) -> tuple[list[bytes], bool]:
    """The messages of NDJSON whose every line is ended by a line feed, without the blanks around them.

    And whether each begins and ends with a brace, as it stands.
    """
    lines = data.split(b"\n")
    lines.pop()
    if _is_plain(data):
        return lines, True
    return [line.strip(_ENDS) for line in lines], False


def _is_plain(data: bytes) -> bool:
    text = np.frombuffer(data, np.uint8)
    feeds = np.flatnonzero(text == _FEED)
    if not len(feeds) or feeds[0] == 0 or text[0] != _OPEN:
        return False
    return bool((text[feeds - 1] == _CLOSE).all() and (text[feeds[:-1] + 1] == _OPEN).all())


def without_blank_lines(data: bytes) -> bytes:
    """The same NDJSON without its blank lines, every line ended by a line feed."""
    return b"".join(line + b"\n" for line in data.split(b"\n") if line.strip(BLANKS))


def event_lines(
    times: Sequence[int],
    topics: Sequence[str | None],
    ids: Sequence[str | None],
    owners: Sequence[str | None] | None,
    source: str,
    bodies: Sequence[bytes],
) -> bytes:
    """The lines of events, one after another, each ended by a line feed. An event without a topic has an empty one."""
    if not times:
        return b""
    topic_of = {topic: f',"topic":{quoted(topic or "")}' for topic in set(topics)}
    rest = f',"source":{quoted(source)}'
    named: list[str] = ["" if one is None else f',"id":{quoted(one)}' for one in ids]
    if owners is None:
        tails: Sequence[str] = [f'{rest},"body":'] * len(times)
    else:
        owner_of = {one: "" if one is None else f',"owner":{quoted(one)}' for one in set(owners)}
        tails = [f'{rest}{owner_of[one]},"body":' for one in owners]
    heads = [
        f'{{"time":{time}{topic_of[topic]}{one}{tail}'
        for time, topic, one, tail in zip(times, topics, named, tails, strict=True)
    ]
    # No text that is quoted has a line feed, so that one encoding does for all.
    return b"}\n".join(map(add, "\n".join(heads).encode().split(b"\n"), bodies)) + b"}\n"


def dead_line(
    reason: str, detail: str, received_ms: int, data: bytes | None, length: int, beside: Mapping[str, Any] | None = None
) -> bytes:
    """The line of a dead letter: ``{"reason":, "detail":, "time":, "length":, "raw":}``, and what stood beside it.

    ``time`` is that of its receipt, ``length`` that of the whole message in bytes. Of its bytes the first 64 KiB are
    kept: as ``raw`` where they are UTF-8 (a character that is cut is left out), else as ``base64``; None: not kept.
    """
    said: dict[str, Any] = {"reason": reason, "detail": detail, "time": received_ms, "length": length}
    if data is not None:
        kept = data[:KEPT_BYTES]
        said.update(_kept(kept, cut=length > len(kept)))
    said.update(beside or {})
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def _kept(data: bytes, *, cut: bool) -> dict[str, str]:
    try:
        return {"raw": data.decode()}
    except UnicodeDecodeError as error:
        if cut and error.reason == "unexpected end of data":
            return {"raw": data[: error.start].decode()}
        return {"base64": b64encode(data).decode()}
