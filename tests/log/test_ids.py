"""Ids are known as long as they must be, whatever becomes of the files that remember them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.log.base import BlockHeader, LogBlock
from streamgauge.log.compose import event_lines
from streamgauge.log.idrun import DamagedRun, Section, open_run, write_run
from streamgauge.log.ids import IdRules, Ids, LogIds, hashes_of, ids_of
from tests.log.taking import HandClock, T

HOUR_S = 3600


def ids(*texts: object, source: str = "http") -> Ids:
    return Ids(source, *hashes_of([str(text).encode() for text in texts]))


class Known:
    """LogIds, with blocks that follow one another."""

    def __init__(self, folder: Path, newer: int = 3, clock: HandClock | None = None) -> None:
        self.clock = clock or HandClock()
        self.ids = LogIds(folder, self.clock, IdRules(newer=newer))
        self.missing = self.ids.open()

    def add(self, *texts: object, source: str = "http") -> list[bool]:
        """Append a block with these ids; which of them are duplicates."""
        given = ids(*texts, source=source)
        [again] = self.ids.duplicates([given])
        self.ids.add(Ids(source, given.low[~again], given.high[~again]))
        self.ids.passed(self.ids.next_block, self.clock.now_ms())
        return [bool(one) for one in again]

    def seal(self) -> None:
        self.ids.seal(self.ids.forgettable())

    def knows(self, *texts: object, source: str = "http") -> list[bool]:
        return [bool(one) for text in texts for [one] in self.ids.duplicates([ids(text, source=source)])]


def test_duplicates_are_those_of_before_and_of_the_same_blocks_by_source(tmp_path: Path) -> None:
    known = Known(tmp_path)
    assert known.add("a", "b", "a") == [False, False, True]
    found = known.ids.duplicates([ids("b", "c"), ids("c", "c", source="tail"), ids("c")])
    assert [mask.tolist() for mask in found] == [[True, False], [False, True], [True]]
    assert known.add("c") == [False]


def test_an_id_in_a_run_is_known_and_one_that_is_not_there_is_not(tmp_path: Path) -> None:
    known = Known(tmp_path)
    known.add(*range(3000))
    known.seal()
    known.add(*range(3000, 3010))
    known.seal()
    assert len(known.ids) == 0
    assert known.ids.duplicates([ids(*range(5000))])[0].tolist() == [True] * 3010 + [False] * 1990
    assert known.knows(0, 2999, 3005, 3010, -1) == [True, True, True, False, False]
    assert known.knows(1, source="tail") == [False]


def test_an_id_is_forgotten_only_after_an_hour_and_with_enough_newer_ones(tmp_path: Path) -> None:
    known = Known(tmp_path, newer=3)
    known.add("old")
    known.seal()
    known.add("b", "c", "d")
    known.clock.move(HOUR_S + 1)
    known.add(*[], source="http")
    known.seal()
    assert known.knows("old") == [True], "three newer ones are not more than three"
    known.add("e")
    known.clock.move(HOUR_S - 1)
    known.add(*[])
    known.seal()
    assert known.knows("old") == [True], "its run is younger than an hour"
    known.clock.move(5)
    known.add(*[])
    known.seal()
    assert known.knows("old", "b", "e") == [False, True, True]
    known.add("f")
    known.clock.move(HOUR_S + 1)
    known.add(*[])
    known.seal()
    assert known.knows("e", "f") == [True, True]


def test_the_ids_of_a_quiet_source_outlive_those_of_a_busy_one(tmp_path: Path) -> None:
    known = Known(tmp_path, newer=3)
    known.add("q", source="quiet")
    known.add(*range(10))
    known.seal()
    for n in range(4):
        known.clock.move(HOUR_S + 1)
        known.add(*range(n * 10 + 10, n * 10 + 20))
        known.seal()
    assert known.knows("q", source="quiet") == [True]
    assert known.knows(0, 49) == [False, True]
    assert len(known.ids.runs) == len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("step_s", [2 * HOUR_S, -2 * HOUR_S])
def test_a_wall_clock_that_is_set_makes_nothing_forgotten(tmp_path: Path, step_s: int) -> None:
    known = Known(tmp_path, newer=0)
    known.add("old")
    known.seal()
    known.clock.wall_ms += step_s * 1000
    known.add("b", "c")
    known.seal()
    known.add("d")
    known.seal()
    assert known.knows("old") == [True]
    known.clock.move(HOUR_S + 1)
    known.add("e")
    known.seal()
    assert known.knows("old") == [False]


def test_a_new_process_knows_what_the_runs_know(tmp_path: Path) -> None:
    known = Known(tmp_path)
    known.add("a", "b")
    known.seal()
    known.add("c")
    again = Known(tmp_path)
    assert again.missing == []
    assert again.ids.next_block == 1
    assert again.knows("a", "b", "c") == [True, True, False]


def test_a_run_that_is_missing_or_damaged_is_asked_for_from_the_log(tmp_path: Path) -> None:
    known = Known(tmp_path)
    for n in range(4):
        known.add(n)
        known.add(n, source="tail")
        known.seal()
    paths = sorted(tmp_path.iterdir())
    paths[1].unlink()
    data = bytearray(paths[2].read_bytes())
    data[len(data) // 2] ^= 1
    paths[2].write_bytes(data)
    again = Known(tmp_path)
    assert again.missing == [(2, 5), (4, 5)]
    assert again.ids.next_block == 8
    assert again.knows(0, 1, 2, 3) == [True, False, False, True]


def test_a_run_that_was_not_finished_is_removed(tmp_path: Path) -> None:
    (tmp_path / "ids-1.unfinished").write_bytes(b"x")
    Known(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_run_is_told(tmp_path: Path) -> None:
    made = write_run(tmp_path, (0, 9), T, {"a": 3}, [Section("a", 3, *ids("x", "y", "z")[1:])], b"note", 5.0)
    assert (made.first, made.last, made.totals, made.note, len(made)) == (0, 9, {"a": 3}, b"note", 3)
    made.path.write_bytes(made.path.read_bytes()[:-1])
    with pytest.raises(DamagedRun):
        open_run(made.path, 5.0)


@given(texts=st.lists(st.text(st.characters(codec="utf-8")), max_size=5), topic=st.text(st.characters(codec="utf-8")))
def test_the_ids_of_a_block_are_found_in_its_lines(texts: list[str], topic: str) -> None:
    named = [None, *texts]
    count = len(named)
    message = b'{"id":"no","x":",\\"id\\":\\"no\\""}'
    lines = event_lines([T] * count, [topic] * count, named, None, "http", [message] * count)
    assert [json.loads(line).get("id") for line in lines.split(b"\n")[:-1]] == named
    found = ids_of(LogBlock(BlockHeader(0, 0, "http", "", 0), lines, b""))
    wanted = hashes_of([text.encode() for text in texts])
    assert np.array_equal(found.low, wanted[0])
    assert np.array_equal(found.high, wanted[1])


def test_a_slow_source_does_not_keep_its_ids_for_ever(tmp_path: Path) -> None:
    known = Known(tmp_path, newer=100)
    for n in range(300):
        known.clock.move(HOUR_S + 1)
        known.add(f"{n}a", f"{n}b")
        known.seal()
    assert known.knows("299a", "250a", "200a", "0b") == [True, True, False, False]
    [run] = known.ids.runs
    assert len(run) < 150
    assert len(run.sections) <= 33
