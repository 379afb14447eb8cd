"""Pages: all of them together are the answer without pages, whatever their size and whatever is asked."""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.serve import pages
from tests.serve.serving import HOUR, Client, T

QUERIES: dict[str, dict[str, Any]] = {
    "plain": {"every": "6m"},
    "chosen": {"every": "6m", "key.carrier__prefix": "carrier-0", "key.carrier__null": "true"},
    "filtered": {"every": "6m", "asr__ge": "0.5"},
    "none": {"every": "6m", "attempts__gt": "1000"},
    "rolled up": {"every": "6m", "rollup": ""},
    "rolling": {"every": "6m", "rolling": "1h"},
    "gaps": {"every": "6m", "gaps": "true"},
    "ranged": {"every": "6m", "start": T + HOUR, "stop": T + 2 * HOUR},
    "both": {"every": "6m", "rolling": "30m", "rollup": "", "attempts__lt": "40"},
}


@pytest.mark.parametrize("order", ["asc", "desc", "-asr", "attempts"])
@pytest.mark.parametrize("name", QUERIES)
def test_all_pages_together_are_the_whole(client: Client, name: str, order: str) -> None:
    query = {**QUERIES[name], "order": order}
    whole = client.cells("quality", limit="max", **query)
    found = client.pages("/v1/statistics/quality/cells", limit=37, **query)
    assert list(chain.from_iterable(page["cells"] for page in found)) == whole
    assert len(found) <= math.ceil(len(whole) / 37) + 1
    assert all(page["rows"] == len(page["cells"]) for page in found)


@settings(max_examples=25)
@given(
    name=st.sampled_from(sorted(QUERIES)),
    order=st.sampled_from(["asc", "desc", "-pdd_p50", "carrier"]),
    limit=st.integers(1, 1000),
    by=st.sampled_from([None, "", "carrier"]),
)
def test_a_page_begins_where_the_one_before_ended(
    client: Client, name: str, order: str, limit: int, by: str | None
) -> None:
    query = {**QUERIES[name], "order": order} | ({} if by is None else {"rollup": by})
    if query.get("rollup") == "" and order == "carrier":
        query["order"] = "asc"
    whole = client.cells("quality", limit="max", **query)
    first = client.json("/v1/statistics/quality/cells", limit=limit, **query)
    assert first["cells"] == whole[:limit]
    assert (first["next"] is None) == (len(whole) <= limit)
    if first["next"] is not None:
        second = client.http.get(first["next"]).json()
        assert second["cells"] == whole[limit : 2 * limit]


def test_keys_and_latest_have_pages(client: Client) -> None:
    for what, rows in (("keys", "keys"), ("latest", "cells")):
        found = client.pages(f"/v1/statistics/quality/{what}", limit=3)
        keys = [row["carrier"] for page in found for row in page[rows]]
        assert len(keys) == len(set(keys)) == 8
        assert [len(page[rows]) for page in found] == [3, 3, 2]


def test_a_scan_that_finds_little_ends_and_goes_on(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = client.cells("quality", every="6m", limit="max", asr__eq="1")
    monkeypatch.setattr(pages, "MOST_SCANNED", 50)
    monkeypatch.setattr("streamgauge.serve.pieces.SIZE", 20)
    found = client.pages("/v1/statistics/quality/cells", every="6m", limit=1000, asr__eq="1")
    assert len(found) > 3
    assert list(chain.from_iterable(page["cells"] for page in found)) == whole


def test_too_many_rows_to_be_put_in_order_are_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_SCANNED", 50)
    found = client.problem("/v1/statistics/quality/cells", every="6m", order="asr")
    assert (found["status"], found["parameter"]) == (413, "order")


def test_too_many_cells_to_be_put_together_are_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamgauge.serve.pieces.MOST_AT_ONCE", 50)
    assert client.problem("/v1/statistics/quality/cells", every="6m", rolling="1h")["status"] == 413
    monkeypatch.setattr("streamgauge.serve.pieces.MOST_KEYS", 3)
    assert client.problem("/v1/statistics/quality/cells", every="6m", gaps="true")["parameter"] == "gaps"
