from __future__ import annotations

from typing import Any

import pytest

from streamgauge.aggregates import count, mean, proportion, quantiles, quotient
from streamgauge.aggregates.base import Measure
from streamgauge.errors import DeclarationError
from streamgauge.statistic import (
    RESERVED,
    Statistic,
    StatisticSpec,
    aggregates,
    collected,
    named,
    settings,
    shown,
    snake_case,
    spec_from,
)


def spec(values: dict[str, Any] | None = None, measures: dict[str, Measure] | None = None) -> StatisticSpec:
    given = {"topic": "x.*", "every": "6m", **(values or {})}
    kept = {k: v for k, v in given.items() if v is not None}
    return spec_from("calls", kept, named(measures or {"n": count()}), "f:1", {("by", "a"): "f:7"})


def problems(values: dict[str, Any] | None = None, measures: dict[str, Measure] | None = None) -> list[str]:
    try:
        spec(values, measures)
    except DeclarationError as e:
        return [str(m) for m in e.mistakes]
    return []


class TestSettings:
    def test_one_length_and_a_list_of_keys_are_short_for_more(self) -> None:
        found = spec({"every": "6m", "by": ["a", "b"]})
        assert found.every == ("6m",)
        assert found.by == {"a": "a", "b": "b"}

    @pytest.mark.parametrize("name", settings())
    def test_a_setting_of_the_wrong_type_is_refused(self, name: str) -> None:
        for value in (5.5, None if name == "every" else 2.5, [[]], {"a": {}}):
            assert any(
                f"statistic 'calls': {name}: is " in p for p in problems({name: value} if value else {name: 1.5})
            )

    @pytest.mark.parametrize(
        ("values", "problem"),
        [
            ({"topic": None}, "needs either 'of' (a shape) or 'topic' (a pattern)"),
            ({"of": "call"}, "needs either 'of' (a shape) or 'topic' (a pattern)"),
            ({"every": None}, "needs 'every'; e.g. every"),
            ({"every": []}, "needs 'every'"),
            ({"evry": "6m"}, "unknown setting 'evry'; did you mean every?"),
            ({"measure": {}}, "unknown setting 'measure'; did you mean measures?"),
            ({"max_keys": 0}, "max_keys: is 0, expected a number of keys, at least 1"),
            ({"max_keys": True}, "max_keys: is true"),
            ({"min_n": -1}, "min_n: is -1"),
            ({"scale": 19}, "scale: is 19"),
            ({"delay": "4h"}, "delay: is for a statistic with a 'time'"),
            ({"by": {"start": "x"}}, "key 'start': is a reserved name; e.g. start_value"),
            ({"by": {"Bad-Name": "x"}}, "key 'Bad-Name': not a name"),
            ({"by": {"n": "x"}}, "measure 'n': its column 'n' is also that of key 'n'"),
        ],
    )
    def test_a_mistake(self, values: dict[str, Any], problem: str) -> None:
        (found,) = problems(values)
        assert problem in found

    def test_a_mistake_stands_where_it_was_made(self) -> None:
        (found,) = problems({"by": {"a": "x", "n": "y"}}, {"a": count()})[:1]
        assert found.startswith("f:1: statistic 'calls': measure 'a'")
        assert spec({"by": {"a": "x"}}).place("by", "a") == "f:7"
        assert spec({"by": {"a": "x"}}).place("every") == "f:1"

    def test_all_mistakes_are_said_at_once(self) -> None:
        assert len(problems({"topic": None, "every": 5, "evry": 1, "by": {"limit": "x"}}, {"all": count()})) == 5


