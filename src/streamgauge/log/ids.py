"""The ids of a log: by them a duplicate is decided when it is appended, per source.

An id is forgotten only when more than 1 M newer ones of its source exist **and** it arrived more than an hour before
the block being appended. The newest ids are in a table in memory; from time to time that becomes a **run**, a file of
which little stays in memory, so that an hour of fast traffic needs neither gigabytes nor, at a start, a long look
back: only the blocks after the last run are read again.

The runs are a memory, not a record: what is missing or damaged of them is read from the log again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streamgauge.clock import Clock
from streamgauge.log.base import LogBlock
from streamgauge.log.idrun import DamagedRun, Run, Section, open_run, write_run
from streamgauge.seen import GENERATION, Hashes, HashTable, Mask, first_of_each

KEPT_MS = 3_600_000
"""An id that arrived later than so long before a block is known when that is appended."""

MOST_SECTIONS = 32
"""How many ages of carried ids are told apart, for each source."""

_ID = re.compile(rb'\{"time":-?\d+,"topic":(?:null|"(?:[^"\\]|\\.)*"),"id":"((?:[^"\\]|\\.)*)"')
_NAME = re.compile(r"ids-(\d{20})-(\d{20})\.run")
_HALF = 2**64


class Ids(NamedTuple):
    """Hashes of the ids of one source, in the order of their events (see Envelopes.hashes)."""

    source: str
    low: Hashes
    high: Hashes


@dataclass(frozen=True, slots=True)
class IdRules:
    """When ids may be forgotten."""

    newer: int = GENERATION
    kept_ms: int = KEPT_MS


class LogIds:
    """Which ids the log has. For one thread.

    ``next_block``: the first block whose ids it does not know. Times are those of the blocks' headers; an id's age is
    also counted by the monotonic clock since its run was made or opened, so that a wall clock that jumps ahead makes
    nothing forgotten.
    """

    def __init__(self, folder: Path, clock: Clock, rules: IdRules | None = None) -> None:
        self.folder, self.rules, self._clock = folder, rules or IdRules(), clock
        self.next_block = 0
        self.runs: list[Run] = []
        self._table = HashTable()
        self._fresh: dict[str, list[Ids]] = {}
        self._totals: Counter[str] = Counter()
        self._received_ms: int | None = None
        self._latest_ms = 0
        self._mixers: dict[str, tuple[np.uint64, np.uint64]] = {}

    def __len__(self) -> int:
        """How many ids are in the table, and in no run yet."""
        return int(self._table.size)

    def duplicates(self, groups: Sequence[Ids]) -> list[Mask]:
        """Which ids are those of an earlier one, of these groups (in order of append) or before.

        Changes nothing. Raises OSError where a run cannot be read.
        """
        if not groups:
            return []
        mixed = [self._mixed(group) for group in groups]
        low, high = np.concatenate([m.low for m in mixed]), np.concatenate([m.high for m in mixed])
        again = self._table.contains(low, high)
        for run in reversed(self.runs):
            open_ = np.flatnonzero(~again)
            again[open_] = run.contains(low[open_], high[open_])
        again |= ~first_of_each(low, high)
        return np.split(again, np.cumsum([len(m.low) for m in mixed])[:-1])

    def add(self, ids: Ids) -> None:
        """Take ids that are in a durable block, and are no duplicates."""
        if len(ids.low):
            mixed = self._mixed(ids)
            self._table.add(mixed.low, mixed.high)
            self._fresh.setdefault(ids.source, []).append(mixed)
            self._totals[ids.source] += len(ids.low)

    def passed(self, block: int, received_ms: int) -> None:
        """All ids of this block have been taken."""
        self.next_block = max(self.next_block, block + 1)
        self._latest_ms = received_ms
        self._received_ms = received_ms if self._received_ms is None else max(self._received_ms, received_ms)

    def take(self, block: LogBlock) -> None:
        """Take the ids of a block that is read from the log."""
        ids = ids_of(block)
        [again] = self.duplicates([ids])
        self.add(Ids(ids.source, ids.low[~again], ids.high[~again]))
        self.passed(block.header.number, block.header.received_ms)

    def seal(self, gone: Sequence[Run] = (), note: bytes = b"") -> None:
        """Put the table into a run, and forget those of before that are ``gone``. ``note`` comes back with the run.

        Raises OSError where that cannot be written: nothing is forgotten then, and it can be tried again.
        """
        first = self.runs[-1].last + 1 if self.runs else 0
        if self.next_block <= first:
            return
        own = [Section(s, self._totals[s], *_joined(parts)) for s, parts in self._fresh.items()]
        carried = [section for run in gone for section in run.take_out(self._is_kept)]
        blocks, now_s = (first, self.next_block - 1), self._clock.monotonic_s()
        sections = [*_merged(carried), *own]
        made = write_run(self.folder, blocks, self._received_ms or 0, self._totals, sections, note, now_s)
        for run in gone:
            run.close()
            run.path.unlink(missing_ok=True)
        self.runs = [*self.runs[len(gone) :], made]
        self._table, self._fresh, self._received_ms = HashTable(), {}, None

    def forgettable(self) -> list[Run]:
        """The oldest runs, as far as all their ids are old enough; a source's that are too few are carried over."""
        now_s = self._clock.monotonic_s()
        for run in self.runs:
            # What arrived before a block cannot have arrived after it: the clock was set back in between.
            run.received_ms = min(run.received_ms, self._latest_ms)
        ages_ms = (min(self._latest_ms - run.received_ms, (now_s - run.since_s) * 1000) for run in self.runs)
        old = takewhile(lambda age_ms: age_ms > self.rules.kept_ms, ages_ms)
        return self.runs[: sum(1 for _ in old)]

    def close(self) -> None:
        """Close the files of the runs."""
        for run in self.runs:
            run.close()

    def open(self) -> list[tuple[int, int]]:
        """Open the runs of the folder; returns the ranges of blocks (first, last) that runs are missing for.

        Those, and all from ``next_block`` on, must be read from the log. Raises OSError.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        missing: list[tuple[int, int]] = []
        for path in sorted(self.folder.glob("ids-*.run")):
            named = _NAME.fullmatch(path.name)
            try:
                self.runs.append(open_run(path, self._clock.monotonic_s()))
            except (DamagedRun, ValueError, KeyError):
                missing += [(int(named[1]), int(named[2]))] if named else []
                path.unlink()
        for unfinished in self.folder.glob("ids-*.unfinished"):
            unfinished.unlink()
        missing += [(a.last + 1, b.first - 1) for a, b in pairwise(self.runs)]
        missing = [(first, last) for first, last in sorted(set(missing)) if first <= last]
        if self.runs:
            self._totals.update(self.runs[-1].totals)
            self.next_block = self.runs[-1].last + 1
        return [(first, last) for first, last in missing if last < self.next_block]

    def _is_kept(self, source: str, total: int) -> bool:
        """Whether there are not enough newer ids of the source."""
        return self._totals[source] - total <= self.rules.newer

    def _mixed(self, ids: Ids) -> Ids:
        """The same, such that no two sources have an id in common."""
        mixer = self._mixers.get(ids.source)
        if mixer is None:
            mixer = self._mixers[ids.source] = _halves(hashlib.md5(ids.source.encode(), usedforsecurity=False).digest())
        return Ids(ids.source, ids.low ^ mixer[0], ids.high ^ mixer[1])


def ids_of(block: LogBlock) -> Ids:
    """The ids in the event lines of a block."""
    return Ids(block.header.source, *hashes_of(_texts(block.events)))


def hashes_of(ids: Sequence[bytes]) -> tuple[Hashes, Hashes]:
    """The hashes of ids, given in UTF-8: the halves of their MD5."""
    digests = b"".join([hashlib.md5(one, usedforsecurity=False).digest() for one in ids])
    pairs = np.frombuffer(digests, "<u8").reshape(-1, 2)
    return pairs[:, 0].astype(np.uint64), pairs[:, 1].astype(np.uint64)


def _texts(events: bytes) -> list[bytes]:
    found = []
    for line in events.split(b"\n"):
        if match := _ID.match(line):
            text = match[1]
            found.append(_unescaped(text) if b"\\" in text else text)
    return found


def _unescaped(text: bytes) -> bytes:
    value: str = json.loads(b'"%s"' % text)
    return value.encode()


def _halves(digest: bytes) -> tuple[np.uint64, np.uint64]:
    number = int.from_bytes(digest, "little")
    return np.uint64(number % _HALF), np.uint64(number // _HALF)


def _merged(sections: Sequence[Section]) -> list[Section]:
    """The same, with neighbours put together where a source has too many: they then count as the younger of them."""
    of: dict[str, list[Section]] = {}
    for section in sections:
        of.setdefault(section.source, []).append(section)
    found: list[Section] = []
    for source, mine in of.items():
        while len(mine) > MOST_SECTIONS:
            pairs = [mine[n : n + 2] for n in range(0, len(mine), 2)]
            mine = [Section(source, max(one.total for one in pair), *_joined(pair)) for pair in pairs]
        found += mine
    return found


def _joined(parts: Sequence[Ids | Section]) -> tuple[Hashes, Hashes]:
    return np.concatenate([p.low for p in parts]), np.concatenate([p.high for p in parts])
