"""Runs the log writer's thread over a real log in a folder, with a clock that is moved by hand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from streamgauge.bound import BoundShape
from streamgauge.clock import Clock
from streamgauge.engines.base import Envelope
from streamgauge.engines.duck.buffer import SliceBuffer
from streamgauge.engines.duck.envelope import DuckEnvelope
from streamgauge.expression import Expression, TimeUnit, parse
from streamgauge.log.base import Arrival, Incoming, LaneName, LogBlock, Receipt
from streamgauge.log.idle import IdleRules
from streamgauge.log.intake import LogIntake
from streamgauge.log.reading import LogReader
from streamgauge.log.recall import Recall
from streamgauge.log.writer import LogWriter, WriterOptions
from streamgauge.step import no_step

T = 1_700_000_000_000
WAIT_S = 20.0


class HandClock:
    """Two clocks that stand until they are moved, the wall clock also backwards."""

    def __init__(self, now_ms: int = T + 1000) -> None:
        self.wall_ms, self.monotonic = now_ms, 100.0

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic_s(self) -> float:
        return self.monotonic

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.wall_ms += int(seconds * 1000)
        self.monotonic += seconds


class Log:
    """A log in a folder and the thread that writes it; ``restart`` does what a new process would."""

    def __init__(
        self,
        folder: Path,
        clock: Clock | None = None,
        shapes: Iterable[BoundShape] = (),
        step: Callable[[str], None] = no_step,
        rules: IdleRules | None = None,
        recall: dict[str, Any] | None = None,
        max_bytes: int | None = None,
        **options: Any,
    ) -> None:
        self.max_bytes = max_bytes
        self.folder, self.clock, self.shapes = folder, clock or HandClock(), tuple(shapes)
        self.options, self.recalling = {"step": step, "rules": rules or IdleRules(tick_s=60), **options}, recall or {}
        self.start()

    def start(self) -> None:
        self.writer = LogWriter.open(self.folder / "log", self.clock, WriterOptions(max_bytes=self.max_bytes))
        self.recall = Recall(self.folder / "recall", self.clock, **self.recalling)
        self.recall.restore(self.writer.next_block, self._blocks_from)
        self.reader = DuckEnvelope(self.shapes)
        self.intake = LogIntake(self.writer, self.reader, SliceBuffer, self.clock, self.recall, **self.options)
        self.intake.start()

    def stop(self) -> None:
        assert self.intake.stop()
        self.reader.close()
        self.recall.close()
        self.writer.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def take(self, *lines: bytes, arrival: Arrival | None = None, **more: Any) -> Receipt:
        """Hand these over and wait for the receipt."""
        return self.intake.submit(incoming(*lines, arrival=arrival, **more)).result(WAIT_S)

    def blocks(self) -> list[LogBlock]:
        return list(self._blocks_from(0))

    def events(self) -> list[Any]:
        """Every event line, parsed by another JSON reader."""
        return [json.loads(line) for block in self.blocks() for line in block.events.split(b"\n")[:-1]]

    def dead(self) -> list[Any]:
        return [json.loads(line) for block in self.blocks() for line in block.dead.split(b"\n")[:-1]]

    def _blocks_from(self, first: int) -> Iterable[LogBlock]:
        with LogReader(self.folder / "log", after_block=first - 1 if first else None) as reader:
            for item in reader.blocks():
                assert isinstance(item, LogBlock), item
                yield item


LANE = LaneName("http")


def arriving(time: str = "", topic: str = "", id: str = "", unit: TimeUnit | None = None, **more: Any) -> Arrival:
    """An arrival whose envelope is found with these expressions."""
    return Arrival(Envelope(expression(time), expression(topic), expression(id), unit), **more)


def expression(text: str) -> Expression | None:
    return parse(text, columns={}, what="test") if text else None


BY_ID = arriving(id="body.id", topic="body.topic", unit=TimeUnit.MS)


def incoming(*lines: bytes, arrival: Arrival | None = None, lane: LaneName = LANE, **more: Any) -> Incoming:
    return Incoming(lane, arrival or BY_ID, b"".join(line + b"\n" for line in lines), **more)


def body(time: int = T, **more: Any) -> bytes:
    return json.dumps({"time": time, **more}).encode()


def bodies(ids: Sequence[object], time: int = T) -> list[bytes]:
    """One body for each of these ids."""
    return [body(time, id=one) for one in ids]


class Gate:
    """A step that nobody passes until it is opened."""

    def __init__(self, at: str = "drafted") -> None:
        self.at, self._opened = at, threading.Event()

    def __call__(self, name: str) -> None:
        if name == self.at:
            assert self._opened.wait(WAIT_S)

    def open(self) -> None:
        self._opened.set()


def eventually(condition: Callable[[], bool], within_s: float = WAIT_S) -> None:
    """Wait until it holds."""
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.005)
