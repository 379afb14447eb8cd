"""Shapes: which producer an event is, and what its expressions see."""

from __future__ import annotations

import json
from typing import Any

from streamgauge.engines.base import Envelope
from streamgauge.expression import TimeUnit, parse
from tests.engines.driving import Driver, blocks_of

T = 1_700_000_000_000

SHAPE = """
[shape.call.fields]
ms = "BIGINT"
who = "VARCHAR"
cost = "DOUBLE"

[shape.call.producer.mine]
topic = "pbx.*"
when = "body.kind = 'cdr'"
time = "body.end::BIGINT * 1000"
time_unit = "ms"
id = "body.uuid"
fields = { ms = "body.len::BIGINT * 1000", who = "upper(body.trunk)" }

[shape.call.producer.nested]
when = "body.v.ms IS NOT NULL"
fields = { ms = "body.v.ms::BIGINT", cost = "body.v.cost::DOUBLE", who = "coalesce(body.v.who, source, 'nobody')" }

[shape.call.producer.flat]
fields = { ms = "body.ms::BIGINT", who = "body.who" }
"""
STATISTIC = """
[statistic.s]
of = "call"
every = "1m"
by = { who_key = "who" }
[statistic.s.measures]
n = "count()"
total = "sum(ms)"
halves = "sum((ms / 0.5)::BIGINT)"
most = "max(cost)"
"""


def line(**event: Any) -> bytes:
    return json.dumps(event).encode()


def found(driver: Driver, *lines: bytes, **kwargs: Any) -> tuple[dict[Any, Any], dict[str, int]]:
    """Sums by key with the wrong types of each, and the wrong types of the run."""
    _, computed = driver.lines(lines, **kwargs)
    cells = {
        place[2]: (cell.events, int(cell.columns[1]), cell.wrong) for place, cell in driver.cells(computed).items()
    }
    return cells, dict(computed.wrong)


