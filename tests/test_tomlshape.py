from __future__ import annotations

import pytest

from streamgauge.bound import BoundShape
from tests.declaring import CALLS, QUALITY, declared, said


def call(*texts: str) -> BoundShape:
    return declared(*texts).shapes["call"]


def producer(text: str) -> str:
    return f"[shape.call.producer.mine]\n{text}\n"


def test_a_shape_with_its_fields_and_producer() -> None:
    bound = call(CALLS)
    assert bound.shape.fields["cost"].scale == 3
    assert bound.shape.fields["cost"].unit == "EUR"
    assert bound.shape.time_field == "end"
    assert [p.name for p in bound.producers] == ["flat"]
    assert set(bound.producers[0].fields) == {"carrier", "end", "answer", "cost"}


@pytest.mark.parametrize("order", [0, 1])
def test_the_producers_of_an_earlier_file_are_tried_first(order: int) -> None:
    files = [producer("topic = 'pbx.*'\nfields = { carrier = 'body.trunk' }"), CALLS]
    bound = call(*(files if order == 0 else files[::-1]))
    assert [p.name for p in bound.producers] == [["mine", "flat"], ["flat", "mine"]][order]


def test_producers_of_one_file_are_tried_in_its_order() -> None:
    text = producer("when = 'body.b = 1::VARCHAR'") + "[shape.call.producer.other]\nwhen = \"body.c = 'x'\"\n"
    assert [p.name for p in call(text, CALLS).producers] == ["mine", "other", "flat"]


def test_an_operator_replaces_one_expression_of_a_producer() -> None:
    bound = call("[shape.call.producer.flat.fields]\ncarrier = 'body.trunk'\n", CALLS)
    (flat,) = bound.producers
    assert flat.fields["carrier"].text == "body.trunk"
    assert flat.fields["answer"].text == "body.answer::BIGINT"
    assert flat.when is not None
    assert flat.time_unit == "ms"


def test_the_unit_of_a_time_that_was_replaced_goes_with_it() -> None:
    bound = call("[shape.call.producer.flat]\ntime = 'body.finished'\n", CALLS)
    assert bound.producers[0].time_unit is None


def test_a_shape_grows_by_a_field_of_an_operator() -> None:
    more = "[shape.call.fields]\nsite = 'VARCHAR'\n[shape.call.producer.flat.fields]\nsite = 'body.site'\n"
    assert "site" in call(more, CALLS).producers[0].fields


def test_a_family_is_that_of_the_later_file_unless_the_earlier_names_one() -> None:
    families = CALLS + "[shape.call.producer.second]\nfamily = 'b'\nwhen = 'TRUE'\n"
    chosen = "[shape.call]\nfamily = 'b'\n"
    assert [p.name for p in call(chosen, families).producers] == ["flat", "second"]
    only = families.replace('when = "body.kind', 'family = "a"\nwhen = "body.kind')
    bound = call(chosen, only)
    assert [p.name for p in bound.producers[: bound.active]] == ["second"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("fields = { carier = 'body.x' }", "field 'carier': shape has no such field; did you mean carrier?"),
        (
            "fields = { end = 'body.x' }",
            "'body.x': is VARCHAR, but the shape's field is BIGINT; write (body.x)::BIGINT",
        ),
        ("fields = { carrier = 5 }", "fields: is a table, expected a table of field name = expression"),
        ("fields = 5", "fields: is 5, expected a table of field name = expression"),
        ("when = 'body.x'", "a condition"),
        ("when = 'carrier = 1'", "carrier"),
        ("when = 5", "when: is 5, expected an SQL condition"),
        ("time_unit = 'sec'", "time_unit: is 'sec', expected one of s, ms, us, ns, iso"),
        ("time = 'body.x::BIGNT'", "BIGNT"),
        ("topic = 'a b'", "topic: 'a b': not a topic pattern"),
        ("tiem = 'body.x'", "unknown setting 'tiem'; did you mean time?"),
        ("id = '$x'", "id: '$x': unknown parameter $x at 1; known: none in this file"),
    ],
)
def test_a_mistake_in_a_producer(text: str, wanted: str) -> None:
    found = said(CALLS, producer("when = \"body.k = 'x'\"\n" * ("when" not in text) + text))
    assert len(found) == 1, found
    assert "shape 'call': producer 'mine': " in found[0]
    assert found[0].startswith("b.toml:")
    assert wanted in found[0]


