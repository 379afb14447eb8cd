from __future__ import annotations

from pathlib import Path

import pytest

from tests.exactly_once.killing import kill_at_random


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments_under_load(seed: int, tmp_path: Path) -> None:
    assert kill_at_random(tmp_path, kills=30, seed=seed) > 200
