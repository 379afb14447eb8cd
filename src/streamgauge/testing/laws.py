"""The laws that every aggregate obeys.

``LAWS`` are functions of a ``Trial`` (an aggregate and the scale of its argument) and of hypothesis' ``data``, which
gives them rows of values that hurt; each raises AssertionError where its law is broken. A test runs all of them over
every aggregate::

    @pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
    @pytest.mark.parametrize("trial", trials(REGISTRY), ids=str)
    @given(data=st.data())
    def test_law(law, trial, data):
        law(trial, data)

``compute``, of the reference engine (reference.py), makes the states: a real engine is right where it equals it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgpack
import numpy as np
from hypothesis import strategies as st

from streamgauge.aggregates.base import Aggregate, Context, Kind, Measure, Op, Ratio, Value
from streamgauge.testing.reference import Row, compute, scaled


@dataclass(frozen=True)
class Trial:
    """An aggregate, and the scale of its argument: what a law is tried on. States are a list, one per primitive."""

    aggregate: Aggregate
    scale: int = 0

    def __str__(self) -> str:
        return f"{self.aggregate.formula()} scale {self.scale}"

    @property
    def kind(self) -> Kind:
        """What the argument is; any value will do where there is none."""
        arguments = self.aggregate.arguments()
        return arguments[0].kind if arguments else Kind.ANY

    @property
    def bounded(self) -> bool:
        """Whether the laws hold for a fold in log order only."""
        return any(state.bounded for state in self.aggregate.states())

    def zero(self) -> list[Any]:
        """The states of no row."""
        return [state.zero() for state in self.aggregate.states()]

    def load(self, rows: Sequence[Row]) -> list[Any]:
        """The states of one slice."""
        pairs = zip(self.aggregate.states(), self.aggregate.primitives(), strict=True)
        return [state.load(compute(primitive, rows, self.scale)) for state, primitive in pairs]

    def merge(self, a: list[Any], b: list[Any]) -> list[Any]:
        """The states of a's rows followed by b's; may reuse ``a``."""
        return [state.merge(x, y) for state, x, y in zip(self.aggregate.states(), a, b, strict=True)]

    def fold(self, parts: Iterable[Sequence[Row]]) -> list[Any]:
        """The states of a cell to which the parts came one after the other."""
        cell = self.zero()
        for part in parts:
            cell = self.merge(cell, self.load(part))
        return cell

    def pack(self, states: list[Any]) -> bytes:
        """The states as the store has them."""
        packed = [state.pack(x) for state, x in zip(self.aggregate.states(), states, strict=True)]
        return bytes(msgpack.packb(packed))

    def unpack(self, data: bytes) -> list[Any]:
        """The states of what ``pack`` wrote."""
        packed = msgpack.unpackb(data, strict_map_key=False)
        return [state.unpack(x) for state, x in zip(self.aggregate.states(), packed, strict=True)]

    def presented(self, values: Iterable[Any]) -> Mapping[str, Value]:
        """What a final window of a minute presents of the argument's values, which come one ms apart."""
        return self.present(self.fold([[(i, i, value) for i, value in enumerate(values)]]))

    def present(self, states: list[Any], window_s: float = 60) -> Mapping[str, Value]:
        """The values of a final window."""
        scales = tuple(self.scale for _ in self.aggregate.arguments())
        return self.aggregate.present(states, Context(window_s, window_s, scales))


def trials(registry: Mapping[str, type[Measure]]) -> list[Trial]:
    """Every example of every aggregate; those over a number both as a BIGINT and as a DOUBLE of six decimals."""
    found: list[Trial] = []
    for measure in registry.values():
        for example in measure.examples if not issubclass(measure, Ratio) else ():
            aggregate = measure(*example)
            if not isinstance(aggregate, Aggregate):
                raise TypeError(f"{measure.name} is neither an aggregate nor a ratio")
            numeric = any(a.kind is Kind.NUMBER for a in aggregate.arguments())
            found.extend(Trial(aggregate, scale) for scale in ((0, 6) if numeric else (0,)))
    return found


