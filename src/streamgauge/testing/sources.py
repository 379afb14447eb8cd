"""What every source obeys, whatever it reads from.

``LAWS`` are coroutines of a ``Rig``, which knows how to put messages where a source finds them; each raises
AssertionError where its law is broken. A test runs all of them over every source::

    @pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
    def test_law(law, tmp_path):
        asyncio.run(law(TailRig(tmp_path)))
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from streamgauge.errors import StoreError
from streamgauge.sources.base import STOP_WITHIN_S, Guarantee, Source, State
from streamgauge.testing.intake import ListIntake

__all__ = ["LAWS", "ListIntake", "Rig", "eventually", "messages", "running"]


class Rig(Protocol):
    """How a source is tried. Its events have ``body.id`` as id, so that redelivery can be told from loss.

    ``sends_first``: messages must be there before the source starts, as a recording is. ``pulls``: the source fetches
    messages itself, so that ``run`` ends where the log is broken.
    """

    sends_first: bool
    pulls: bool

    def source(self) -> Source:
        """The source as a new process would make it, with the same configuration, on the same bus."""
        ...

    async def send(self, lines: Sequence[bytes]) -> None:
        """Give messages to the bus; returns when the bus has them, which may need a running source."""
        ...

    async def close(self) -> None:
        """Give everything back."""
        ...


def messages(count: int, first: int = 0) -> list[bytes]:
    """As many bodies, each with an id of its own."""
    return [b'{"id":"%d","time":%d}' % (n, 1_500_000_000_000 + n) for n in range(first, first + count)]


async def eventually(condition: Callable[[], bool], what: str, within_s: float = 10.0) -> None:
    """Wait until it holds. Raises AssertionError where it does not in time."""
    try:
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {within_s} s: {what}") from None


@asynccontextmanager
async def running(source: Source, intake: ListIntake) -> AsyncIterator[asyncio.Task[None]]:
    """The source, running; stopped at the end."""
    task = asyncio.ensure_future(source.run(intake))
    await asyncio.sleep(0)
    try:
        yield task
    finally:
        await source.stop()
        with suppress(StoreError, asyncio.CancelledError):
            await task


async def everything_arrives_once_and_in_order(rig: Rig) -> None:
    """Without any fault, the log has what was sent."""
    sent, intake = messages(2500), ListIntake()
    async with _sending(rig, sent) as start, running(rig.source(), intake):
        await start()
        await eventually(lambda: len(intake.lines()) >= len(sent), "all messages are there")
    _same(intake.lines(), sent, ordered=True)


async def a_kill_between_append_and_acknowledge_loses_nothing(rig: Rig) -> None:
    """The log has messages of which the source was never told: nothing is lost then, and nothing counted twice."""
    intake = ListIntake()
    intake.silent = True
    await _killed(rig, intake, lambda: bool(intake.events), "something was appended")


async def a_kill_before_the_append_loses_nothing(rig: Rig) -> None:
    """The source handed messages over that the log never had."""
    intake = ListIntake()
    intake.deaf = True
    await _killed(rig, intake, lambda: intake.submissions > 0, "something was submitted")


async def back_pressure_loses_nothing_and_is_said(rig: Rig) -> None:
    """A log without room makes the source wait, which its status says; then all is there, in order."""
    sent, intake = messages(300), ListIntake()
    intake.refuse(4, retry_after_s=0.1)
    source = rig.source()
    async with _sending(rig, sent) as start, running(source, intake):
        begun = asyncio.ensure_future(start())
        await eventually(lambda: source.status().state is State.STALLED, "the source says that it is stalled")
        assert "no room" in source.status().last_error
        assert source.status().last_error_ms is not None
        await begun
        await eventually(lambda: len(intake.lines()) >= len(sent), "all messages are there")
        await eventually(lambda: source.status().state is not State.STALLED, "the source says that it goes on")
    _same(intake.lines(), sent, ordered=True)


async def a_slow_log_changes_nothing(rig: Rig) -> None:
    """Answers that take their time do not change the order."""
    sent, intake = messages(300), ListIntake()
    intake.delay_s = 0.05
    async with _sending(rig, sent) as start, running(rig.source(), intake):
        await start()
        await eventually(lambda: len(intake.lines()) >= len(sent), "all messages are there")
    _same(intake.lines(), sent, ordered=True)


async def silence_is_silent(rig: Rig) -> None:
    """With nothing to read, a source submits nothing, says so, does not claim to be behind, and does no work."""
    sent, intake = messages(3), ListIntake()
    source = rig.source()
    async with _sending(rig, sent) as start, running(source, intake):
        await start()
        await eventually(lambda: len(intake.lines()) >= len(sent), "all messages are there")
        await asyncio.sleep(0.5)
        before, worked = intake.submissions, time.process_time()
        await asyncio.sleep(1.0)
        assert intake.submissions == before, "submits without having anything"
        assert time.process_time() - worked < 0.5, "works without having anything to do"
        await eventually(lambda: source.status().state in (State.WAITING, State.STOPPED), "it says that it waits")
    assert not _behind(intake), "said that it is behind, and never that it is not"


async def stop_returns_in_time_whatever_the_log_does(rig: Rig) -> None:
    """Also while the log refuses, and while it never answers."""
    for fault in ("none", "refuses", "silent", "deaf"):
        intake = ListIntake()
        intake.silent, intake.deaf = fault == "silent", fault == "deaf"
        if fault == "refuses":
            intake.refuse(10**9)
        source = rig.source()
        async with _sending(rig, messages(20, first=1000 * len(fault))) as start:
            task = asyncio.ensure_future(source.run(intake))
            begun = asyncio.ensure_future(start())
            await eventually(lambda i=intake: i.submissions > 0, "something was submitted")  # type: ignore[misc]
            await asyncio.wait_for(source.stop(), STOP_WITHIN_S)
            await asyncio.wait_for(task, 1.0)
            await _cancelled(begun)
        assert source.status().state is State.STOPPED, f"{fault}: {source.status()}"
        await source.stop()


async def stopped_before_it_ran_it_does_not_run(rig: Rig) -> None:
    """A stop that comes first is kept to."""
    if rig.sends_first:
        await rig.send(messages(1))
    source = rig.source()
    await source.stop()
    await asyncio.wait_for(source.run(ListIntake()), STOP_WITHIN_S)
    assert source.status().state is State.STOPPED


async def what_a_stop_left_comes_after_the_next_start(rig: Rig) -> None:
    """A stop in the middle, and a start, give what one run gives."""
    sent, intake = messages(4000), ListIntake()
    async with _sending(rig, sent[:2000]) as start:
        async with running(rig.source(), intake):
            begun = asyncio.ensure_future(start())
            await eventually(lambda: intake.submissions > 0, "something was submitted")
        async with running(rig.source(), intake):
            await begun
            await eventually(lambda: len(intake.lines()) >= 2000, "all messages are there")
    _same(intake.lines(), sent[:2000], ordered=rig.pulls)


async def status_is_honest(rig: Rig) -> None:
    """What a source says of itself is so, from its start to its stop."""
    sent, intake = messages(50), ListIntake()
    source = rig.source()
    first = source.status()
    assert (first.name, first.state, first.received) == (source.name, State.STARTING, 0)
    assert first.since_ms > 0
    async with _sending(rig, sent) as start, running(source, intake):
        await start()
        await eventually(lambda: source.status().received == len(sent), "all messages are counted")
        status = source.status()
        assert status.rate > 0
        assert status.last_received_ms is not None
        assert not status.lag_bytes
        assert (status.last_error, status.malformed, status.duplicates) == ("", 0, 0)
    assert source.status().state is State.STOPPED
    assert source.status().since_ms >= first.since_ms


async def a_broken_log_is_a_failure(rig: Rig) -> None:
    """Where the operator must act, the source says so; one that fetches messages ends."""
    intake, source = ListIntake(), rig.source()
    intake.broken = True
    async with _sending(rig, messages(3)) as start, running(source, intake) as task:
        begun = asyncio.ensure_future(start())
        await eventually(lambda: source.status().state is State.FAILED, "the source says that it failed")
        assert "cannot be written" in source.status().last_error
        if rig.pulls:
            await eventually(task.done, "run ends")
            assert isinstance(task.exception(), StoreError)
        await _cancelled(begun)


LAWS: tuple[Callable[[Rig], Awaitable[None]], ...] = (
    everything_arrives_once_and_in_order,
    a_kill_between_append_and_acknowledge_loses_nothing,
    a_kill_before_the_append_loses_nothing,
    back_pressure_loses_nothing_and_is_said,
    a_slow_log_changes_nothing,
    silence_is_silent,
    stop_returns_in_time_whatever_the_log_does,
    stopped_before_it_ran_it_does_not_run,
    what_a_stop_left_comes_after_the_next_start,
    status_is_honest,
    a_broken_log_is_a_failure,
)


@asynccontextmanager
async def _sending(rig: Rig, lines: Sequence[bytes]) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Yields what sends the lines: before the source starts, where that is the only way."""
    if rig.sends_first:
        await rig.send(lines)

    async def start() -> None:
        if not rig.sends_first:
            await rig.send(lines)

    yield start