MINE = line(topic="pbx.1", kind="cdr", end=T // 1000, len=3, trunk="t", uuid="1", ms=99, v={"ms": 77})
NESTED = line(time=T, v={"ms": 5, "cost": 1.5}, ms=99)
FLAT = line(time=T, ms=7, who="w", kind="cdr")


def test_each_event_is_the_first_producers_that_matches() -> None:
    with Driver(SHAPE + STATISTIC) as driver:
        for want_times in (True, False):
            cells, wrong = found(driver, FLAT, MINE, NESTED, FLAT, want_times=want_times)
            assert cells == {("T",): (1, 3000, {}), ("lane.jsonl",): (1, 5, {}), ("w",): (2, 14, {})}
            assert wrong == {}


def test_a_worker_that_has_seen_one_producer_still_finds_the_others() -> None:
    with Driver(SHAPE + STATISTIC) as driver:
        assert found(driver, FLAT)[0] == {("w",): (1, 7, {})}
        assert found(driver, MINE)[0] == {("T",): (1, 3000, {})}
        assert found(driver, NESTED, FLAT)[0] == {("lane.jsonl",): (1, 5, {}), ("w",): (1, 7, {})}


def test_wrong_types_count_for_the_producer_that_matched_only() -> None:
    bad_for_others = line(time=T, ms=1, who="w", len="x", v="no object")
    bad = line(time=T, ms="x", who="w")
    with Driver(SHAPE + STATISTIC) as driver:
        cells, wrong = found(driver, bad_for_others, bad, NESTED)
        assert cells[("w",)] == (2, 1, {"ms": 1})
        assert wrong == {"ms": 1}


def test_a_field_through_a_text_is_wrong_and_through_nothing_is_null() -> None:
    shape = "[shape.call.fields]\nms = 'BIGINT'\nwho = 'VARCHAR'\ncost = 'DOUBLE'\n[shape.call.producer.p.fields]\n"
    shape += "ms = 'body.a.b.ms::BIGINT'\nwho = 'body.a.who'\n"
    lines = [line(time=T, a=a) for a in ("text", None, {}, {"b": "text"}, {"b": {}}, {"b": {"ms": "x"}}, {"b": [1]}, 5)]
    with Driver(shape + STATISTIC) as driver:
        cells, wrong = found(driver, *lines, line(time=T))
        assert cells == {(None,): (9, 0, {"ms": 5, "who": 2})}
        assert wrong == {"ms": 5, "who": 2}


def test_a_value_that_does_not_fit_once_scaled_is_of_the_wrong_type() -> None:
    lines = [line(time=T, v={"ms": 1, "cost": cost}) for cost in (1e300, "-1e300", 9.3e12, 9.2e12, "x")]
    with Driver(SHAPE + STATISTIC) as driver:
        cells, wrong = found(driver, *lines)
        assert cells == {("lane.jsonl",): (5, 5, {"cost": 4})}
        assert wrong == {"cost": 4}


def test_the_same_value_at_two_scales_is_counted_for_each_statistic() -> None:
    one = (
        '[statistic.{0}]\ntopic = "*"\nevery = "1m"\nscale = {1}\n[statistic.{0}.measures]\nt = "sum(body.d::DOUBLE)"\n'
    )
    with Driver(one.format("fine", 12) + one.format("coarse", 2)) as driver:
        _, computed = driver.lines([line(time=T, d=1e7), line(time=T, d=1e17), line(time=T, d="x"), line(time=T, d=1)])
        wrong = {place[0]: cell.wrong for place, cell in driver.cells(computed).items()}
        assert wrong == {"fine": {"body.d::DOUBLE": 3}, "coarse": {"body.d::DOUBLE": 2}}
        assert dict(computed.wrong) == {"body.d::DOUBLE": 3}


def test_only_the_family_that_is_named_fills_the_shape() -> None:
    shape = """
    [pack.p.parameters.producer]
    type = "text"
    default = "records"
    [shape.call]
    family = "$producer"
    [shape.call.fields]
    ms = "BIGINT"
    who = "VARCHAR"
    cost = "DOUBLE"
    [shape.call.producer.events]
    when = "body.event IS NOT NULL"
    family = "events"
    fields = { ms = "1", who = "'events'" }
    [shape.call.producer.records]
    when = "body.event IS NULL"
    family = "records"
    fields = { ms = "2", who = "'records'" }
    [shape.call.producer.mine]
    when = "body.mine IS NOT NULL"
    fields = { ms = "3", who = "'mine'" }
    """
    lines = [line(time=T), line(time=T, event="x"), line(time=T, event="x", mine=1)]
    with Driver(shape + STATISTIC) as driver:
        _, computed = driver.lines(lines)
        assert {place[2][0] for place in driver.cells(computed)} == {"records", "mine"}
        assert computed.unused == 1


def test_two_shapes_with_fields_of_one_name_stay_apart() -> None:
    shapes = "".join(
        f"[shape.{s}.fields]\nms = 'BIGINT'\n[shape.{s}.producer.p]\nwhen = \"body.kind = '{s}'\"\n"
        f"fields = {{ ms = '{e}' }}\n"
        f'[statistic.of_{s}]\nof = "{s}"\nevery = "1m"\n[statistic.of_{s}.measures]\nx = "sum((ms / 2)::BIGINT)"\n'
        for s, e in (("a", "body.x::BIGINT"), ("b", "body.y::BIGINT"))
    )
    lines = [line(time=T, kind="a", x=4, y=100), line(time=T, kind="b", x="bad", y=8), line(time=T, kind="b", y="bad")]
    with Driver(shapes) as driver:
        _, computed = driver.lines([*lines, line(time=T, kind="a", x="bad")])
        cells = {place[0]: (int(cell.columns[0]), cell.wrong) for place, cell in driver.cells(computed).items()}
        assert cells == {"of_a": (2, {"ms": 1}), "of_b": (4, {"ms": 1})}
        assert dict(computed.wrong) == {"ms": 2}


def test_expressions_may_read_the_envelope_inside_of_casts() -> None:
    toml = """
    [statistic.s]
    topic = "*"
    every = "1m"
    [statistic.s.measures]
    lag = "sum((time - body.start::DOUBLE)::BIGINT)"
    whole = "sum((time / 1000.0)::BIGINT)"
    number = "sum(id::BIGINT)"
    kind = "sum(topic::BIGINT)"
    """
    envelope = Envelope(id=parse("body.id", columns={}, what="id"), time_unit=TimeUnit.MS)
    with Driver(toml, envelope) as driver:
        _, computed = driver.lines([line(time=T, start=T - 5, id="7", topic="3"), line(time=T + 1, id="x", topic="4")])
        (cell,) = driver.cells(computed).values()
        assert [int(c) for c in cell.columns] == [5, T // 1000, 7, 7]
        assert cell.wrong == {"(time::DOUBLE / 1000.0)::BIGINT": 1, "id::BIGINT": 1}


def test_a_path_may_be_read_in_a_cast_and_outside_of_it() -> None:
    toml = """
    [statistic.s]
    topic = "*"
    every = "1m"
    where = "body.a IS NOT NULL AND body.a::BIGINT > 3"
    by = { inner = "body.v.w" }
    [statistic.s.measures]
    n = "count(body.a <> '5' OR body.a::BIGINT = 7)"
    """
    with Driver(toml) as driver:
        _, computed = driver.lines(
            [line(time=T, a=a, v=v) for a, v in ((4, "x"), (5, {"w": "y"}), (7, None), ("b", {}))]
        )
        cells = {
            place[2]: (cell.events, int(cell.columns[0]), cell.wrong) for place, cell in driver.cells(computed).items()
        }
        assert cells == {(None,): (2, 2, {"body.v.w": 1}), ("y",): (1, 0, {})}


def test_two_list_keys_count_an_event_under_each_pair() -> None:
    toml = '[statistic.s]\ntopic = "*"\nevery = "1m"\n'
    toml += 'by = { a = "body.a::VARCHAR[]", b = "body.b::VARCHAR[]", c = "body.c" }\n'
    toml += '[statistic.s.measures]\nn = "count()"\nt = "tally(body.c)"\n'
    with Driver(toml) as driver:
        _, computed = driver.lines(
            [line(time=T, a=["x", "y", "x"], b=["1", None], c="c"), line(time=T, a=[], b="no list")]
        )
        cells = {place[2]: cell.events for place, cell in driver.cells(computed).items()}
        pairs = {(a, b, "c"): 1 for a in ("x", "y") for b in ("1", None)}
        assert cells == {**pairs, (None, None, None): 1}


def test_no_line_that_is_no_object_is_an_event_whatever_gives_its_time() -> None:
    shape = "[shape.call.fields]\nms = 'BIGINT'\nwho = 'VARCHAR'\ncost = 'DOUBLE'\n"
    shape += f"[shape.call.producer.p]\ntime = \"coalesce(body.t, '{T}')\"\nfields = {{ ms = 'body.ms::BIGINT' }}\n"
    with Driver(shape + STATISTIC) as driver:
        facts, computed = driver.lines([line(ms=1), b"{bad", b"[1]", b"5", line(ms=2, t=T)], want_times=False)
        assert facts.dead.tolist() == [1, 2, 3]
        assert {place[2]: cell.events for place, cell in driver.cells(computed).items()} == {(None,): 2}


def test_events_without_the_time_that_chooses_the_window_are_counted_by_nobody() -> None:
    toml = SHAPE + STATISTIC + 'x = "count()"\n'
    toml = toml.replace('every = "1m"', 'every = "1m"\ntime = "ms"\ndelay = "1h"')
    with Driver(toml) as driver:
        _, computed = driver.lines([line(time=T, ms=T), line(time=T), line(time=T, ms="x"), line(time=T, ms=2**62)])
        assert [cell.events for cell in driver.cells(computed).values()] == [1]
        assert computed.unused == 3


def test_rows_tell_the_block_of_an_event_that_may_be_late() -> None:
    with Driver(SHAPE + STATISTIC) as driver:
        parts = [[line(time=T, ms=1)], [line(time=T, ms=1), line(time=T + 60_000, ms=1)], [line(time=T + 1, ms=1)] * 2]
        _, computed = driver.run(blocks_of(parts), watermarks=[(0, -(2**62)), (1, T), (3, T + 60_000)], position=100)
        (result,) = computed.results
        order = sorted(
            zip(result.block.tolist(), result.starts.tolist(), result.first.tolist(), result.last.tolist(), strict=True)
        )
        minute = T // 60_000 * 60_000
        assert order == [(-1, minute, 100, 101), (-1, minute + 60_000, 102, 102), (2, minute, 103, 104)]
