"""Every registered aggregate under every law, on values that hurt; and the laws themselves on aggregates that lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from streamgauge.aggregates import REGISTRY, Count, Distinct, Latest, Measure, Ratio, Tally
from streamgauge.aggregates.base import Context, State, Value
from streamgauge.aggregates.states import Add, ArgMax, Hashes
from streamgauge.aggregates.states import Tally as TallyState
from streamgauge.testing import laws
from streamgauge.testing.laws import LAWS, Law, Trial, trials


class DistinctOfFew(Distinct):
    """As distinct, with registers from the fourth value on, so that small examples have both forms."""

    def states(self) -> Sequence[State]:
        return (Hashes(exact=3),)


TRIALS = [*trials(REGISTRY), Trial(DistinctOfFew("account"))]
ENOUGH = max(10, settings().max_examples // 10)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("trial", TRIALS, ids=str)
@settings(max_examples=ENOUGH)
@given(data=st.data())
def test_law(law: Law, trial: Trial, data: st.DataObject) -> None:
    law(trial, data)


def test_every_aggregate_is_tried() -> None:
    tried = {type(trial.aggregate) for trial in TRIALS}
    assert {m for m in REGISTRY.values() if not issubclass(m, Ratio)} <= tried


RATIOS = [m for m in REGISTRY.values() if issubclass(m, Ratio)]
NUMBERS = st.one_of(st.none(), st.integers(0, 2**70), st.floats(0, 1e300))


@pytest.mark.parametrize("ratio", RATIOS, ids=lambda m: m.name)
@given(numerator=NUMBERS, denominator=NUMBERS)
def test_a_ratio_presents_its_outputs(ratio: type[Measure], numerator: Value, denominator: Value) -> None:
    made = ratio(*ratio.examples[0])
    assert isinstance(made, Ratio)
    presented = made.present_ratio(numerator, denominator)
    assert list(presented) == [o.suffix for o in made.outputs()]
    types = {"int": int, "float": float}
    assert all(presented[o.suffix] is None or type(presented[o.suffix]) is types[o.type] for o in made.outputs())


@pytest.mark.parametrize("ratio", RATIOS, ids=lambda m: m.name)
@pytest.mark.parametrize(("numerator", "denominator"), [(0, 0), (None, 0), (5, 0), (0, None), (0.0, 0.0)])
def test_a_ratio_over_nothing_is_null(ratio: type[Measure], numerator: Value, denominator: Value) -> None:
    made = ratio(*ratio.examples[0])
    assert isinstance(made, Ratio)
    assert {v for suffix, v in made.present_ratio(numerator, denominator).items() if suffix != "_n"} == {None}


class Forgetful(Count):
    """Presents nothing as null, though it is a count."""

    def present(self, states: Sequence[Any], context: Context) -> Mapping[str, Value]:
        return {"": states[0] or None}


class Doubling(Add):
    def merge(self, a: int, b: int) -> int:
        return a + 2 * b


class Truncating(TallyState):
    """Folds away what a slice has too much of before it meets the cell."""

    def load(self, computed: Any) -> Any:
        return self.merge(self.zero(), super().load(computed))


class Truncated(Tally):
    def states(self) -> Sequence[State]:
        return (Truncating(self.limit),)


class Doubled(Count):
    def states(self) -> Sequence[State]:
        return (Doubling(),)


class LastMerged(ArgMax):
    """Takes the order of merging for the order of time."""

    def merge(self, a: Any, b: Any) -> Any:
        return b or a


class Last(Latest):
    def states(self) -> Sequence[State]:
        return (LastMerged(),)


class Unordered(Tally):
    """Presents more than it declares."""

    def present(self, states: Sequence[Any], context: Context) -> Mapping[str, Value]:
        return {**super().present(states, context), "_more": 1}


@pytest.mark.parametrize(
    ("law", "liar"),
    [
        (laws.empty_is_null_or_nothing, Forgetful()),
        (laws.zero_is_an_identity, Doubled()),
        (laws.parts_make_the_whole, Truncated("x", 2)),
        (laws.merging_is_associative, Doubled()),
        (laws.columns_merge_as_states_do, Doubled()),
        (laws.order_does_not_matter, Last("x")),
        (laws.what_is_presented_is_as_declared, Unordered("x")),
    ],
    ids=lambda x: getattr(x, "__name__", type(x).__name__),
)
def test_a_law_finds_the_liar(law: Law, liar: Any) -> None:
    @settings(max_examples=500, database=None, phases=[Phase.generate], report_multiple_bugs=False)
    @given(data=st.data())
    def tried(data: st.DataObject) -> None:
        law(Trial(liar), data)

    with pytest.raises(AssertionError):
        tried()


BIG = 2**63 - 1


@pytest.mark.parametrize(
    ("name", "arguments", "value", "expected"),
    [
        ("count", (), BIG, {"": 1_000_000}),
        ("sum", ("x",), BIG, {"": BIG * 1_000_000}),
        ("sum", ("x",), -BIG - 1, {"": (-BIG - 1) * 1_000_000}),
        ("min", ("x",), BIG, {"": BIG}),
        ("max", ("x",), -BIG - 1, {"": -BIG - 1}),
        ("mean", ("x",), 2**53, {"": 2.0**53}),
        ("variance", ("x",), BIG, {"": 0.0}),
        ("stddev", ("x",), -BIG - 1, {"": 0.0}),
        ("rate", ("x",), 3, {"": 50_000.0, "_window": 50_000.0}),
        ("quantiles", ("x", 0, 0.5, 1), BIG, {"_p0": BIG, "_p50": BIG, "_p100": BIG}),
        ("distinct", ("x",), "same", {"": 1}),
        ("tally", ("x", 1), "same", {"": {"same": 1_000_000}, "_other": 0}),
        ("top", ("x", 1), "same", {"": [["same", 1_000_000]], "_other": 0}),
        ("histogram", ("x", 0), BIG, {"": {"<0": 0, ">=0": 1_000_000}}),
        ("first", ("x",), "same", {"": "same"}),
        ("latest", ("x",), "same", {"": "same"}),
    ],
    ids=str,
)
def test_a_million_equal_values(name: str, arguments: Any, value: Any, expected: Mapping[str, Value]) -> None:
    trial = Trial(REGISTRY[name](*arguments))  # type: ignore[arg-type]
    thousand = trial.load([(i, i, value) for i in range(1000)])
    cell = trial.zero()
    for _ in range(1000):
        cell = trial.merge(cell, thousand)
    assert trial.present(cell) == expected
