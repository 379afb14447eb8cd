"""The tail source, running, over real files: its forms, its cursors, and what it says of itself."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from streamgauge.errors import DeclarationError
from streamgauge.log.base import LaneName
from streamgauge.sources import TailOptions, TailSource, read_source
from streamgauge.sources.base import State
from streamgauge.sources.tail_forms import NO_MATCH
from streamgauge.testing.intake import ListIntake
from streamgauge.testing.sources import eventually, running
from tests.sources.rigs import CLOCK
from tests.sources.test_tail_lane import append

PATTERN = r"(?P<ip>\S+) (?P<method>GET|POST) (?P<status>\d+)( (?P<agent>.*))?"


def tailing(path: Path, test: Callable[[TailSource, ListIntake], Awaitable[None]], **options: Any) -> None:
    """Run a test beside a source that follows ``path``."""

    async def run() -> None:
        intake = ListIntake()
        source = TailSource("logs", TailOptions(path=str(path), poll_ms=10, **options), CLOCK)
        async with running(source, intake):
            await test(source, intake)

    asyncio.run(run())


async def has(intake: ListIntake, count: int) -> None:
    await eventually(lambda: len(intake.lines()) >= count, f"{count} events, got {intake.lines()}")


def test_csv_with_a_header_through_a_rotation_and_a_record_of_two_lines(tmp_path: Path) -> None:
    log = tmp_path / "calls.csv"

    async def test(source: TailSource, intake: ListIntake) -> None:
        append(log, b'id,note\n1,good\n2,"two\n')
        await has(intake, 1)
        append(log, b'lines"\n')
        await has(intake, 2)
        os.rename(log, f"{log}.1")
        append(log, b"note;id\nother;3\n")
        await has(intake, 3)
        assert [json.loads(line) for line in intake.lines()] == [
            {"id": "1", "note": "good"},
            {"id": "2", "note": "two\nlines"},
            {"id": "3", "note": "other"},
        ]

    tailing(log, test, format="csv")


def test_csv_goes_on_after_a_restart_with_the_header_of_the_file(tmp_path: Path) -> None:
    log, intake = tmp_path / "calls.csv", ListIntake()
    append(log, b"id,note\n1,a\n")

    async def once(count: int) -> None:
        source = TailSource("logs", TailOptions(path=str(log), format="csv", poll_ms=10), CLOCK)
        async with running(source, intake):
            await has(intake, count)

    asyncio.run(once(1))
    append(log, b"2,b\nbroken\n3,c\n")
    asyncio.run(once(3))
    assert intake.lines() == [b'{"id":"1","note":"a"}', b'{"id":"2","note":"b"}', b'{"id":"3","note":"c"}']
    (refused,) = intake.appended[-1].refused
    assert (refused.line, refused.offset, refused.data) == (4, 16, b"broken")


def test_lines_that_a_pattern_takes_apart(tmp_path: Path) -> None:
    log = tmp_path / "access.log"

    async def test(source: TailSource, intake: ListIntake) -> None:
        append(log, b"10.0.0.1 GET 200 curl/8\n\nnonsense\n10.0.0.2 POST 503\n\xff GET 200\n")
        await has(intake, 2)
        assert [json.loads(line) for line in intake.lines()] == [
            {"ip": "10.0.0.1", "method": "GET", "status": "200", "agent": "curl/8"},
            {"ip": "10.0.0.2", "method": "POST", "status": "503"},
        ]
        refused = [(r.record, r.reason, r.data) for r in intake.appended[0].refused]
        assert refused == [
            (1, "line does not match the pattern", b"nonsense"),
            (3, "not UTF-8", b"\xff GET 200"),
        ]

    tailing(log, test, format="pattern", pattern=PATTERN)


def test_a_file_that_is_created_later_and_a_byte_order_mark(tmp_path: Path) -> None:
    log = tmp_path / "late.log"

    async def test(source: TailSource, intake: ListIntake) -> None:
        await eventually(lambda: source.status().state is State.WAITING, "it waits")
        append(log, b'\xef\xbb\xbf{"a":1}\n')
        await has(intake, 1)
        assert intake.lines() == [b'{"a":1}']

    tailing(log, test)


def test_every_file_of_a_pattern_is_a_lane(tmp_path: Path) -> None:
    async def test(source: TailSource, intake: ListIntake) -> None:
        assert source.status().notes in ((), (f"no file matches {tmp_path / '*.log'}",))
        append(tmp_path / "a.log", b'{"a":1}\n')
        append(tmp_path / "b.log", b'{"b":1}\n')
        append(tmp_path / "c.log.gz", b"no")
        await has(intake, 2)
        assert {str(incoming.lane) for incoming in intake.appended} == {
            f"logs:{tmp_path / 'a.log'}",
            f"logs:{tmp_path / 'b.log'}",
        }

    tailing(tmp_path / "*.log", test)


def test_a_long_backlog_is_read_in_parts_that_say_that_more_is_there(tmp_path: Path) -> None:
    log = tmp_path / "long.log"
    lines = [b'{"number":%d,"padding":"%s"}' % (n, b"x" * 1000) for n in range(5000)]
    append(log, b"\n".join(lines) + b"\n")

    async def test(source: TailSource, intake: ListIntake) -> None:
        await has(intake, 5000)
        assert intake.lines() == lines
        assert all(len(incoming.data) <= 1 << 20 for incoming in intake.appended)
        assert [incoming.behind for incoming in intake.appended] == [True] * (len(intake.appended) - 1) + [False]
        await eventually(lambda: source.status().lag_bytes == 0, "nothing waits")

    tailing(log, test)


def test_a_line_over_the_limit_is_refused_and_the_next_is_not(tmp_path: Path) -> None:
    log = tmp_path / "long.log"
    append(log, b'{"a":1}\n' + b"x" * 3_000_000 + b'\n{"b":1}\n')

    async def test(source: TailSource, intake: ListIntake) -> None:
        await has(intake, 2)
        (refused,) = [line for incoming in intake.appended for line in incoming.refused]
        assert (refused.reason, refused.line, refused.offset, refused.length) == ("line over max_line", 2, 8, 3_000_000)

    tailing(log, test, max_line_bytes=1000)


def test_a_cursor_names_the_file_and_the_place(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    append(log, b'{"a":1}\n{"a":')

    async def test(source: TailSource, intake: ListIntake) -> None:
        await has(intake, 1)
        ((inode, offset, line, *_),) = intake.cursor(LaneName("logs", str(log)))["files"]
        assert (inode, offset, line) == (os.stat(log).st_ino, 8, 2)

    tailing(log, test)


def test_a_folder_in_the_place_of_a_file_is_said_and_passes(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.mkdir()

    async def test(source: TailSource, intake: ListIntake) -> None:
        await eventually(lambda: source.status().state is State.STALLED, "it is stalled")
        assert source.status().last_error == f"{log}: is no regular file"
        log.rmdir()
        append(log, b'{"a":1}\n')
        await has(intake, 1)
        await eventually(lambda: source.status().state is State.RUNNING, "it runs")

    tailing(log, test)


def test_a_header_that_makes_no_sense_stalls_one_file_only(tmp_path: Path) -> None:
    append(tmp_path / "a.csv", b"id,id\n1,2\n")
    append(tmp_path / "b.csv", b"id,note\n1,2\n")

    async def test(source: TailSource, intake: ListIntake) -> None:
        await has(intake, 1)
        await eventually(lambda: "'id' more than once" in source.status().last_error, "the header is said")
        before = intake.submissions
        await asyncio.sleep(0.3)
        assert intake.submissions == before

    tailing(tmp_path / "*.csv", test, format="csv")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"type": "tail"}, "has no 'path'"),
        ({"type": "tail", "path": "x", "formt": "csv"}, "did you mean format?"),
        ({"type": "tail", "path": "x", "format": "cvs"}, "did you mean csv?"),
        ({"type": "tail", "path": "x", "format": "pattern"}, "needs a 'pattern'"),
        ({"type": "tail", "path": "x", "pattern": "(?P<a>.)"}, "needs format 'pattern'"),
        ({"type": "tail", "path": "x", "format": "pattern", "pattern": "("}, "no regular expression"),
        ({"type": "tail", "path": "x", "format": "pattern", "pattern": "(.)"}, "no named group"),
        ({"type": "tail", "path": ""}, "path: is empty"),
        ({"type": "tail", "path": "x", "poll_ms": 0}, "expected"),
    ],
)
def test_mistakes_in_its_settings_are_said(table: dict[str, Any], said: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        read_source("logs", table)
    assert said in str(caught.value)


def test_a_dead_letter_is_read_again_as_the_source_reads_now(tmp_path: Path) -> None:
    pattern = TailSource("log", TailOptions(path="x", format="pattern", pattern=r"(?P<n>\d+)"), CLOCK)
    number, none, made = (pattern.again(b"n is 12", NO_MATCH), pattern.again(b"no", NO_MATCH), b'{"n":"12"}')
    assert number is not None
    assert number.data == made + b"\n"
    assert none is not None
    assert none.refused[0].reason == NO_MATCH
    assert pattern.again(made, "no time") == number
    table = TailSource("log", TailOptions(path="x", format="csv"), CLOCK)
    assert table.again(b'a,"b', "broken quotes") is None
    assert table.again(made, "no time") == number
