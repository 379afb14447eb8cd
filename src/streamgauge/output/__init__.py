"""Output: cells as rows, and every format that they can be written in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import IO, Any

from streamgauge.errors import UsageError, nearest
from streamgauge.output.base import Block, Options, Writer

__all__ = ["WRITERS", "Block", "Options", "Writer", "write", "writer"]


def _late(module: str, function: str) -> Callable[[Iterable[Block], IO[Any], Options], None]:
    """A writer's function, imported when it first writes: rich and pyarrow take a tenth of a second to load."""

    def write(blocks: Iterable[Block], out: IO[Any], options: Options) -> None:
        getattr(import_module(f"streamgauge.output.{module}"), function)(blocks, out, options)

    return write


_KNOWN = (
    Writer("table", "tables for people", _late("table", "write_table")),
    Writer("json", "an array of one object per cell", _late("json", "write_json")),
    Writer("ndjson", "one object per cell and line", _late("json", "write_ndjson")),
    Writer("csv", "RFC 4180, one statistic and length", _late("csv", "write_csv"), one_block=True),
    Writer("parquet", "typed, one statistic and length", _late("arrow", "write_parquet"), True, True),
    Writer("arrow", "Arrow IPC stream, one statistic and length", _late("arrow", "write_arrow"), True, True),
)

WRITERS: dict[str, Writer] = {writer.name: writer for writer in _KNOWN}
"""Every format by its name, in the order of the documentation."""


def writer(name: str) -> Writer:
    """The writer of a format. Raises UsageError with the nearest one."""
    if name not in WRITERS:
        raise UsageError(f"format: unknown format {name!r}; {nearest(name, WRITERS) or 'known: ' + ', '.join(WRITERS)}")
    return WRITERS[name]


def write(name: str, blocks: Iterable[Block], out: IO[Any], **options: Any) -> None:
    """Write blocks in a format; ``options`` are the fields of Options. Raises UsageError as the writer does."""
    writer(name).write(blocks, out, Options(**options))
