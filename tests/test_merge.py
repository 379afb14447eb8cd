"""From results to cells: keys bounded by first position, whatever the slices; rows that expired are dropped whole."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamgauge.aggregates.base import Op
from streamgauge.merge import _taken
from streamgauge.partial import SubRows
from tests.running import MINUTE, T, declare, dump, line, reported, tables, write

BOUNDED = """
[statistic.s]
topic = "*"
every = ["1m", "1h"]
max_keys = 3
totals = true
by = { k = "body.k", j = "body.j" }
[statistic.s.measures]
n = "count()"
words = "tally(body.w, 2)"
"""


def admitted(events: list[dict[str, Any]], length: int) -> dict[tuple[int, str], tuple[int, dict[str, int]]]:
    """Cells by window and key text, said plainly: the first three keys of a window, ``other`` and ``all``."""
    keys: dict[int, list[str]] = {}
    counts: Counter[tuple[int, str]] = Counter()
    words: dict[tuple[int, str], dict[str, int]] = {}
    for event in events:
        start = event["time"] // length * length
        key = json.dumps([event["k"], event["j"]], separators=(",", ":"))
        known = keys.setdefault(start, [])
        if key not in known and len(known) < 3:
            known.append(key)
        for name in (key if key in known else '"other"', '"all"'):
            counts[start, name] += 1
            tally = words.setdefault((start, name), {})
            word = event["w"] if event["w"] in tally or len(tally) - ("" in tally) < 2 else ""
            tally[word] = tally.get(word, 0) + 1
    return {place: (n, words[place]) for place, n in counts.items()}


@pytest.mark.parametrize("schedule", [{}, {"slice_bytes": 500, "commit_bytes": 1, "cache_cells": 1, "workers": 3}])
@pytest.mark.parametrize("seed", range(3))
def test_the_first_keys_of_a_window_are_admitted_and_the_rest_are_other(
    tmp_path: Path, seed: int, schedule: dict[str, Any]
) -> None:
    r = random.Random(seed)
    events = [
        {
            "time": T + r.randrange(5 * MINUTE),
            "k": f"k{r.randrange(4)}",
            "j": r.choice([None, "x"]),
            "w": f"w{r.randrange(4)}",
        }
        for _ in range(200)
    ]
    path = write(tmp_path / "a.jsonl", [line(**e) for e in events])
    options: Any = {"block_bytes": 300, "store": tmp_path / "s.db", "finish": True, **schedule}
    with reported([path], declare(tmp_path, BOUNDED), **options) as found:
        rows = [json.loads(row)["cell"] for row in tables(dump(found), "cell")]
    for every, length in (("1m", MINUTE), ("1h", 60 * MINUTE)):
        ours = {}
        for row in rows:
            if row["every"] == every:
                (names, counts, other) = row["states"][1]
                words = {**dict(zip(names, counts, strict=True)), **({"": other} if other else {})}
                ours[row["start"], row["text"]] = (row["events"], words)
        assert ours == admitted(events, length)


def test_rows_are_taken_from_every_form_of_column() -> None:
    mask = np.array([True, False, True])
    numbers = np.array([1, 2, 3])
    assert _taken(numbers, mask, Op.SUM).tolist() == [1, 3]
    assert _taken([10**30, 2, 3], mask, Op.SUM) == [10**30, 3]
    values, valid = _taken((numbers, np.array([False, True, True])), mask, Op.MIN)
    assert (values.tolist(), valid.tolist()) == ([1, 3], [False, True])
    assert _taken([(1, 2, "a"), None, (3, 4, "b")], mask, Op.ARG_MAX) == [(1, 2, "a"), (3, 4, "b")]
    for sub_key in (["a", "b", "c", "d"], np.array([7, 8, 9, 6])):
        rows = SubRows(np.array([0, 1, 2, 2]), sub_key, np.array([1, 2, 3, 4]), np.array([5, 6, 7, 8]))
        taken = _taken(rows, mask, Op.COUNT_BY)
        assert taken.row.tolist() == [0, 1, 1]
        assert list(taken.sub_key) == [sub_key[0], sub_key[2], sub_key[3]]
        assert (taken.count.tolist(), taken.position.tolist()) == ([1, 3, 4], [5, 7, 8])
