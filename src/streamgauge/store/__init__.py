"""What is kept: cells, positions, lanes, dead letters and counters, committed together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from streamgauge.store.base import Store


def open_store(where: str | Path | None = None, step: Callable[[str], None] | None = None) -> Store:
    """Open, or make, the store at a path or URL; ``None`` is a temporary one, gone when closed.

    ``step``: see sql_open.STEPS. Raises StoreError where that is no store of ours, or one that cannot be written.
    """
    if where is None:
        from streamgauge.store.temporary import TemporaryStore

        return TemporaryStore()
    from streamgauge.store.sql import SqlStore

    return SqlStore.open(where, step)
