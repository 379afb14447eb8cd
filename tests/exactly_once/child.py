"""What runs in the process that is killed: the real program, and a witness of what was durable when."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from streamgauge.declare import load
from streamgauge.service import settings_of
from streamgauge.step import Step
from streamgauge.testing.clocks import SteppedClock
from streamgauge.testing.kill_points import die_at, run_program, steps

WAL_HEADER, FRAME_HEADER = 32, 24


@dataclass(frozen=True, slots=True)
class Order:
    """How a program is to run, in which folder, and at which step it dies (empty: nowhere).

    ``stepped``: its wall clock is off by what the file ``wall`` in the folder says. ``pauses``: seconds that it
    waits at a step. ``store``: its URL, where it is not in the folder.
    """

    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    step: str = ""
    nth: int = 1
    store: str = ""
    stepped: bool = False
    pauses: Mapping[str, float] = field(default_factory=dict)


def run(order: Order, ready: Connection) -> None:
    """Run until a signal, or the step, ends it. ``ready`` is told the port."""
    declarations = load(config=order.folder / "streamgauge.toml")
    settings = settings_of(declarations.configuration, order.folder / "data", order.store, {"port": 0})
    dies = [die_at(order.step, order.nth)] if order.step else []
    # It dies first: what the witness has not noted then may as well not have reached the disk.
    settings = replace(settings, step=steps([*dies, Witness(order.folder), _pausing(order.pauses)]), **order.settings)
    clock = SteppedClock(order.folder / "wall") if order.stepped else None
    run_program(declarations, settings, ready.send, clock)


def _pausing(pauses: Mapping[str, float]) -> Step:
    return lambda name: time.sleep(pauses.get(name, 0.0))


class Witness:
    """Notes, in files beside the data, what the program knows to be durable, and keeps what retention deletes."""

    def __init__(self, folder: Path) -> None:
        self.log, self.store, self.kept = folder / "data" / "log", folder / "data" / "store.db", folder / "kept"
        self._notes = {name: folder / name for name in ("durable_log", "durable_store")}

    def __call__(self, name: str) -> None:
        if name == "log_durable":
            newest = max(self.log.glob("segment-*.ndjson"))
            self._note("durable_log", f"{newest.name} {newest.stat().st_size}")
        elif name == "committed":
            self._note("durable_store", " ".join(map(str, wal_state(wal_of(self.store)))))
        elif name == "before_prune":
            self.kept.mkdir(exist_ok=True)
            for archive in self.log.glob("segment-*.parquet"):
                if not (self.kept / archive.name).exists():
                    os.link(archive, self.kept / archive.name)

    def _note(self, name: str, said: str) -> None:
        """One write, so that a kill leaves the old or the new."""
        descriptor = os.open(self._notes[name], os.O_WRONLY | os.O_CREAT, 0o644)
        os.pwrite(descriptor, said.ljust(120).encode(), 0)
        os.close(descriptor)


def wal_of(store: Path) -> Path:
    """The write-ahead log of a SQLite store."""
    return store.with_name(store.name + "-wal")


def wal_state(path: Path) -> tuple[int, int, int]:
    """The size of a page, the salt, and how many frames of that salt there are from the start on."""
    if not path.exists() or path.stat().st_size < WAL_HEADER:
        return 4096, 0, 0
    with path.open("rb") as file:
        page, salt = struct.unpack(">8xI4xQ8x", file.read(WAL_HEADER))
        frames = 0
        while len(head := file.read(FRAME_HEADER)) == FRAME_HEADER and struct.unpack(">8xQ8x", head)[0] == salt:
            file.seek(page, os.SEEK_CUR)
            frames += 1
    return page, salt, frames
