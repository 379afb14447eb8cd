"""What is answered in: JSON, NDJSON, CSV, Parquet, Arrow; by the suffix of the path, or by Accept."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson

from streamgauge.errors import UsageError
from streamgauge.output.cells import Columns
from streamgauge.output.csv import field
from streamgauge.output.fields import texts
from streamgauge.output.json import json_text
from streamgauge.output.present import Column, Presenter, Query
from streamgauge.serve.pages import Page
from streamgauge.serve.problems import Problem, nearest_of

# Legal in JSON as they are, but they steer terminals, or break lines for some readers.
_UNSAFE = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")

_TIMES = ("start", "stop")


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its suffix, its media type, whether it is made of typed columns (Arrow's)."""

    name: str
    media_type: str
    typed: bool = False


JSON = Format("json", "application/json")
FORMATS: Mapping[str, Format] = {
    f.name: f
    for f in (
        JSON,
        Format("ndjson", "application/x-ndjson"),
        Format("csv", "text/csv; charset=utf-8"),
        Format("parquet", "application/vnd.apache.parquet", True),
        Format("arrow", "application/vnd.apache.arrow.stream", True),
    )
}
"""Every format by its suffix."""


def format_of(suffix: str | None, accept: str) -> Format:
    """The format that a request asks for. Raises Problem where there is none."""
    if suffix is not None:
        if suffix not in FORMATS:
            close = nearest_of(suffix, FORMATS)
            hint = f"did you mean {close}?" if close else f"known: {', '.join(FORMATS)}"
            raise Problem("not-found", f"there is no format {suffix[:50]!r}; {hint}", "", close)
        return FORMATS[suffix]
    wanted = sorted(_accepted(accept), key=lambda a: -a[1]) if accept.strip() else [("*/*", 1.0)]
    for media, quality in wanted:
        found = next((f for f in FORMATS.values() if _fits(media, f)), None)
        if found is not None and quality > 0:
            return found
    types = ", ".join(f.media_type.partition(";")[0] for f in FORMATS.values())
    raise Problem("not-acceptable", f"Accept {accept[:200]!r}: there is no such format; known: {types}")


def _accepted(accept: str) -> Iterator[tuple[str, float]]:
    for part in accept[:2000].split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        yield media, float(quality) if re.fullmatch(r"[01](\.\d{0,3})?", quality) else 1.0


def _fits(media: str, known: Format) -> bool:
    own = known.media_type.partition(";")[0]
    alias = {"application/ndjson": "application/x-ndjson", "application/jsonl": "application/x-ndjson"}
    media = alias.get(media, media)
    return media in ("*/*", own) or (media.endswith("/*") and own.startswith(media[:-1]))


def fields_for(known: Format, fields: tuple[str, ...]) -> tuple[str, ...]:
    """The columns to read for a format: a typed time is made of its milliseconds."""
    if not known.typed:
        return fields
    needed = [f"{name}_ms" for name in _TIMES if name in fields]
    return (*fields, *(name for name in needed if name not in fields))


def encoded(known: Format, page: Page, fields: Sequence[str], tz: str, head: Mapping[str, Any]) -> list[bytes]:
    """The page in its format, in parts. ``head`` are the other members of the JSON document."""
    if known.typed:
        return [_typed(known.name, page, fields, tz)]
    if known.name == "csv":
        return list(_csv(page))
    if known.name == "ndjson":
        return [b"".join(map(json_bytes, _dicts(page.columns, batch))) for batch in page.batches]
    rows = [json_rows([c.name for c in page.columns], batch) for batch in page.batches]
    before = safe(orjson.dumps(head))[:-1] + (b"," if head else b"") + b'"cells":['
    parts = [part for row in rows for part in (b",\n", row)][1:]
    return [before, *parts, b"]}\n"]


def json_rows(names: Sequence[str], columns: Columns) -> bytes:
    """The rows as objects of JSON, separated by commas."""
    rows = [dict(zip(names, record, strict=True)) for record in zip(*columns, strict=True)]
    try:
        return safe(orjson.dumps(rows)[1:-1])
    except TypeError:
        # An integer of more than 64 bits, or a lone surrogate.
        return ",".join(map(json_text, rows)).encode()


def json_bytes(document: Any) -> bytes:
    """A document, with a line feed at its end. What UTF-8 has no bytes for is escaped."""
    try:
        return safe(orjson.dumps(document)) + b"\n"
    except TypeError:
        return json_text(document).encode() + b"\n"


def safe(data: bytes) -> bytes:
    """JSON in which control characters and separators of lines are escaped."""
    if data.isascii() and b"\x7f" not in data:
        return data
    return _UNSAFE.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), data)


def _dicts(columns: Sequence[Column], batch: Columns) -> Iterator[dict[str, Any]]:
    names = [column.name for column in columns]
    return (dict(zip(names, record, strict=True)) for record in zip(*batch, strict=True))


def _csv(page: Page) -> Iterator[bytes]:
    yield (",".join(column.name for column in page.columns) + "\r\n").encode()
    for batch in page.batches:
        fields = [texts(values, "", field, field) for values in batch]
        yield "".join([",".join(record) + "\r\n" for record in zip(*fields, strict=True)]).encode()


class _Shown:
    """A page in the place of a presenter, for what makes Arrow of one."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def columns(self, query: Query) -> list[Column]:
        return list(self._page.columns)

    def batches(self, query: Query) -> Iterator[Columns]:
        return iter(self._page.batches)


def _typed(name: str, page: Page, fields: Sequence[str], tz: str) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from streamgauge.output.arrow import arrow_table

    out = io.BytesIO()
    try:
        table = arrow_table(cast("Presenter", _Shown(page)), Query(tz=tz)).select(list(fields))
    except UsageError as e:
        raise Problem("not-acceptable", str(e)) from e
    if name == "parquet":
        pq.write_table(table, out, compression="zstd")
    else:
        with pa.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table)
    return out.getvalue()
