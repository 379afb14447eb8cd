"""JSON: an array of one object per cell, or one object a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring
from typing import IO, Any

from streamgauge.output.base import Block, Options
from streamgauge.output.fields import texts

# Legal in JSON as they are, but they steer terminals, break lines for some readers, or cannot be written as UTF-8.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_READABLE = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_ASCII = json.JSONEncoder(ensure_ascii=True, allow_nan=False)


def write_json(blocks: Iterable[Block], out: IO[str], options: Options) -> None:
    """An array, one object a line."""
    before = "[\n"
    for objects in _objects(blocks, out):
        out.write(before + ",\n".join(objects))
        before = ",\n"
    out.write("[]\n" if before == "[\n" else "\n]\n")


def write_ndjson(blocks: Iterable[Block], out: IO[str], options: Options) -> None:
    """One object a line."""
    for objects in _objects(blocks, out):
        out.write("\n".join(objects) + "\n")


def json_text(value: Any) -> str:
    r"""A value in one line: integers keep all digits, control characters and lone surrogates are escaped.

    >>> json_text({"carrier": "a\x1b[2J\x9b\u00e9", "n": 2**64, "codes": {"200": 5}, "acd_s": None})
    '{"carrier": "a\\u001b[2J\\u009bé", "n": 18446744073709551616, "codes": {"200": 5}, "acd_s": null}'
    """
    return _UNSAFE.sub(_escaped, encode_basestring(value) if isinstance(value, str) else _READABLE.encode(value))


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _objects(blocks: Iterable[Block], out: IO[str]) -> Iterator[list[str]]:
    """The texts of the objects, some at a time."""
    utf8 = (getattr(out, "encoding", None) or "utf-8").lower().replace("-", "") in ("utf8", "utf8sig")
    encode = json_text if utf8 else _ASCII.encode
    for presenter, query in blocks:
        names = (encode(column.name) for column in presenter.columns(query))
        # A name has neither a percent sign nor anything else that JSON escapes.
        filled = "{" + ", ".join(f"{name}: %s" for name in names) + "}"
        for columns in presenter.batches(query):
            fields = (texts(column, "null", encode, encode) for column in columns)
            yield [filled % record for record in zip(*fields, strict=True)]
