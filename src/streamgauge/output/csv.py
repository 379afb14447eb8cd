"""CSV (RFC 4180): a header, then one record per cell, lines ended by CR LF."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import partial
from typing import IO

from streamgauge.aggregates.base import Value
from streamgauge.output.base import Block, Options, with_bytes
from streamgauge.output.fields import texts

_QUOTED = re.compile('^$|[,"\r\n]|^ | $')
_FORMULA = re.compile("[=+\\-@\t\r]")


def write_csv(blocks: Iterable[Block], out: IO[str], options: Options) -> None:
    """One statistic and length. Null is an empty field, an empty text is ``""``; maps and lists are JSON text."""
    known = partial(field, safe=options.csv_safe)
    for presenter, query in blocks:
        out.write(",".join(c.name for c in presenter.columns(query)) + "\r\n")
        for columns in presenter.batches(query):
            fields = [texts(column, "", known, known) for column in columns]
            out.write("".join([",".join(record) + "\r\n" for record in zip(*fields, strict=True)]))


def field(value: Value, safe: bool = False) -> str:
    """A value as a field. ``safe``: a text that begins as a formula does gets a ``'`` before it; numbers never.

    >>> field('say "hi", then go'), field(None), field(-1.5, safe=True), field("-1+1", safe=True)
    ('"say ""hi"", then go"', '', '-1.5', "'-1+1")
    """
    if isinstance(value, str):
        text = with_bytes(value)
        if safe and _FORMULA.match(text):
            text = "'" + text
        return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return field(json.dumps(value, ensure_ascii=False, allow_nan=False))
