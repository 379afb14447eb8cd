"""Every source is run under the laws of all sources."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from streamgauge.sources import TYPES
from streamgauge.testing.sources import LAWS, Rig
from tests.sources.rigs import HttpRig, ReplayRig, StdinRig, TailRig

RIGS: dict[str, Callable[[Path], Rig]] = {"http": HttpRig, "tail": TailRig, "stdin": StdinRig, "replay": ReplayRig}


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("type_", TYPES)
def test_law(type_: str, law: Callable[[Rig], object], tmp_path: Path) -> None:
    async def tried() -> None:
        rig = RIGS[type_](tmp_path)
        try:
            await law(rig)  # type: ignore[misc]
        finally:
            await rig.close()

    asyncio.run(tried())
