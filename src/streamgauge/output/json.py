"""JSON: an array of one object per cell, or one object a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import IO

from streamgauge.output.base import Block, Options
from streamgauge.output.present import Row

# Legal in JSON as they are, but they steer terminals, break lines for some readers, or cannot be written as UTF-8.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_READABLE = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_ASCII = json.JSONEncoder(ensure_ascii=True, allow_nan=False)


def write_json(blocks: Iterable[Block], out: IO[str], options: Options) -> None:
    """An array, one object a line."""
    before = "[\n"
    for text in _texts(blocks, out):
        out.write(before + text)
        before = ",\n"
    out.write("[]\n" if before == "[\n" else "\n]\n")


def write_ndjson(blocks: Iterable[Block], out: IO[str], options: Options) -> None:
    """One object a line."""
    for text in _texts(blocks, out):
        out.write(text + "\n")


def object_text(row: Row, ascii_only: bool = False) -> str:
    r"""A row as one line of JSON: integers keep all digits, control characters and lone surrogates are escaped.

    >>> object_text({"carrier": "a\x1b[2J\x9b\u00e9", "n": 2**64, "codes": {"200": 5}, "acd_s": None})
    '{"carrier": "a\\u001b[2J\\u009bé", "n": 18446744073709551616, "codes": {"200": 5}, "acd_s": null}'
    """
    if ascii_only:
        return _ASCII.encode(row)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", _READABLE.encode(row))


def _texts(blocks: Iterable[Block], out: IO[str]) -> Iterator[str]:
    ascii_only = (getattr(out, "encoding", None) or "utf-8").lower().replace("-", "") not in ("utf8", "utf8sig")
    for presenter, query in blocks:
        for row in presenter.rows(query):
            yield object_text(row, ascii_only)
