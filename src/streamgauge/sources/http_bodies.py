"""Bodies of HTTP requests: decompressed within a limit, and made into lines for the log."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus

import numpy as np
from numpy.typing import NDArray

from streamgauge.codecs.base import BLANKS, KEPT_BYTES, OVER_MAX_LINE
from streamgauge.codecs.json import JsonCodec
from streamgauge.codecs.scan import find_objects, is_balanced_object
from streamgauge.event import RefusedLine
from streamgauge.sources.http_problem import Problem
from streamgauge.sources.lines import Bytes, BytesSource, Lines, Places, tidy, without_lead

ENCODINGS = ("gzip", "deflate", "zstd")
NDJSON_TYPES = frozenset(
    f"application/{name}" for name in ("x-ndjson", "ndjson", "jsonl", "x-jsonl", "jsonlines", "x-jsonlines", "json-seq")
)
JSON_TYPE = "application/json"
UNTOLD_TYPES = frozenset(
    {"", "application/x-www-form-urlencoded", "application/octet-stream", "text/plain", "text/json", "*/*"}
)
"""What clients send that were not told what they send (curl's default among them): the content decides."""

BOM = b"\xef\xbb\xbf"
_STEP = 1 << 20
_GZIP_PART = 1 << 16
_ZSTD_PART = 512  # a block of four bytes may stand for 128 KB, so that a part can yield 16 MB
_ZSTD_WINDOW = 8 << 20  # RFC 9659, section 3
_PIECE = 1 << 20
_MOST_STRAYS = 1 << 14
_ONE_BY_ONE = "send lines (application/x-ndjson), of which each is judged by itself"
_NONE = np.zeros(0, np.int64)
_BETWEEN = np.zeros(256, np.bool_)
_BETWEEN[list(b" \t\r\n\x0b\x0c,[]")] = True


def decompressed(data: bytes, encoding: str, limit: int) -> bytes:
    """The body behind a Content-Encoding. For a thread: holds at most ``limit`` and 16 MB more, however much it is.

    Raises Problem: 413 where it is longer, 400 where it is damaged or cut.
    """
    parts: list[bytes] = []
    size = 0
    for part in _zstd_parts(data) if encoding == "zstd" else _zlib_parts(data, encoding):
        size += len(part)
        if size > limit:
            raise too_large(limit, " decompressed")
        parts.append(part)
    return b"".join(parts)


def too_large(limit: int, how: str = "") -> Problem:
    """The refusal of a body over the limit."""
    hint = "send it in several requests"
    detail = f"the body is longer than {limit} bytes{how}"
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, hint=hint, closes=True)


def too_many(most: int) -> Problem:
    """The refusal of a body of too many events: what is kept of each of them takes more than its bytes may be."""
    detail = f"the body has more than {most} events"
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, hint="send them in several requests", closes=True)


def _zlib_parts(data: bytes, encoding: str) -> Iterator[bytes]:
    wbits = 31 if encoding == "gzip" else _deflate_form(data)
    member = zlib.decompressobj(wbits)
    for start in range(0, len(data), _GZIP_PART):
        rest = data[start : start + _GZIP_PART]
        while rest:
            if member.eof:
                if encoding != "gzip":
                    raise _damaged(encoding, "something follows its end")
                member = zlib.decompressobj(wbits)
            try:
                part = member.decompress(rest, _STEP)
            except zlib.error as error:
                raise _damaged(encoding, str(error)) from None
            yield part
            # Nothing taken and nothing given: the decoder waits for more.
            left = member.unconsumed_tail or member.unused_data
            if len(left) == len(rest) and not part and not member.eof:
                break
            rest = left
        while not member.eof and (part := member.decompress(b"", _STEP)):
            yield part
    if not member.eof:
        raise _damaged(encoding, "it is cut")


def _deflate_form(data: bytes) -> int:
    """With zlib's header, as the standard says, or without, as some clients send it."""
    whole = len(data) >= 2 and data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if whole else -zlib.MAX_WBITS


def _zstd_parts(data: bytes) -> Iterator[bytes]:
    import zstandard

    decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    frame = decoder.decompressobj()
    view = memoryview(data)
    for start in range(0, len(view), _ZSTD_PART):
        rest: bytes = bytes(view[start : start + _ZSTD_PART])
        while rest:
            if frame.eof:
                frame = decoder.decompressobj()
            try:
                yield frame.decompress(rest)
            except zstandard.ZstdError as error:
                raise _damaged("zstd", str(error)) from None
            rest = frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise _damaged("zstd", "it is cut")


def _damaged(encoding: str, why: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, f"the body is no whole {encoding}: {why}", "content-encoding")


def lines_of_body(data: bytes, media_type: str, max_line: int, most: int) -> Lines:
    """The events of a body, one a line.

    Raises Problem: 400 for nothing, 413 for more than ``most`` of them, 415 for a type that is none of ours.

    ``media_type`` without its parameters, lower case; where it says no more than JSON or nothing, the content decides.
    """
    if media_type not in NDJSON_TYPES and media_type != JSON_TYPE and media_type not in UNTOLD_TYPES:
        hint = "send application/x-ndjson, application/json or a CloudEvents type"
        detail = f"{media_type!r} is no form of events that is known here"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, "content-type", hint)
    data = data.removeprefix(BOM)
    if not data.strip(BLANKS):
        raise Problem(HTTPStatus.BAD_REQUEST, "the body is empty, expected at least one event")
    if media_type == "application/json-seq":
        data = data.replace(b"\x1e", b"")
    if media_type not in NDJSON_TYPES and not _is_ndjson(data):
        return elements(data, max_line, most)
    if data.count(b"\n") > most:
        raise too_many(most)
    return tidy(data, max_line)


