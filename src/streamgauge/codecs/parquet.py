"""Parquet: one object per row, keyed by the columns. A block is a row group, or a fixed part of a very large one.

Columns are turned into JSON texts one by one and only then joined to rows, so that a decimal keeps its digits and an
integer its value. Times become ISO 8601 in UTC (a time without a zone is written without one), binary becomes
base64, NaN and the infinities become null.
"""

from __future__ import annotations

import base64
import datetime
import json
import math
from collections.abc import Callable, Iterator
from itertools import islice
from json.encoder import encode_basestring as quote
from typing import IO, TYPE_CHECKING, Any, cast

from streamgauge.codecs.base import Piece
from streamgauge.errors import InputError, Mistake

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_BYTES = 8 << 20
"""A row group that is larger than this when decoded is cut into blocks of about this size."""


class ParquetCodec:
    """Reads a seekable Parquet file. Offsets and lines count rows: a row's ``offset`` is the rows before it."""

    def __init__(self, file: IO[bytes], name: str, cursor: int = 0) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            self._file = pq.ParquetFile(file)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InputError(str(Mistake(name, f"is not a whole Parquet file: {error}"))) from None
        self.rows = int(self._file.metadata.num_rows)
        self._batches = self._read(cursor)
        self._row = cursor
        self.problem = ""

    def next_piece(self) -> Piece | None:
        """The next block, or None at the end."""
        import pyarrow as pa

        try:
            batch = next(self._batches, None)
        except (pa.ArrowException, OSError, ValueError) as error:
            self.problem = f"is damaged after row {self._row}: {error}"
            return None
        if batch is None:
            return None
        start = self._row
        try:
            data = rows_to_lines(batch)
        except UnicodeDecodeError as error:
            self.problem = (
                f"has a text that is not UTF-8 between rows {start + 1} and {start + batch.num_rows} ({error})"
            )
            return None
        self._row += batch.num_rows
        return Piece(start, self._row, start + 1, data, last=self._row >= self.rows)

    def consumed_share(self, total_bytes: int) -> int:
        """About how many of the file's bytes the rows read so far are; for progress."""
        return total_bytes * self._row // max(1, self.rows)

    def _read(self, cursor: int) -> Iterator[pa.RecordBatch]:
        """The parts of the row groups, without the first ``cursor`` rows. No part crosses two groups."""
        before = 0
        for number in range(self._file.num_row_groups):
            group = self._file.metadata.row_group(number)
            first, before = before, before + group.num_rows
            if before <= cursor or not group.num_rows:
                continue
            size = group.num_rows
            if group.total_byte_size > GROUP_BYTES:
                size = max(1, group.num_rows * GROUP_BYTES // group.total_byte_size)
            for batch in self._file.iter_batches(batch_size=size, row_groups=[number]):
                first += batch.num_rows
                if first > cursor:
                    yield batch.slice(max(0, batch.num_rows - (first - cursor)))


def rows_to_lines(batch: pa.RecordBatch) -> bytes:
    """The rows of a batch as NDJSON. Every column is there; a null is written as null."""
    keys = [quote(str(name)) + ":" for name in batch.schema.names]
    columns = [_texts(column) for column in batch.columns]
    template = "{" + ",".join(key.replace("%", "%%") + "%s" for key in keys) + "}\n"
    if not columns:
        return b"{}\n" * int(batch.num_rows)
    text: str = "".join([template % row for row in zip(*columns, strict=True)])
    return text.encode("utf-8", "surrogatepass")


def _texts(column: pa.Array) -> list[str]:
    """The JSON text of each value of a column."""
    import pyarrow.types as types

    kind = column.type
    if types.is_dictionary(kind):
        return _texts(column.dictionary_decode())
    if isinstance(kind, _extension_type()):
        return _texts(column.cast(kind.storage_type))
    if types.is_struct(kind):
        return _structs(column)
    if types.is_map(kind):
        return _maps(column)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _lists(column)
    if types.is_timestamp(kind):
        return _times(column)
    write = _writer(kind)
    return ["null" if value is None else write(value) for value in column.to_pylist()]


def _writer(kind: pa.DataType) -> Callable[[Any], str]:
    """How one value that is not null is written."""
    import pyarrow.types as types

    if types.is_boolean(kind):
        return _boolean
    if types.is_integer(kind):
        return str
    if types.is_floating(kind):
        return _number
    if types.is_decimal(kind):
        return _decimal
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return _base64
    if types.is_date(kind) or types.is_time(kind):
        return _iso
    if types.is_duration(kind):
        return _seconds
    return _text


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _number(value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else "null"


def _decimal(value: Any) -> str:
    return format(value, "f") if value.is_finite() else "null"


def _base64(value: bytes) -> str:
    return quote(base64.b64encode(value).decode("ascii"))


def _iso(value: datetime.date | datetime.time) -> str:
    return quote(value.isoformat())


def _seconds(value: Any) -> str:
    return _number(value.total_seconds())


def _text(value: Any) -> str:
    return quote(value) if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _times(column: pa.Array) -> list[str]:
    """ISO 8601 with as many digits as the unit has; UTC where the type has a zone."""
    import pyarrow as pa
    import pyarrow.compute as pc

    zone = "Z" if column.type.tz else ""
    plain = column.cast(pa.int64()).cast(pa.timestamp(column.type.unit))
    written = pc.strftime(plain, format="%Y-%m-%dT%H:%M:%S").to_pylist()
    return ["null" if value is None else f'"{value}{zone}"' for value in written]


def _structs(column: Any) -> list[str]:
    keys = [quote(field.name) + ":" for field in column.type]
    parts = [_texts(column.field(number)) for number in range(len(keys))]
    present = column.is_valid().to_pylist()
    rows = zip(*parts, strict=True) if parts else ((),) * len(column)
    return [
        "{" + ",".join([key + text for key, text in zip(keys, row, strict=True)]) + "}" if there else "null"
        for row, there in zip(rows, present, strict=True)
    ]


def _lists(column: Any) -> list[str]:
    import pyarrow.types as types

    if types.is_fixed_size_list(column.type):
        texts = iter(_texts(column.flatten()))
        size = column.type.list_size
        there = column.is_valid().to_pylist()
        return ["[" + ",".join(islice(texts, size)) + "]" if valid else "null" for valid in there]
    low, high, bounds = _bounds(column)
    texts_of = _texts(column.values.slice(low, high - low))
    return ["null" if pair is None else "[" + ",".join(texts_of[pair[0] : pair[1]]) + "]" for pair in bounds]


def _maps(column: Any) -> list[str]:
    """A map as an object; a key that is no text is written as its JSON text in quotes."""
    low, high, bounds = _bounds(column)
    keys = _texts(column.keys.slice(low, high - low))
    values = _texts(column.items.slice(low, high - low))
    texts = [
        (key if key.startswith('"') else quote(key)) + ":" + value for key, value in zip(keys, values, strict=True)
    ]
    return ["null" if pair is None else "{" + ",".join(texts[pair[0] : pair[1]]) + "}" for pair in bounds]


def _bounds(column: Any) -> tuple[int, int, list[tuple[int, int] | None]]:
    """Where the elements of a list column begin and end, and for each list its part of them."""
    offsets = column.offsets.to_pylist()
    low, high = offsets[0], offsets[-1]
    pairs = zip(offsets, offsets[1:], column.is_valid().to_pylist(), strict=False)
    return low, high, [(start - low, end - low) if there else None for start, end, there in pairs]


def _extension_type() -> type[Any]:
    import pyarrow as pa

    return cast("type[Any]", pa.BaseExtensionType)
