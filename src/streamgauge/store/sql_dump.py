"""The canonical text of a store: what two runs over the same blocks must have in common."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TextIO

from sqlalchemy import Connection, Select, select

from streamgauge.store.base import unpack_blob
from streamgauge.store.sql_bulk import streamed
from streamgauge.store.sql_schema import (
    CELL,
    COUNTER,
    DEAD_LETTER,
    KEY,
    LANE,
    READER,
    READER_VERSION,
    TALLY,
    VERSION,
)

_PACKED = ("states", "wrong")
_JSON = ("definition", "book", "mark", "coverage")
_NOT_COMPARED = {"dead_letter": ("received_ms", "state")}
"""Wall times, and what people did."""


def write_dump(connection: Connection, out: TextIO) -> None:
    """One line of JSON per row, in an order that no surrogate number decides."""
    for name, query in _queries():
        with streamed(connection, query, 4096) as found:
            for row in found.mappings():
                fields = {str(column): _field(str(column), value) for column, value in row.items()}
                out.write(json.dumps({name: fields}, separators=(",", ":")) + "\n")


def _queries() -> Iterator[tuple[str, Select[Any]]]:
    v, c = VERSION.c, CELL.c
    yield "version", select(v.name, v.hash, v.definition).order_by(v.hash)
    yield "reader", select(READER).order_by(READER.c.name)
    reads = select(READER_VERSION.c.reader, v.hash).join(VERSION, v.id == READER_VERSION.c.version)
    yield "reader_version", reads.order_by(READER_VERSION.c.reader, v.hash)
    for table in (LANE, DEAD_LETTER, TALLY, COUNTER):
        compared = [column for column in table.c if column.name not in _NOT_COMPARED.get(table.name, ())]
        yield table.name, select(*compared).order_by(*table.primary_key)
    columns = (v.hash, c.every, c.start, KEY.c.text, c.events, c.late, c.revision, c.wrong, c.states)
    cells = select(*columns).join(VERSION, v.id == c.version).join(KEY, KEY.c.id == c.key)
    yield "cell", cells.order_by(v.hash, c.every, c.start, KEY.c.text)


def _field(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _PACKED:
        return _plain(unpack_blob(value))
    return json.loads(value) if name in _JSON else _plain(value)


def _plain(value: Any) -> Any:
    """As JSON can say it: bytes as {"hex": ...}, a map with keys that are no text as [[key, value], ...]."""
    if isinstance(value, (bytes, memoryview)):
        return {"hex": bytes(value).hex()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: _plain(item) for key, item in value.items()}
        return [[_plain(key), _plain(item)] for key, item in value.items()]
    return value
