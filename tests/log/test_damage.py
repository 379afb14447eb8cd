"""How damage is said: which file, where, what is wrong, and what is missing for it."""

from __future__ import annotations

import pytest

from streamgauge.log.damage import Cut, Damage


@pytest.mark.parametrize(
    ("missing", "said", "blocks"),
    [
        ((5, 6, 10, 20), "block 5 is missing (positions 10 to 19)", 1),
        ((5, 8, 10, 20), "blocks 5 to 7 are missing (positions 10 to 19)", 3),
        ((5, 8, 10, 10), "blocks 5 to 7 are missing (without events)", 3),
        ((5, 8, None, None), "blocks 5 to 7 are missing", 3),
        ((5, 5, 10, 10), "no block is missing", 0),
        ((5, None, 10, None), "block 5 cannot be read, nor what follows it in this file", None),
    ],
)
def test_damage_says_what_is_missing(
    missing: tuple[int, int | None, int | None, int | None], said: str, blocks: int | None
) -> None:
    damage = Damage("log/a", 12, 99, "it is torn", *missing)
    assert str(damage) == f"log/a: at byte 12: it is torn; {said}"
    assert damage.blocks == blocks


def test_a_cut_says_how_much() -> None:
    assert str(Cut("log/a", 12, 99, 5)) == "log/a: cut 87 bytes at byte 12, a write of block 5 that did not finish"
