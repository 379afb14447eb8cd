"""Which answers are known, and for how long."""

from __future__ import annotations

from pathlib import Path

from streamgauge.log.answers import Answers, said_of
from streamgauge.log.base import BlockHeader, LogBlock, Receipt, Refusal
from streamgauge.log.recall import Recall
from tests.log.taking import HandClock, Log, T, bodies

DAY = 86_400_000
FIRST = Receipt(3, 1, 1, 7, 2, 1, (Refusal(2, "not JSON", "why"),), again=True)


def header(number: int, at_ms: int, *keys: str) -> BlockHeader:
    return BlockHeader(number, 0, "http", "", 7, received_ms=at_ms, answers={key: said_of(FIRST) for key in keys})


def test_an_answer_comes_back_as_it_was_given_but_for_being_one_of_before() -> None:
    answers = Answers()
    answers.add(header(2, T, "k"))
    assert answers.get(("http", "k"), T) == FIRST
    assert answers.get(("tail", "k"), T) is None


def test_an_answer_is_known_for_a_day() -> None:
    answers = Answers()
    answers.add(header(2, T, "k"))
    assert answers.get(("http", "k"), T + DAY) is not None
    assert answers.get(("http", "k"), T + DAY + 1) is None
    answers.add(header(3, T + DAY + 1, "l"))
    assert len(answers) == 1


def test_only_so_many_answers_are_known() -> None:
    answers = Answers(most=2)
    answers.add(header(2, T, "a", "b", "c"))
    assert [answers.get(("http", key), T) is not None for key in "abc"] == [False, True, True]


def test_answers_outlive_the_run_that_remembers_them(tmp_path: Path) -> None:
    clock = HandClock()
    recalling = {"run_ids": 4, "run_bytes": 1 << 30}
    with Log(tmp_path, clock, recall=recalling) as log:
        first = log.take(*bodies(["a", "b"]), key="first")
        for n in range(5):
            log.take(*bodies(range(n * 10, n * 10 + 5)), key=f"k{n}")
            clock.move(2 * 3600)
        log.restart()
        assert log.take(*bodies(["c"]), key="first").position == first.position
        assert [log.take(key=f"k{n}").again for n in range(5)] == [True] * 5
        assert len(log.recall.ids.runs) == 1
        clock.move(15 * 3600)
        assert not log.take(*bodies(["c"]), key="first").again


def test_a_run_that_cannot_be_written_loses_nothing(tmp_path: Path) -> None:
    with Log(tmp_path, recall={"run_ids": 4, "run_bytes": 1}) as log:
        folder = tmp_path / "recall"
        log.take(*bodies([1]))
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        assert log.take(*bodies([2, 1]), key="k").duplicates == 1
        assert log.take(*bodies([2, 1, 3])).duplicates == 2
        log.restart()
        assert log.take(*bodies([1, 2, 3, 4])).duplicates == 3
        assert log.take(key="k").again


def test_the_log_tells_what_no_run_does(tmp_path: Path) -> None:
    recall = Recall(tmp_path, HandClock())
    block = LogBlock(header(0, T, "k"), b'{"time":1,"topic":"","id":"a","source":"http","body":{}}\n', b"")
    recall.restore(1, lambda first: [block, "damage"] if first == 0 else [])
    assert recall.answers.get(("http", "k"), T) is not None
    assert len(recall.ids) == 1
    assert recall.ids.next_block == 1
