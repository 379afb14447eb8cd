"""Lines that hurt: every way of reading a slice says the same of them, and one bad line harms no other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamgauge.engines.base import NO_TIME, NOT_JSON, OUT_OF_RANGE, UNFIT_TIME, Computed
from streamgauge.engines.duck.plan import Plan, Variant
from streamgauge.settle import count_records
from tests.engines.driving import Cell, Driver, blocks_of

T = 1_700_000_000_000

DECLARATIONS = """
[statistic.texts]
topic = "*"
every = ["1m"]
by = { p = "body.p", x = "body.v.x", y = "body.v.w.y", odd = 'body."a.b"' }
[statistic.texts.measures]
n = "count()"
whole = "sum(body.p::BIGINT)"
number = "sum(body.p::DOUBLE)"
inner = "max(body.v.x::BIGINT)"
"""


class CarefulPlan:
    """A plan whose slices are all read in the careful layout."""

    def __init__(self, plan: Plan) -> None:
        self._variant = plan.variant

    def variant(self, *args: Any, **kwargs: Any) -> Variant:
        found = self._variant(*args, **kwargs)
        found.fast = None
        return found


def careful_only(driver: Driver) -> Driver:
    plan = driver.engine.plan
    plan.variant = CarefulPlan(plan).variant  # type: ignore[method-assign]
    return driver


@pytest.fixture(scope="module")
def fast() -> Iterator[Driver]:
    with Driver(DECLARATIONS) as driver:
        assert driver.engine.plan.variant(frozenset()).fast is not None
        yield driver


@pytest.fixture(scope="module")
def careful() -> Iterator[Driver]:
    with Driver(DECLARATIONS) as driver:
        yield careful_only(driver)


def said(driver: Driver, lines: Sequence[bytes], want_times: bool) -> tuple[Any, ...]:
    """Everything that a run over these lines tells."""
    facts, computed = driver.lines(lines, want_times=want_times)
    return (
        facts.records,
        facts.dead.tolist(),
        list(facts.reasons),
        cells(driver, computed),
        dict(computed.wrong),
        computed.unused,
    )


def cells(driver: Driver, computed: Computed) -> dict[Any, Cell]:
    return driver.cells(computed)


def obj(*parts: str) -> bytes:
    return ("{" + ",".join([f'"time":{T}', *parts]) + "}").encode("utf-8", "surrogatepass")


NUMBERS = (
    "1 -1 0 -0 1.10 1.0 -0.0 1e3 1E3 1e+3 1.5e-7 5e-324 1e999 -1e999 9.7 NaN Infinity -Infinity nan inf 0x1A 1_000"
    " 01 +1 .5 5. 1234567890123456789 9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809"
    " 123456789012345678901234567890 0.1 1e22 123456789.123456789 true false null"
).split()
STRINGS = [
    '"1"', '" 12 "', '"9.7"', '"0x1A"', '"1_000"', '"1e999"', '"NaN"', '""', '" "', '"\\t7\\n"', '"٣"', '"1 2"', '"-0"',
    '"\\u00e9"', '"é"', '"e\\u0301"', '"\\ud83d\\ude80"', '"\\ud800"', '"\\ud800\\u0041"', '"\\udc00\\ud800"',
    '"\\u0000"', '"a\\u0000b"', '"\\/"', '"\\x"', '"\t"', '"\x00"', '"\x7f"', '"\\""', '"null"', '"true"', "'1'",
    '"\ud800"',
]  # fmt: skip
CONTAINERS = [
    "{}",
    "[]",
    "[1]",
    '{"x":1}',
    '{"x":{}}',
    '{"w":{"y":"1"}}',
    '{"w":"y"}',
    '{"w":[]}',
    '{"w":null,"x":1.10}',
]
VALUES = [*NUMBERS, *STRINGS, *CONTAINERS, "", "[1,]", '{"x":1,}', "tru", "/**/1", "[" * 130 + "]" * 130]
KEYS = ['"p"', '"v"', '"\\u0070"', '"a.b"', '"P"', '"V"', '"x"', '"unread"', '""', "p", '"time"', '"topic"']


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("key", ['"p"', '"v"', '"unread"'])
def test_each_value_is_the_same_in_both_layouts_and_in_one_pass(
    fast: Driver, careful: Driver, key: str, value: str
) -> None:
    hostile = obj(f"{key}:{value}")
    among = [obj('"p":1', '"v":{"x":2}'), hostile, obj('"p":3')]
    records, dead, *rest = said(careful, among, want_times=True)
    assert records == 3
    assert set(dead) <= {1}
    assert said(fast, among, want_times=True) == (records, dead, *rest)
    assert said(fast, among, want_times=False) == (records, dead, *rest)


SCALAR = st.sampled_from([*NUMBERS, *STRINGS])
TREE = st.recursive(
    SCALAR,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(lambda found: "[" + ",".join(found) + "]"),
        st.lists(st.tuples(st.sampled_from(['"x"', '"w"', '"y"', '"q"', '"X"']), inner), max_size=3).map(
            lambda found: "{" + ",".join(f"{k}:{v}" for k, v in found) + "}"
        ),
    ),
    max_leaves=4,
)
BAD = [b"", b" ", b"\r", b"{}", b"[]", b"null", b"1", b'"a"', b"{} {}", b'{"time":1}{"time":2}', b"{", b"\x00"]
MEMBERS = st.lists(st.tuples(st.sampled_from(KEYS), TREE), max_size=4)
LINES = st.one_of(MEMBERS.map(lambda found: obj(*(f"{k}:{v}" for k, v in found))), st.sampled_from(BAD))


@settings(max_examples=150)
@given(lines=st.lists(LINES, max_size=5))
@example(lines=[obj('"v":"a"', '"v":{"x":1}')])
@example(lines=[obj('"p":1', '"p":2'), obj('"p":null', '"p":2')])
def test_any_lines_are_the_same_in_both_layouts(fast: Driver, careful: Driver, lines: list[bytes]) -> None:
    expected = said(careful, lines, want_times=True)
    assert said(fast, lines, want_times=True) == expected
    assert said(fast, lines, want_times=False) == expected


def test_a_path_nobody_reads_may_be_ten_thousand_deep(fast: Driver) -> None:
    deep = obj('"p":"deep"', '"unread":' + "[" * 10_000 + "]" * 10_000)
    records, dead, _, found, *_ = said(fast, [obj('"p":"a"'), deep, obj('"p":"b"')], want_times=False)
    assert (records, dead) == (3, [])
    assert {place[2][0] for place in found} == {"a", "deep", "b"}


def test_blank_lines_and_carriage_returns_are_no_records(fast: Driver) -> None:
    lines = [b"", b"\r", b" \t\r", obj('"p":"a"') + b"\r", b"\x0b\x0c", b"  " + obj('"p":"b"') + b"  ", b""]
    records, dead, _, found, *_ = said(fast, lines, want_times=True)
    assert (records, dead) == (2, [])
    assert {place[2][0] for place in found} == {"a", "b"}


PIECES = [b"\n", b"\r", b" ", b"\t", b"\x0b", b"\x0c", b"\x00", b"\xff", b"\xef\xbb\xbf", b"{", b"}", b"[", b"]", b'"']
PIECES += [b",", b":", b"\\", b"1", b"!", b"null", b'{"time":%d}' % T, b'{"time":%d,"p":"x"}' % T]
PIECES += [b"\xc2\x85", b"\xe2\x80\xa8", b"\x1f"]
BYTES = st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join)


@settings(max_examples=150)
@given(data=BYTES)
@example(data=b"\xef\xbb\xbf" + b'{"time":1}')
@example(data=b'{"time":1}\r{"time":2}')
def test_any_bytes_have_as_many_records_as_lines_that_are_not_blank(fast: Driver, careful: Driver, data: bytes) -> None:
    lines = data.split(b"\n")
    wanted = sum(count_records(block) for block in blocks_of([lines]))
    for driver, want_times in ((fast, True), (fast, False), (careful, True)):
        facts, computed = driver.lines(lines, want_times=want_times)
        assert facts.records == wanted
        counted = sum(int(result.events.sum()) for result in computed.results)
        assert counted == wanted - len(facts.dead)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"time":}', NOT_JSON),
        (b'{"time":1700000000000}{"time":1700000000000}', NOT_JSON),
        (b'{"time":1700000000000} x', NOT_JSON),
        (b'{"time":1700000000000,"a":"\xff"}', NOT_JSON),
        (b'{"time":1700000000000,"a":"\\ud800"}', NOT_JSON),
        (b'{"time":1700000000000,"a":"\x00"}', NOT_JSON),
        (b"[1]", NOT_JSON),
        (b"1700000000000", NOT_JSON),
        (b'"text"', NOT_JSON),
        (b"null", NOT_JSON),
        (b"{}", NO_TIME),
        (b'{"time":null}', NO_TIME),
        (b'{"time":""}', NO_TIME),
        (b'{"time":NaN}', NO_TIME),
        (b'{"time":"soon"}', UNFIT_TIME),
        (b'{"time":"2024-01-01"}', UNFIT_TIME),
        (b'{"time":true}', UNFIT_TIME),
        (b'{"time":[1]}', UNFIT_TIME),
        (b'{"time":7258118400000}', OUT_OF_RANGE),
        (b'{"time":-5364662400001}', OUT_OF_RANGE),
        (b'{"time":253402300800000}', OUT_OF_RANGE),
        (b'{"time":99999999999999999999}', OUT_OF_RANGE),
    ],
)
def test_why_a_line_is_no_event(fast: Driver, line: bytes, reason: str) -> None:
    facts, _ = fast.lines([obj('"p":1'), line, obj('"p":2')])
    assert (facts.records, facts.dead.tolist(), list(facts.reasons)) == (3, [1], [reason])


def test_the_first_and_last_permitted_milliseconds_are_events(fast: Driver) -> None:
    facts, _ = fast.lines([b'{"time":-5364662400000}', b'{"time":7258118399999}'])
    assert facts.times is not None
    assert facts.times.tolist() == [-5_364_662_400_000, 7_258_118_399_999]
