"""Files that DuckDB reads under one path, and statements that stay planned."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamgauge.engines.duck import worker
from streamgauge.engines.duck.buffer import SamePath, SliceBuffer
from tests.running import declare, dump, made_up, reported, write

TWO = """
[statistic.a]
topic = "*"
every = ["1m"]
by = { k = "body.k" }
[statistic.a.measures]
n = "sum(body.x::BIGINT)"
[statistic.b]
topic = "*"
every = ["1h"]
by = { s = "body.s" }
[statistic.b.measures]
n = "tally(body.k)"
"""


def buffer_of(text: bytes) -> SliceBuffer:
    buffer = SliceBuffer(len(text))
    buffer.view[:] = text
    return buffer


def test_several_files_are_read_under_one_path_one_after_another(tmp_path: Path) -> None:
    files, buffers = SamePath(), [buffer_of(b"one"), buffer_of(b"two, longer")]
    try:
        if not buffers[0].path.startswith("/proc/"):
            pytest.fail("this platform has no memfd, on which the speed of the engine rests")
        paths = [files.of(buffer.path) for buffer in buffers]
        assert paths[0] == paths[1]
        assert Path(paths[1]).read_bytes() == b"two, longer"
        assert Path(files.of(buffers[0].path)).read_bytes() == b"one"
        plain = tmp_path / "slice"
        assert files.of(str(plain)) == str(plain)
    finally:
        before = len(os.listdir("/proc/self/fd"))
        files.close()
        assert len(os.listdir("/proc/self/fd")) == before - 1
        for buffer in buffers:
            buffer.close()


def test_how_many_statements_stay_planned_changes_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, declarations = write(tmp_path / "a.jsonl", made_up(3, 200)), declare(tmp_path, TWO)
    dumps = []
    for most in (500, 1, 2):
        monkeypatch.setattr(worker, "MOST_PREPARED", most)
        store = tmp_path / f"{most}.db"
        with reported([path], declarations, store=store, slice_bytes=2000, block_bytes=300, workers=1) as found:
            dumps.append(dump(found))
    assert dumps[0] == dumps[1] == dumps[2] != ""
