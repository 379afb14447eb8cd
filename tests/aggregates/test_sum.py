from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.aggregates import Sum
from streamgauge.aggregates.base import Argument, Kind, Op, Primitive
from streamgauge.aggregates.states import Sum as SumState
from streamgauge.errors import DeclarationError
from streamgauge.testing.laws import Trial

INTS = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(INTS))
def test_a_sum_of_integers_is_exact(values: list[int]) -> None:
    assert Trial(Sum("x")).presented(values) == {"": sum(values)}


@given(st.lists(INTS))
def test_a_sum_of_decimals_is_rounded_once(values: list[int]) -> None:
    assert Trial(Sum("x"), 6).presented(values) == {"": float(sum(Fraction(v, 10**6) for v in values))}


def test_the_tenth_of_one_ten_times_is_one() -> None:
    assert sum([0.1] * 10) != 1.0
    assert Trial(Sum("x"), 6).presented([100_000] * 10) == {"": 1.0}


def test_null_is_ignored_and_nothing_sums_to_zero() -> None:
    assert Trial(Sum("x")).presented([None, 5, None]) == {"": 5}
    assert Trial(Sum("x")).presented([None]) == {"": 0}


@pytest.mark.parametrize(
    ("value", "packed"),
    [(2**63 - 1, 2**63 - 1), (2**63, "9223372036854775808"), (-(2**63), -(2**63)), (-(2**63) - 1, f"-{2**63 + 1}")],
)
def test_beyond_64_bits_it_is_stored_as_text(value: int, packed: int | str) -> None:
    assert SumState().pack(value) == packed
    assert SumState().unpack(packed) == value


def test_an_engine_may_give_a_wide_sum_as_a_decimal_and_none_as_nothing() -> None:
    assert SumState().load(Decimal(2**100)) == 2**100
    assert type(SumState().load(Decimal(1))) is int
    assert SumState().load(None) == 0


def test_an_argument_that_is_a_number_is_an_expression_too() -> None:
    assert Sum(1).formula() == "sum(1)"
    assert Sum(0.5).arguments() == (Argument("0.5", Kind.NUMBER),)


def test_formula_and_primitive_have_the_condition() -> None:
    talk = Sum(" billed_ms", where="sip_code = 200")
    assert talk.formula() == "sum(billed_ms) FILTER (WHERE sip_code = 200)"
    assert talk.primitives() == (Primitive(Op.SUM, Argument("billed_ms", Kind.NUMBER), where="sip_code = 200"),)


def test_the_type_follows_the_scale() -> None:
    assert [o.type for o in Sum("x").outputs()] == ["number"]
    assert [o.type for o in Sum("x").outputs_for([0])] == ["int"]
    assert [o.type for o in Sum("x").outputs_for([6])] == ["float"]


def test_a_mistake_says_how_it_is_written() -> None:
    with pytest.raises(DeclarationError, match=r"measure: sum takes 1 argument, not 2; write sum\(x\)"):
        Sum("a", "b")
    with pytest.raises(DeclarationError, match="not another measure; only proportion and quotient take measures"):
        Sum(Sum("a"))  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match="where of sum must be the text"):
        Sum("a", where=None)  # type: ignore[arg-type]
