"""The engine of one machine: DuckDB decodes and aggregates, one connection per worker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streamgauge.bound import BoundShape, BoundStatistic
from streamgauge.engines.base import Computed, Envelope, Exclusion, Facts, Slice
from streamgauge.engines.duck.buffer import SliceBuffer
from streamgauge.engines.duck.plan import Plan
from streamgauge.engines.duck.worker import DuckWorker
from streamgauge.expression import TimeUnit

__all__ = ["DuckEngine", "SliceBuffer"]

SNIFFER = -1
WORKERS = 2
"""Workers unless told. One slice does not run faster on two threads; two slices side by side do, 1.8 times."""


class DuckEngine:
    """See engines.base.Engine. Each worker belongs to one thread; ``sniff`` to the caller's."""

    def __init__(
        self,
        statistics: Sequence[BoundStatistic],
        shapes: Iterable[BoundShape],
        envelope: Envelope,
        workers: int = WORKERS,
    ) -> None:
        self.plan = Plan(statistics, shapes, envelope)
        self.workers = workers
        self._made: dict[int, DuckWorker] = {}

    @property
    def needs_unit(self) -> bool:
        """Whether some event's time has a unit that nothing declares."""
        return self.plan.needs_unit

    def sniff(self, slice_: Slice) -> TimeUnit | None:
        """See Engine.sniff."""
        return self._worker(SNIFFER).sniff(slice_)

    def decode(self, worker: int, slice_: Slice, want_times: bool) -> Facts:
        """See Engine.decode."""
        return self._worker(worker).decode(slice_, want_times)

    def compute(self, worker: int, exclusion: Exclusion) -> Computed:
        """See Engine.compute."""
        return self._worker(worker).compute(exclusion)

    def close(self) -> None:
        """See Engine.close."""
        for worker in self._made.values():
            worker.close()

    def _worker(self, number: int) -> DuckWorker:
        # Made when first asked for: a connection takes longer to open than a small file to read.
        if number not in self._made:
            self._made[number] = DuckWorker(self.plan)
        return self._made[number]
