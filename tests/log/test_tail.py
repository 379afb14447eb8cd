"""A file that only grows: what was written and not made durable never counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamgauge.log.tail import STEPS, Tail
from streamgauge.step import no_step


def test_a_file_has_its_name_only_when_it_is_durable(tmp_path: Path) -> None:
    seen: list[tuple[str, list[str]]] = []
    tail = Tail.create(tmp_path / "a", b"one\n", lambda name: seen.append((name, os.listdir(tmp_path))))
    assert [name for name, _ in seen] == list(STEPS)
    assert [files for _, files in seen] == [["a.new"]] * 3 + [["a"]] * 2
    assert ((tmp_path / "a").read_bytes(), tail.size) == (b"one\n", 4)
    tail.close()
    tail.close()


def test_what_stands_behind_the_size_is_cut_when_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one\ntw")
    tail = Tail.open(tmp_path / "a", 4)
    tail.append(b"two\n")
    tail.close()
    assert (tmp_path / "a").read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize(("at", "doubtful"), [("before_log_write", False), ("before_log_fsync", True)])
def test_after_a_failed_append_it_is_mended(tmp_path: Path, at: str, doubtful: bool) -> None:
    failing = [False]

    def step(name: str) -> None:
        if name == at and failing[0]:
            raise OSError(5, "broken")

    tail = Tail.create(tmp_path / "a", b"one\n", step)
    failing[0] = True
    with pytest.raises(OSError, match="broken"):
        tail.append(b"longer than the next\n")
    failing[0] = False
    tail.mend()
    assert ((tmp_path / "a").read_bytes(), tail.size, tail.doubtful) == (b"one\n", 4, doubtful)
    tail.append(b"two\n")
    assert (tmp_path / "a").read_bytes() == b"one\ntwo\n"
    tail.close()


def test_a_file_that_cannot_be_made_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Tail.create(tmp_path / "none" / "a", b"x", no_step)
    with pytest.raises(FileNotFoundError):
        Tail.open(tmp_path / "a", 0)
