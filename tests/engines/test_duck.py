"""Every primitive that DuckDB computes equals the reference engine, over events that hurt."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.event import NEVER
from streamgauge.testing.reference import scaled
from tests.engines.driving import MINUTE, Driver, Event, at, expected_columns, is_broken, text

MEASURES = """
n = "count()"
ok = "count(body.s = 'a')"
total = "sum(body.n::BIGINT)"
some = "sum(body.n::BIGINT) FILTER (WHERE body.s = 'a')"
total_d = "sum(body.d::DOUBLE)"
least = "min(body.n::BIGINT)"
most = "max(body.d::DOUBLE)"
mean_d = "mean(body.d::DOUBLE)"
spread = "variance(body.n::BIGINT)"
spread_d = "stddev(body.d::DOUBLE) FILTER (WHERE body.s = 'a')"
mid = "quantiles(body.n::BIGINT, 0.5, 0.9)"
mid_d = "quantiles(body.d::DOUBLE, 0.5)"
kinds = "distinct(body.s)"
numbers = "distinct(body.n::BIGINT)"
counts = "tally(body.s)"
number_counts = "tally(body.n::BIGINT)"
begin = "first(body.s)"
final = "latest(body.n::BIGINT)"
begin_d = "first(body.d::DOUBLE)"
final_some = "latest(body.d::DOUBLE) FILTER (WHERE body.s = 'a')"
bins = "histogram(body.d::DOUBLE, -1, 0, 0.5, 10)"
bins_n = "histogram(body.n::BIGINT, 0, 100)"
inner = "sum(body.v.x::BIGINT)"
odd = 'sum(body."X-Foo"."a.b"::BIGINT)'
"""
SAME_BUT_CASE = """
upper = "sum(body.N::BIGINT)"
"""

DECLARATIONS = """
[statistic.by_key]
topic = "*"
every = ["1m"]
totals = true
by = { k = "body.k" }
[statistic.by_key.measures]
MEASURES

[statistic.tagged]
topic = "cdr.*"
where = "body.s <> 'b'"
every = ["1m"]
by = { tag = "body.tags::VARCHAR[]" }
[statistic.tagged.measures]
n = "count()"
total = "sum(body.n::BIGINT)"

[statistic.whole]
topic = "cdr.out_1"
every = ["1m"]
[statistic.whole.measures]
n = "count()"
total = "sum(body.n::BIGINT)"
begin = "first(body.s)"
"""

VALUES = {
    "body.n::BIGINT": at("n"),
    "body.N::BIGINT": at("N"),
    "body.d::DOUBLE": at("d"),
    "body.s": at("s"),
    "body.v.x::BIGINT": at("v", "x"),
    'body."X-Foo"."a.b"::BIGINT': at("X-Foo", "a.b"),
}
CONDITIONS = {"body.s = 'a'": lambda event: text(event.get("s")) == "a"}
ODD_TEXTS = ["", "a", "b", "all", "other", "null", "é", "e\u0301", '"', "\n", "\u2028", "a\tb", "🚀", "'", "\\", "%"]

INTEGERS = st.one_of(
    st.sampled_from([0, 1, -1, 127, 128, 2**31, 2**32, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**20]),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-200, 200),
)
SCALED = st.sampled_from(
    [
        0.0,
        -0.0,
        0.5,
        5e-7,
        1.5e-6,
        -5e-7,
        0.1,
        9.7,
        9223372036854.775,
        -9223372036854.775,
        9.3e12,
        1e300,
        -1e300,
        5e-324,
    ]
)
STRANGE = st.sampled_from(
    [
        "1",
        " 12 ",
        "-0",
        "1.10",
        "1e3",
        "9.7",
        "0x1A",
        "1_000",
        "NaN",
        "Infinity",
        "1e999",
        "",
        "01",
        "+1",
        "9" * 20,
        "٣",
    ]
)
NUMBER = st.one_of(st.none(), INTEGERS, SCALED, st.floats(-1e6, 1e6), STRANGE, st.booleans())
TEXT = st.one_of(st.none(), st.sampled_from(ODD_TEXTS), st.text(max_size=4).filter(lambda t: t.isprintable()))
WORD = st.one_of(TEXT, st.integers(-5, 5), st.booleans(), st.just({"x": [1, "é"]}), st.just(["a", 1]))
INNER = st.one_of(
    st.none(),
    st.just("text"),
    st.just([1]),
    st.just({}),
    st.just(7),
    st.builds(lambda n: {"x": n, "a.b": n}, NUMBER),
    st.builds(lambda n: {"y": n}, NUMBER),
)
TAGS = st.one_of(st.none(), st.just("x"), st.just({}), st.lists(st.one_of(TEXT, st.integers(0, 3)), max_size=4))
TOPICS = st.sampled_from(["cdr.out_1", "cdr.outX1", "cdr.in", "cdr", "", "CDR.out_1", "x.cdr.y"])
TIMES = st.sampled_from([-1, 0, 59_999, 60_000, 1_700_000_000_000, 1_700_000_000_001, -5_364_662_400_000])


NOTHING_LATE = [(0, NEVER)]
"""Watermarks make the engine tell positions, which it otherwise does only where somebody asks."""


def optional(fields: Mapping[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of the fields may be missing."""
    return st.fixed_dictionaries({}, optional=dict(fields))


