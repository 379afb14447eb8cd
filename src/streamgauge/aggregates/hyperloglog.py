"""HyperLogLog with 2**14 registers over 64-bit hashes, and Ertl's improved raw estimator.

Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm",
2007; Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", arXiv:1702.01284, 2017, section 4,
which needs no table of bias and no change of method between small and large. Standard error: 1.04 / 2**7 = 0.81 %.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

PRECISION = 14
REGISTERS = 1 << PRECISION
"""How many registers, of one byte each."""

_TWO_LN_2 = 1.3862943611198906
_MOST = 2**63 - 1
_REST = 64 - PRECISION
_REST_MASK = np.uint64((1 << _REST) - 1)


def registers_of(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """The registers of a set of hashes, as an array of 16384 bytes.

    The first 14 bits of a hash choose its register, which keeps the greatest rank: 1 + the zeros that lead the other
    50 bits (51 where all are zero).
    """
    registers = np.zeros(REGISTERS, dtype=np.uint8)
    places = (hashes >> np.uint64(_REST)).astype(np.intp)
    # frexp's exponent is the length in bits, exact below 2**53.
    lengths = np.frexp((hashes & _REST_MASK).astype(np.float64))[1]
    np.maximum.at(registers, places, (_REST + 1 - lengths).astype(np.uint8))
    return registers


def estimate(registers: npt.NDArray[Any]) -> int:
    """The estimated number of distinct hashes, at most 2**63 - 1 (which full registers would pass).

    The same registers give the same number on every machine: only operations that IEEE 754 defines exactly are used.
    """
    histogram = np.bincount(registers, minlength=_REST + 2).tolist()
    z = REGISTERS * _tau(1 - histogram[_REST + 1] / REGISTERS)
    for count in reversed(histogram[1 : _REST + 1]):
        z = 0.5 * (z + count)
    z += REGISTERS * _sigma(histogram[0] / REGISTERS)
    return min(_MOST, round(REGISTERS * REGISTERS / (_TWO_LN_2 * z))) if z else _MOST


def _sigma(x: float) -> float:
    """Return x + sum over k >= 1 of x**(2**k) * 2**(k - 1), for 0 <= x < 1; infinite at 1, where no register is set."""
    if x == 1:
        return math.inf
    y, z, before = 1.0, x, -1.0
    while z != before:
        x, before = x * x, z
        z += x * y
        y += y
    return z


def _tau(x: float) -> float:
    """(1 - x - sum over k >= 1 of (1 - x**(2**-k))**2 * 2**-k) / 3, for 0 <= x <= 1."""
    if x in (0, 1):
        return 0.0
    y, z, before = 1.0, 1 - x, -1.0
    while z != before:
        x, before = math.sqrt(x), z
        y *= 0.5
        z -= (1 - x) ** 2 * y
    return z / 3
