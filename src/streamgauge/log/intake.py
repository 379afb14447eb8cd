"""The log writer's thread: what sources hand over becomes blocks, many at once, with one fsync.

Steps of a turn (``STEPS`` are their names, at which a test may kill the program):

1. ``received``: what waits is taken; who comes again with a key that is known gets the stored answer.
2. ``judged``: envelopes are read, dead letters named, duplicates decided in the order in which all will be appended.
3. ``drafted``: a block per lane is made, and a tick of each lane whose silence is to be told.
4. ``appended``: all of them are durable. Until here nothing has changed: where it fails, all is as before.
5. ``recalled``: marks, cursors, ids and answers are what the blocks say.
6. ``answered``: everybody has a receipt.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NoReturn

from streamgauge.clock import Clock
from streamgauge.engines.base import Buffer
from streamgauge.errors import RetryableError, StoreError, StreamgaugeError
from streamgauge.event import NEVER
from streamgauge.expression import TimeUnit
from streamgauge.log.base import EnvelopeReader, Incoming, LaneName, Receipt
from streamgauge.log.draft import Draft, LaneNow, draft_block, draft_tick, lane_at_start, numbers_of
from streamgauge.log.grouping import QUEUE_BYTES, Appender, Job, Waiting, into_blocks
from streamgauge.log.idle import IdleRules, Silence, at_any_time, due, silence_at_start
from streamgauge.log.judge import Judge, Part
from streamgauge.log.recall import Recall
from streamgauge.step import no_step
from streamgauge.watermark import LaneMark, LaneState

STEPS = ("received", "judged", "drafted", "appended", "recalled", "answered")

STOP_WITHIN_S = 5.0
"""How long ``stop`` waits for what is under way."""

_log = logging.getLogger(__name__)


class LogIntake:
    """See log.base.Intake. ``start`` it after ``recall`` was restored; nothing else may append to the writer then.

    ``problem``: why nothing could be appended when it was tried last, empty where it could.
    ``closes``: as idle.Closes, its second argument the newest time of all lanes; it says when silence is to be told.
    """

    def __init__(
        self,
        writer: Appender,
        reader: EnvelopeReader,
        new_buffer: Callable[[int], Buffer],
        clock: Clock,
        recall: Recall,
        *,
        rules: IdleRules | None = None,
        queue_bytes: int = QUEUE_BYTES,
        closes: Callable[[int, int], int] = lambda after_ms, _: at_any_time(after_ms),
        step: Callable[[str], None] = no_step,
    ) -> None:
        self._writer, self._clock, self._recall = writer, clock, recall
        self._rules, self._closes, self._step = rules or IdleRules(), closes, step
        self._judge = Judge(reader, new_buffer)
        self._waiting = Waiting(clock, queue_bytes)
        self._started = (clock.now_ms(), clock.monotonic_s())
        headers = sorted(writer.lanes().values(), key=lambda header: header.number)
        self._lanes: dict[LaneName, LaneNow] = {lane.name: lane for lane in map(lane_at_start, headers)}
        self._silences = {n.number: silence_at_start(n.mark, self._started[1]) for n in self._lanes.values()}
        dated = [header.lane for header in headers if header.mark.get("newest") is not None]
        self._last = dated[-1] if dated else None
        self._asked_s = self._started[1]
        self.problem = ""
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, incoming: Incoming) -> Future[Receipt]:
        """See Intake.submit."""
        if incoming.key:
            known = self._recall.answers.get((incoming.lane.source, incoming.key), self._clock.now_ms())
            if known is not None:
                future: Future[Receipt] = Future()
                future.set_result(known)
                return future
        return self._waiting.put(incoming)

    def cursor(self, lane: LaneName) -> Any:
        """See Intake.cursor."""
        found = self._lanes.get(lane)
        return found.cursor if found is not None else None

    @property
    def waiting_bytes(self) -> int:
        """How much waits to be appended."""
        return self._waiting.size

    def stop(self, within_s: float = STOP_WITHIN_S) -> bool:
        """Take nothing more in, append what waits, and end the thread; what is left in the end is refused.

        Returns whether the thread has ended: if not, an append hangs, and the writer must not be closed.
        """
        self._waiting.close()
        if self._thread.ident is not None:
            self._thread.join(within_s)
        self._waiting.refuse_all(RetryableError("the log is closed; hand it over again once the program runs again"))
        if self._thread.is_alive():
            return False
        self._judge.close()
        return True

    def _run(self) -> None:
        try:
            while not self._waiting.closed:
                jobs = self._waiting.take(self._rules.tick_s / 4)
                self._turn(jobs)
        except BaseException as error:
            self._give_up(error)

    def _give_up(self, error: BaseException) -> NoReturn:
        """A fault of ours: whoever waits must not wait for ever."""
        self._waiting.close()
        self._waiting.refuse_all(StoreError(f"the log writer has failed: {error!r}"))
        raise error

    def _turn(self, jobs: Sequence[Job]) -> None:
        """Append these, and what silence tells. Where one of them is the fault, only that one fails."""
        try:
            order, drafts = self._prepared(jobs)
            self._writer.append([draft.block for draft in drafts])
        except (RetryableError, StoreError) as error:
            self._say(str(error))
            self._fail(jobs, error)
        except OSError as error:
            self._say(str(error))
            self._fail(jobs, RetryableError(f"the log's folder cannot be read: {error}"))
        except Exception as error:
            self._fail_one_by_one(jobs, error)
        else:
            if drafts:
                self._say("")
            self._finish(jobs, order, drafts)

    def _say(self, problem: str) -> None:
        """Why nothing can be appended; empty where it can. Logged once each."""
        if problem and not self.problem:
            _log.error("nothing can be appended: %s", problem)
        elif self.problem and not problem:
            _log.warning("the log goes on")
        self.problem = problem

    def _fail_one_by_one(self, jobs: Sequence[Job], error: Exception) -> None:
        if len(jobs) > 1:
            for job in jobs:
                self._turn([job])
            return
        if not isinstance(error, StreamgaugeError | ValueError):
            _log.error("the log writer could not take what %s brought", _names(jobs), exc_info=error)
            error = StoreError(f"the log writer could not take what {_names(jobs)} brought: {error!r}")
        self._fail(jobs, error)

    def _fail(self, jobs: Sequence[Job], error: BaseException) -> None:
        self._waiting.done(jobs)
        for job in jobs:
            job.fail(error)

    def _prepared(self, jobs: Sequence[Job]) -> tuple[list[list[Part]], list[Draft]]:
        """The parts of each block to append, and the blocks: first those of the parts, then ticks. Changes nothing."""
        received_ms = self._clock.now_ms()
        left = self._taken(jobs, received_ms)
        units = {name: lane.unit for name, lane in self._lanes.items() if lane.unit is not None} if left else {}
        parts, found = self._judge.read(left, units, received_ms, self._latest_ms(received_ms))
        self._refuse_strict(parts)
        order = self._decided([part for part in parts if not part.refused])
        self._step_if(jobs, "judged")
        drafts = self._drafts(order, found, received_ms)
        self._step_if(jobs, "drafted")
        return order, drafts

    def _finish(self, jobs: Sequence[Job], order: Sequence[Sequence[Part]], drafts: Sequence[Draft]) -> None:
        """What was appended counts, and everybody is told."""
        self._step_if(jobs, "appended")
        try:
            self._commit(drafts)
            self._step_if(jobs, "recalled")
            self._waiting.done(jobs)
            for parts, draft in zip(order, drafts, strict=False):
                for part, receipt in zip(parts, draft.receipts, strict=True):
                    part.job.answer(receipt)
        except BaseException as error:
            self._fail(jobs, StoreError(f"the log writer has failed: {error!r}"))
            raise
        self._step_if(jobs, "answered")

    def _step_if(self, jobs: Sequence[Job], name: str) -> None:
        if jobs:
            self._step(name)

    def _taken(self, jobs: Sequence[Job], now_ms: int) -> list[Job]:
        """Those that are to be appended; the others are answered."""
        self._step_if(jobs, "received")
        left = []
        for job in jobs:
            known = self._recall.answers.get(job.key, now_ms) if job.key else None
            if known is None and _says_something(job.incoming):
                left.append(job)
                continue
            self._waiting.done([job])
            if known is None:
                self._heard(job.incoming)
            job.answer(known or Receipt(0, 0, 0))
        return left

    def _heard(self, incoming: Incoming) -> None:
        lane = self._lanes.get(incoming.lane)
        if lane is not None:
            self._silences[lane.number].speak(self._clock.monotonic_s(), behind=incoming.behind)

    def _refuse_strict(self, parts: Iterable[Part]) -> None:
        for part in parts:
            if part.refused:
                self._waiting.done([part.job])
                receipt = Receipt(0, 0, len(part.dead), refusals=part.refusals(), kept=False)
                part.job.answer(receipt)

    def _decided(self, parts: Sequence[Part]) -> list[list[Part]]:
        """Decide duplicates; returns the parts of each block, in order of append."""
        by_job = {id(part.job): part for part in parts}
        order = [[by_job[id(job)] for job in block] for block in into_blocks([part.job for part in parts])]
        named = [(part, *found) for block in order for part in block if (found := part.name()) is not None]
        again = self._recall.ids.duplicates([ids for _, _, ids in named])
        for (part, records, _), mask in zip(named, again, strict=True):
            part.fresh[records[mask]] = False
        return order

    def _drafts(self, order: Sequence[list[Part]], found: dict[LaneName, TimeUnit], received_ms: int) -> list[Draft]:
        """The blocks of these parts, in order, and then the ticks."""
        lanes: dict[LaneName, LaneNow] = {}
        block, position, new = self._writer.next_block, self._writer.next_position, numbers_of(self._lanes)
        drafts: list[Draft] = []
        for parts in order:
            name = parts[0].incoming.lane
            lane = lanes.get(name) or self._lanes.get(name)
            if lane is None:
                lane, new = LaneNow(new, name), new + 1
            draft = draft_block(parts, lane, found.get(name), block, position, received_ms)
            lanes[name] = draft.lane
            block, position = block + 1, draft.block.header.next_position
            drafts.append(draft)
        return [*drafts, *self._ticks(lanes, block, position, received_ms)]

    def _ticks(self, busy: Iterable[LaneName], block: int, position: int, received_ms: int) -> Iterable[Draft]:
        now_s = self._clock.monotonic_s()
        if now_s - self._asked_s < self._rules.tick_s / 4 and self._asked_s <= now_s:
            return
        self._asked_s = now_s
        by_number = {lane.number: lane for lane in self._lanes.values()}
        held = {*busy, *self._waiting.lanes()}
        # Where no lane is active, the one that was active last goes on; not while another is about to wake.
        marks = {number: lane.mark for number, lane in by_number.items()}
        silent = [number for number, lane in by_number.items() if lane.name in held]
        last = self._last if not self._active() and not held else None
        newest = max((time for mark in marks.values() for time in _times(mark)), default=NEVER)
        moved = due(marks, self._silences, now_s, lambda at: self._closes(at, newest), self._rules, last, silent)
        for number, mark in moved.items():
            yield draft_tick(by_number[number], mark, block, position, received_ms)
            block += 1

    def _commit(self, drafts: Sequence[Draft]) -> None:
        now_s = self._clock.monotonic_s()
        self._recall.appended([draft.block for draft in drafts], [ids for draft in drafts for ids in draft.ids])
        for draft in drafts:
            lane, before = draft.lane, self._lanes.get(draft.lane.name)
            self._lanes[lane.name] = lane
            silence = self._silences.setdefault(lane.number, Silence(now_s, told_s=now_s))
            if draft.behind is None:
                silence.told_s = now_s
            elif draft.brings:
                silence.interrupt(now_s, behind=draft.behind)
            else:
                silence.speak(now_s, behind=draft.behind)
            held = draft.brings or (before is not None and before.mark.state is LaneState.ACTIVE)
            held = held and lane.mark.newest is not None
            if held and lane.mark.state is not LaneState.ACTIVE and not self._active():
                self._last = lane.number

    def _active(self) -> bool:
        return any(lane.mark.state is LaneState.ACTIVE for lane in self._lanes.values())

    def _latest_ms(self, now_ms: int) -> int:
        """The time by which the future is told: a wall clock that was set back makes no event one of the future."""
        wall_ms, monotonic_s = self._started
        return max(now_ms, wall_ms + int((self._clock.monotonic_s() - monotonic_s) * 1000))


def _says_something(incoming: Incoming) -> bool:
    """Whether there is anything to append."""
    known = incoming.cursor is not None or incoming.complete_to_ms is not None
    return bool(incoming.data or incoming.refused or incoming.key or incoming.last or known)


def _times(mark: LaneMark) -> Iterator[int]:
    """The newest times of a lane, those that are not believed yet too."""
    if mark.newest is not None:
        yield mark.newest
    yield from (candidate.latest for candidate in mark.candidates)


def _names(jobs: Iterable[Job]) -> str:
    return ", ".join(sorted({str(job.incoming.lane) for job in jobs}))
