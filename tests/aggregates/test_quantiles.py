from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamgauge.aggregates import Quantiles
from streamgauge.aggregates.quantiles import bucket_bounds, bucket_of
from streamgauge.errors import DeclarationError
from streamgauge.testing.laws import Trial

INTS = st.integers(-(2**63), 2**63 - 1)


@given(INTS)
@example(-(2**63))
@example(2**63 - 1)
def test_a_bucket_holds_its_value_and_is_narrow(v: int) -> None:
    least, greatest = bucket_bounds(bucket_of(v))
    assert least <= v <= greatest
    assert (greatest - least + 1) * 64 <= max(64, min(abs(least), abs(greatest)))


@given(INTS)
def test_the_bucket_is_that_of_the_definition(v: int) -> None:
    m = abs(v)
    octave = next(o for o in range(64) if m < 2 ** (o + 1))
    expected = m if m < 128 else (octave - 6) * 64 + (m >> (octave - 6))
    assert bucket_of(v) == (-expected if v < 0 else expected)


def test_buckets_lie_side_by_side() -> None:
    for bucket in range(-3712, 3712):
        least, greatest = bucket_bounds(bucket)
        assert bucket_of(least) == bucket_of(greatest) == bucket
        assert bucket_bounds(bucket + 1)[0] == greatest + 1


def test_the_last_buckets_hold_the_ends_of_64_bits() -> None:
    assert bucket_of(2**63 - 1) == 3711
    assert bucket_of(-(2**63)) == -3712


@given(st.lists(INTS, min_size=1), st.decimals(0, 1, places=4))
def test_the_error_is_below_0_8_percent(values: list[int], q: Decimal) -> None:
    exact = sorted(values)[max(1, -(-Fraction(q) * len(values) // 1)) - 1]
    (found,) = Trial(Quantiles("x", q)).presented(values).values()
    assert isinstance(found, int)
    assert abs(found - exact) * 1000 <= 8 * abs(exact)


@given(st.lists(st.integers(-127, 127), min_size=1), st.sampled_from([0.01, 0.25, 0.5, 0.75, 0.99]))
def test_small_values_agree_with_numpy(values: list[int], q: float) -> None:
    (found,) = Trial(Quantiles("x", q)).presented(values).values()
    assert found == np.quantile(values, q, method="inverted_cdf")


def test_a_lognormal_sample_agrees_with_numpy() -> None:
    values = np.random.default_rng(7).lognormal(7, 2, 20_000).astype(np.int64)
    found = Trial(Quantiles("x", 0.5, 0.9, 0.99, 0.999)).presented(values.tolist())
    expected = np.quantile(values, [0.5, 0.9, 0.99, 0.999], method="inverted_cdf")
    assert list(found.values()) == pytest.approx(expected.tolist(), rel=0.008)


def test_no_rank_depends_on_a_rounding() -> None:
    # 0.07 as a double, times 100, is 7.000000000000001, whose ceiling is 8.
    assert Trial(Quantiles("x", 0.07)).presented(range(1, 101)) == {"_p7": 7}


def test_results_stay_within_what_was_seen() -> None:
    for values in ([1000], [1007, 1007], [-1007, -1007]):
        assert set(Trial(Quantiles("x", 0, 0.5, 1)).presented(values).values()) == {values[0]}


def test_of_no_value_all_are_null() -> None:
    assert Trial(Quantiles("x", 0.5, 1)).presented([None]) == {"_p50": None, "_p100": None}


def test_a_decimal_is_unscaled() -> None:
    assert Trial(Quantiles("x", 0.5), 6).presented([100]) == {"_p50": 0.0001}


def test_names_formula_and_no_main_value() -> None:
    pdd = Quantiles("pdd", 0.5, Decimal("0.950"), 0.999, 1e-05)
    assert [o.suffix for o in pdd.outputs()] == ["_p50", "_p95", "_p99_9", "_p0_001"]
    assert pdd.formula() == "quantiles(pdd, 0.5, 0.95, 0.999, 0.00001)"
    assert pdd.main() is None


@pytest.mark.parametrize(
    ("given_quantiles", "message"),
    [
        ((), r"at least 2 arguments, not 1; write quantiles\(x, q, ...\)"),
        ((1.5,), "'1.5': a quantile lies from 0 to 1; did you mean 0.015"),
        ((95,), "did you mean 0.95"),
        ((-0.1,), "a quantile lies from 0 to 1"),
        ((0.5, Decimal("0.50")), "the same quantile twice"),
        (("0.5",), "a quantile of quantiles must be a number"),
        ((float("nan"),), "out of range"),
        ((True,), "must be a number"),
    ],
    ids=str,
)
def test_bad_quantiles_are_refused(given_quantiles: tuple[float, ...], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        Quantiles("x", *given_quantiles)