class TestMeasures:
    def test_none_is_a_mistake(self) -> None:
        with pytest.raises(DeclarationError, match=r"has no measure; e\.g\. attempts"):
            spec_from("calls", {"topic": "x", "every": "6m"}, {}, "f:1")

    @pytest.mark.parametrize("name", sorted(RESERVED))
    def test_a_reserved_name_is_refused(self, name: str) -> None:
        assert any("is a reserved name" in p for p in problems({}, {name: count()}))

    @pytest.mark.parametrize(
        ("measures", "problem"),
        [
            ({"a": proportion(count("x"), count()), "a_n": count()}, "column 'a_n' is also that of measure 'a'"),
            ({"p": quantiles("x", 0.5), "p_p50": count()}, "column 'p_p50' is also that of measure 'p'"),
            ({"Attempts": count()}, "measure 'Attempts': not a name"),
            ({"x" * 64: count()}, "not a name"),
        ],
    )
    def test_a_name_that_cannot_be(self, measures: dict[str, Measure], problem: str) -> None:
        (found,) = problems({}, measures)
        assert problem in found

    def test_the_mark_of_a_low_n_is_a_column_too(self) -> None:
        measures: dict[str, Measure] = {"a": proportion(count("x"), count()), "a_low": count()}
        assert not problems({}, measures)
        assert any("column 'a_low'" in p for p in problems({"min_n": 5}, measures))

    def test_operands_of_a_ratio_get_hidden_names_before_it(self) -> None:
        found = named({"all_calls": (total := count()), "asr": proportion(count("a"), total)})
        assert list(found) == ["all_calls", "_2", "asr"]
        assert found["asr"].formula() == "proportion(_2, all_calls)"
        assert list(shown(found)) == ["all_calls", "asr"]
        assert list(aggregates(found)) == ["all_calls", "_2"]

    def test_two_ratios_over_one_operand_share_it(self) -> None:
        some, total = count("a"), count()
        found = named({"x": proportion(some, total), "y": quotient(some, total)})
        assert found["x"].formula() == "proportion(_2, _3)"
        assert found["y"].formula() == "quotient(_2, _3)"


class TestPython:
    def test_a_class_is_a_statistic(self) -> None:
        class CarrierQuality(Statistic):
            """Attempts of each carrier.

            And more.
            """

            of = "call"
            every = ("6m", "1h")
            by = {"carrier": "carrier"}
            attempts = count()

        assert CarrierQuality.spec.name == "carrier_quality"
        assert CarrierQuality.spec.help == "Attempts of each carrier."
        assert CarrierQuality.spec.by == {"carrier": "carrier"}
        assert CarrierQuality.spec.origin.startswith(f"{__file__}:")

    def test_its_name_may_be_told(self) -> None:
        class X(Statistic):
            name = "other"
            topic = "*"
            every = "1h"
            n = count()

        assert X.spec.name == "other"

    def test_what_several_share_is_in_a_class_with_an_underscore(self) -> None:
        class _Hourly(Statistic):
            topic = "*"
            every = "1h"
            n = count()

        class Mine(_Hourly):
            m = mean("body.x::BIGINT")

        class Other(_Hourly):
            every = "1d"
            n = count("body.x IS NOT NULL")

        assert list(Mine.spec.measures) == ["n", "m"]
        assert (Other.spec.every, Other.spec.measures["n"].formula()) == (("1d",), "count(body.x IS NOT NULL)")

    def test_a_mistake_is_raised_with_the_line_of_the_class(self) -> None:
        with pytest.raises(DeclarationError, match=r"test_statistic\.py:\d+: statistic 'wrong': needs 'every'"):

            class Wrong(Statistic):
                topic = "*"
                n = count()

    def test_where_they_are_collected_a_mistake_does_not_hide_the_next(self) -> None:
        with collected() as found:

            class Wrong(Statistic):
                topic = "*"
                n = count()

            class Right(Statistic):
                topic = "*"
                every = "1h"
                n = count()

        assert isinstance(found[0], DeclarationError)
        assert found[1:] == [Right]

    @pytest.mark.parametrize(
        ("name", "snake"),
        [
            ("Volume", "volume"),
            ("CarrierQuality", "carrier_quality"),
            ("HTTPErrors", "http_errors"),
            ("volume", "volume"),
        ],
    )
    def test_the_name_of_a_class(self, name: str, snake: str) -> None:
        assert snake_case(name) == snake
