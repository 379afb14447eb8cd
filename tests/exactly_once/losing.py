"""What a loss of power leaves of a data folder: what was synced, and of the rest anything."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from tests.exactly_once.child import FRAME_HEADER, WAL_HEADER, wal_of, wal_state

SECTOR = 512


def lose_power(folder: Path, image: Path, r: random.Random) -> None:
    """Make a folder such as another one would be found after a loss of power; nobody may write to that meanwhile."""
    shutil.copytree(folder, image)
    _lose_of_log(image, r)
    _lose_of_store(image, r)


def _lose_of_log(image: Path, r: random.Random) -> None:
    log = image / "data" / "log"
    name, size = (_noted(image / "durable_log") or ["", "0"])[:2]
    for path in sorted(log.glob("segment-*.ndjson")):
        if path.name == name:
            lose_tail(path, int(size), r)
        elif path.name > name:
            # Its bytes were synced before it got this name, but the folder was not: it may still have the one before.
            what = r.choice(["kept", "not renamed", "not there"])
            if what == "not renamed":
                path.rename(path.with_name(path.name + ".new"))
            elif what == "not there":
                path.unlink()
    for pattern in ("*.new", "*.unfinished"):
        for path in sorted(log.glob(pattern)):
            lose_tail(path, 0, r)


def _lose_of_store(image: Path, r: random.Random) -> None:
    store = image / "data" / "store.db"
    store.with_name(store.name + "-shm").unlink(missing_ok=True)
    wal = wal_of(store)
    if not wal.exists():
        return
    page, salt, frames = map(int, _noted(image / "durable_store") or ["4096", "0", "0"])
    # With another salt, it was begun anew since: what stood in it before is in the database.
    now = wal_state(wal)
    durable = WAL_HEADER + frames * (FRAME_HEADER + page) if now[1] == salt else 0
    lose_tail(wal, durable, r)


def lose_tail(path: Path, durable: int, r: random.Random) -> None:
    """Cut a file off somewhere behind its durable bytes, or leave holes there, or both."""
    size = path.stat().st_size
    assert size >= durable, f"{path.name} has {size} bytes, {durable} were durable"
    with path.open("r+b") as file:
        if r.random() < 0.7:
            file.truncate(r.randint(durable, size))
        end = file.seek(0, 2)
        for start in range(durable // SECTOR * SECTOR, end, SECTOR):
            begin, stop = max(start, durable), min(start + SECTOR, end)
            if begin < stop and r.random() < 0.4:
                file.seek(begin)
                file.write(bytes(stop - begin))


def _noted(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []
