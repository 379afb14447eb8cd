"""The OpenAPI document: every route and parameter in it, with an example that is true."""

from __future__ import annotations

from typing import Any

import pytest

from streamgauge.serve.documented import EXAMPLES
from streamgauge.serve.problems import KINDS
from streamgauge.serve.routes import PATHS
from tests.serve.serving import Client

REAL = {
    "statistics": "/v1/statistics",
    "statistic": "/v1/statistics/quality",
    "cells": "/v1/statistics/quality/cells?every=1h",
    "latest": "/v1/statistics/quality/latest?every=1h",
    "keys": "/v1/statistics/quality/keys",
    "dead_letters": "/v1/dead-letters",
    "sources": "/v1/sources",
    "healthz": "/healthz",
    "readyz": "/readyz",
}


@pytest.fixture(scope="module")
def document(client: Client) -> dict[str, Any]:
    return client.json("/openapi.json")


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {path: operation for path, item in document["paths"].items() for operation in item.values()}


def test_every_path_is_there(document: dict[str, Any]) -> None:
    listed = {p.replace("NAME", "{name}").replace("POSITION", "{position}") for p in PATHS}
    found = {path for path in document["paths"] if not path.endswith(".{suffix}")}
    assert found == listed - {"/openapi.json", "/v1/events"}


def test_every_parameter_and_answer_has_an_example(document: dict[str, Any]) -> None:
    for path, operation in operations(document).items():
        for parameter in operation["parameters"]:
            assert "example" in parameter or parameter["schema"].get("examples"), (path, parameter["name"])
            assert parameter["description"]
        for status, answer in operation["responses"].items():
            assert answer["description"], (path, status)
            if status not in ("304", "422"):
                assert any("example" in kind for kind in answer["content"].values()), (path, status)


def test_names_in_the_path_are_not_also_in_the_query(document: dict[str, Any]) -> None:
    for path, operation in operations(document).items():
        names = [(p["in"], p["name"]) for p in operation["parameters"]]
        assert len(names) == len(set(names)), path


def test_no_answer_is_promised_that_is_never_given(document: dict[str, Any]) -> None:
    assert all("422" not in operation["responses"] for operation in operations(document).values())


@pytest.mark.parametrize("name", REAL)
def test_an_example_has_the_members_of_a_real_answer(client: Client, name: str) -> None:
    def same(example: Any, real: Any, path: str) -> None:
        if isinstance(example, dict) and isinstance(real, dict) and not path.endswith((".dead_letters", ".cells[]")):
            names = {n for n in example if n not in ("shape", "text", "base64", "carrier")}
            assert names == {n for n in real if n not in ("topic", "text", "base64", "carrier")}, path
            for member in names:
                same(example[member], real[member], f"{path}.{member}")
        if isinstance(example, list) and isinstance(real, list) and example and real:
            same(example[0], real[0], path + "[]")

    same(EXAMPLES[name], client.json(REAL[name]), name)


def test_one_dead_letter_has_the_members_that_it_has_in_the_list(client: Client) -> None:
    letter = client.json("/v1/dead-letters")["dead_letters"][0]
    assert client.json(f"/v1/dead-letters/{letter['position']}") == letter
    assert set(EXAMPLES["dead_letter"]) == set(letter)


def test_a_page_of_cells_shows_columns_that_there_are(client: Client) -> None:
    real = client.cells("quality", limit=1)[0]
    assert set(EXAMPLES["cells"]["cells"][0]) <= set(real)


def test_kinds_of_problems_are_names() -> None:
    assert all(kind == kind.lower() and " " not in kind for kind in KINDS)


def test_nothing_is_fetched_from_the_network(client: Client) -> None:
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404
