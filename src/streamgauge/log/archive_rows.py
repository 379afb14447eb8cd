"""From blocks to the columns of an archive and back, so that every byte comes back. Pure; touches no file.

An event line in the form that log.base describes is told whole by its columns: envelope and body. One that is in any
other form (an escape that need not be, a key more, bytes that are not UTF-8) is kept in ``odd`` as it stood, and its
columns say what could be read of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from json.encoder import encode_basestring as quote
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamgauge.errors import Mistake, StoreError
from streamgauge.log.base import BlockHeader, LogBlock

SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("block", pa.int64()),
        ("position", pa.int64()),
        ("time", pa.timestamp("ms", tz="UTC")),
        ("topic", pa.string()),
        ("id", pa.string()),
        ("source", pa.string()),
        ("owner", pa.string()),
        ("body", pa.string()),
        ("odd", pa.binary()),
        ("dead", pa.binary()),
        ("header", pa.string()),
    ]
)
HEADER, EVENT, DEAD = "header", "event", "dead letter"

# 14 digits reach the year 5138: nothing that shows a time fails on them
_LINE = (
    rb'^\{"time":(0|-?[1-9][0-9]{0,13}),"topic":(?:TEXT|null)(?:,"id":TEXT)?,"source":TEXT'
    rb'(?:,"owner":TEXT)?,"body":(.*)\}$'
)
# Usual lines have no escapes in their envelope. There an empty group is a text that is not there: id and owner are not
# found where they are empty, and a topic is not found where it is null.
_PLAIN = _LINE.replace(b"(?:TEXT|null)", rb'"([^"\\\x00-\x1f]*)"').replace(b"TEXT", rb'"([^"\\\x00-\x1f]+)"')
_PLAIN_LINE = re.compile(_PLAIN, re.MULTILINE)
_ANY_LINE = re.compile(_LINE.replace(b"TEXT", rb'("(?:[^"\\\x00-\x1f]|\\.)*")'))
_LONGEST_TIME = 10**14
_NEEDS_ESCAPE = r'["\\\x00-\x1f]'
_FIELDS = tuple(field.name for field in fields(BlockHeader))


class Row(NamedTuple):
    """The columns of one event. ``time`` in ms; ``odd`` is the whole line where the others do not tell it."""

    time: int | None
    topic: str | None
    id: str | None
    source: str | None
    owner: str | None
    body: str | None
    odd: bytes | None = None


class Rows:
    """Blocks on their way into one row group: a header's row, then its events', then its dead letters'."""

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0
        self._columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}

    def add(self, block: LogBlock) -> None:
        """Take one block, of which ``line_problem`` says nothing."""
        header = block.header
        rows = 1 + header.events + header.dead
        columns = self._columns
        columns["kind"] += [HEADER, *[EVENT] * header.events, *[DEAD] * header.dead]
        columns["block"] += [header.number] * rows
        columns["position"] += [header.position, *range(header.position, header.next_position)]
        columns["header"] += [encode_header(header), *[None] * (rows - 1)]
        columns["dead"] += [*[None] * (rows - header.dead), *block.dead.split(b"\n")[: header.dead]]
        for name, values in zip(Row._fields, _event_columns(block.events, header.events), strict=True):
            columns[name] += [None, *values, *[None] * header.dead]
        self.count += rows
        self.bytes += len(block.events) + len(block.dead) + len(columns["header"][-rows])

    def table(self) -> pa.Table:
        """All rows taken so far."""
        arrays = [_array(self._columns[field.name], field.type) for field in SCHEMA]
        return pa.Table.from_arrays(arrays, schema=SCHEMA)


def line_problem(block: LogBlock) -> str:
    """What is wrong with a block that does not have as many lines as its header says; empty where it has."""
    header = block.header
    for what, data, expected in (("event", block.events, header.events), ("dead letter", block.dead, header.dead)):
        got = data.count(b"\n")
        if got != expected or (data and not data.endswith(b"\n")):
            return f"{len(data)} bytes with {got} line feeds, expected {expected} {what} lines"
    return ""


def blocks_of(table: pa.Table) -> Iterator[LogBlock]:
    """The blocks of a row group's table. Every byte is as it was."""
    headers = headers_of(table)
    events, event_ends = _joined(_event_lines(table))
    dead, dead_ends = _joined(_ended(table.column("dead")))
    row = 0
    for header in headers:
        first, middle = row + 1, row + 1 + header.events
        row = middle + header.dead
        yield LogBlock(
            header,
            bytes(events[event_ends[first] : event_ends[middle]]),
            bytes(dead[dead_ends[middle] : dead_ends[row]]),
        )


def headers_of(table: pa.Table) -> list[BlockHeader]:
    """The headers of the blocks in a table, of which only the column ``header`` is needed."""
    return [decode_header(text) for text in table.column("header").drop_null().to_pylist()]


def encode_header(header: BlockHeader) -> str:
    """A header as JSON. Its mark, cursor and answers must be made of what JSON has."""
    said = {name: getattr(header, name) for name in _FIELDS}
    return json.dumps(said, separators=(",", ":"), default=_plain)


