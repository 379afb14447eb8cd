"""Dead letters appended to the log again, each once, whenever the program is killed.

What was replayed stands in the log: each block of such messages names the letters that they were (log.draft.LETTERS),
and the pipeline marks these in the commit of what the messages became. A replay first waits until the pipeline has
committed all that is in the log, so that a letter that is not marked was not appended either; one runs at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from streamgauge.clock import Clock
from streamgauge.errors import DeclarationError, RetryableError
from streamgauge.event import RefusedLine
from streamgauge.expression import TimeUnit
from streamgauge.live import READER, Live
from streamgauge.log.base import Arrival, Given, Incoming, Intake, LaneName, Receipt
from streamgauge.log.catalog import Archives
from streamgauge.log.letters import LoggedLetter, read_letters
from streamgauge.serve.base import Readings, Replayed, ReplayQuery
from streamgauge.sources.base import Rereads, Source
from streamgauge.sources.http_problem import Problem
from streamgauge.store.base import NEW, KeptLetter, LetterFilter

LANE = "dead-letters"
"""The lane of a source's dead letters that are appended again. Nothing else comes in it."""

PAGE = 500
"""Letters that are read at once; so many at most are appended by one hand-over."""

HANDED_BYTES = 4 << 20
"""Bytes of them, unless one is more."""

ANSWER_S = 30.0
"""How long the log may take to say that they are durable."""

MOST_REFUSED = 100
"""How many of those that cannot be replayed an answer names."""

_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Log:
    """The log that letters are read from and appended to. ``next_block``: what the next block's number will be."""

    folder: Path
    archives: Archives
    intake: Intake
    next_block: Callable[[], int]


@dataclass(slots=True)
class _Batch:
    """Letters that go into one hand-over: of one source, one way of arriving and one unit of time."""

    source: str
    arrival: Arrival
    letters: list[LoggedLetter] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    refused: list[RefusedLine] = field(default_factory=list)

    def incoming(self) -> Incoming:
        given = Given(*(self._given(name) for name in ("topic", "id", "time")))
        return Incoming(
            LaneName(self.source, LANE),
            self.arrival,
            b"".join(self.data),
            tuple(self.refused),
            given=given if any(letter.given for letter in self.letters) else None,
            letters=tuple(letter.position for letter in self.letters),
        )

    def _given(self, name: str) -> Sequence[Any]:
        return [letter.given.get(name) for letter in self.letters]