def test_a_mistake_stands_at_its_own_line() -> None:
    text = producer("when = 'TRUE'\n[shape.call.producer.mine.fields]\ncarrier = 'body.c'\nanswer = 'body.a'")
    assert [line.split(": ")[0] for line in said(CALLS, text)] == ["b.toml:5"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("x = 'BIGNT'", "field 'x': type: is 'BIGNT', expected one of BIGINT, DOUBLE, VARCHAR, BOOLEAN, VARCHAR[]; "
                        "did you mean BIGINT?"),
        ("x = 'bigint'", "did you mean BIGINT?"),
        ("x = 5", "field 'x': is 5, expected a table"),
        ("x = { unit = 'ms' }", "field 'x': needs a type"),
        ("x = { type = 'DOUBLE', scale = 19 }", "scale: is 19, expected a number of decimal digits, 0 to 18"),
        ("x = { type = 'DOUBLE', sacle = 1 }", "did you mean scale?"),
        ("Bad = 'BIGINT'", "field 'Bad': not a name"),
        ("time = 'BIGINT'", "field 'time': is a reserved name: every event has it"),
        ("carrier = 'BIGINT'", "field 'carrier': is VARCHAR, but BIGINT at"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_field(text: str, wanted: str) -> None:
    found = said(CALLS, f"[shape.call.fields]\n{text}\n")
    assert len(found) == 1, found
    assert wanted in found[0]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[shape.x]\nhelp = ''\n", "has no fields; declare [shape.NAME.fields], or load the pack"),
        ("[shape.x.fields]\na = 'BIGINT'\n", "has no producer, so that nothing would fill it"),
        ("[shape.X.fields]\na = 'BIGINT'\n", "shape 'X': not a name"),
        ("[shape]\nx = 5\n", "shape 'x': is 5, expected a table"),
        ("shape = 5\n", "table 'shape': is 5, expected a table"),
        ("[shape.x]\nproducer = 5\nfields = 'a'\n", "producer: is 5, expected a table of producers"),
    ],
)
def test_a_mistake_in_a_shape(text: str, wanted: str) -> None:
    assert any(wanted in line for line in said(text)), said(text)


def test_a_family_that_nothing_belongs_to() -> None:
    text = (
        CALLS.replace("time_field", "family = 'recrods'\ntime_field") + "[shape.call.producer.b]\nfamily = 'records'\n"
    )
    assert said(text) == [
        "a.toml:2: shape 'call': has no producer of family 'recrods'; did you mean records?",
    ]


@pytest.mark.parametrize("field", ["carrier", "nothing"])
def test_the_time_field_is_a_bigint_of_the_shape(field: str) -> None:
    text = CALLS.replace('time_field = "end"', f"time_field = '{field}'")
    (found,) = said(text)
    assert f"time_field: {field!r} is no BIGINT field" in found


def test_a_producer_that_takes_everything_is_the_last_or_meant() -> None:
    problem = "producer 'mine': takes every event, so that the producers after it are never tried"
    (found,) = said(producer("fields = { carrier = 'body.c' }"), CALLS)
    assert problem in found
    assert not said(CALLS, producer("fields = { carrier = 'body.c' }"))
    assert not said(producer("when = 'TRUE'"), CALLS)


def test_a_broken_shape_makes_no_second_mistake_of_its_statistics() -> None:
    assert len(said(CALLS.replace("body.carrier", "body.carrier +"), QUALITY)) == 1
