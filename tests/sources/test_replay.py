"""Recorded events, played again."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from streamgauge.errors import DeclarationError, InputError
from streamgauge.sources import ReplayOptions, ReplaySource, read_source
from streamgauge.sources.base import State
from streamgauge.testing.intake import ListIntake
from streamgauge.testing.sources import messages
from tests.sources.rigs import CLOCK


def play(path: Path, intake: ListIntake | None = None, **options: Any) -> ListIntake:
    """What a log has when a file was played to its end."""
    there = intake or ListIntake()
    asyncio.run(ReplaySource("again", ReplayOptions(path=str(path), **options), CLOCK).run(there))
    return there


def test_as_fast_as_can_be_every_byte_is_the_same(tmp_path: Path) -> None:
    lines = messages(20_000)
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n\n")
    intake = play(tmp_path / "a.jsonl", speed="max")
    assert intake.lines() == lines
    assert [i.behind for i in intake.appended] == [True] * (len(intake.appended) - 1) + [False]
    assert intake.appended[-1].last


@pytest.mark.parametrize(
    ("name", "content", "bodies"),
    [
        ("a.jsonl.gz", gzip.compress(b'{"time":1}\n{"time":2}\n', mtime=0), [{"time": 1}, {"time": 2}]),
        ("a.json", b'[{"time": 1},\n {"time":\n2}]', [{"time": 1}, {"time": 2}]),
        ("a.csv", b"time,x\n1,a\n2,\n", [{"time": "1", "x": "a"}, {"time": "2"}]),
    ],
)
def test_every_form_that_a_report_reads(tmp_path: Path, name: str, content: bytes, bodies: list[Any]) -> None:
    (tmp_path / name).write_bytes(content)
    for speed in ("max", "1000x"):
        assert [json.loads(line) for line in play(tmp_path / name, speed=speed).lines()] == bodies


def test_its_own_pace(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"time":1500000000.0}\n{"time":1500000000.3}\n{"time":1500000000.1}\n')
    started = time.monotonic()
    intake = play(tmp_path / "a.jsonl")
    assert 0.28 < time.monotonic() - started < 1.5
    assert [incoming.data.count(b"\n") for incoming in intake.appended] == [1, 2, 0]
    assert not any(incoming.behind for incoming in intake.appended)


def test_shifted_times_are_the_moments_at_which_events_are_played(tmp_path: Path) -> None:
    body = b'{"id": "a", "start":{"t":1500000000000}, "price": 1.50}\n{"id":"b","start":{"t":1500000060000}}\n'
    (tmp_path / "a.jsonl").write_bytes(body)
    before = CLOCK.now_ms()
    intake = play(tmp_path / "a.jsonl", speed="600x", times="shifted", time="body.start.t::BIGINT")
    first, second = (json.loads(line)["start"]["t"] for line in intake.lines())
    assert before <= first <= CLOCK.now_ms()
    assert second - first == 100
    # All else stays as it was written.
    assert intake.lines()[0] == b'{"id": "a", "start":{"t":%d}, "price": 1.50}' % first


@pytest.mark.parametrize(
    ("old", "form"),
    [
        (b'"2018-04-08T17:20:00Z"', r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
        (b'"1523208000"', r"\d{10}(\.\d{3})?"),
        (b"1523208000123456", r"\d{16}"),
    ],
)
def test_a_shifted_time_is_written_as_the_old_one_was(tmp_path: Path, old: bytes, form: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"timestamp":%s}\n' % old)
    (line,) = play(tmp_path / "a.jsonl", times="shifted").lines()
    value = json.loads(line)["timestamp"]
    assert isinstance(value, str) == old.startswith(b'"')
    assert re.fullmatch(form, str(value))


def test_events_without_a_time_and_malformed_ones_are_played_with_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"a":1}\nnonsense\n{"time":1500000000000}\n{"time":"soon"}\n')
    intake = play(tmp_path / "a.jsonl", times="shifted")
    assert intake.appended[0].data.count(b"\n") == 4
    assert len(intake.lines()) == 3


def test_the_next_run_goes_on_behind_the_records_played(tmp_path: Path) -> None:
    lines = messages(3000)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")

    async def some() -> ListIntake:
        intake = ListIntake()
        source = ReplaySource("again", ReplayOptions(path=str(path), speed="1x"), CLOCK)
        task = asyncio.ensure_future(source.run(intake))
        await asyncio.sleep(0.5)
        await source.stop()
        await task
        return intake

    intake = asyncio.run(some())
    assert 0 < len(intake.lines()) < 3000
    assert intake.cursor(intake.appended[-1].lane)["records"] == len(intake.lines())
    play(path, intake, speed="max")
    assert intake.lines() == lines
    play(path, intake, speed="max")
    assert len(intake.lines()) == 3000


def test_another_file_of_that_name_is_played_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"time":1}\n{"time":2}\n')
    intake = play(path, speed="max")
    path.write_bytes(b'{"time":3}\n')
    play(path, intake, speed="max")
    assert [json.loads(line)["time"] for line in intake.lines()] == [1, 2, 3]


def test_a_file_that_is_not_there_is_the_operators_to_mend(tmp_path: Path) -> None:
    source = ReplaySource("again", ReplayOptions(path=str(tmp_path / "none")), CLOCK)
    with pytest.raises(InputError, match="no such file"):
        asyncio.run(source.run(ListIntake()))
    assert source.status().state is State.FAILED


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "has no 'path'"),
        ({"path": "x", "speed": "fast"}, "write 1x, 60x or max"),
        ({"path": "x", "speed": "0x"}, "is no speed"),
        ({"path": "x", "speed": "max", "times": "shifted"}, "no moments to shift times to"),
        ({"path": "x", "time": "upper(body.a)"}, "is no path"),
        ({"path": "x", "times": "shiftd"}, "did you mean shifted?"),
    ],
)
def test_mistakes_in_its_settings_are_said(table: dict[str, Any], said: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        read_source("again", {"type": "replay", **table})
    assert said in str(caught.value)
