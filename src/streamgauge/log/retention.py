"""What of the log may be deleted, and what is held back and by whom. Pure: it decides, and deletes nothing.

Files go from the oldest on, so that the log never has a hole. One goes when it is older than the policy keeps, or when
all files together are larger than it allows; but none goes while somebody still needs a block in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_UNITS = ((2**30, "GB"), (2**20, "MB"), (2**10, "KB"))
_DURATIONS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file of the log: its blocks, first and last, and its positions from ``position`` up to ``next_position``.

    ``size`` in bytes. ``received_ms``: when its youngest block was received. ``newest_ms``: the time of its newest
    event, None where it has none. ``closed`` False: it is being written to.
    """

    name: str
    first_block: int
    last_block: int
    position: int
    next_position: int
    size: int
    received_ms: int
    newest_ms: int | None = None
    closed: bool = True

    def age_ms(self, now_ms: int) -> int:
        """How old the youngest thing in it is, by when it happened or was received, whichever is later."""
        youngest = self.received_ms if self.newest_ms is None else max(self.received_ms, self.newest_ms)
        return now_ms - youngest


@dataclass(frozen=True, slots=True)
class Policy:
    """How much of the log is kept: an age in ms, and a size of all files in bytes. None: no bound."""

    keep_ms: int | None = None
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who still needs the log: ``who`` as people know it, e.g. ``reader live`` or ``outbox of sink mail``.

    ``position`` is the first one that it still needs. ``block`` is the last block that it is done with, where that is
    known. Without it, a file is kept as well where it ends just before the position, since ticks may stand there
    that were not read: they have no position of their own.
    """

    who: str
    position: int
    block: int | None = None

    def needs(self, file: LogFile) -> bool:
        """Whether it still needs something of a file."""
        if self.block is not None:
            return file.last_block > self.block
        return file.next_position >= self.position


@dataclass(frozen=True, slots=True)
class Held:
    """What the policy would have deleted, and could not: how much, and who holds the oldest of it."""

    files: int
    bytes: int
    holders: tuple[Holder, ...]
    being_written: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """``delete``: oldest first, and to be deleted in this order. ``size`` and ``over`` in bytes, after the deletion.

    ``over``: by how much the log will be larger than the policy allows. ``stale_ms``: by how much its oldest file will
    be older. ``held``: None where all that should go may go.
    """

    delete: tuple[LogFile, ...]
    size: int
    over: int = 0
    stale_ms: int = 0
    held: Held | None = None

    @property
    def problem(self) -> str:
        """What an operator should know: ``12.0 GB over the limit, held by reader live at position 7``; or empty."""
        if self.held is None:
            return ""
        parts = [f"{size_text(self.over)} over the limit"] if self.over else []
        parts += [f"{duration_text(self.stale_ms)} older than is kept"] if self.stale_ms else []
        return f"log: {' and '.join(parts)}, {_held_by(self.held)}"


def decide(files: Iterable[LogFile], policy: Policy, holders: Iterable[Holder], now_ms: int) -> Decision:
    """Which files may be deleted now. Those are the oldest, in order, without a gap, and nobody needs any of them."""
    ordered = sorted(files, key=lambda file: (file.first_block, file.position))
    holders = list(holders)
    size = sum(file.size for file in ordered)
    due = _due(ordered, policy, size, now_ms)
    free = next((n for n, file in enumerate(due) if _needed(file, holders)), len(due))
    size -= sum(file.size for file in due[:free])
    if free == len(due):
        return Decision(tuple(due), size)
    kept = due[free]
    over = max(0, size - policy.max_bytes) if policy.max_bytes is not None else 0
    stale = max(0, kept.age_ms(now_ms) - policy.keep_ms) if policy.keep_ms is not None else 0
    needing = sorted((h for h in holders if h.needs(kept)), key=lambda h: (h.position, h.who))
    held = Held(len(due) - free, sum(file.size for file in due[free:]), tuple(needing), not kept.closed)
    return Decision(tuple(due[:free]), size, over, stale, held)


def _due(files: Sequence[LogFile], policy: Policy, size: int, now_ms: int) -> list[LogFile]:
    """The oldest files, as long as each is too old, or what is left is too large."""
    due: list[LogFile] = []
    for file in files:
        old = policy.keep_ms is not None and file.age_ms(now_ms) > policy.keep_ms
        large = policy.max_bytes is not None and size > policy.max_bytes
        if not old and not large:
            break
        due.append(file)
        size -= file.size
    return due


def _needed(file: LogFile, holders: Iterable[Holder]) -> bool:
    return not file.closed or any(holder.needs(file) for holder in holders)


def _held_by(held: Held) -> str:
    if not held.holders:
        return "held because it is being written to"
    first, *others = held.holders
    also = f" and {len(others)} more" if others else ""
    return f"held by {first.who} at position {first.position}{also}"


def size_text(size: int) -> str:
    """A size in bytes as people write it: ``12.0 GB`` (of 2^30), ``512 bytes``."""
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


def duration_text(ms: int) -> str:
    """A duration in ms as people write it, rounded down to its largest unit: ``3 d``, ``90 ms``."""
    for unit, name in _DURATIONS:
        if ms >= unit:
            return f"{ms // unit} {name}"
    return f"{ms} ms"
