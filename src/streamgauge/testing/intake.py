"""An intake that keeps what it is given in a list: small, honest, and able to fail in every way that a real one can."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from streamgauge.errors import RetryableError, StoreError
from streamgauge.expression import Expression
from streamgauge.expression.types import Path
from streamgauge.log.base import Incoming, LaneName, Receipt, Refusal


class ListIntake:
    """What was submitted, in order, as if it were durable. Safe from any thread.

    It decides what a log decides, simply: a line that is no JSON object is malformed, an id (a path below body, or
    given) that its source has had is a duplicate, a key that was used gets its first answer. It can be told to fail:

    - ``refuse(times)``: that many submissions fail with RetryableError, and are not appended.
    - ``silent``: it appends, but never answers; ``deaf``: it does neither. What a killed program leaves behind.
    - ``broken``: StoreError from now on. ``delay_s``: it answers that much later.

    ``restart`` ends all that and forgets who still waits, as a new process would.
    """

    def __init__(self) -> None:
        self.appended: list[Incoming] = []
        self.events: list[tuple[LaneName, bytes]] = []
        self.submissions = 0
        self.silent = False
        self.deaf = False
        self.broken = False
        self.delay_s = 0.0
        self._refusals = 0
        self._retry_after_s = 0.05
        self._lock = threading.Lock()
        self._cursors: dict[LaneName, Any] = {}
        self._ids: set[tuple[str, str]] = set()
        self._answers: dict[tuple[str, str], Receipt] = {}

    def refuse(self, times: int, retry_after_s: float = 0.05) -> None:
        """Have no room for the next submissions."""
        self._refusals, self._retry_after_s = times, retry_after_s

    def restart(self) -> None:
        """Be as a new process would be on the same log."""
        self.silent = self.deaf = self.broken = False
        self._refusals, self.delay_s = 0, 0.0

    @property
    def refusing(self) -> bool:
        """Whether the next submission will be refused."""
        return self._refusals > 0

    def lines(self, lane: LaneName | None = None) -> list[bytes]:
        """The bodies of the accepted events, without line feeds, in order."""
        with self._lock:
            return [body for where, body in self.events if lane in (None, where)]

    def submit(self, incoming: Incoming) -> Future[Receipt]:
        """As Intake.submit. Raises ValueError for what no source may submit."""
        future: Future[Receipt] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            self.submissions += 1
            if self.broken:
                future.set_exception(StoreError("the log cannot be written"))
            elif self._refusals > 0:
                self._refusals -= 1
                future.set_exception(RetryableError("the log has no room", self._retry_after_s))
            elif not self.deaf:
                receipt = self._append(incoming)
                if not self.silent:
                    self._answer(future, receipt)
        return future

    def cursor(self, lane: LaneName) -> Any:
        """As Intake.cursor: what was written to JSON, and read again."""
        with self._lock:
            known = self._cursors.get(lane)
        return None if known is None else json.loads(known)

    def _answer(self, future: Future[Receipt], receipt: Receipt) -> None:
        if self.delay_s:
            timer = threading.Timer(self.delay_s, future.set_result, [receipt])
            timer.daemon = True
            timer.start()
        else:
            future.set_result(receipt)

    def _append(self, incoming: Incoming) -> Receipt:
        key = (incoming.lane.source, incoming.key)
        if incoming.key and key in self._answers:
            return replace(self._answers[key], again=True)
        bodies = check_lines(incoming)
        receipt = self._judge(incoming, bodies)
        if receipt.kept:
            self.appended.append(incoming)
            if incoming.cursor is not None:
                self._cursors[incoming.lane] = json.dumps(incoming.cursor)
        if incoming.key:
            self._answers[key] = receipt
        return receipt

    def _judge(self, incoming: Incoming, bodies: Sequence[bytes]) -> Receipt:
        refused = {line.record: line for line in incoming.refused}
        accepted: list[bytes] = []
        refusals: list[Refusal] = []
        ids: list[tuple[str, str]] = []
        duplicates = times = 0
        for record, body in enumerate(bodies):
            value = _object(body)
            if record in refused or value is None:
                known = refused.get(record)
                said = (known.reason, known.detail) if known else ("not JSON", "")
                refusals.append(Refusal(record + 1, *said))
                continue
            id_ = _id_of(incoming, record, value)
            if id_ is not None and ((incoming.lane.source, id_) in self._ids or (incoming.lane.source, id_) in ids):
                duplicates += 1
                continue
            ids += [(incoming.lane.source, id_)] if id_ is not None else []
            times += incoming.arrival.receipt_time and "time" not in value and "timestamp" not in value
            accepted.append(body)
        if incoming.strict and refusals:
            return Receipt(0, 0, len(refusals), refusals=tuple(refusals[:100]), kept=False)
        position = len(self.events) if accepted else -1
        self._ids.update(ids)
        self.events += [(incoming.lane, body) for body in accepted]
        return Receipt(
            len(accepted), duplicates, len(refusals), position, len(self.appended), times, tuple(refusals[:100])
        )


def check_lines(incoming: Incoming) -> list[bytes]:
    """The lines of what a source submits. Raises ValueError where they are not as Incoming promises."""
    data = incoming.data
    if data and not data.endswith(b"\n"):
        raise ValueError("the last line has no line feed")
    lines = data.split(b"\n")[:-1]
    if not all(line.strip() for line in lines):
        raise ValueError("a line is blank")
    wrong = [line.record for line in incoming.refused if line.record >= len(lines) or lines[line.record] != b"!"]
    if wrong:
        raise ValueError(f"the refused records {wrong} do not stand as '!'")
    given = incoming.given
    columns = (given.topics, given.ids, given.times_ms) if given else ()
    if any(column and len(column) != len(lines) for column in columns):
        raise ValueError("what is given is not parallel to the lines")
    return lines


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _id_of(incoming: Incoming, record: int, value: dict[str, Any]) -> str | None:
    if incoming.given and incoming.given.ids:
        return incoming.given.ids[record]
    expression: Expression | None = incoming.arrival.envelope.id
    if expression is None or not isinstance(expression.tree.value, Path):
        return None
    found: Any = value
    for key in expression.tree.value.keys:
        found = found.get(key) if isinstance(found, dict) else None
    return None if found is None else str(found)
