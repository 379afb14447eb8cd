"""Envelopes: every way of reading a slice says the same, and the same as a report says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.engines.base import NO_TIME, NOT_JSON, OUT_OF_RANGE, UNFIT_TIME, Envelope, Slice
from streamgauge.engines.duck import SliceBuffer
from streamgauge.engines.duck import envelope as module
from streamgauge.engines.duck.envelope import DuckEnvelope
from streamgauge.errors import DeclarationError
from streamgauge.event import Block
from streamgauge.expression import Expression, TimeUnit, parse
from streamgauge.log.base import CANNOT_MASK, Arrival, Envelopes, Given
from tests.engines.driving import Driver, blocks_of, declared
from tests.engines.test_duck_lines import VALUES

T = 1_700_000_000_000
NOW = T + 1000

SHAPES = """
[shape.call]
fields = { n = { type = "BIGINT" } }
[shape.call.producer.a]
when = "body.kind = 'a'"
time = "body.at"
time_unit = "s"
id = "body.uuid"
fields = { n = "body.n::BIGINT" }
[shape.call.producer.b]
topic = "b.*"
time = "body.v.when"
id = "body.v.id || '/' || topic"
fields = { n = "body.n::BIGINT" }
[shape.late]
fields = { n = { type = "BIGINT" } }
[shape.late.producer.c]
when = "body.kind = 'c'"
time = "body.iso"
time_unit = "iso"
fields = { n = "body.n::BIGINT" }
"""


class Reading:
    """A reader, and the memory that it is given slices in."""

    def __init__(self, toml: str = "") -> None:
        self.reader = DuckEnvelope(declared(toml).shapes.values() if toml else ())
        self.buffer = SliceBuffer(1 << 22)

    def slice(self, blocks: Sequence[Block], unit: TimeUnit | None) -> Slice:
        data = b"\n" + b"".join(bytes(b.data) for b in blocks)
        self.buffer.open_whole()
        self.buffer.view[: len(data)] = data
        self.buffer.trim(len(data))
        return Slice(self.buffer.path, len(data), list(blocks), unit, "http")

    def read(
        self,
        *lines: bytes,
        arrival: Arrival | None = None,
        unit: TimeUnit | None = None,
        given: Given | None = None,
    ) -> Envelopes:
        return self.blocks([lines], arrival, unit, given)

    def blocks(
        self,
        parts: Sequence[Sequence[bytes]],
        arrival: Arrival | None = None,
        unit: TimeUnit | None = None,
        given: Given | None = None,
    ) -> Envelopes:
        return self.reader.read(self.slice(blocks_of(parts), unit), arrival or Arrival(), NOW, given)

    def careful(self) -> None:
        """Have the next slice read with all care."""
        for one in self.reader._readers.values():
            one._waits = 1

    def close(self) -> None:
        self.reader.close()
        self.buffer.close()


@pytest.fixture(scope="module")
def plain() -> Iterator[Reading]:
    reading = Reading()
    yield reading
    reading.close()


@pytest.fixture(scope="module")
def shaped() -> Iterator[Reading]:
    reading = Reading(SHAPES)
    yield reading
    reading.close()


def said(found: Envelopes) -> Any:
    """What compares."""
    assert len(found.dead) == len(found.reasons) == len(found.raw_times)
    good = [n for n in range(found.records) if n not in found.dead.tolist()]
    columns = [[column[n] for n in good] if column is not None else None for column in (found.topics, found.ids)]
    hashes = found.hashes and [half[good].tolist() for half in found.hashes]
    dead = (found.dead.tolist(), list(found.reasons), list(found.raw_times))
    return found.records, found.times.tolist(), columns, hashes, dead, found.received.tolist(), found.unit


def expression(text: str) -> Expression:
    return parse(text, columns={}, what="test")


TIMES = st.one_of(
    st.integers(-(10**20), 10**20),
    st.integers(T - 10**13, T + 10**13),
    st.integers(1_600_000_000, 1_800_000_000),
    st.integers(10**15, 3 * 10**18),
    st.floats(allow_nan=False, allow_infinity=False),
).map(repr)
TEXTS = st.sampled_from(
    '"2023-11-14T22:13:20Z" "2023-11-14" "1700000000000" "007" "+5" "" null {} [] true -0 1e12 1700000000.25 "NaN" "x"'
    " -1 9223372036854775807".split()
) | st.just('" 1700000000000 "')


@pytest.mark.parametrize("unit", list(TimeUnit))
@settings(max_examples=60)
@given(times=st.lists(TIMES | TEXTS, min_size=1, max_size=6))
def test_a_time_is_the_same_however_it_is_read_and_as_a_report_reads_it(
    plain: Reading, unit: TimeUnit, times: list[str]
) -> None:
    lines = [f'{{"time":{time},"n":1}}'.encode() for time in times]
    first = plain.read(*lines, unit=unit)
    plain.careful()
    assert said(plain.read(*lines, unit=unit)) == said(first)
    facts = reported(lines, unit)
    assert first.times.tolist() == facts.times.tolist()
    assert (first.dead.tolist(), list(first.reasons)) == (facts.dead.tolist(), list(facts.reasons))


_DRIVERS: dict[TimeUnit, Driver] = {}


def reported(lines: Sequence[bytes], unit: TimeUnit) -> Any:
    """What a report's engine says of these lines."""
    toml = '[statistic.s]\ntopic = "*"\nevery = ["1m"]\n[statistic.s.measures]\nn = "count()"\n'
    driver = _DRIVERS.setdefault(unit, Driver(toml, Envelope(time_unit=unit)))
    return driver.lines(lines)[0]


