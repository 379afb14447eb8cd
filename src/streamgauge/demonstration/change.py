"""When a share fell: the most likely moment of one change in a series of counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

Counts = Sequence[tuple[int, int]]
"""In order of time: how many there were, and how many of these had it."""


@dataclass(frozen=True, slots=True)
class Fall:
    """A share was ``before`` until the place ``at`` of a series, and ``after`` from there on.

    ``gain`` is how much more likely (as a natural logarithm) that makes the counts than no change would.
    """

    at: int
    before: float
    after: float
    gain: float


def find_fall(counts: Counts) -> Fall | None:
    """The fall that makes the counts most likely, of a share that is constant before and after it (binomial).

    None where no cut of the series leaves a smaller share behind it.

    >>> find_fall([(20, 12), (10, 5), (20, 3), (30, 4)])
    Fall(at=2, before=0.5666666666666667, after=0.14, gain=8.094016957285547)
    >>> find_fall([(20, 3), (20, 12)]) is None
    True
    """
    all_of, all_had = sum(n for n, _ in counts), sum(k for _, k in counts)
    found, of, had = None, 0, 0
    for at, (n, k) in enumerate(counts[:-1], 1):
        of, had = of + n, had + k
        if not 0 < of < all_of or had * (all_of - of) <= (all_had - had) * of:
            continue
        gain = _likelihood(of, had) + _likelihood(all_of - of, all_had - had) - _likelihood(all_of, all_had)
        if found is None or gain > found.gain:
            found = Fall(at, had / of, (all_had - had) / (all_of - of), gain)
    return found


def _likelihood(of: int, had: int) -> float:
    """The largest log-likelihood of ``had`` among ``of``, without the term that no share changes."""
    return sum(part * log(part / of) for part in (had, of - had) if part)
