"""Rows of cells as REST gives them, in the place of a presenter: for the tables that a report shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from streamgauge.aggregates.base import Measure, Output
from streamgauge.errors import DeclarationError
from streamgauge.expression import SqlType
from streamgauge.measures import measure_from
from streamgauge.output.cells import ShownMeasure
from streamgauge.output.present import Presenter, Query, Row
from streamgauge.windows import Length, parse_length

_LOW = re.compile(r"n is below (\d+)")
_FORMATS = {"map": "map", "int": "number", "float": "number"}


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    time_field: str


@dataclass(frozen=True, slots=True)
class _Shape:
    shape: _Field


@dataclass(frozen=True, slots=True)
class _Spec:
    name: str
    help: str
    min_n: int | None


@dataclass(frozen=True, slots=True)
class _Windows:
    zone: str


@dataclass(frozen=True, slots=True)
class _Statistic:
    name: str
    spec: _Spec
    windows: _Windows
    shape: _Shape | None
    time: str = ""


class Listed:
    """What a table asks of a Presenter, of a page of cells and the description of their statistic.

    ``document``: as ``/v1/statistics/NAME`` answers; ``rows``: as ``cells`` does, of one length.
    """

    def __init__(self, document: Mapping[str, Any], every: str, by: Sequence[str] | None, rows: Sequence[Row]) -> None:
        self._every, self._rows = every, rows
        self._keys = tuple(key["name"] for key in document["keys"]) if by is None else tuple(by)
        self.shown = tuple(_shown(measure) for measure in document["measures"])
        chosen_by = document["window_by"]
        shape = document.get("shape")
        field = _Shape(_Field(shape, chosen_by)) if shape and chosen_by != "time" else None
        spec = _Spec(document["name"], document["help"], _min_n(document["measures"]))
        self.statistic = _Statistic(document["name"], spec, _Windows(document["zone"]), field)

    def presenter(self) -> Presenter:
        """As what a table is written from."""
        return cast("Presenter", self)

    def length(self, query: Query) -> Length:
        return parse_length(self._every)

    def keys(self, query: Query) -> dict[str, SqlType]:
        return dict.fromkeys(self._keys, SqlType.VARCHAR)

    def columns(self, query: Query) -> list[str]:
        return list(self._rows[0]) if self._rows else []

    def rows(self, query: Query) -> Iterator[Row]:
        return iter(self._rows)

    def count(self, query: Query) -> int:
        return len(self._rows)


def _shown(document: Mapping[str, Any]) -> ShownMeasure:
    """A measure, by its formula; one that this program does not know is shown as its columns are."""
    name, columns = document["name"], document["columns"]
    low = next((c["name"] for c in columns if c["type"] == "bool" and _LOW.search(c["help"])), "")
    columns = [c for c in columns if c["name"] != low]
    formats: dict[str, str] = {}
    measure: Measure | None = None
    try:
        measure = measure_from(document["formula"], f"measure {name!r}")
        formats = {name + output.suffix: output.format for output in measure.outputs()}
    except DeclarationError:
        pass
    outputs = tuple(
        Output(
            c["name"].removeprefix(name),
            c["type"],
            c["help"],
            formats.get(c["name"], _FORMATS.get(c["type"], "text")),
        )
        for c in columns
    )
    return ShownMeasure(name, cast("Measure", measure), outputs, tuple(c["name"] for c in columns), low)


def _min_n(measures: Sequence[Mapping[str, Any]]) -> int | None:
    helps = (column["help"] for measure in measures for column in measure["columns"])
    found = next((match for text in helps if (match := _LOW.search(text))), None)
    return int(found[1]) if found else None