_HURT = st.one_of(
    st.sampled_from(
        [0, 1, -1, 126, 127, 128, 129, 255, 256, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 10**20]
    ),
    st.sampled_from([0.0, -0.0, 5e-324, 2.2e-308, 1e-7, 5e-7, 0.1, 9.7, 1e300, math.inf, -math.inf, math.nan]),
    st.sampled_from(
        ["1.10", " 12 ", "-0", "1e3", "9223372036854775807", "9223372036854.775807", "0x1A", "1_000", "NaN", "", "x"]
    ),
)
_NUMBERS = st.one_of(st.none(), _HURT, st.integers(-(2**63), 2**63 - 1), st.integers(-300, 300), st.floats())
_TEXTS = st.one_of(
    st.none(),
    st.sampled_from(["", "a", "b", "c", "null", "other", "all", "é", "e\u0301", "\0", '"', "10", "9"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
)
_ANYTHING = st.one_of(
    _TEXTS,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0),
)


def values(kind: Kind, scale: int = 0) -> st.SearchStrategy[Any]:
    """Values that hurt: edges of 64 bits, out of scale, denormals, -0.0, decimals as strings, nulls, odd texts."""
    if kind is Kind.NUMBER:
        return _NUMBERS.map(lambda raw: scaled(raw, scale))
    return _TEXTS if kind is Kind.TEXT else _ANYTHING


def rows(kind: Kind, scale: int = 0, max_size: int = 20) -> st.SearchStrategy[list[Row]]:
    """Rows in the order of the log, with few and negative times that are in no order, and perhaps sorted values."""
    times = st.sampled_from([-1, 0, 0, 1, 1_760_000_000_000])
    pairs = st.lists(st.tuples(times, values(kind, scale)), max_size=max_size)
    return st.tuples(pairs, st.sampled_from([None, False, True]), st.integers(0, 2**40)).map(_in_log_order)


def _in_log_order(drawn: tuple[list[tuple[int, Any]], bool | None, int]) -> list[Row]:
    pairs, descending, start = drawn
    found = [value for _, value in pairs]
    if descending is not None:
        found.sort(key=lambda v: (v is not None, isinstance(v, str), v if v is not None else 0), reverse=descending)
    return [(time, start + 3 * i, value) for i, ((time, _), value) in enumerate(zip(pairs, found, strict=True))]


def _parts(data: st.DataObject, given: list[Row], most: int = 5) -> list[list[Row]]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(given)), max_size=most - 1), label="cuts"))
    return [given[start:stop] for start, stop in pairwise([0, *cuts, len(given)])]


def _must(holds: bool, problem: str) -> None:
    if not holds:
        raise AssertionError(problem)


def _same(found: object, expected: object) -> None:
    _must(found == expected, f"found {found!r}, expected {expected!r}")


def zero_is_an_identity(trial: Trial, data: st.DataObject) -> None:
    """Merging with the state of no row, on either side, changes nothing."""
    given = data.draw(rows(trial.kind, trial.scale))
    expected = trial.pack(trial.load(given))
    _same(trial.pack(trial.merge(trial.zero(), trial.load(given))), expected)
    _same(trial.pack(trial.merge(trial.load(given), trial.zero())), expected)
    _same(trial.pack(trial.load([])), trial.pack(trial.zero()))


def parts_make_the_whole(trial: Trial, data: st.DataObject) -> None:
    """Parts in log order, cut anywhere, some of them empty, give the very bytes of the whole."""
    given = data.draw(rows(trial.kind, trial.scale))
    expected = trial.pack(trial.fold([given]))
    _same(trial.pack(trial.fold(_parts(data, given))), expected)
    _same(trial.pack(trial.fold([row] for row in given)), expected)
    for cut in range(len(given) + 1):
        _same(trial.pack(trial.fold([given[:cut], given[cut:]])), expected)


