"""Arrow: a table, an IPC stream, and Parquet; typed columns, written in batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from streamgauge.aggregates.base import Value
from streamgauge.errors import UsageError
from streamgauge.output.base import Block, Options, with_bytes
from streamgauge.output.cells import Columns
from streamgauge.output.present import Column, Presenter, Query

BATCH = 16_384
"""Rows of a record batch, and of a Parquet row group."""

_PAIRS = pa.list_(pa.struct([pa.field("value", pa.string()), pa.field("count", pa.int64())]))
_TYPES: dict[str, pa.DataType] = {
    "int": pa.int64(),
    "float": pa.float64(),
    "text": pa.string(),
    "bool": pa.bool_(),
    "map": pa.map_(pa.string(), pa.int64()),
    "list": _PAIRS,
    "any": pa.string(),
}


def schema_of(presenter: Presenter, query: Query) -> pa.Schema:
    """The types of the columns; ``help`` and ``unit`` stand in a field's metadata.

    Times are instants in ms with ``query.tz`` as their zone; a list is of (value, count); an ``any`` is its JSON text.
    """
    return pa.schema([_field(column, query.tz) for column in presenter.columns(query)])


def record_batches(presenter: Presenter, query: Query) -> Iterator[pa.RecordBatch]:
    """The rows, about ``BATCH`` at a time. Raises UsageError for an integer that does not fit 64 bits."""
    schema, columns = schema_of(presenter, query), presenter.columns(query)
    # A time is written as text in all other formats; here it is the instant.
    place = {column.name: n for n, column in enumerate(columns)}
    places = [place[c.name + "_ms"] if c.type == "time" else n for n, c in enumerate(columns)]
    for found in _gathered(presenter.batches(query)):
        kinds = (field.type for field in schema)
        arrays = [_array(c, kind, found[n]) for c, kind, n in zip(columns, kinds, places, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _gathered(batches: Iterator[Columns]) -> Iterator[Columns]:
    """Fewer and larger batches."""
    held: list[list[Value]] = []
    for columns in batches:
        if not held:
            held = [[] for _ in columns]
        for values, more in zip(held, columns, strict=True):
            values.extend(more)
        if len(held[0]) >= BATCH:
            yield list(held)
            held = []
    if held:
        yield list(held)


def arrow_table(presenter: Presenter, query: Query) -> pa.Table:
    """All rows as one table."""
    return pa.Table.from_batches(record_batches(presenter, query), schema_of(presenter, query))


def write_arrow(blocks: Iterable[Block], out: IO[bytes], options: Options) -> None:
    """An Arrow IPC stream of one statistic and length."""
    for presenter, query in blocks:
        sink = _Sink(out)
        _write(pa.ipc.new_stream(sink, schema_of(presenter, query)), sink, presenter, query)


def write_parquet(blocks: Iterable[Block], out: IO[bytes], options: Options) -> None:
    """A Parquet file (zstd) of one statistic and length. ``out`` need not be seekable."""
    for presenter, query in blocks:
        sink = _Sink(out)
        _write(pq.ParquetWriter(sink, schema_of(presenter, query), compression="zstd"), sink, presenter, query)


class _Sink:
    """An output that Arrow may write to and ask for its place, which a pipe cannot tell; never closed by Arrow."""

    closed = False

    def __init__(self, out: IO[bytes]) -> None:
        self._out, self._place, self._given_up = out, 0, False

    def give_up(self) -> None:
        """Write no more: half a file must not get the end that makes it look whole."""
        self._given_up = True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if not self._given_up:
            self._out.write(view)
        self._place += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self._place

    def flush(self) -> None:
        self._out.flush()

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def _write(writer: Any, sink: _Sink, presenter: Presenter, query: Query) -> None:
    try:
        for batch in record_batches(presenter, query):
            writer.write_batch(batch)
        writer.close()
    except BaseException:
        sink.give_up()
        raise


def _field(column: Column, tz: str) -> pa.Field:
    kind = pa.timestamp("ms", tz=tz) if column.type == "time" else _TYPES[column.type]
    told = {"help": column.help, "unit": column.unit}
    return pa.field(column.name, kind, metadata={name: text for name, text in told.items() if text})


def _array(column: Column, kind: pa.DataType, values: Sequence[Value]) -> pa.Array:
    if column.type == "time":
        return pa.array(values, pa.int64()).cast(kind)
    convert = _CONVERT.get(column.type)
    if convert is not None and not (column.type == "text" and _has_bytes(values)):
        values = [None if value is None else convert(value) for value in values]
    try:
        return pa.array(values, kind)
    except (OverflowError, pa.ArrowInvalid) as e:
        wide = next((v for v in values if isinstance(v, int) and not -(2**63) <= v < 2**63), None)
        if wide is None:
            raise
        problem = f"column {column.name!r}: {wide} does not fit the 64 bits that a column of integers has"
        raise UsageError(f"{problem}; write csv or json, or declare it as a sum of ...::DOUBLE") from e


def _has_bytes(values: Sequence[Any]) -> bool:
    """Whether no text has a lone surrogate: all of them are joined, which is far faster than to look at each."""
    return with_bytes(joined := "".join(filter(None, values))) == joined


def _pairs(value: Any) -> list[dict[str, Value]]:
    return [{"value": with_bytes(text), "count": count} for text, count in value]


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "text": with_bytes,
    "any": json.dumps,
    "map": lambda value: [(with_bytes(text), count) for text, count in value.items()],
    "list": _pairs,
}
