"""What a writer is: a format, and a function that writes blocks in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from streamgauge.errors import UsageError
from streamgauge.output.present import Presenter, Query

Block = tuple[Presenter, Query]
"""One statistic and one window length."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to write. What a format has no use for is ignored.

    ``csv_safe``: a text that a spreadsheet would run gets a ``'`` before it. ``width``: columns of a table in
    characters; None is the terminal's, or 200 where there is none. ``terminal``: whether a table may have colours;
    None asks the output. ``notes``: what a table says below the last block of each statistic, and under the empty
    name at the end.
    """

    csv_safe: bool = False
    width: int | None = None
    terminal: bool | None = None
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Writer:
    """A format. ``binary``: it needs an output of bytes; else one of text, opened with ``newline=""``.

    ``function`` streams: it holds a bounded number of rows. It raises UsageError before it writes anything where the
    blocks cannot be written so, and lets BrokenPipeError pass.
    """

    name: str
    help: str
    function: Callable[[Iterable[Block], IO[Any], Options], None]
    binary: bool = False
    one_block: bool = False

    def write(self, blocks: Iterable[Block], out: IO[Any], options: Options | None = None) -> None:
        """Write the blocks. ``out`` is neither flushed nor closed."""
        blocks = list(blocks)
        for presenter, query in blocks:
            presenter.columns(query)
        if self.one_block:
            _check_one(self.name, blocks)
        self.function(blocks, out, options or Options())


_SURROGATE = re.compile("[\ud800-\udfff]")


def with_bytes(text: str) -> str:
    """The text with U+FFFD in the place of lone surrogates, which JSON can escape but UTF-8 has no bytes for."""
    return _SURROGATE.sub("\ufffd", text)


def _check_one(name: str, blocks: Sequence[Block]) -> None:
    if len(blocks) == 1:
        return
    if not blocks:
        raise UsageError(f"{name}: there is no statistic to write")
    have = ", ".join(f"{p.statistic.name} {p.length(q).text}" for p, q in blocks)
    raise UsageError(
        f"{name}: holds one statistic and one window length, not {len(blocks)} ({have}); "
        "choose with --statistic and --every, or write json, which holds them all"
    )