@pytest.mark.parametrize("value", VALUES)
def test_what_is_no_event_is_so_however_it_is_read_and_as_a_report_reads_it(plain: Reading, value: str) -> None:
    hostile = f'{{"time":{T},"p":{value}}}'.encode("utf-8", "surrogatepass").replace(b"\n", b" ")
    lines = [b'{"time":1700000000000}', hostile, b'{"time":1700000000001}']
    arrival = Arrival(Envelope(topic=expression("body.p"), id=expression("body.q.r")))
    first = plain.read(*lines, arrival=arrival, unit=TimeUnit.MS)
    plain.careful()
    assert said(plain.read(*lines, arrival=arrival, unit=TimeUnit.MS)) == said(first)
    facts = reported(lines, TimeUnit.MS)
    assert (first.dead.tolist(), list(first.reasons)) == (facts.dead.tolist(), list(facts.reasons))


def test_reasons(plain: Reading) -> None:
    lines = [b"{", b"{}", b'{"time":"x"}', b'{"time":1e14}', b'{"time":1}', b"[]", b"!"]
    found = plain.read(*lines, unit=TimeUnit.MS)
    assert found.dead.tolist() == [0, 1, 2, 3, 5, 6]
    assert found.reasons == [NOT_JSON, NO_TIME, UNFIT_TIME, OUT_OF_RANGE, NOT_JSON, NOT_JSON]
    assert found.raw_times == [None, None, "x", "100000000000000.0", None, None]


def test_time_and_id_are_those_of_the_matching_producer(shaped: Reading) -> None:
    lines = [
        b'{"kind":"a","at":1700000000,"uuid":"u1","time":5}',
        b'{"topic":"b.x","v":{"when":1700000000001,"id":"u2"}}',
        b'{"kind":"c","iso":"2023-11-14T22:13:20.002Z"}',
        b'{"time":1700000000003,"uuid":"no"}',
    ]
    for _ in range(2):
        found = shaped.read(*lines, unit=TimeUnit.MS)
        assert found.times.tolist() == [T, T + 1, T + 2, T + 3]
        assert found.ids == ["u1", "u2/b.x", None, None]
        assert found.topics == ["", "b.x", "", ""]
        shaped.careful()
    for n, line in enumerate(lines):
        alone = shaped.read(line, unit=TimeUnit.MS)
        assert (alone.times.tolist(), alone.ids) == ([T + n], [found.ids[n]])


