"""CloudEvents as events: what becomes of their data and their times."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.sources.cloudevents import Refused, binary, structured
from streamgauge.sources.jsontext import find, members

ATTRIBUTES = {"specversion": "1.0", "type": "t", "source": "s", "id": "i"}


def body(**more: Any) -> bytes:
    return structured(json.dumps({**ATTRIBUTES, **more}).encode()).lines().data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"data": {"a": 1}}, b'{"a": 1}\n'),
        ({"data": [1, 2]}, b'{"data":[1, 2]}\n'),
        ({"data": "text"}, b'{"data":"text"}\n'),
        ({"data": None}, b'{"data":null}\n'),
        ({}, b"{}\n"),
        ({"data_base64": base64.b64encode(b'{"a":1}').decode(), "datacontenttype": "application/json"}, b'{"a":1}\n'),
        ({"data_base64": base64.b64encode(b"caf\xc3\xa9").decode(), "datacontenttype": "text/plain"}, None),
        ({"data_base64": base64.b64encode(b"\xff\x00").decode(), "datacontenttype": "image/png"}, None),
    ],
)
def test_data_becomes_an_object(data: dict[str, Any], expected: bytes | None) -> None:
    found = body(**data)
    if expected is not None:
        assert found == expected
    elif data["datacontenttype"] == "text/plain":
        assert json.loads(found) == {"data": "caf\u00e9"}
    else:
        assert json.loads(found) == {"data_base64": data["data_base64"]}


@pytest.mark.parametrize(
    ("time", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2018-04-08T17:20:00.1239999Z", 1523208000123),
        ("2018-04-08t19:20:00+02:00", 1523208000000),
        ("2016-12-31T23:59:60Z", 1483228799999),
    ],
)
def test_times(time: str, ms: int) -> None:
    events = structured(json.dumps({**ATTRIBUTES, "time": time}).encode())
    assert events.times == [ms]


def test_json_that_is_none_is_refused_where_the_type_says_json() -> None:
    headers = {f"ce-{name}": value for name, value in ATTRIBUTES.items()} | {"content-type": "application/json"}
    with pytest.raises(Refused, match="not JSON"):
        binary(headers, b"{")
    assert binary({**headers, "content-type": "text/csv"}, b"a,b").lines().data == b'{"data":"a,b"}\n'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON), st.sampled_from([None, 2]))
def test_the_places_of_members_are_those_of_their_values(value: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    found = members(text)
    assert found is not None
    assert {name: json.loads(text[m.start : m.end]) for name, m in found.items()} == value


@given(st.text('{}[]":,a1 \\', max_size=30))
def test_any_text_has_members_or_none(text: str) -> None:
    found = members(text)
    assert found is None or all(text[m.start : m.end] for m in found.values())


def test_a_path_is_found_in_the_text() -> None:
    text = ' {"a":{"b" : 1.50}, "a":{"b":2}}'
    member = find(text, ("a", "b"))
    assert member is not None
    assert text[member.start : member.end] == "2"
    assert find(text, ("a", "c")) is None
