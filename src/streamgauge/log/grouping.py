"""What waits to be appended, and which of it is appended at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Protocol

from streamgauge.clock import Clock
from streamgauge.errors import RetryableError
from streamgauge.log.base import BlockHeader, Incoming, LaneName, LogBlock, Receipt

QUEUE_BYTES = 64 << 20
"""How much may wait. One hand-over is always taken where nothing waits, however large it is."""

GROUP_BYTES = 8 << 20
"""How much is appended at once, unless one hand-over is more."""

BLOCK_BYTES = 4 << 20
"""How much of a lane goes into one block, unless one hand-over is more: that is never cut."""

ENOUGH_BYTES = 64 << 10
"""What is worth a group of its own at once. Less waits up to GATHER_S, after the group before, for more to come."""

GATHER_S = 0.01

_OVERHEAD = 512
"""What a hand-over without any bytes counts for in the queue."""


class Appender(Protocol):
    """The log as its only writer appends to it (see writer.LogWriter)."""

    @property
    def next_block(self) -> int:
        """The number that the next block must have."""
        ...

    @property
    def next_position(self) -> int:
        """The position that the next block must have."""
        ...

    def append(self, blocks: Sequence[LogBlock]) -> None:
        """Append all or none, durably. Raises RetryableError, and then none of them is in the log."""
        ...

    def lanes(self) -> Mapping[int, BlockHeader]:
        """By its number, each lane's last header; its cursor is that of the lane's last block that had one."""
        ...


@dataclass(slots=True)
class Job:
    """A hand-over, and everybody who waits for its receipt. ``size``: how much of the queue it takes."""

    incoming: Incoming
    futures: list[Future[Receipt]] = field(default_factory=list)
    size: int = 0

    def __post_init__(self) -> None:
        self.size = len(self.incoming.data) + sum(len(line.data) for line in self.incoming.refused) + _OVERHEAD

    @property
    def key(self) -> tuple[str, str] | None:
        """Its idempotency key, which is one of its source; None where it has none."""
        return (self.incoming.lane.source, self.incoming.key) if self.incoming.key else None

    def answer(self, receipt: Receipt) -> None:
        """Tell everybody; those who came later with the same key are told that it is the answer of an earlier one."""
        for number, future in enumerate(self._each()):
            future.set_result(replace(receipt, again=True) if number else receipt)

    def fail(self, error: BaseException) -> None:
        """Tell everybody that it was not appended."""
        for future in self._each():
            future.set_exception(error)

    def _each(self) -> list[Future[Receipt]]:
        found, self.futures = self.futures, []
        return found


class Waiting:
    """The hand-overs that wait, in order. Safe to use from any thread; ``take`` is for the log writer's."""

    def __init__(self, clock: Clock, most_bytes: int = QUEUE_BYTES, gather_s: float = GATHER_S) -> None:
        self._clock, self._most, self._gather_s = clock, most_bytes, gather_s
        self._jobs: deque[Job] = deque()
        self._keyed: dict[tuple[str, str], Job] = {}
        self._size = 0
        self._last_s = -gather_s
        self._changed = threading.Condition()
        self._closed = False

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._size

    def put(self, incoming: Incoming) -> Future[Receipt]:
        """Queue it. The future has failed already where there is no room, or where nothing is taken any more."""
        future: Future[Receipt] = Future()
        future.set_running_or_notify_cancel()
        job = Job(incoming, [future])
        with self._changed:
            if job.key and (first := self._keyed.get(job.key)):
                first.futures.append(future)
                return future
            refusal = self._refusal(job)
            if refusal is None:
                self._jobs.append(job)
                self._size += job.size
                if job.key:
                    self._keyed[job.key] = job
                self._changed.notify()
                return future
        future.set_exception(refusal)
        return future

    def _refusal(self, job: Job) -> RetryableError | None:
        if self._closed:
            return RetryableError("the log is being closed; hand it over again once the program runs again", 5.0)
        if self._jobs and self._size + job.size > self._most:
            waits = f"{self._size} bytes wait to be appended to the log, at most {self._most} may"
            return RetryableError(f"{waits}; hand the same over again")
        return None

    def take(self, timeout_s: float) -> list[Job]:
        """What is to be appended at once; nothing where nothing came in time. Empty and ``closed``: the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed, timeout_s)
            self._gather()
            jobs: list[Job] = []
            size = 0
            while self._jobs and (not jobs or size + self._jobs[0].size <= GROUP_BYTES):
                jobs.append(self._jobs.popleft())
                size += jobs[-1].size
            self._size -= size
            if jobs:
                self._last_s = self._clock.monotonic_s()
            return jobs

    def _gather(self) -> None:
        """Wait a moment for more, where little waits and a group was taken just now: never where all was quiet."""
        left_s = self._last_s + self._gather_s - self._clock.monotonic_s()
        if self._jobs and self._size < ENOUGH_BYTES and 0 < left_s <= self._gather_s:
            self._changed.wait_for(lambda: self._size >= ENOUGH_BYTES or self._closed, left_s)

    def done(self, jobs: Sequence[Job]) -> None:
        """Let nobody more join these, before they are answered: who comes with their keys is queued again."""
        with self._changed:
            for job in jobs:
                if job.key:
                    self._keyed.pop(job.key, None)

    def lanes(self) -> set[LaneName]:
        """The lanes of which something waits."""
        with self._changed:
            return {job.incoming.lane for job in self._jobs}

    @property
    def closed(self) -> bool:
        """Whether nothing more is taken in, and nothing waits."""
        return self._closed and not self._jobs

    def close(self) -> None:
        """Take nothing in any more; what waits can still be taken out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def refuse_all(self, error: BaseException) -> None:
        """Fail what waits."""
        with self._changed:
            jobs = list(self._jobs)
            self._jobs.clear()
            self._keyed.clear()
            self._size = 0
        for job in jobs:
            job.fail(error)


def into_blocks(jobs: Sequence[Job]) -> list[list[Job]]:
    """Which of them go into one block: those of one lane, in their order, up to a size. Lanes by their first job."""
    blocks: dict[LaneName, list[list[Job]]] = {}
    sizes: dict[LaneName, int] = {}
    for job in jobs:
        lane = job.incoming.lane
        mine = blocks.setdefault(lane, [[]])
        sizes[lane] = sizes.get(lane, 0) + job.size
        if mine[-1] and sizes[lane] > BLOCK_BYTES:
            mine.append([])
            sizes[lane] = job.size
        mine[-1].append(job)
    return [block for lane in blocks.values() for block in lane]
