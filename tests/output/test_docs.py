"""docs/output.md: every format has its heading, and every example is what is really written."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from streamgauge.measures import measure_from
from streamgauge.output import WRITERS, writer
from streamgauge.output.present import Presenter, Query
from tests.output.made import Event, presenter, statistic, written

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "output.md").read_text(encoding="utf-8")
END_OF_THE_FIRST_WINDOW = 1_735_689_960_000


def examples(heading: str) -> list[str]:
    """The code blocks below a heading; under the empty one, those above all."""
    sections = {part.split("\n")[0]: part for part in re.split(r"(?m)^## ", PAGE)[1:]}
    section = sections[heading] if heading else PAGE[: PAGE.index("\n## ")]
    return re.findall(r"(?ms)^```\w*\n(.*?)^```$", section)


def event(line: str) -> Event:
    body = json.loads(line)
    talk = body.get("talk_s")
    return {
        "time": int(datetime.fromisoformat(body["time"]).timestamp() * 1000),
        "body.carrier": body["carrier"],
        "body.talk_s IS NOT NULL": talk is not None,
        "body.talk_s::BIGINT": talk,
        "body.code": body["code"],
        "wrong": ["body.talk_s::BIGINT"] if isinstance(talk, str) else [],
    }


@pytest.fixture
def shown() -> Iterator[Presenter]:
    declaration, events = examples("")
    settings: dict[str, Any] = tomllib.loads(declaration)["statistic"]["calls"]
    measures = {name: measure_from(text, name) for name, text in settings.pop("measures").items()}
    with presenter(
        statistic("calls", measures, **settings), [*map(event, events.splitlines())], END_OF_THE_FIRST_WINDOW
    ) as made:
        yield made


def in_print(text: str) -> list[str]:
    return [line.rstrip() for line in text.replace("\u00a0", " ").replace("\r\n", "\n").splitlines()]


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_has_a_heading(name: str) -> None:
    assert re.search(rf"(?m)^## {name}$", PAGE)


@pytest.mark.parametrize(
    ("heading", "name", "query"),
    [
        ("Roll-up", "table", Query(every="1h", by=())),
        ("table", "table", Query()),
        ("json", "json", Query()),
        ("csv", "csv", Query()),
        ("ndjson", "ndjson", Query(every="1h", by=())),
    ],
)
def test_an_example_is_what_is_written(shown: Presenter, heading: str, name: str, query: Query) -> None:
    (example,) = examples(heading)
    assert in_print(written(name, (shown, query))) == in_print(example)


def test_a_parquet_file_holds_what_the_page_shows(shown: Presenter) -> None:
    out = BytesIO()
    writer("parquet").write([(shown, Query())], out)
    row = pq.read_table(BytesIO(out.getvalue())).to_pylist()[0]
    example = (re.split(r" {2,}", line, maxsplit=1) for line in examples("parquet")[0].splitlines())
    assert [(name, str(value)) for name, value in row.items()] == [(name, value) for name, value in example]


def test_every_column_of_every_row_is_on_the_page(shown: Presenter) -> None:
    columns = [c.name for c in shown.columns(Query(by=()))]
    measured = columns[columns.index("events") + 1 : columns.index("late")]
    for name in columns:
        assert name in measured or f"`{name}`" in PAGE
