"""Cells that are no longer kept: gone in the commit that says so, the same ones wherever commits fall."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.store import open_store
from streamgauge.store.base import CellChange, Commit, Expire, Store, Version, key_id, key_text
from tests.store.making import CALLS, change, dumped, full_commit, raw

LEGS = Version("legs", "beef")


def starts(store: Store, every: str = "6m", version: str = CALLS.hash) -> list[int]:
    return [row.start for batch in store.cells(version, every) for row in batch]


def windows(*values: int, every: str = "6m", version: Version = CALLS) -> CellChange:
    return CellChange(version.hash, every, [[raw(value, "[]") for value in values]])


def keyed(position: int, *changes: CellChange, expire: Expire | None = None) -> Commit:
    texts = [(key_id("[]"), "[]")] if position == 1 else []
    expired = () if expire is None else (expire,)
    return Commit("live", position, versions=[CALLS, LEGS], cells=changes, keys=texts, expire=expired)


def test_windows_before_the_time_go_and_the_one_that_starts_there_stays(store_url: str) -> None:
    with open_store(store_url) as store:
        store.commit(keyed(1, windows(-10, 0, 9, 10, 11)))
        store.commit(keyed(2, expire=Expire(CALLS.hash, "6m", 10)))
        assert starts(store) == [10, 11]
        assert store.last_start(CALLS.hash, "6m") == 11


def test_only_the_length_and_version_named_lose_cells(store_url: str) -> None:
    with open_store(store_url) as store:
        store.commit(keyed(1, windows(0), windows(0, every="1h"), windows(0, version=LEGS)))
        store.commit(keyed(2, expire=Expire(CALLS.hash, "6m", 10)))
        assert starts(store) == []
        assert starts(store, "1h") == [0]
        assert starts(store, version=LEGS.hash) == [0]


def test_a_cell_written_in_the_commit_that_expires_it_is_gone_too(store_url: str) -> None:
    with open_store(store_url) as store:
        store.commit(keyed(1, windows(0, 20), expire=Expire(CALLS.hash, "6m", 10)))
        assert starts(store) == [20]


def test_what_a_failed_commit_would_have_expired_is_still_there(store_url: str) -> None:
    with open_store(store_url) as store:
        store.commit(keyed(1, windows(0)))
        torn = keyed(2, expire=Expire(CALLS.hash, "6m", 10))
        torn.lanes = [None]  # type: ignore[list-item]
        with pytest.raises(AttributeError):
            store.commit(torn)
        assert starts(store) == [0]


def test_a_version_that_nobody_knows_expires_nothing(store_url: str) -> None:
    with open_store(store_url) as store:
        store.commit(keyed(1, windows(0), expire=Expire("unknown", "6m", 10)))
        assert starts(store) == [0]


CELLS = st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc")), max_size=30)


@settings(max_examples=25)
@given(CELLS, st.lists(st.integers(0, 30), max_size=5), st.integers(0, 12))
def test_the_dump_depends_on_the_cells_and_the_last_time_alone(
    cells: list[tuple[int, str]], cuts: list[int], keep: int
) -> None:
    """A stream of cells by time, each dropped before it is written where it is no longer kept, as the merger does."""
    cells = sorted(cells)
    dumps = []
    for ends in ([len(cells)], [*sorted(min(cut, len(cells)) for cut in cuts), len(cells)]):
        done = 0
        with open_store() as store:
            for end in ends:
                newest = cells[end - 1][0] if end else 0
                rows = {(start, key_text([key])): raw(start, key_text([key])) for start, key in cells[done:end]}
                texts = sorted({text for _, text in rows})
                commit = Commit("live", 9, versions=[CALLS], cells=[change(*rows.values())])
                commit.keys = [(key_id(text), text) for text in texts]
                commit.expire = [Expire(CALLS.hash, "6m", newest - keep)]
                store.commit(commit)
                done = end
            dumps.append(dumped(store))
    assert dumps[0] == dumps[1]


def test_texts_of_keys_without_cells_go_later_and_the_dump_never_had_them(store_url: str) -> None:
    with open_store(store_url) as store:
        store.commit(full_commit())
        store.commit(keyed(1, windows(50)))
        store.commit(keyed(2, expire=Expire(CALLS.hash, "6m", 10)))
        before = dumped(store)
        assert "xxx" not in before
        spared = {key_id(key_text(["all"]))}
        deleted = [store.forget_keys(spared, limit=limit) for limit in (3, 100, 100)]
        assert deleted == [3, 5, 0]  # of nine: one is spared
        assert dumped(store) == before
        assert starts(store) == [50]
        assert store.forget_keys() == 1
