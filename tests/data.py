"""Where the public data is that some tests read, and what happens where it is absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]


def data_path(name: str) -> Path:
    """The path of a public data file or folder; skips the test where it is absent (fails, if nothing may be skipped).

    It is looked for under the folder that ``STREAMGAUGE_DATA`` names, else in ``../shared/data`` of the project.
    """
    base = os.environ.get("STREAMGAUGE_DATA")
    path = (Path(base) if base else _ROOT.parent / "shared" / "data") / name
    if path.exists():
        return path
    reason = f"needs the public data file {name}; set STREAMGAUGE_DATA to the folder that holds it"
    if os.environ.get("STREAMGAUGE_NO_SKIP") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
