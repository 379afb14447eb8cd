"""Slices: whole blocks end to end, of one time unit, in buffers that are all given back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.engines.base import Slice
from streamgauge.errors import InputError
from streamgauge.event import Block, Lane
from streamgauge.expression import TimeUnit
from streamgauge.log.files import NoRoom
from streamgauge.slices import Cut, LaneInput, Slicer


class Memory:
    """A buffer without an engine to read it."""

    left_open = 0

    def __init__(self, capacity: int) -> None:
        self.capacity, self.path, self.size = capacity, "", capacity
        self.view = memoryview(bytearray(capacity))
        Memory.left_open += 1

    def trim(self, size: int) -> None:
        self.size = size

    def open_whole(self) -> None:
        self.size = self.capacity

    def close(self) -> None:
        Memory.left_open -= 1


class Blocks:
    """A reader of given blocks, which needs more room than a block has where ``spare`` says so."""

    form = "ndjson"
    left_over = 0

    def __init__(self, number: int, parts: Sequence[bytes], problem: str = "", spare: int = 0) -> None:
        self.lane, self.parts, self.at, self.spare = Lane(number, f"lane {number}", f"id {number}"), parts, 0, spare
        self.problem = InputError(problem) if problem else None
        self.notes = ["a note"] if problem else []
        self.closed = False

    def read_block(self, into: memoryview) -> Block | None:
        if self.at == len(self.parts):
            return None
        data = self.parts[self.at]
        for needed in (self.spare, len(data)):
            if len(into) < needed:
                raise NoRoom(needed)
        into[: len(data)] = data
        self.at += 1
        return Block(self.lane, self.at - 1, 0, 0, 1, into[: len(data)])

    def close(self) -> None:
        self.closed = True


def slicer(lanes: Sequence[Blocks], size: int, units: Any = None, span: bool = True) -> Slicer:
    def opening(lane: Blocks) -> Callable[[], Any]:
        return lambda: lane

    inputs = [LaneInput(n, f"lane {n}", opening(lane)) for n, lane in enumerate(lanes)]
    return Slicer(inputs, size, Memory, units, span)


def seen(made: Slicer) -> Iterator[tuple[list[tuple[int, bytes]], list[tuple[int, int]], Cut]]:
    """Of each cut its blocks (lane, bytes) as they stand in the buffer, and which lanes end where."""
    for cut in made.cuts():
        blocks = [(b.lane.number, bytes(b.data)) for b in cut.slice.blocks]
        data = bytes(cut.buffer.view[: cut.slice.size])
        assert data == b"\n" + b"".join(data for _, data in blocks)
        assert isinstance(cut.buffer, Memory)
        assert cut.buffer.size == cut.slice.size
        yield blocks, [(at, lane.number) for at, lane in cut.ended], cut
        made.give_back(cut.buffer)


PARTS = st.lists(st.lists(st.binary(min_size=1, max_size=30), max_size=6), max_size=4)


@given(parts=PARTS, size=st.integers(1, 60), spare=st.integers(0, 80), span=st.booleans())
def test_every_block_comes_once_in_order_and_every_lane_ends_once(
    parts: list[list[bytes]], size: int, spare: int, span: bool
) -> None:
    before = Memory.left_open
    lanes = [Blocks(n, blocks, spare=spare) for n, blocks in enumerate(parts)]
    made = slicer(lanes, size, span=span)
    found: list[Any] = []
    for blocks, ended, _ in seen(made):
        ends = [(at, ("end", lane)) for at, lane in ended]
        for at in range(len(blocks) + 1):
            found += [what for place, what in ends if place == at]
            found += blocks[at : at + 1]
        assert span or len({lane for lane, _ in blocks}) <= 1
        assert sum(len(data) for _, data in blocks[:-1]) < size
    made.close()
    assert found == [x for n, blocks in enumerate(parts) for x in [*((n, data) for data in blocks), ("end", n)]]
    assert all(lane.closed for lane in lanes)
    assert Memory.left_open == before


def test_lanes_of_different_units_never_share_a_slice() -> None:
    def unit(slice_: Slice) -> TimeUnit | None:
        return {"lane 0": TimeUnit.S, "lane 1": TimeUnit.S, "lane 2": TimeUnit.MS}.get(slice_.source)

    lanes = [Blocks(n, [b"a" * 3, b"b" * 4]) for n in range(4)]
    found = [(cut.slice.unit, cut.slice.source, blocks) for blocks, _, cut in seen(slicer(lanes, 1000, unit))]
    assert [(u, s, [lane for lane, _ in blocks]) for u, s, blocks in found] == [
        (TimeUnit.S, "lane 0", [0, 0, 1, 1]),
        (TimeUnit.MS, "lane 2", [2, 2]),
        (None, "lane 3", [3, 3]),
    ]


def test_a_lane_that_cannot_be_opened_ends_at_once_and_is_named() -> None:
    def refuse() -> Any:
        raise InputError("no such file")

    inputs = [LaneInput(0, "x", refuse), LaneInput(1, "y", lambda: Blocks(1, [b"a"])), LaneInput(2, "z", refuse)]
    made = Slicer(inputs, 100, Memory, None, True)
    (cut,) = made.cuts()
    assert [(at, lane.number) for at, lane in cut.ended] == [(0, 0), (1, 1), (1, 2)]
    assert [lane.number for lane in cut.opened] == [1]
    assert [str(p) for p in made.problems] == ["no such file"] * 2
    made.close()


def test_problems_and_notes_of_a_lane_are_kept() -> None:
    made = slicer([Blocks(0, [b"a"], problem="it is cut off")], 100)
    assert len(list(seen(made))) == 1
    assert [str(p) for p in made.problems] == ["it is cut off"]
    assert made.notes == ["a note"]
    made.close()


def test_buffers_that_were_never_given_back_are_freed_in_the_end() -> None:
    before = Memory.left_open
    made = slicer([Blocks(0, [b"a" * 10] * 5)], 10)
    cuts = made.cuts()
    kept = [next(cuts) for _ in range(3)]
    assert Memory.left_open == before + len(kept)
    made.close()
    assert Memory.left_open == before


@pytest.mark.parametrize("count", [0, 3])
def test_lanes_without_a_block_make_one_cut_or_none(count: int) -> None:
    made = slicer([Blocks(n, []) for n in range(count)], 10)
    assert [ended for _, ended, _ in seen(made)] == ([[(0, n) for n in range(count)]] if count else [])
    made.close()
