"""Where the store is read: a bounded number of threads, each request for a bounded time."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import TypeVar

from streamgauge.clock import Clock
from streamgauge.errors import RetryableError, StoreError
from streamgauge.serve.base import Readings, Reads
from streamgauge.serve.problems import Problem

T = TypeVar("T")


@contextmanager
def _uncollected() -> Iterator[None]:
    """No search for garbage meanwhile: a large page is a million values and no cycle, and the search costs a third."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class Pool:
    """Reads the store for requests. The time that a request waits for a thread is part of its limit."""

    def __init__(self, readings: Readings, clock: Clock, threads: int, waiting: int, limit_s: float) -> None:
        self._readings, self._clock, self.limit_s = readings, clock, limit_s
        self._threads = ThreadPoolExecutor(threads, "streamgauge-read")
        self._most, self._in = threads + waiting, 0
        self._large = asyncio.Semaphore(1)

    def close(self) -> None:
        """End the threads, when what they do is done."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def read(self, work: Callable[[Reads], T], large: bool = False) -> T:
        """What the work finds in one transaction. ``large`` works come one at a time: each may hold much memory."""
        limit_s = self.limit_s

        def within(left_s: float) -> T:
            with self._readings.within(left_s) as reads, _uncollected() if large else nullcontext():
                return work(reads)

        return await self._run(within, limit_s, large)

    async def call(self, work: Callable[[float], T]) -> T:
        """What the work says, which does not read the store; it is told how many seconds are left."""
        return await self._run(work, self.limit_s, False)

    async def _run(self, work: Callable[[float], T], limit_s: float, large: bool) -> T:
        if self._in >= self._most:
            raise Problem("busy", f"{self._in} requests are being answered; try again", headers={"Retry-After": "1"})
        deadline = self._clock.monotonic_s() + limit_s

        def timed() -> T:
            left_s = deadline - self._clock.monotonic_s()
            if left_s <= 0:
                raise TimeoutError
            return work(left_s)

        self._in += 1
        try:
            async with self._large if large else nullcontext():
                return await asyncio.get_running_loop().run_in_executor(self._threads, timed)
        except TimeoutError:
            hint = "ask for less: a shorter range, named keys, fewer rows"
            raise Problem("too-slow", f"this took longer than {limit_s:g} s and was stopped; {hint}") from None
        except RetryableError as e:
            wait = {"Retry-After": str(max(1, round(e.retry_after_s)))}
            raise Problem("store-failing", str(e), headers=wait) from e
        except StoreError as e:
            raise Problem("store-failing", str(e)) from e
        finally:
            self._in -= 1