def test_the_operators_expressions_go_before_the_producers(shaped: Reading) -> None:
    envelope = Envelope(expression("body.t"), expression("'fixed'"), expression("body.i"), TimeUnit.S)
    found = shaped.read(b'{"kind":"a","at":1,"uuid":"u","t":1700000000,"i":7}', arrival=Arrival(envelope))
    assert (found.times.tolist(), found.topics, found.ids) == ([T], ["fixed"], ["7"])


def test_hashes_are_the_md5_of_the_ids(shaped: Reading) -> None:
    found = shaped.read('{"kind":"a","at":1,"uuid":"é"}'.encode(), b'{"time":1}', unit=TimeUnit.MS)
    assert found.hashes is not None
    number = int.from_bytes(hashlib.md5("é".encode()).digest(), "little")
    assert [int(half[0]) for half in found.hashes] == [number % 2**64, number // 2**64]
    assert [int(half[1]) for half in found.hashes] == [0, 0]


def test_no_hashes_where_nothing_names_an_id(plain: Reading) -> None:
    assert plain.read(b'{"time":1,"id":"x"}', unit=TimeUnit.MS).hashes is None


@pytest.mark.parametrize(
    ("parts", "unit"),
    [
        ([[b'{"a":1}'], [b'{"time":1700000000}'], [b'{"time":1700000000000}'] * 3], TimeUnit.S),
        ([[b'{"time":"2023-11-14T22:13:20Z"}']], TimeUnit.ISO),
        ([[b'{"time":1700000000000}', b"{"]], TimeUnit.MS),
        ([[b'{"time":"x"}']], None),
        ([[b"{}"], [b"{"]], None),
    ],
)
def test_the_unit_is_that_of_the_first_block_with_a_time(parts: Any, unit: TimeUnit | None) -> None:
    for careful in (False, True):
        reading = Reading()
        reading.read(b'{"time":1}', unit=TimeUnit.MS)
        if careful:
            reading.careful()
        found = reading.blocks(parts)
        assert found.unit is unit
        assert found.records == sum(map(len, parts))
        reading.close()


def test_a_declared_unit_is_not_looked_for(shaped: Reading) -> None:
    found = shaped.read(b'{"kind":"a","at":1700000000}')
    assert (found.times.tolist(), found.unit) == ([T], None)
    found = shaped.read(b'{"kind":"a","at":1700000000}', b'{"time":1700000000000000}')
    assert (found.times.tolist(), found.unit) == ([T, T], TimeUnit.US)


def test_owners_may_be_of_any_type_and_read_the_envelope(shaped: Reading) -> None:
    for owner, wanted in [
        ("body.tenant", ["7", None]),
        ("body.tenant::BIGINT + 1", ["8", None]),
        ("source || topic", ["http", "httpb.x"]),
        ("time::VARCHAR", [str(T), str(T + 1)]),
        ("coalesce(id, 'nobody')", ["u1", "nobody"]),
    ]:
        lines = (b'{"kind":"a","at":1700000000,"uuid":"u1","tenant":7}', b'{"topic":"b.x","v":{"when":1700000000001}}')
        arrival = Arrival(owner=owner)
        assert shaped.read(*lines, arrival=arrival, unit=TimeUnit.MS).owners == wanted, owner
        shaped.careful()
        assert shaped.read(*lines, arrival=arrival, unit=TimeUnit.MS).owners == wanted, owner


@pytest.mark.parametrize("arrival", [Arrival(owner="nonsense("), Arrival(mask=("1 + 1", "topic ="))])
def test_what_is_no_expression_is_a_mistake(plain: Reading, arrival: Arrival) -> None:
    with pytest.raises(DeclarationError):
        plain.read(b'{"time":1}', arrival=arrival)


def test_masked_bodies_are_canonical(plain: Reading) -> None:
    arrival = Arrival(mask=("body.to", 'body.a."x y"', "body.l[1].n"))
    lines = [
        b'{"time":1,"to":"s","a":{"x y":{"s":1},"b":2},"l":[1,{"n":"s","m":"\xc3\xa9"}]}',
        b'{"time":2, "z":1.0,"a":"text","l":[]}',
        b'{"time":3,"n":1e999}',
        b'{"to":"s"',
    ]
    found = plain.read(*lines, arrival=arrival, unit=TimeUnit.MS)
    assert found.bodies is not None
    assert found.bodies[:2] == [
        '{"a":{"b":2,"x y":null},"l":[1,{"m":"é","n":null}],"time":1,"to":null}',
        '{"a":"text","l":[],"time":2,"z":1.0}',
    ]
    assert (found.dead.tolist(), found.reasons) == ([2, 3], [CANNOT_MASK, NOT_JSON])
    assert found.times.tolist() == [1, 2, 0, 0]


def test_receipt_is_the_time_only_of_what_has_none(plain: Reading) -> None:
    arrival = Arrival(receipt_time=True)
    lines = [b'{"a":1}', b'{"time":5}', b'{"time":"x"}', b"{", b'{"time":null}', b'{"time":""}', b"{}"]
    for _ in range(2):
        found = plain.read(*lines, arrival=arrival, unit=TimeUnit.MS)
        assert found.times.tolist() == [NOW, 5, 0, 0, NOW, NOW, NOW]
        assert (found.received.tolist(), found.dead.tolist()) == ([0, 4, 5, 6], [2, 3])
        assert found.reasons == [UNFIT_TIME, NOT_JSON]


def test_what_is_given_goes_before_what_stands_in_the_lines(shaped: Reading) -> None:
    lines = [b'{"v":{"when":1700000000000,"id":"u"}}', b'{"time":1700000000000,"topic":"own"}', b"{", b"{}"]
    given_ = Given(["b.routed", None, "x", None], [None, "i", "j", None], [None, None, T + 7, T + 8])
    found = shaped.read(*lines, unit=TimeUnit.MS, given=given_, arrival=Arrival(owner="topic"))
    assert found.topics == ["b.routed", "own", "x", ""]
    assert found.ids[:2] == ["u/b.routed", "i"]
    assert found.times.tolist() == [T, T, 0, T + 8]
    assert (found.dead.tolist(), found.reasons) == ([2], [NOT_JSON])
    assert found.owners is not None
    assert found.owners[0] == "b.routed"
    assert shaped.read(*lines[:1], unit=TimeUnit.MS).dead.tolist() == [0], "the next one is given nothing"


def test_what_is_given_says_nothing_of_the_unit(plain: Reading) -> None:
    found = plain.read(b'{"a":1}', b'{"time":1700000000}', given=Given(times_ms=[T, None]))
    assert (found.times.tolist(), found.unit) == ([T, T], TimeUnit.S)


def test_a_given_time_out_of_range_is_none(plain: Reading) -> None:
    found = plain.read(b'{"a":1}', given=Given(times_ms=[10**15]))
    assert (found.dead.tolist(), found.reasons) == ([0], [OUT_OF_RANGE])


def test_deep_and_long_lines(plain: Reading) -> None:
    deep = b'{"time":1,"a":' + b"[" * 5000 + b"]" * 5000 + b"}"
    long = b'{"time":2,"a":"' + b"x" * 3_000_000 + b'"}'
    found = plain.read(deep, long, b'{"time":3}', unit=TimeUnit.MS)
    assert found.times.tolist() == [1, 2, 3]


def test_only_so_many_ways_of_arriving_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ARRIVALS", 3)
    reading = Reading()
    for n in range(10):
        arrival = Arrival(Envelope(topic=expression(f"'{n}'")))
        assert reading.read(b'{"time":1}', arrival=arrival, unit=TimeUnit.MS).topics == [str(n)]
        assert reading.read(b'{"time":"1"}', arrival=replace(arrival), unit=TimeUnit.MS).topics == [str(n)]
    assert len(reading.reader._readers) == 3
    statements = reading.reader.connection.execute("SELECT count(*) FROM duckdb_prepared_statements()").fetchall()
    assert statements[0][0] <= 4
    reading.close()