def _is_ndjson(data: bytes) -> bool:
    """Whether the body is lines. A document on one line is both."""
    start = len(data) - len(data.lstrip(BLANKS))
    end = data.find(b"\n", start)
    first = data[start : end if end >= 0 else len(data)]
    if first[:1] == b"[":
        return False
    if first[:1] != b"{" or end < 0 or is_balanced_object(first):
        return True
    # The first line is broken, or is the first of a document: a document's second line begins with no brace.
    second = data[end + 1 :].lstrip(BLANKS)[:1]
    return len(first.strip(BLANKS)) > 1 and second == b"{"


def elements(data: bytes, max_line: int, most: int) -> Lines:
    """The objects of a JSON array, or of JSON texts one after another, each as a line of its own bytes.

    A line feed inside an object (blank, in JSON) becomes a carriage return. What is in the array and no object is a
    line too. Costs a few array operations, whatever the text. Raises Problem: 400 where an object does not end, or
    much of the text is none, 413 for more than ``most`` objects.
    """
    text = np.frombuffer(data, np.uint8).copy()
    starts, ends = _outermost(data, most)
    inside = np.zeros(len(text) + 1, np.int8)
    inside[starts] += 1
    inside[ends] -= 1
    within = np.cumsum(inside[:-1], dtype=np.int8).view(np.bool_)
    strays = int(np.count_nonzero(~(within | _BETWEEN[text])))
    if strays > _MOST_STRAYS or (strays and len(data) > _PIECE):
        detail = f"{strays} bytes of the body belong to no JSON object"
        raise Problem(HTTPStatus.BAD_REQUEST, detail, hint=_ONE_BY_ONE)
    if strays:
        return _with_care(data, max_line, most)
    touching = np.flatnonzero(ends[:-1] == starts[1:])
    if touching.size:
        return elements(np.insert(text, ends[touching], 10).tobytes(), max_line, most)
    text[within & (text == 10)] = 13
    refused = tuple(_refused(data, text, within, starts, ends, max_line))
    between = ends[ends < len(text)]
    text[between], within[between] = 10, True
    lines = text[within].tobytes()
    return Lines(lines if not lines or lines.endswith(b"\n") else lines + b"\n", refused, len(starts))


def _refused(
    data: bytes, text: Bytes, within: NDArray[np.bool_], starts: Places, ends: Places, max_line: int
) -> Iterator[RefusedLine]:
    """Put a mark in the place of each object that is too long."""
    for record in np.flatnonzero(ends - starts > max_line).tolist():
        start, end = int(starts[record]), int(ends[record])
        text[start] = ord("!")
        within[start + 1 : end] = False
        kept = data[start : min(end, start + KEPT_BYTES)]
        yield RefusedLine(record, start, record + 1, OVER_MAX_LINE, kept, end - start)


def _outermost(data: bytes, most: int) -> tuple[Places, Places]:
    """Where the outermost objects start and end, found a piece at a time, as positions take much more than bytes."""
    starts: list[Places] = []
    ends: list[Places] = []
    depth, in_string, base, count = 0, False, 0, 0
    while base < len(data):
        piece = data[base : base + _PIECE]
        # A piece never ends in the middle of an escape.
        whole = piece.rstrip(b"\\") if base + _PIECE < len(data) else piece
        if not whole:
            raise Problem(HTTPStatus.BAD_REQUEST, f"the body is not JSON at byte {base + 1}")
        spans = find_objects(whole, depth, in_string)
        if spans.broken.size:
            at = base + int(spans.broken[0]) + 1
            raise Problem(HTTPStatus.BAD_REQUEST, f"the body is not JSON: a string does not end at byte {at}")
        opened = [spans.open_at] if spans.open_at >= 0 else []
        starts += (spans.starts + base, np.array(opened, np.int64) + base)
        ends.append(spans.ends + base)
        if (count := count + len(spans.ends)) > most:
            raise too_many(most)
        depth, in_string, base = spans.depth, spans.in_string, base + len(whole)
    if depth or in_string:
        raise Problem(
            HTTPStatus.BAD_REQUEST, "the body is not JSON, or is cut: an object does not end", hint=_ONE_BY_ONE
        )
    return np.concatenate([_NONE, *starts]), np.concatenate([_NONE, *ends])


def _with_care(data: bytes, max_line: int, most: int) -> Lines:
    """The same for a text that has something else than objects: each of that becomes a record, to be refused."""
    codec = JsonCodec(BytesSource(data), _PIECE, max_line)
    parts: list[bytes] = []
    refused: list[RefusedLine] = []
    records = 0
    while (piece := codec.next_piece()) is not None:
        bare = without_lead(bytes(piece.data))
        parts.append(bare)
        refused += [replace(line, record=line.record + records) for line in piece.refused]
        if (records := records + bare.count(b"\n")) > most:
            raise too_many(most)
    return Lines(b"".join(parts), tuple(refused), records)
