"""Slices of a log are its blocks, end to end, each once, whatever their size."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge import logslices
from streamgauge.engines.duck import SliceBuffer
from streamgauge.log.base import LogBlock
from streamgauge.log.damage import Damage
from streamgauge.logslices import LogCut, LogSlicer
from tests.log.blocks import blocks

DAMAGE = Damage("segment", 0, 1, "a bit", 3, 4)


def cut(items: Sequence[LogBlock | Damage], size: int) -> list[tuple[list[int], bytes]]:
    """The numbers of each slice's blocks, and what an engine reads of it."""
    damages: list[Damage] = []
    slicer = LogSlicer(lambda: items, size, SliceBuffer, damages.append)
    found = []
    for one in slicer.cuts():
        assert isinstance(one, LogCut)
        with open(one.slice.path, "rb") as file:
            data = file.read()
        assert len(data) == one.slice.size
        for made, logged in zip(one.slice.blocks, one.logged, strict=True):
            assert bytes(made.data) == logged.events == data[made.offset : made.end]
        found.append(([logged.header.number for logged in one.logged], data))
        one.slice.blocks.clear()
        slicer.give_back(one.buffer)
    slicer.close()
    assert damages == [item for item in items if isinstance(item, Damage)]
    return found


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=12), st.integers(1, 2000))
def test_every_block_is_in_one_slice_in_order(shapes: list[tuple[int, int]], size: int) -> None:
    made = blocks(shapes)
    found = cut(made, size)
    assert [number for numbers, _ in found for number in numbers] == list(range(len(made)))
    assert b"".join(data[1:] for _, data in found) == b"".join(block.events for block in made)
    assert all(data[:1] == b"\n" for _, data in found)


def test_a_slice_is_no_larger_than_it_may_be_unless_one_block_is() -> None:
    made = blocks([(1, 0), (50, 0), (1, 0), (1, 0)])
    assert [numbers for numbers, _ in cut(made, 300)] == [[0], [1], [2, 3]]


def test_what_cannot_be_read_is_told_and_passed_over() -> None:
    first, second = blocks([(1, 0), (1, 0)])
    assert [numbers for numbers, _ in cut([first, DAMAGE, second], 10_000)] == [[0, 1]]


def test_a_slice_has_not_too_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logslices, "MOST_BLOCKS", 3)
    assert [len(numbers) for numbers, _ in cut(blocks([(0, 0)] * 7), 10_000)] == [3, 3, 1]


def test_buffers_are_used_again() -> None:
    made = blocks([(2, 0)] * 6)
    count = 0

    def new_buffer(size: int) -> SliceBuffer:
        nonlocal count
        count += 1
        return SliceBuffer(size)

    slicer = LogSlicer(lambda: made, 200, new_buffer, lambda damage: None)
    for one in slicer.cuts():
        one.slice.blocks.clear()
        slicer.give_back(one.buffer)
    slicer.close()
    assert count <= 2