def merging_is_associative(trial: Trial, data: st.DataObject) -> None:
    """``(a b) c`` is ``a (b c)``. Not where bounded: see State."""
    if trial.bounded:
        return
    a, b, c = (data.draw(rows(trial.kind, trial.scale, 8)) for _ in range(3))
    left = trial.merge(trial.merge(trial.load(a), trial.load(b)), trial.load(c))
    right = trial.merge(trial.load(a), trial.merge(trial.load(b), trial.load(c)))
    _same(trial.pack(left), trial.pack(right))


def order_does_not_matter(trial: Trial, data: st.DataObject) -> None:
    """Parts give the same in any order, and rows within a part too. For parts, not where bounded."""
    given = data.draw(rows(trial.kind, trial.scale))
    expected = trial.pack(trial.fold([given]))
    _same(trial.pack(trial.fold([data.draw(st.permutations(given))])), expected)
    if not trial.bounded:
        parts = data.draw(st.permutations(_parts(data, given)))
        _same(trial.pack(trial.fold(parts)), expected)


def the_store_changes_nothing(trial: Trial, data: st.DataObject) -> None:
    """What was packed and unpacked packs, presents and goes on as if it never had been."""
    before, after = data.draw(rows(trial.kind, trial.scale)), data.draw(rows(trial.kind, trial.scale))
    kept = trial.pack(trial.fold([before]))
    _same(trial.pack(trial.unpack(kept)), kept)
    _same(trial.present(trial.unpack(kept)), trial.present(trial.fold([before])))
    gone_on = trial.merge(trial.unpack(kept), trial.load(after))
    _same(trial.pack(gone_on), trial.pack(trial.fold([before, after])))
    _same(trial.pack(trial.merge(trial.zero(), trial.unpack(kept))), kept)


def the_right_side_is_left_alone(trial: Trial, data: st.DataObject) -> None:
    """``merge`` never changes its second state, not even when it is merged on."""
    a, b, c = (data.draw(rows(trial.kind, trial.scale, 6)) for _ in range(3))
    right = trial.load(b)
    copy = deepcopy(right)
    for left in (trial.zero(), trial.load(a)):
        trial.merge(trial.merge(left, right), trial.load(c))
        _same(trial.pack(right), trial.pack(copy))


def results_come_in_any_form(trial: Trial, data: st.DataObject) -> None:
    """Sub-keys may repeat and come in any order; many cells load as each of them does."""
    given = data.draw(rows(trial.kind, trial.scale))
    for state, primitive in zip(trial.aggregate.states(), trial.aggregate.primitives(), strict=True):
        if primitive.op is not Op.COUNT_BY:
            continue
        parts = data.draw(st.permutations(_parts(data, given)))
        computed = [compute(primitive, part, trial.scale) for part in parts]
        keys, counts, positions = (_joined([c[i] for c in computed]) for i in range(3))
        whole = state.pack(state.load(compute(primitive, given, trial.scale)))
        _same(state.pack(state.load((keys, counts, positions))), whole)
        offsets = np.cumsum([0, *(len(c[0]) for c in computed)]).tolist()
        loaded = [state.pack(s) for s in state.load_all(keys, counts, positions, offsets)]
        _same(loaded, [state.pack(state.load(c)) for c in computed])


def _joined(arrays: Sequence[Any]) -> Any:
    if isinstance(arrays[0], list):
        return [x for array in arrays for x in array]
    return np.concatenate(arrays)


def nulls_change_nothing(trial: Trial, data: st.DataObject) -> None:
    """An aggregate with an argument does not see rows where it is null."""
    if not trial.aggregate.arguments():
        return
    given = data.draw(rows(trial.kind, trial.scale))
    without = [row for row in given if row[2] is not None]
    _same(trial.pack(trial.fold([given])), trial.pack(trial.fold([without])))


