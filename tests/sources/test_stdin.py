"""Events from a pipe."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from streamgauge.errors import InputError
from streamgauge.sources import StdinOptions, StdinSource
from streamgauge.sources.base import State
from streamgauge.testing.intake import ListIntake
from tests.sources.rigs import CLOCK


def read(descriptor: int, **options: int) -> tuple[StdinSource, ListIntake]:
    source, intake = StdinSource("stdin", StdinOptions(**options), CLOCK, descriptor), ListIntake()
    asyncio.run(source.run(intake))
    return source, intake


def test_a_pipe_is_read_to_its_end_which_ends_the_lane() -> None:
    reads, writes = os.pipe()
    os.write(writes, b'{"a":1}\n\n{"a":2}\r\n{"a":3}')
    os.close(writes)
    source, intake = read(reads)
    os.close(reads)
    assert intake.lines() == [b'{"a":1}', b'{"a":2}', b'{"a":3}']
    assert [incoming.last for incoming in intake.appended] == [False, True]
    assert all(incoming.cursor is None for incoming in intake.appended)
    assert source.status().state is State.STOPPED


def test_a_file_as_standard_input(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b'{"a":1}\n' * 200_000)
    descriptor = os.open(tmp_path / "in", os.O_RDONLY)
    _, intake = read(descriptor)
    os.close(descriptor)
    assert len(intake.lines()) == 200_000
    assert intake.appended[-1].last


def test_nothing_at_all_is_an_end_too() -> None:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    _, intake = read(descriptor)
    os.close(descriptor)
    assert [(incoming.data, incoming.last) for incoming in intake.appended] == [(b"", True)]


def test_a_line_that_is_too_long_is_refused_though_it_comes_in_parts() -> None:
    reads, writes = os.pipe()
    os.write(writes, b'{"a":1}\n' + b"x" * 5000)
    os.write(writes, b"x" * 5000 + b'\n{"a":2}\n')
    os.close(writes)
    _, intake = read(reads, max_line_bytes=100)
    os.close(reads)
    assert intake.lines() == [b'{"a":1}', b'{"a":2}']
    assert [line.length for incoming in intake.appended for line in incoming.refused] == [10_000]


def test_a_closed_standard_input_is_the_operators_to_mend() -> None:
    never_opened = 1_000_000
    with pytest.raises(InputError, match="standard input: cannot be read: Bad file descriptor"):
        read(never_opened)