EVENTS = st.builds(
    lambda time, rest: {"time": time, **rest},
    TIMES,
    optional(
        {
            "n": NUMBER,
            "N": NUMBER,
            "d": NUMBER,
            "s": WORD,
            "k": WORD,
            "v": INNER,
            "X-Foo": INNER,
            "tags": TAGS,
            "topic": TOPICS,
        }
    ),
)


def line(event: Any) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode()


@pytest.fixture(scope="module", params=["fast", "careful"])
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    measures = MEASURES + (SAME_BUT_CASE if request.param == "careful" else "")
    with Driver(DECLARATIONS.replace("MEASURES", measures)) as driver:
        has_fast = driver.engine.plan.variant(frozenset()).fast is not None
        assert has_fast == (request.param == "fast")
        yield driver


def tags_of(event: Event) -> list[str | None]:
    tags = event.get("tags")
    if not isinstance(tags, list):
        return [None]
    return list(dict.fromkeys(text(tag) for tag in tags)) or [None]


def is_cdr(event: Event) -> bool:
    return str(event.get("topic") or "").startswith("cdr.")


def grouped(events: Sequence[Event]) -> dict[tuple[str, int, Any], list[tuple[int, Event]]]:
    """Which events are counted where."""
    found: dict[tuple[str, int, Any], list[tuple[int, Event]]] = defaultdict(list)
    for position, event in enumerate(events):
        start = event["time"] // MINUTE * MINUTE
        places: list[tuple[str, Any]] = [("by_key", (text(event.get("k")),)), ("by_key", None)]
        said = text(event.get("s"))
        if is_cdr(event) and said is not None and said != "b":
            places += [("tagged", (tag,)) for tag in tags_of(event)]
        if event.get("topic") == "cdr.out_1":
            places.append(("whole", ()))
        for name, key in places:
            found[name, start, key].append((position, event))
    return found


def wrong_numbers(events: Sequence[tuple[int, Event]], expressions: Sequence[str]) -> dict[str, int]:
    """How many events have a value of the wrong type, by expression."""
    paths = {"body.v.x::BIGINT": ("v", "x"), 'body."X-Foo"."a.b"::BIGINT': ("X-Foo", "a.b")}
    found: Counter[str] = Counter()
    for expression in expressions:
        scale = 6 if expression.endswith("DOUBLE") else 0
        for _, event in events:
            value = VALUES[expression](event)
            broken = expression in paths and is_broken(event, *paths[expression])
            found[expression] += broken or (value is not None and scaled(value, scale) is None)
    return {expression: n for expression, n in found.items() if n}


def is_wrong_list(event: Event) -> bool:
    return event.get("tags") is not None and not isinstance(event["tags"], list)


@settings(max_examples=60)
@given(events=st.lists(EVENTS, max_size=25))
def test_every_primitive_equals_the_reference(driver: Driver, events: list[Event]) -> None:
    facts, computed = driver.lines([line(e) for e in events], watermarks=NOTHING_LATE)
    assert (facts.records, facts.dead.tolist()) == (len(events), [])
    assert facts.times is not None
    assert facts.times.tolist() == [e["time"] for e in events]
    found, expected = driver.cells(computed), grouped(events)
    assert found.keys() == expected.keys()
    for place, mine in expected.items():
        cell, statistic = found[place], driver.declarations.statistics[place[0]]
        assert (cell.events, cell.first, cell.last) == (len(mine), mine[0][0], mine[-1][0])
        assert cell.columns == expected_columns(statistic.primitives, mine, VALUES, CONDITIONS), place
        if place[0] == "by_key":
            read = [p.argument.text for p in statistic.primitives if p.argument and "::" in p.argument.text]
            assert cell.wrong == wrong_numbers(mine, list(dict.fromkeys(read))), place


@settings(max_examples=30)
@given(events=st.lists(EVENTS, max_size=25))
def test_wrong_types_of_a_run_are_those_of_its_events(driver: Driver, events: list[Event]) -> None:
    _, computed = driver.lines([line(e) for e in events])
    numbers = [e for e in VALUES if e != "body.s" and (e != "body.N::BIGINT" or _reads_upper(driver))]
    expected = wrong_numbers(list(enumerate(events)), numbers)
    lists = sum(map(is_wrong_list, events))
    assert dict(computed.wrong) == {**expected, **({"body.tags::VARCHAR[]": lists} if lists else {})}


def _reads_upper(driver: Driver) -> bool:
    return "upper" in driver.declarations.statistics["by_key"].spec.measures


@settings(max_examples=30)
@given(events=st.lists(EVENTS, min_size=1, max_size=20), data=st.data())
def test_duplicates_are_not_there_and_positions_stay(driver: Driver, events: list[Event], data: st.DataObject) -> None:
    gone = data.draw(st.sets(st.integers(0, len(events) - 1)))
    _, computed = driver.lines(
        [line(e) for e in events], duplicates=sorted(gone), position=1000, watermarks=NOTHING_LATE
    )
    kept = [(n, e) for n, e in enumerate(events) if n not in gone]
    found = driver.cells(computed)
    whole = {place[1]: cell for place, cell in found.items() if place[0] == "by_key" and place[2] is None}
    for start, cell in whole.items():
        mine = [n for n, e in kept if e["time"] // MINUTE * MINUTE == start]
        assert (cell.events, cell.first, cell.last) == (len(mine), 1000 + mine[0], 1000 + mine[-1])
    assert sum(cell.events for cell in whole.values()) == len(kept)
    assert computed.wrong.get("body.n::BIGINT", 0) == wrong_numbers(kept, ["body.n::BIGINT"]).get("body.n::BIGINT", 0)