async def _cancelled(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _killed(rig: Rig, intake: ListIntake, when: Callable[[], bool], what: str) -> None:
    """Kill the source at a moment, start it again, and look at what is there then."""
    sent = messages(500)
    async with _sending(rig, sent) as start:
        source = rig.source()
        task = asyncio.ensure_future(source.run(intake))
        begun = asyncio.ensure_future(start())
        await eventually(when, what)
        await _cancelled(task)
        intake.restart()
        again = rig.source()
        async with running(again, intake):
            await begun
            if again.guarantee is Guarantee.WHILE_IT_RUNS:
                await asyncio.sleep(0.5)
            else:
                await eventually(lambda: len(intake.lines()) >= len(sent), "all messages are there")
                await asyncio.sleep(0.3)
    found = intake.lines()
    if again.guarantee is Guarantee.WHILE_IT_RUNS:
        assert max(Counter(found).values(), default=1) == 1, "something is there twice"
        return
    _same(found, sent, ordered=rig.pulls)
    if again.guarantee is Guarantee.EXACTLY_ONCE:
        assert again.status().duplicates == 0, "came again, although its cursor was in the log"


def _same(found: Sequence[bytes], sent: Sequence[bytes], *, ordered: bool) -> None:
    missing, more = Counter(sent) - Counter(found), Counter(found) - Counter(sent)
    assert not missing, f"{len(missing)} messages are missing, the first is {next(iter(missing))!r}"
    assert not more, f"{len(more)} messages are there too often, the first is {next(iter(more))!r}"
    assert not ordered or list(found) == list(sent), "the order is not that of the messages"


def _behind(intake: ListIntake) -> set[str]:
    last = {str(incoming.lane): incoming.behind for incoming in intake.appended}
    return {lane for lane, behind in last.items() if behind}
