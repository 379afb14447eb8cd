"""Idempotency keys and the answers that were given for them, so that a retry is told the same and appends nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from streamgauge.log.base import BlockHeader, Receipt, Refusal

MOST_ANSWERS = 100_000
"""How many are known; the oldest are forgotten."""

KEPT_MS = 86_400_000
"""How long an answer is known, by the wall times of blocks."""


class Answer(NamedTuple):
    """An answer, the wall time of its block, and what the block's header says of it."""

    receipt: Receipt
    at_ms: int
    said: Mapping[str, Any]


class Answers:
    """The answers of the newest keys, each of one source. What is asked of any thread is ``get``."""

    def __init__(self, most: int = MOST_ANSWERS, kept_ms: int = KEPT_MS) -> None:
        self._most, self._kept_ms = most, kept_ms
        self._known: OrderedDict[tuple[str, str], Answer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: tuple[str, str], now_ms: int) -> Receipt | None:
        """The answer given for a source's key, marked as one of before; None where none is known."""
        found = self._known.get(key)
        if found is None or now_ms - found.at_ms > self._kept_ms:
            return None
        return found.receipt

    def add(self, header: BlockHeader) -> None:
        """Take the answers of a block that is durable."""
        for key, said in header.answers.items():
            self.put(header.source, key, header.number, header.received_ms, said)

    def put(self, source: str, key: str, block: int, at_ms: int, said: Mapping[str, Any]) -> None:
        """Take one answer, and forget those that are too many or too old."""
        self._known[source, key] = Answer(_receipt(said, block), at_ms, said)
        self._known.move_to_end((source, key))
        while len(self._known) > self._most or self._oldest_ms() < at_ms - self._kept_ms:
            self._known.popitem(last=False)

    def all(self) -> Iterator[tuple[str, str, Answer]]:
        """``(source, key, answer)`` of all that are known, oldest first."""
        return ((source, key, answer) for (source, key), answer in self._known.items())

    def _oldest_ms(self) -> int:
        return next(iter(self._known.values())).at_ms


def said_of(receipt: Receipt) -> dict[str, Any]:
    """What a header says of an answer."""
    said: dict[str, Any] = {"accepted": receipt.accepted, "position": receipt.position}
    for name in ("duplicates", "malformed", "receipt_times"):
        if count := getattr(receipt, name):
            said[name] = count
    if receipt.refusals:
        said["refusals"] = [[r.line, r.reason, r.detail] for r in receipt.refusals]
    return said


def _receipt(said: Mapping[str, Any], block: int) -> Receipt:
    return Receipt(
        accepted=said["accepted"],
        duplicates=said.get("duplicates", 0),
        malformed=said.get("malformed", 0),
        position=said["position"],
        block=block,
        receipt_times=said.get("receipt_times", 0),
        refusals=tuple(Refusal(*refusal) for refusal in said.get("refusals", ())),
        again=True,
    )
