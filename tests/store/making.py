"""Commits and dumps that the tests of stores share."""

from __future__ import annotations

import io

from streamgauge.event import DeadLetter
from streamgauge.store.base import (
    ALL_TEXT,
    OTHER_TEXT,
    CellChange,
    Commit,
    IdChunk,
    LaneState,
    RawCell,
    Store,
    TallyKey,
    Version,
    key_id,
    key_text,
    pack_blob,
)

CALLS = Version("calls", "c0ffee", {"every": ["6m"]})
KEYS = (None, "null", "all", "", "\0", "🐟\ud800", "x" * 10_000)
TEXTS = (ALL_TEXT, OTHER_TEXT, *(key_text([key]) for key in KEYS))


def raw(start: int, text: str, events: int = 1) -> RawCell:
    return start, key_id(text), events, 0, None, None, pack_blob([events])


def change(*cells: RawCell, every: str = "6m") -> CellChange:
    return CellChange(CALLS.hash, every, [sorted(cells)])


def full_commit(position: int = 10) -> Commit:
    """Something of everything."""
    return Commit(
        reader="report",
        position=position,
        blocks=2,
        book={"watermark": 5},
        versions=[CALLS],
        lanes=[LaneState(0, "a\udc80\0.jsonl", "sum:17", 120, 4, "ms", "ndjson", {"newest": 7}, ((0, 5), (9, 12)))],
        cells=[change(*(raw(0, text) for text in TEXTS))],
        keys=[(key_id(text), text) for text in TEXTS],
        dead_letters=[DeadLetter(3, "a", 4, 99, "not JSON", "a \0 and \ud800", 7, b"{\0\xff", 3)],
        ids=[IdChunk(0, b"a" * 16), IdChunk(1, b"b" * 32)],
        counters={"events": 4, "wrong.pdd": 1},
        tallies={TallyKey("a", "not JSON"): 1},
    )


def dumped(store: Store) -> str:
    out = io.StringIO()
    store.dump(out)
    return out.getvalue()
