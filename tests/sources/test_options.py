"""What an operator may set for a source, and how mistakes are said."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from streamgauge.clock import SystemClock
from streamgauge.errors import DeclarationError
from streamgauge.sources import TYPES, make_source, options_of, read_source, reference
from streamgauge.sources.options import CommonOptions, arrival_of

MINIMAL: dict[str, dict[str, Any]] = {"http": {}, "tail": {"path": "x"}, "stdin": {}, "replay": {"path": "x"}}


@pytest.mark.parametrize("type_", TYPES)
def test_a_source_is_made_of_its_table(type_: str) -> None:
    options = read_source("mine", {"type": type_, **MINIMAL[type_], "topic": "call", "lateness": "30s"})
    source = make_source("mine", options, SystemClock())
    status = source.status()
    assert (status.name, status.type, status.received) == ("mine", type_, 0)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "source 'mine': has no type"),
        ({"type": "tial", "path": "x"}, "did you mean tail?"),
        ({"type": "http", "topik": "x"}, "did you mean topic?"),
        ({"type": "http", "concurrency": "many"}, "expected"),
        ({"type": "http", "id": "body.id::BIGNT"}, "did you mean BIGINT?"),
        ({"type": "http", "lateness": "soon"}, "source 'mine': lateness"),
        ({"type": "http", "zone": "Mars"}, "unknown time zone"),
        ({"type": "http", "time_unit": "sec"}, "expected one of"),
        ({"type": "http", "owner": "lower("}, "source 'mine': owner"),
        ({"type": "http", "mask": ["body.a || 'x'"]}, "is no path"),
        ({"type": "http", "max_held_bytes": 5}, "less than max_body_bytes"),
    ],
)
def test_a_mistake_is_said_with_its_place(table: dict[str, Any], said: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        read_source("mine", table, lambda *keys: "my.toml:" + ".".join(keys))
    assert said in str(caught.value)
    assert all(mistake.where.startswith("my.toml:") for mistake in caught.value.mistakes)


def test_all_mistakes_are_said_at_once() -> None:
    with pytest.raises(DeclarationError) as caught:
        read_source("mine", {"type": "tail", "topik": "x", "poll_ms": -1})
    assert len(caught.value.mistakes) == 3


def test_a_bare_name_stands_for_itself_and_everything_else_is_an_expression() -> None:
    arrival = arrival_of(
        CommonOptions(topic="pbx.cdr", id="body.uuid", owner="acme", mask=("body.to",), lateness="5m"), "source 'x'"
    )
    assert arrival.envelope.topic is not None
    assert arrival.envelope.id is not None
    assert (arrival.envelope.topic.text, arrival.envelope.id.text, arrival.owner) == (
        "'pbx.cdr'",
        "body.uuid",
        "'acme'",
    )
    assert (arrival.mask, arrival.keep_bytes, arrival.lateness_ms) == (("body.to",), False, 300_000)


def test_dead_letters_keep_their_bytes_where_nothing_is_masked() -> None:
    assert arrival_of(CommonOptions(), "x").keep_bytes
    assert not arrival_of(CommonOptions(mask="body.to"), "x").keep_bytes
    assert arrival_of(CommonOptions(mask="body.to", keep_bytes=True), "x").keep_bytes


def test_the_reference_names_every_setting_of_every_type() -> None:
    page = reference()
    for type_ in TYPES:
        assert f"## `{type_}`" in page
        for field in fields(options_of(type_)):
            assert f"| `{field.name}` |" in page
            assert field.metadata["help"]