def columns_merge_as_states_do(trial: Trial, data: st.DataObject) -> None:
    """Where a state names a ``vector`` operation, numpy's is the same as ``merge``."""
    operations = {"add": np.add, "min": np.minimum, "max": np.maximum}
    a, b = (trial.load(data.draw(rows(trial.kind, trial.scale, 6))) for _ in range(2))
    for state, x, y in zip(trial.aggregate.states(), a, b, strict=True):
        if state.vector and x is not None and y is not None:
            column = operations[state.vector](np.array([x], np.int64), np.array([y], np.int64))
            _same(state.merge(x, y), column[0])


def empty_is_null_or_nothing(trial: Trial, data: st.DataObject) -> None:
    """Of no row, and of nulls alone, a count or sum presents nothing as 0, any other as null."""
    nulls: list[Row] = [(0, i, None) for i in range(data.draw(st.integers(0, 3)))]
    for states in (trial.zero(), trial.load(nulls if trial.aggregate.arguments() else [])):
        for value in trial.present(states).values():
            _must(_is_nothing(value) if trial.aggregate.counts else value is None, f"nothing is presented as {value!r}")


def _is_nothing(value: Value) -> bool:
    if isinstance(value, dict):
        return not any(value.values())
    return value is not None and not value


def what_is_presented_is_as_declared(trial: Trial, data: st.DataObject) -> None:
    """Exactly the outputs, in their order, of their types, and strict JSON; the main value, if any, comes first."""
    presented = trial.present(trial.fold([data.draw(rows(trial.kind, trial.scale))]))
    outputs = trial.aggregate.outputs_for([trial.scale for _ in trial.aggregate.arguments()])
    _same(list(presented), [o.suffix for o in outputs])
    _must("" not in [o.suffix for o in outputs[1:]], "the main value must be the first")
    json.dumps(presented, allow_nan=False)
    for output in outputs:
        _must(output.format in ("number", "percent", "count", "map"), f"unknown format {output.format!r}")
        _must(_fits(presented[output.suffix], output.type), f"{presented} does not fit {output}")


def many_are_presented_as_each_is(trial: Trial, data: st.DataObject) -> None:
    """``present_all`` says of each cell what ``present`` says of it."""
    cells = [trial.fold([data.draw(rows(trial.kind, trial.scale, 6))]) for _ in range(data.draw(st.integers(1, 3)))]
    scales = tuple(trial.scale for _ in trial.aggregate.arguments())
    contexts = [Context(60, covered, scales) for covered in (60, 7.5, None)[: len(cells)]]
    presented = trial.aggregate.present_all(list(zip(*cells, strict=True)), contexts)
    each = [dict(zip(presented, values, strict=True)) for values in zip(*presented.values(), strict=True)]
    _same(each, [dict(trial.aggregate.present(c, at)) for c, at in zip(cells, contexts, strict=True)])


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "int": lambda v: type(v) is int,
    "float": lambda v: type(v) is float,
    "text": lambda v: type(v) is str,
    "map": lambda v: type(v) is dict and all(type(k) is str and type(n) is int for k, n in v.items()),
    "list": lambda v: type(v) is list,
    "any": lambda v: type(v) in (int, float, str, bool),
}


def _fits(value: Value, declared: str) -> bool:
    return value is None or _TYPES[declared](value)


Law = Callable[[Trial, st.DataObject], None]

LAWS: tuple[Law, ...] = (
    zero_is_an_identity,
    parts_make_the_whole,
    merging_is_associative,
    order_does_not_matter,
    the_store_changes_nothing,
    the_right_side_is_left_alone,
    results_come_in_any_form,
    nulls_change_nothing,
    columns_merge_as_states_do,
    empty_is_null_or_nothing,
    what_is_presented_is_as_declared,
    many_are_presented_as_each_is,
)

__all__ = ["LAWS", "Law", "Row", "Trial", "compute", "rows", "scaled", "trials", "values"]