class Replaying:
    """See serve.base.Station.replay. Safe to use from many threads: all but one at a time are refused."""

    def __init__(self, sources: Mapping[str, Source], log: Log, live: Live, readings: Readings, clock: Clock) -> None:
        self._sources, self._log, self._live, self._readings, self._clock = sources, log, live, readings, clock
        self._one = threading.Lock()
        self._hanging: Future[Receipt] | None = None

    def replay(self, wanted: ReplayQuery, limit_s: float) -> Replayed:
        """See Station.replay.

        1. All that is in the log is committed.
        2. The letters that agree, and that nothing was done with, are found in the store, and their bytes in the log.
        3. They are appended, some at a time; each hand-over waits for its fsync.
        4. What they became is committed, if that does not take long.
        """
        if not self._one.acquire(blocking=False):
            raise RetryableError("another replay is under way; ask again when it is done")
        try:
            deadline_s = self._clock.monotonic_s() + limit_s
            self._check_durable()
            self._catch_up(deadline_s)
            found = self._replay(wanted, deadline_s - limit_s / 4)
            if found.replayed and not self._committed(deadline_s):
                self._live.notify()
            return found
        finally:
            self._one.release()

    def _check_durable(self) -> None:
        """What was handed over before must be in the log, or never come there."""
        if self._hanging is not None and not self._hanging.done():
            raise RetryableError("what was replayed before is not durable yet", 5.0)
        self._hanging = None

    def _catch_up(self, deadline_s: float) -> None:
        if not self._committed(deadline_s):
            problem = self._live.progress.problem
            why = f": {problem}" if problem else ""
            raise RetryableError(f"{self._live.behind} blocks of the log are still to be committed{why}", 5.0)

    def _committed(self, deadline_s: float) -> bool:
        """Wait until all that is in the log now is committed; whether it is."""
        until, waiting = self._log.next_block(), threading.Event()
        self._live.notify()
        while self._live.progress.block < until:
            if self._clock.monotonic_s() >= deadline_s:
                return False
            waiting.wait(_LOOK_S)
        return True

    def _replay(self, wanted: ReplayQuery, deadline_s: float) -> Replayed:
        positions = self._positions(wanted)
        before = wanted.before if wanted.before is not None else (positions[-1] + 1 if positions else 0)
        told = Replayed(before=before)
        chosen = positions[: wanted.limit]
        done = 0
        while done < len(chosen) and self._clock.monotonic_s() < deadline_s:
            page = chosen[done : done + PAGE]
            for batch in self._batches(page, told):
                self._append(batch, told)
            done += len(page)
        told.remaining = len(positions) - done
        told.next = positions[done - 1] if told.remaining and done else None
        return told

    def _positions(self, wanted: ReplayQuery) -> list[int]:
        """The letters that agree, in order."""
        with self._readings.within(10.0) as reads:
            if wanted.position is not None:
                letter = reads.letter(READER, wanted.position)
                return [wanted.position] if letter is not None and _agrees(letter, wanted) else []
            filter_ = LetterFilter(wanted.reason, wanted.source, NEW)
            found: list[int] = []
            after = wanted.after
            while page := reads.find_letters(READER, filter_, after, PAGE):
                after = page[-1].position
                found += [letter.position for letter in page if _agrees(letter, wanted)]
            return found

    def _batches(self, positions: Sequence[int], told: Replayed) -> Iterator[_Batch]:
        """What to hand over, in order of position for each source; why not is told of the others."""
        logged = read_letters(self._log.folder, positions, self._log.archives)
        good = []
        for position in positions:
            letter = logged.get(position)
            why = self._problem(letter)
            if why or letter is None:
                _refuse(told, position, why)
            else:
                good.append(letter)
        for _, same in groupby(sorted(good, key=_way), key=_way):
            yield from self._cut(list(same), told)

    def _problem(self, letter: LoggedLetter | None) -> str:
        """Why a letter cannot be replayed; empty where nothing is in the way."""
        if letter is None:
            return "the log does not have it any more, or it is damaged there"
        source = self._sources.get(letter.source)
        if source is None:
            return f"no source is called {letter.source!r} now"
        if not isinstance(source, Rereads):
            return f"source {letter.source!r} is of a type whose messages are not read again"
        if letter.data is None:
            return "its bytes were not kept, as the source masks its events"
        if letter.cut:
            return f"only the first {len(letter.data)} of its {letter.length} bytes were kept"
        return "" if letter.data.strip() else "it is blank"

    def _cut(self, letters: Sequence[LoggedLetter], told: Replayed) -> Iterator[_Batch]:
        """Letters of one way of arriving, in hand-overs that are not too large."""
        source = self._sources[letters[0].source]
        if not isinstance(source, Rereads):
            return
        try:
            arrival = _as_then(source.arrival(letters[0].asked), letters[0].unit)
        except (DeclarationError, Problem) as error:
            for letter in letters:
                _refuse(told, letter.position, str(error))
            return
        batch, size = _Batch(letters[0].source, arrival), 0
        for letter in letters:
            lines = source.again(letter.data or b"", letter.reason)
            if lines is None or lines.data.count(b"\n") != 1:
                _refuse(told, letter.position, "it cannot be read without what stood around it")
                continue
            if batch.letters and size + len(lines.data) > HANDED_BYTES:
                yield batch
                batch, size = _Batch(letters[0].source, arrival), 0
            batch.refused += [replace(line, record=len(batch.letters)) for line in islice(lines.refused, 1)]
            batch.letters.append(letter)
            batch.data.append(lines.data)
            size += len(lines.data)
        if batch.letters:
            yield batch

    def _append(self, batch: _Batch, told: Replayed) -> None:
        future = self._log.intake.submit(batch.incoming())
        self._hanging = future
        try:
            receipt = future.result(ANSWER_S)
        except TimeoutError:
            if future.done():
                raise
            raise RetryableError("the log does not say that what was replayed is durable", 5.0) from None
        self._hanging = None
        told.replayed += len(batch.letters)
        told.accepted += receipt.accepted
        told.duplicates += receipt.duplicates
        told.still_bad += receipt.malformed


def _agrees(letter: KeptLetter, wanted: ReplayQuery) -> bool:
    """Whether a letter is wanted."""
    return (
        letter.state == NEW
        and wanted.reason in (None, letter.reason)
        and wanted.source in (None, letter.source)
        and wanted.after < letter.position
        and (wanted.before is None or letter.position < wanted.before)
    )


def _way(letter: LoggedLetter) -> tuple[Any, ...]:
    """What letters of one hand-over have in common."""
    return letter.source, sorted(letter.asked.items()), letter.unit


def _as_then(arrival: Arrival, unit: str) -> Arrival:
    """The same, times being in the unit that was found for the letter's own lane, where nothing declares one."""
    if not unit or arrival.envelope.time_unit is not None:
        return arrival
    return replace(arrival, envelope=replace(arrival.envelope, time_unit=TimeUnit(unit)))


def _refuse(told: Replayed, position: int, why: str) -> None:
    told.not_replayable += 1
    if len(told.refused) < MOST_REFUSED:
        told.refused[position] = why
