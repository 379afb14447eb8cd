from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from streamgauge.aggregates import Distinct, hyperloglog
from streamgauge.aggregates.base import Context
from streamgauge.aggregates.states import Hashes
from streamgauge.testing.laws import Trial

DISTINCT = Distinct("x")


def hashes(seed: int, n: int) -> npt.NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def presented(state: npt.NDArray[np.uint64]) -> int:
    value = DISTINCT.present([state], Context(60, 60))[""]
    assert isinstance(value, int)
    return value


def test_texts_are_counted_once_and_null_not_at_all() -> None:
    assert Trial(DISTINCT).presented(["a", "b", None, "a", "", "null"]) == {"": 4}


def test_1024_are_exact_and_1025_an_estimate() -> None:
    texts = [f"account {i}" for i in range(1025)]
    exact, estimated = (Trial(DISTINCT).fold([[(i, i, t) for i, t in enumerate(texts[:n])]])[0] for n in (1024, 1025))
    assert exact.dtype == np.uint64
    assert presented(exact) == 1024
    assert estimated.dtype == np.uint8
    assert presented(estimated) == pytest.approx(1025, rel=0.03)


def test_over_200_sets_the_rms_error_is_below_1_percent() -> None:
    sizes = np.geomspace(1025, 400_000, 200).astype(int).tolist()
    errors = [presented(Hashes().load((hashes(seed, n), None, None))) / n - 1 for seed, n in enumerate(sizes)]
    assert math.sqrt(sum(e * e for e in errors) / len(errors)) <= 0.01
    assert abs(sum(errors) / len(errors)) <= 0.002


def test_over_200_sets_of_texts_the_rms_error_is_below_1_percent() -> None:
    trial = Trial(DISTINCT)
    errors = []
    for seed in range(200):
        n = 1 + 37 * seed
        rows = [(i, i, f"{seed}/{i}") for i in range(n)]
        errors.append(presented(trial.load(rows)[0]) / n - 1)
    assert math.sqrt(sum(e * e for e in errors) / len(errors)) <= 0.01
    assert errors[:27] == [0.0] * 27


@pytest.mark.parametrize("cut", [0, 1, 1000, 1024, 1025, 2999, 3000])
def test_the_state_depends_on_the_set_alone(cut: int) -> None:
    state, found = Hashes(), hashes(1, 3000)
    whole = state.pack(state.load((found, None, None)))
    parts = state.load((found[:cut], None, None)), state.load((found[cut:], None, None))
    assert state.pack(state.merge(*parts)) == whole
    assert state.pack(state.merge(*reversed(parts))) == whole
    assert state.pack(state.merge(parts[0], state.load((found, None, None)))) == whole


def test_registers_are_those_of_the_definition() -> None:
    given = [*hashes(2, 2000).tolist(), 0, 2**64 - 1, 2**50 - 1, 2**50, 1]
    expected = bytearray(hyperloglog.REGISTERS)
    for h in given:
        register, rest = h >> 50, h & (2**50 - 1)
        expected[register] = max(expected[register], 51 - rest.bit_length())
    assert hyperloglog.registers_of(np.array(given, dtype=np.uint64)).tobytes() == bytes(expected)


@pytest.mark.parametrize("rank", [0, 1, 50, 51])
def test_an_estimate_of_extreme_registers_is_a_number(rank: int) -> None:
    registers = np.full(hyperloglog.REGISTERS, rank, dtype=np.uint8)
    expected = {0: 0, 1: round(hyperloglog.REGISTERS / math.log(2)), 50: 2**63 - 1, 51: 2**63 - 1}
    assert hyperloglog.estimate(registers) == expected[rank]


def test_many_repeats_of_few_hashes_stay_exact() -> None:
    few = hashes(4, 1024)
    state = Hashes().load((np.tile(few, 9), None, None))
    assert Hashes().pack(state) == Hashes().pack(np.sort(few))


def test_hashes_of_an_engine_with_signed_integers_are_the_same() -> None:
    found = hashes(3, 10)
    assert Hashes().pack(Hashes().load((found.view(np.int64), None, None))) == Hashes().pack(np.sort(found))
    assert Hashes().pack(Hashes().load((found.tolist(), None, None))) == Hashes().pack(np.sort(found))
