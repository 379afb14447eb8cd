"""Duplicates by id, and when ids are forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.seen import SeenIds, pack_ids, unpack_ids

Id = tuple[int, int]
# Few, so that they repeat; some share a half, and most share the slot where a table looks first.
IDS = st.one_of(
    st.builds(lambda n: (n * 2**16, 0), st.integers(0, 30)),
    st.builds(lambda n: (7, n), st.integers(0, 5)),
    st.builds(lambda n: (2**64 - 1 - n, 2**64 - 1), st.integers(0, 5)),
)
BLOCKS = st.lists(st.lists(IDS, max_size=12), max_size=12)


class Plain:
    """What SeenIds promises, said slowly."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.newer: set[Id] = set()
        self.older: set[Id] = set()

    def add(self, block: Sequence[Id]) -> list[bool]:
        if len(self.newer) > self.generation:
            self.older, self.newer = self.newer, set()
        again = []
        for one in block:
            again.append(one in self.newer or one in self.older)
            if not again[-1]:
                self.newer.add(one)
        return again


def halves(ids: Sequence[Id]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([i[0] for i in ids], dtype=np.uint64), np.array([i[1] for i in ids], dtype=np.uint64)


def added(seen: SeenIds, first: int, blocks: Sequence[Sequence[Id]]) -> list[bool]:
    ids = [one for block in blocks for one in block]
    return [bool(again) for again in seen.add(first, [len(b) for b in blocks], *halves(ids))]


@given(blocks=BLOCKS, generation=st.integers(0, 20), cuts=st.lists(st.integers(0, 12)))
def test_duplicates_depend_on_the_blocks_alone(blocks: list[list[Id]], generation: int, cuts: list[int]) -> None:
    plain = Plain(generation)
    expected = [again for block in blocks for again in plain.add(block)]
    edges = sorted({0, len(blocks), *(c for c in cuts if c < len(blocks))})
    seen = SeenIds(generation)
    found: list[bool] = []
    for start, stop in pairwise(edges):
        found += added(seen, start, blocks[start:stop])
    assert found == expected


@given(before=BLOCKS, after=BLOCKS, generation=st.integers(0, 20))
def test_what_a_restart_restores_is_what_was_known(
    before: list[list[Id]], after: list[list[Id]], generation: int
) -> None:
    seen = SeenIds(generation)
    kept: list[tuple[int, list[Id]]] = []
    for number, block in enumerate(before):
        again = added(seen, number, [block])
        kept.append((number, [one for one, old in zip(block, again, strict=True) if not old]))
    restored = SeenIds(generation, first_block=seen.first_block, older_block=seen.older_block)
    for number, fresh in kept:
        if number >= seen.older_block and fresh:
            restored.restore(number, *unpack_ids(pack_ids(*halves(fresh))))
    assert added(restored, len(before), after) == added(seen, len(before), after)
    assert (restored.first_block, restored.older_block) == (seen.first_block, seen.older_block)


def test_an_id_is_kept_until_more_than_a_generation_of_newer_ones_came() -> None:
    seen = SeenIds(generation=3)
    assert added(seen, 0, [[(1, 0)]]) == [False]
    added(seen, 1, [[(n, 1)] for n in range(3)])
    assert added(seen, 4, [[(1, 0)]]) == [True]
    added(seen, 5, [[(n, 2)] for n in range(4)])
    assert added(seen, 9, [[(2, 1)]]) == [False]


def test_a_hundred_thousand_ids_in_one_block() -> None:
    rng = np.random.default_rng(5)
    low, high = (rng.integers(0, 2**64, 100_000, dtype=np.uint64) for _ in range(2))
    seen = SeenIds()
    assert not seen.add(0, [len(low)], low, high).any()
    assert seen.add(1, [len(low)], low, high).all()
    assert not seen.add(2, [len(low)], low, high + np.uint64(1)).any()


def test_ids_travel_as_sixteen_bytes_each() -> None:
    packed = pack_ids(*halves([(1, 2), (2**64 - 1, 0)]))
    assert packed == (1).to_bytes(8, "little") + (2).to_bytes(8, "little") + b"\xff" * 8 + b"\0" * 8
    assert [half.tolist() for half in unpack_ids(packed)] == [[1, 2**64 - 1], [2, 0]]
