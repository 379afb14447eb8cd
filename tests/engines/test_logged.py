"""The engine over the lines of a log: the envelope beside the body, positions with gaps, keys each once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.declare import Declarations
from streamgauge.drilldown import slice_of
from streamgauge.engines.base import Exclusion, GroupResult, Positions, logged_envelope
from streamgauge.engines.duck import DuckEngine, SliceBuffer
from streamgauge.log.base import BlockHeader, LogBlock
from streamgauge.settle import NO_INTS
from tests.running import T, declare

DECLARED = """
[statistic.s]
topic = "call*"
every = "1m"
by = { tag = "body.tags::VARCHAR[]", from_ = "source" }
max_keys = 100
measures = { n = "count()", last = "latest(body.x::BIGINT)", again = "latest(body.body)" }
"""


def results(folder: Path, lines: Sequence[bytes], positions: Positions | None = None) -> list[GroupResult]:
    declared: Declarations = declare(folder, DECLARED)
    data = b"".join(line + b"\n" for line in lines)
    block = LogBlock(BlockHeader(0, 0, "http", "", 0, len(lines), size=len(data)), data, b"")
    slice_, buffer = slice_of(block, SliceBuffer)
    engine = DuckEngine(list(declared.statistics.values()), (), logged_envelope(), 1)
    try:
        facts = engine.decode(0, slice_, False)
        assert (facts.records, len(facts.dead)) == (len(lines), 0)
        exclusion = Exclusion(positions or Positions.at(0), NO_INTS)
        return list(engine.compute(0, exclusion).results)
    finally:
        engine.close()
        buffer.close()


def logged(body: bytes, time: int = T, topic: str = "call", source: str = "a") -> bytes:
    return b'{"time":%d,"topic":"%s","source":"%s","body":%s}' % (time, topic.encode(), source.encode(), body)


def keys_of(result: GroupResult) -> dict[tuple[Any, ...], int]:
    assert result.keys is not None
    distinct = list(zip(*result.keys.columns, strict=True))
    return {distinct[key]: events for key, events in zip(result.keys.of_row, result.events.tolist(), strict=True)}


def test_the_envelope_is_that_of_the_log_whatever_the_body_says(tmp_path: Path) -> None:
    forged = b'{"time":1,"topic":"nothing","source":"b","tags":["x"],"body":{"topic":"other"}}'
    (result,) = results(tmp_path, [logged(forged), logged(b'{"tags":["x"]}', topic="nothing")])
    assert keys_of(result) == {("x", "a"): 1}
    assert result.starts.tolist() == [T // 60_000 * 60_000]


def test_a_key_stands_once_for_all_of_its_rows(tmp_path: Path) -> None:
    lines = [logged(b'{"tags":["x","y","x"]}', T + n * 60_000) for n in range(3)]
    lines += [logged(b'{"tags":[]}'), logged(b"{}"), logged(b'{"tags":["x"]}', source="b")]
    (result,) = results(tmp_path, lines)
    assert result.keys is not None
    distinct = list(zip(*result.keys.columns, strict=True))
    assert sorted(distinct, key=str) == sorted([("x", "a"), ("y", "a"), (None, "a"), ("x", "b")], key=str)
    assert result.keys.count == len(distinct)
    assert len(result.keys.of_row) == len(result.events) == 8


def test_a_result_has_the_positions_of_the_log(tmp_path: Path) -> None:
    lines = [logged(b'{"tags":["t%d"]}' % (n % 2)) for n in range(6)]
    # Three blocks of two events, with dead letters behind the first and the second.
    positions = Positions(np.array([0, 2, 4]), np.array([100, 103, 110]))
    (result,) = results(tmp_path, lines, positions)
    assert sorted(zip(result.first.tolist(), result.last.tolist(), strict=True))[0][0] in (0, 100)
    assert set(result.first.tolist()) == {100, 101}


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=9), st.integers(0, 2**40))
def test_positions_are_those_of_a_plain_loop(shapes: list[tuple[int, int]], begin: int) -> None:
    expected, firsts, shifts, position, ordinal = list[int](), list[int](), list[int](), begin, 0
    for events, dead in shapes:
        firsts.append(ordinal)
        shifts.append(position - ordinal)
        expected += range(position, position + events)
        ordinal, position = ordinal + events, position + events + dead
    positions = Positions(np.array(firsts), np.array(shifts))
    assert positions.of(np.arange(ordinal)).tolist() == expected
    assert [positions.one(n) for n in range(ordinal)] == expected
    assert Positions.at(begin).of(np.arange(3)).tolist() == [begin, begin + 1, begin + 2]