def decode_header(text: str) -> BlockHeader:
    """The header that ``encode_header`` was called on. Raises StoreError for one that says more than is known here."""
    said: dict[str, Any] = json.loads(text)
    unknown = ", ".join(said.keys() - set(_FIELDS))
    if unknown:
        problem = f"has {unknown}, which this version of streamgauge does not know"
        raise StoreError(str(Mistake(f"the header of block {said.get('number')}", problem, hint="upgrade streamgauge")))
    return BlockHeader(**{**said, "topics": tuple(said["topics"])})


def encode_line(row: Row) -> bytes:
    """The event line that the columns of a row tell."""
    if row.odd is not None:
        return row.odd
    topic = "null" if row.topic is None else quote(row.topic)
    identity = "" if row.id is None else f',"id":{quote(row.id)}'
    owner = "" if row.owner is None else f',"owner":{quote(row.owner)}'
    source = quote(row.source or "")
    return f'{{"time":{row.time},"topic":{topic}{identity},"source":{source}{owner},"body":{row.body}}}'.encode()


def decode_line(line: bytes) -> Row:
    """The columns that tell an event line, which has no line feed at its end."""
    found = _ANY_LINE.fullmatch(line)
    try:
        if found:
            time, topic, identity, source, owner, body = found.groups()
            row = Row(int(time), _text(topic), _text(identity), _text(source), _text(owner), body.decode())
            if encode_line(row) == line:
                return row
    except ValueError:  # bytes that are no UTF-8, or a half of a surrogate pair
        pass
    return _odd(line)


def _event_columns(events: bytes, count: int) -> Sequence[Sequence[Any]]:
    """The columns of so many event lines, in the order of Row. Texts are str, or bytes that are UTF-8."""
    if not count:
        return [()] * len(Row._fields)
    found = _PLAIN_LINE.findall(events)
    if len(found) == count and _is_utf8(events):
        times, topics, ids, sources, owners, bodies = zip(*found, strict=True)
        present, owned = ([text or None for text in column] for column in (ids, owners))
        return [list(map(int, times)), topics, present, sources, owned, bodies, [None] * count]
    return list(zip(*map(decode_line, events.split(b"\n")[:count]), strict=True))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _array(values: Sequence[Any], kind: pa.DataType) -> Any:
    """The values as an array. Texts may be bytes: to take them as such first is three times as fast."""
    if kind == pa.string():
        return pa.array(values, pa.binary()).cast(kind)
    return pa.array(values, kind)


def _text(literal: bytes | None) -> str | None:
    return None if literal in (None, b"null") else str(json.loads(literal or b""))


def _odd(line: bytes) -> Row:
    """What can be read of a line that is not in the usual form."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        return Row(None, None, None, None, None, None, line)
    time = said.get("time")
    known = isinstance(time, int) and not isinstance(time, bool) and abs(time) < _LONGEST_TIME
    topic, identity, source, owner = (_writable(said.get(name)) for name in ("topic", "id", "source", "owner"))
    return Row(time if known else None, topic, identity, source, owner, None, line)


def _writable(value: Any) -> str | None:
    try:
        return value if isinstance(value, str) and value.encode() is not None else None
    except UnicodeEncodeError:
        return None


def _plain(value: Any) -> Any:
    """What JSON has, for a mapping or a sequence that is no dict or list."""
    return dict(value) if isinstance(value, Mapping) else list(value)


def _event_lines(table: pa.Table) -> Any:
    """For every row its event line with its line feed, empty where the row is no event."""
    column = {name: table.column(name) for name in Row._fields}
    built = pc.binary_join_element_wise(
        '{"time":',
        column["time"].cast(pa.int64()).cast(pa.string()),
        ',"topic":',
        pc.fill_null(_quoted(column["topic"]), "null"),
        _labelled(',"id":', column["id"]),
        ',"source":',
        _quoted(column["source"]),
        _labelled(',"owner":', column["owner"]),
        ',"body":',
        column["body"],
        "}\n",
        "",
    )
    return pc.coalesce(_ended(column["odd"]), built.cast(pa.binary()))


def _labelled(label: str, column: Any) -> Any:
    return pc.fill_null(pc.binary_join_element_wise(label, _quoted(column), ""), "")


def _ended(column: Any) -> Any:
    """Binary lines, each ended by a line feed."""
    return pc.binary_join_element_wise(column, pa.scalar(b"\n"), pa.scalar(b""))


def _quoted(column: Any) -> Any:
    """Texts as JSON strings."""
    if pc.any(pc.match_substring_regex(column, _NEEDS_ESCAPE)).as_py():
        quoted = [None if text is None else quote(text) for text in column.to_pylist()]
        return pa.chunked_array([pa.array(quoted, pa.string())])
    return pc.binary_join_element_wise('"', column, '"', "")


def _joined(lines: Any) -> tuple[memoryview, list[int]]:
    """The lines end to end, and where each begins, with the end of the last one."""
    whole = pc.fill_null(lines, b"").combine_chunks()
    _, offsets, data = whole.buffers()
    ends = np.frombuffer(offsets, np.int32)[whole.offset : whole.offset + len(whole) + 1].tolist()
    return memoryview(data or b""), ends
