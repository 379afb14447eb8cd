"""A store alone: what can be said of it, and to whom."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from streamgauge.scope import Scope
from streamgauge.serve.base import Condition, Health, Part
from streamgauge.serve.station import covered
from streamgauge.store.base import ALL_LETTERS
from tests.serve.serving import Client, made, opened, served

LANES = st.lists(
    st.lists(st.integers(0, 30), max_size=6, unique=True).map(
        lambda xs: [(a, b) for a, b in zip(sorted(xs)[::2], sorted(xs)[1::2], strict=False)]
    ),
    max_size=4,
)


@given(lanes=LANES, time=st.integers(0, 30))
def test_covered_when_one_lane_was_and_none_had_a_hole(lanes: list[list[tuple[int, int]]], time: int) -> None:
    found = covered(lanes)
    some = any(a <= time < b for lane in lanes for a, b in lane)
    hole = any(a[1] <= time < b[0] for lane in lanes for a, b in pairwise(lane))
    assert any(a <= time < b for a, b in found) == (some and not hole)
    assert found == sorted(found)


def test_a_reader_of_some_owners_sees_nothing_that_nobody_owns(tmp_path: Path) -> None:
    with opened(*made(tmp_path)) as station, station.readings.within(10) as reads:
        some = Scope(frozenset({"north"}))
        assert len(station.dead_letters(reads, Scope.all, ALL_LETTERS, -1, 9)) == 2
        assert station.dead_letters(reads, some, ALL_LETTERS, -1, 9) == []
        assert station.sources(reads, some) == []
        (letter, _) = station.dead_letters(reads, Scope.all, ALL_LETTERS, -1, 9)
        assert station.dead_letter(reads, some, letter.position) is None
        assert station.dead_letter(reads, Scope.all, letter.position) == letter


def test_a_store_of_a_reader_that_never_read_is_empty_and_not_wrong(tmp_path: Path) -> None:
    with opened(*made(tmp_path)) as station:
        station._reader = "live"
        with served(station) as url, Client(url) as client:
            found = client.json("/v1/statistics/volume/cells")
            assert (found["watermark"], found["final"], found["duplicates"]) == (None, False, 0)
            assert client.json("/v1/sources") == {"sources": []}


def test_the_watermark_of_a_store_that_goes_on(tmp_path: Path) -> None:
    with (
        opened(*made(tmp_path, finish=False, lateness="10m")) as station,
        served(station) as url,
        Client(url) as client,
    ):
        found = client.json("/v1/statistics/volume/cells", every="1h", order="desc", limit=2)
        assert found["watermark"].startswith("2023-11-15T03:4")
        assert [row["state"] for row in found["cells"]] == ["provisional", "final"]
        (source,) = client.json("/v1/sources")["sources"]
        assert source["last_event"].startswith("2023-11-15T03:5")


def test_the_worst_part_is_the_condition() -> None:
    parts = [Part("a", Condition.OK), Part("b", Condition.FAILING), Part("c", Condition.DEGRADED)]
    assert Health(parts).condition is Condition.FAILING
    assert Health([]).condition is Condition.OK
