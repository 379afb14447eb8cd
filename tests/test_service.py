"""The program as a whole, in this process: its parts start in order, stop in order, and leave nothing behind."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from streamgauge.clock import SystemClock
from streamgauge.declare import Declarations
from streamgauge.errors import StoreError, StreamgaugeError, UsageError
from streamgauge.live import READER
from streamgauge.log.lock import FolderLock
from streamgauge.serve.base import Condition, ServeSettings
from streamgauge.service import Program, RunSettings, settings_of
from streamgauge.sources import TailOptions
from streamgauge.store import open_store
from tests.running import T, declare, line

DECLARED = """
[statistic.s]
topic = "*"
every = "1m"
by = { k = "body.k" }
measures = { n = "count()" }
"""

OWN = ("pipeline", "log-writer", "housekeeping", "decode")
"""Names, or their starts, of the threads of a program."""


@pytest.fixture
def declarations(tmp_path: Path) -> Declarations:
    return declare(tmp_path, DECLARED)


def settings(folder: Path, **more: Any) -> RunSettings:
    return RunSettings(folder / "data", serve=ServeSettings(port=0), **more)


def check_nothing_is_left(folder: Path) -> None:
    """No thread runs, and log and store may be opened by others."""
    assert [t.name for t in threading.enumerate() if t.name.startswith(OWN)] == []
    if (folder / "data" / "log").exists():
        FolderLock(folder / "data" / "log", SystemClock()).release()
    open_store(folder / "data" / "store.db").close()


def run(program: Program, work: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    """Start it, do something with it, and stop it."""

    async def main() -> None:
        await program.start()
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{program.port}", timeout=20) as client:
                await work(client)
        finally:
            await program.stop()
            await program.stop()

    asyncio.run(main())


async def posted(client: httpx.AsyncClient, *lines: bytes) -> dict[str, Any]:
    answer = await client.post("/v1/events", content=b"\n".join(lines), params={"topic": "call", "id": "body.id"})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(2000):
        if await condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("not in time")


async def cells(client: httpx.AsyncClient) -> list[tuple[str, int]]:
    found = (await client.get("/v1/statistics/s/cells", params={"every": "1m"})).json()["cells"]
    return [(row["k"], row["n"]) for row in found]


def test_what_is_posted_is_counted_served_and_kept(tmp_path: Path, declarations: Declarations) -> None:
    events = [line(time=T, k="a", id=1), line(time=T, k="b", id=2), line(time=T, k="a", id=1), b"nonsense"]

    async def first(client: httpx.AsyncClient) -> None:
        said = await posted(client, *events)
        assert (said["accepted"], said["duplicates"], said["malformed"]) == (2, 1, 1)

        async def counted() -> bool:
            return await cells(client) == [("a", 1), ("b", 1)]

        await until(counted)
        query: dict[str, str | int] = {"every": "1m", "start": T // 60_000 * 60_000, "key.k": "b"}
        opened = (await client.get("/v1/statistics/s/events", params=query)).json()
        assert [event["body"]["id"] for event in opened["events"]] == [2]
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200

    async def again(client: httpx.AsyncClient) -> None:
        said = await posted(client, *events[:2], line(time=T, k="b", id=3))
        assert (said["accepted"], said["duplicates"]) == (1, 2)

        async def counted() -> bool:
            return await cells(client) == [("a", 1), ("b", 2)]

        await until(counted)

    run(Program(declarations, settings(tmp_path)), first)
    check_nothing_is_left(tmp_path)
    run(Program(declarations, settings(tmp_path)), again)
    check_nothing_is_left(tmp_path)


def test_what_was_acknowledged_before_the_end_is_committed_by_it(tmp_path: Path, declarations: Declarations) -> None:
    async def post(client: httpx.AsyncClient) -> None:
        for n in range(5):
            await posted(client, *(line(time=T, k="a", id=n * 10 + m) for m in range(10)))

    program = Program(declarations, settings(tmp_path))
    run(program, post)
    with open_store(tmp_path / "data" / "store.db") as store:
        state = store.load_reader(READER)
        assert state.position == 50
        assert state.blocks == program.writer.next_block


def check_start_fails(program: Program, error: type[StreamgaugeError], match: str) -> None:
    with pytest.raises(error, match=match):
        asyncio.run(program.start())


def test_a_port_that_is_taken_ends_the_start_and_leaves_nothing(tmp_path: Path, declarations: Declarations) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = replace(settings(tmp_path), serve=ServeSettings(port=port))
        check_start_fails(Program(declarations, taken), UsageError, f"cannot listen on 127.0.0.1:{port}")
    check_nothing_is_left(tmp_path)


def test_a_store_of_other_definitions_ends_the_start_and_leaves_nothing(
    tmp_path: Path, declarations: Declarations
) -> None:
    async def post(client: httpx.AsyncClient) -> None:
        await posted(client, line(time=T, k="a", id=1))

    run(Program(declarations, settings(tmp_path)), post)
    other = declare(tmp_path, DECLARED.replace("1m", "2m"))
    check_start_fails(Program(other, settings(tmp_path)), StoreError, "other definitions of s; give the same")
    check_nothing_is_left(tmp_path)


def test_a_log_that_another_writes_ends_the_start_and_frees_the_store(
    tmp_path: Path, declarations: Declarations
) -> None:
    first = Program(declarations, settings(tmp_path))

    async def start_another(client: httpx.AsyncClient) -> None:
        second = replace(settings(tmp_path), store=str(tmp_path / "other.db"))
        with pytest.raises(StoreError, match="log"):
            await Program(declarations, second).start()
        open_store(tmp_path / "other.db").close()
        with pytest.raises(StoreError, match=r"store\.db"):
            await Program(declarations, settings(tmp_path)).start()
        await posted(client, line(time=T, k="a", id=1))

    run(first, start_another)
    check_nothing_is_left(tmp_path)


def test_several_sources_bring_events_side_by_side(tmp_path: Path, declarations: Declarations) -> None:
    (tmp_path / "lines.jsonl").write_bytes(line(time=T, k="tailed") + b"\n")
    tail = TailOptions(path=str(tmp_path / "lines.jsonl"))
    program = Program(declarations, settings(tmp_path, sources={"calls": tail}))

    async def both(client: httpx.AsyncClient) -> None:
        await posted(client, line(time=T, k="posted", id=1))

        async def counted() -> bool:
            return await cells(client) == [("posted", 1), ("tailed", 1)]

        await until(counted)
        found = (await client.get("/v1/sources")).json()["sources"]
        assert [source["name"] for source in found] == ["calls", "http"]
        assert [len(source["lanes"]) for source in found] == [1, 1]

    run(program, both)
    check_nothing_is_left(tmp_path)


def test_health_says_which_part_is_not_well(tmp_path: Path, declarations: Declarations) -> None:
    program = Program(declarations, settings(tmp_path))

    async def look(client: httpx.AsyncClient) -> None:
        station = program.service and program
        assert station
        program.live.progress.problem = "the store is gone"
        program.housekeeping.problem = "too old"
        said = (await client.get("/healthz")).json()
        text = json.dumps(said)
        assert "the store is gone" in text or "too old" in text
        assert Condition.FAILING.value in text

    run(program, look)


def test_readiness_waits_for_what_is_still_to_be_read(tmp_path: Path, declarations: Declarations) -> None:
    program = Program(declarations, settings(tmp_path))

    async def look(client: httpx.AsyncClient) -> None:
        assert (await client.get("/readyz")).status_code == 200
        assert await asyncio.to_thread(program.live.stop)
        program.live.progress.block = program.live._read_to = program.writer.next_block - 5001
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert "5001 blocks of the log are still to be read" in answer.text

    run(program, look)


def test_settings_come_from_what_was_given_then_from_the_configuration(tmp_path: Path) -> None:
    configuration = {
        "store": {"url": "sqlite:///elsewhere.db"},
        "log": {"keep": "2d", "max_size": "5MB", "lane_idle": "90s"},
        "serve": {"port": 1234, "hosts": "gauge.example"},
    }
    found = settings_of(configuration, tmp_path, "", {"port": None})
    assert found.store_name == "sqlite:///elsewhere.db"
    assert found.keep.keep_ms == 2 * 86_400_000
    assert found.keep.max_bytes is not None
    assert found.idle.rest_s == 90
    assert (found.serve.port, found.serve.hosts) == (1234, ("gauge.example",))
    assert settings_of(configuration, tmp_path, "mine.db", {"port": 9}).serve.port == 9
    assert settings_of({}, tmp_path, "", {}).store_name == str(tmp_path / "store.db")
