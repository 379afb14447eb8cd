"""What is kept: cells, positions, lanes, dead letters and counters, committed together."""

from __future__ import annotations

from pathlib import Path

from streamgauge.store.base import Store


def open_store(where: str | Path | None = None) -> Store:
    """Open, or make, the store at a path or URL; ``None`` is a temporary one, gone when closed.

    Raises StoreError where that is no store of ours, or one that cannot be written.
    """
    if where is None:
        from streamgauge.store.temporary import TemporaryStore

        return TemporaryStore()
    from streamgauge.store.sql import SqlStore

    return SqlStore.open(where)
