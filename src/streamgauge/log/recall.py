"""What the log writer remembers of what it appended: ids and answers, and how it finds them again at a start."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from streamgauge.clock import Clock
from streamgauge.log.answers import Answers
from streamgauge.log.base import LogBlock
from streamgauge.log.idrun import Run
from streamgauge.log.ids import IdRules, Ids, LogIds
from streamgauge.step import no_step

RUN_IDS = 1 << 18
"""Ids that are kept in memory before they become a run."""

RUN_BYTES = 256 << 20
"""Bytes of the log after which they do as well: at a start, no more than that is read again."""

STEPS = ("before_seal", "ids_sealed")
"""Where the making of a run may be killed in a test: ``step`` is called with each of these as it goes by."""

CLOSE_IDS, CLOSE_BYTES = 1 << 14, 16 << 20
"""From how many ids, or bytes of the log, on they become a run when the log is closed."""

RETRY_BYTES = 16 << 20
"""Bytes of the log after which a run is tried again that could not be written."""

BlocksFrom = Callable[[int], Iterable[Any]]
"""The blocks of the log from this one on, in order; what is no LogBlock (damage, say) is passed over."""


class Recall:
    """The ids and the answers of a log. ``answers`` may be read from any thread, all else by the log writer's."""

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        rules: IdRules | None = None,
        run_ids: int = RUN_IDS,
        run_bytes: int = RUN_BYTES,
        step: Callable[[str], None] = no_step,
    ) -> None:
        self.ids = LogIds(folder, clock, rules)
        self.answers = Answers()
        self._run_ids, self._run_bytes, self._step = run_ids, run_bytes, step
        self._bytes = 0

    def restore(self, next_block: int, blocks_from: BlocksFrom) -> None:
        """Find again what was known before block ``next_block``: from the runs, and what they lack from the log.

        Raises OSError where the folder cannot be read or written.
        """
        missing = self.ids.open()
        notes = [line for run in self.ids.runs if run.note for line in json.loads(run.note)]
        for source, key, block, at_ms, said in sorted(notes, key=lambda line: int(line[2])):
            self.answers.put(source, key, block, at_ms, said)
        for first, last in missing:
            self._read(first, min(last + 1, next_block), blocks_from)
        self._read(self.ids.next_block, next_block, blocks_from)
        self.ids.next_block = max(self.ids.next_block, next_block)

    def _read(self, first: int, stop: int, blocks_from: BlocksFrom) -> None:
        if first >= stop:
            return
        for block in blocks_from(first):
            if not isinstance(block, LogBlock):
                continue
            if block.header.number >= stop:
                return
            self.ids.take(block)
            self.answers.add(block.header)
            self._bytes += len(block.events)
            self._seal_if_due()

    def appended(self, blocks: Sequence[LogBlock], ids: Iterable[Ids]) -> None:
        """These blocks are durable, and these are the ids of their events. Never raises."""
        for one in ids:
            self.ids.add(one)
        for block in blocks:
            self.ids.passed(block.header.number, block.header.received_ms)
            self.answers.add(block.header)
            self._bytes += len(block.events) + len(block.dead)
        self._seal_if_due()

    def close(self) -> None:
        """Close the files; what would take long to read again at the next start becomes a run first."""
        if len(self.ids) >= CLOSE_IDS or self._bytes >= CLOSE_BYTES:
            self._seal()
        self.ids.close()

    def _seal_if_due(self) -> None:
        if len(self.ids) >= self._run_ids or self._bytes >= self._run_bytes:
            self._seal()

    def _seal(self) -> None:
        self._bytes = 0
        gone = self.ids.forgettable()
        self._step("before_seal")
        try:
            self.ids.seal(gone, self._note(gone))
        except OSError:
            # All is still in memory, and in the log: nothing is lost but time.
            self._bytes = max(0, self._run_bytes - RETRY_BYTES)
        self._step("ids_sealed")

    def _note(self, gone: Sequence[Run]) -> bytes:
        """The answers that no other run will have."""
        own = self.ids.runs[-1].last + 1 if self.ids.runs else 0
        carried = gone[-1].last if gone else -1
        lines = [
            [source, key, answer.receipt.block, answer.at_ms, answer.said]
            for source, key, answer in self.answers.all()
            if answer.receipt.block >= own or answer.receipt.block <= carried
        ]
        return json.dumps(lines).encode() if lines else b""
