"""What is said of a log that is not as it was written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Damage:
    """A place where a log is not as it was written, and what cannot be read for that.

    ``file`` is the segment's path, ``offset`` and ``end`` are the bytes concerned. Missing are the blocks from
    ``first_block`` up to, not including, ``next_block`` (equal: none is missing), and the positions likewise; None
    where it is not known how many. What lies before and behind is readable.
    """

    file: str
    offset: int
    end: int
    problem: str
    first_block: int
    next_block: int | None
    position: int | None = None
    next_position: int | None = None

    @property
    def blocks(self) -> int | None:
        """How many blocks are missing; None where that is not known."""
        return None if self.next_block is None else self.next_block - self.first_block

    def __str__(self) -> str:
        return f"{self.file}: at byte {self.offset}: {self.problem}; {self._missing()}"

    def _missing(self) -> str:
        if self.next_block is None:
            return f"block {self.first_block} cannot be read, nor what follows it in this file"
        if self.next_block <= self.first_block:
            return "no block is missing"
        last = self.next_block - 1
        blocks = f"block {last} is" if last == self.first_block else f"blocks {self.first_block} to {last} are"
        return f"{blocks} missing{self._positions()}"

    def _positions(self) -> str:
        if self.position is None or self.next_position is None:
            return ""
        if self.position == self.next_position:
            return " (without events)"
        return f" (positions {self.position} to {self.next_position - 1})"


@dataclass(frozen=True, slots=True)
class Cut:
    """A torn tail that was cut off when the log was opened: a write that the end of the process or of power cut short.

    Nothing in it was ever acknowledged. ``block`` is the first block that was cut, ``end`` the former size of the file.
    """

    file: str
    offset: int
    end: int
    block: int

    def __str__(self) -> str:
        size = self.end - self.offset
        return f"{self.file}: cut {size} bytes at byte {self.offset}, a write of block {self.block} that did not finish"
