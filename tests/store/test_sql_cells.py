"""The cells of test_cells, in a server: merged, evicted, read back and started again, they are the oracle's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers.postgres import Postgres
from tests.store.test_cells import CUTS, EVENTS, Event, one, oracle, run


@settings(max_examples=12)
@given(EVENTS, CUTS, st.integers(0, 4), st.sampled_from([0, 3, 500]), st.booleans())
def test_any_slices_commits_evictions_and_restarts_give_the_oracles_cells(
    postgres: Postgres, events: list[Event], cuts: list[tuple[int, str]], max_keys: int, limit: int, totals: bool
) -> None:
    cuts = sorted((min(at, len(events)), what) for at, what in cuts)
    with postgres.database() as url:
        rows, dump = run(url, events, cuts, max_keys, limit, totals)  # type: ignore[arg-type]
    _, plain = run(None, events, [], max_keys, totals=totals)
    assert rows == oracle(events, max_keys, totals)
    assert dump == plain


@pytest.mark.parametrize("max_keys", [0, 20])
def test_windows_let_go_in_part_and_keys_forgotten_are_read_back(store_url: str, max_keys: int) -> None:
    random = np.random.default_rng(7)
    starts, keys = random.integers(0, 6, 800), random.integers(0, 60, 800)
    events = [one(start, f"key-{key}", key) for start, key in zip(starts.tolist(), keys.tolist(), strict=True)]
    cuts = [(at, "commit") for at in range(20, 800, 20)]
    rows, _ = run(store_url, events, cuts, max_keys, 60)  # type: ignore[arg-type]
    assert rows == oracle(events, max_keys, totals=False)
