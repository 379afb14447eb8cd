from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.aggregates import REGISTRY, Count, Proportion, Quantiles, Sum
from streamgauge.aggregates.base import Measure
from streamgauge.errors import DeclarationError
from streamgauge.measures import measure_from


def made(text: str) -> Measure:
    return measure_from(text, "measure 'm'", "f:1")


def test_a_measure_is_built_from_its_text() -> None:
    measure = made("sum(billed_ms) FILTER (WHERE sip_code = 200)")
    assert isinstance(measure, Sum)
    assert measure.formula() == "sum(billed_ms) FILTER (WHERE sip_code = 200)"


def test_operands_of_a_ratio_are_names_or_measures() -> None:
    measure = made("proportion(count(a AND b), attempts)")
    assert isinstance(measure, Proportion)
    assert isinstance(measure.numerator, Count)
    assert measure.denominator == "attempts"


def test_numbers_are_literals() -> None:
    assert isinstance(made("quantiles(x, 0.5, 0.99)"), Quantiles)


def test_the_name_may_have_any_case() -> None:
    assert isinstance(made("COUNT(*)"), Count)


@pytest.mark.parametrize("name", REGISTRY)
def test_every_example_is_read_back_from_its_formula(name: str) -> None:
    for example in REGISTRY[name].examples:
        formula = REGISTRY[name](*example).formula()
        assert made(formula).formula() == formula


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("cuont()", "unknown aggregate 'cuont'; did you mean count?"),
        ("median(x)", "unknown aggregate 'median'; write quantiles(x, 0.5)"),
        ("frobnicate(x)", "unknown aggregate 'frobnicate'; known: count, distinct"),
        ("count", "count needs its parentheses at 6; write count(...)"),
        ("count(", "a parenthesis is not closed at 6"),
        ("", "it is empty"),
        ("5", "a measure begins with the name of an aggregate at 1"),
        ("sum()", "sum takes 1 argument, not 0"),
        ("sum(a, b)", "sum takes 1 argument, not 2"),
        ("proportion(a)", "proportion takes 2 arguments, not 1"),
        ("proportion(a, b) FILTER (WHERE c)", "proportion takes no condition of its own"),
        ("proportion(quotient(a, b), c)", "is not a count"),
        ("quotient(proportion(a, b), c)", "is itself a ratio"),
        ("quantiles(x, 1.5)", "a quantile lies from 0 to 1"),
        ("quantiles(x, 1e999999)", "out of range"),
        ("top(x, " + "9" * 4000 + ")", "top"),
        ("count() count()", "after the closing parenthesis only FILTER"),
    ],
)
def test_a_wrong_measure_is_said_with_its_place_and_name(text: str, problem: str) -> None:
    with pytest.raises(DeclarationError) as error:
        made(text)
    said = str(error.value)
    assert said.startswith("f:1: measure 'm': ")
    assert problem in said


@given(st.sampled_from([*REGISTRY, "x"]), st.text(alphabet="abc01.,()'\" *-FILTERWHERE\n", max_size=30))
def test_any_text_is_a_measure_or_refused(name: str, rest: str) -> None:
    try:
        found = made(f"{name}({rest})")
    except DeclarationError:
        return
    assert isinstance(found, Measure)
