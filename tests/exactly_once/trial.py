"""A trial: the program in a folder, killed and started again, and in the end what must be true of its log and store."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from streamgauge.declare import Declarations, load
from streamgauge.drilldown import ARCHIVES
from streamgauge.errors import StoreError
from streamgauge.live import READER
from streamgauge.log.base import LogBlock
from streamgauge.log.reading import LogReader
from streamgauge.log.retention import Policy
from streamgauge.log.writer import WriterOptions
from streamgauge.recompute import recompute
from streamgauge.store.base import Store
from streamgauge.store.sql import SqlStore
from tests.exactly_once.child import Order, run
from tests.exactly_once.sending import Sending

CONFIG = """
[source.http]
type = "http"
lateness = "20s"

[source.lines]
type = "tail"
path = "{folder}/lines-*.jsonl"
topic = "line"
poll_ms = 10

[statistic.volume]
topic = "*"
every = ["1m", "1h"]
by = {{ topic_name = "topic" }}
measures = {{ count = "count()" }}

[statistic.detail]
topic = "call"
every = ["10s", "1m"]
by = {{ k = "body.k" }}
max_keys = 5
keep = {{ "10s" = "1m" }}
[statistic.detail.measures]
count = "count()"
total = "sum(body.x::BIGINT)"
spread = "quantiles(body.x::DOUBLE, 0.5, 0.99)"
ids = "distinct(body.id)"
values = "tally(body.x::VARCHAR)"
last = "latest(body.x::BIGINT)"
"""

# Few enough that everything happens all the time: rotation, archives, runs of ids.
SMALL: dict[str, Any] = {"log": WriterOptions(segment_bytes=60_000), "look_s": 0.05, "run_ids": 400}
PRUNED: dict[str, Any] = {**SMALL, "keep": Policy(max_bytes=60_000)}
WITHIN_S = 40.0

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.exactly_once.preload"])


class Trial:
    """The program in ``folder``, at most one process at a time."""

    def __init__(
        self, folder: Path, settings: dict[str, Any] | None = None, url: str = "", stepped: bool = False
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.stepped, self.settings = folder, stepped, SMALL if settings is None else settings
        self.log, self.store = folder / "data" / "log", folder / "data" / "store.db"
        self.port: int | None = None
        self.url = url or str(self.store)
        self.pauses: dict[str, float] = {}
        self.lines = 0
        self.kills = 0
        self._process: ForkServerProcess | None = None
        (folder / "streamgauge.toml").write_text(CONFIG.format(folder=folder))

    @property
    def declarations(self) -> Declarations:
        return load(config=self.folder / "streamgauge.toml")

    @property
    def pid(self) -> int:
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    def launch(self, step: str = "", nth: int = 1) -> Connection:
        """Start it, to die at this step. What is returned gives its port, once it listens."""
        assert self._process is None, "it runs"
        ours, theirs = _FORKS.Pipe(duplex=False)
        order = Order(self.folder, self.settings, step, nth, self.url, self.stepped, self.pauses)
        self._process = _FORKS.Process(target=run, args=(order, theirs), daemon=True)
        self._process.start()
        theirs.close()
        return ours

    def start(self, step: str = "", nth: int = 1) -> bool:
        """Start it, and wait until it listens, or has died before that; whether it listens."""
        ours = self.launch(step, nth)
        try:
            assert ours.poll(WITHIN_S), "it neither listens nor dies"
            self.port = ours.recv()
        except EOFError:
            assert step, "it ended at its start, and nobody killed it"
        finally:
            ours.close()
        return self.port is not None

    def wait_dead(self, within_s: float = WITHIN_S) -> None:
        """Wait until it has died at its step."""
        assert self._process is not None
        self._process.join(within_s)
        self._gone("the step has never gone by")

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it; with SIGTERM, as an operator would."""
        with suppress(ProcessLookupError):  # it may just have ended
            os.kill(self.pid, how)
        assert self._process is not None
        self._process.join(10.0)
        self._gone("it does not end")

    def start_again(self) -> None:
        """Kill it, and start it."""
        self.kill()
        self.start()

    def close(self) -> None:
        """End whatever still runs."""
        if self._process is not None:
            self._process.kill()
            self._process.join(10.0)
            self._process.close()
            self._process, self.port = None, None

    def _gone(self, problem: str) -> None:
        process = self._process
        assert process is not None
        assert process.exitcode is not None, problem
        assert process.exitcode in (-signal.SIGKILL, -signal.SIGTERM, 0), f"it ended with {process.exitcode}"
        self.kills += process.exitcode != 0
        process.close()
        self._process, self.port = None, None

    def add_lines(self, count: int, rotate: bool = False) -> None:
        """Write lines to a file that is followed; they have no ids."""
        number = len(list(self.folder.glob("lines-*.jsonl"))) - (not rotate)
        with (self.folder / f"lines-{max(0, number)}.jsonl").open("ab") as file:
            for n in range(self.lines, self.lines + count):
                file.write(b'{"time":%d,"n":%d}\n' % (1_700_000_000_000 + n * 100, n))
        self.lines += count


@contextmanager
def trial(folder: Path, settings: dict[str, Any] | None = None, **more: Any) -> Iterator[Trial]:
    """A trial whose process is ended in any case."""
    one = Trial(folder, settings, **more)
    try:
        yield one
    finally:
        one.close()


@contextmanager
def sending(one: Trial, **more: Any) -> Iterator[Sending]:
    """Threads that post to it for as long as the block lasts; what was begun is then posted to the end."""
    threads = Sending(lambda: one.port, **more)
    try:
        yield threads
    finally:
        threads.abort()


def counts_of(one: Trial) -> dict[str, int]:
    """By topic, how many events the statistic of all topics has counted."""
    with SqlStore.open_read_only(one.url) as store:
        return _counts(one.declarations, store)


def _counts(declarations: Declarations, store: Store) -> dict[str, int]:
    found: Counter[str] = Counter()
    for rows in store.cells(declarations.statistics["volume"].version, "1h"):
        for row in rows:
            found[json.loads(row.key)[0]] += row.states[0]
    return dict(found)


def settle(one: Trial, threads: Sending, ending: bool = True) -> None:
    """Let a program that runs come to the end of what was sent; with ``ending``, nothing more is."""
    threads.end() if ending else threads.rest()
    expected = expected_of(one, threads)
    until = time.monotonic() + WITHIN_S
    while time.monotonic() < until:
        try:
            found = counts_of(one)
        except StoreError:
            found = {}
        if all(found.get(topic, 0) >= count for topic, count in expected.items()):
            return
        time.sleep(0.03)
    raise AssertionError(f"the store has {found}, acknowledged were {expected}")


def eventually(condition: Callable[[], bool], within_s: float = WITHIN_S) -> None:
    """Wait until it holds."""
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.005)


def expected_of(one: Trial, threads: Sending) -> dict[str, int]:
    """By topic, how many events must be counted."""
    return {**threads.counts(), **({"line": one.lines} if one.lines else {})}


def check(one: Trial, threads: Sending) -> None:
    """What must be true of a trial that has settled and runs no more."""
    whole = _whole_log(one)
    check_log(whole, threads, one.lines)
    with SqlStore.open(one.url) as store:
        state, ours = store.load_reader(READER), dump(store)
        assert _counts(one.declarations, store) == expected_of(one, threads)
    fresh = one.folder / "fresh.db"
    with SqlStore.open(fresh) as store:
        recompute(whole, one.declarations, store, until=lambda: state.blocks)
        same(ours, dump(store))
    for path in [*one.folder.glob("fresh.db*"), *whole.iterdir()]:
        path.unlink()
    whole.rmdir()


def _whole_log(one: Trial) -> Path:
    """A folder with all segments, those that retention deleted too."""
    whole = one.folder / "whole"
    whole.mkdir()
    for path in [*one.log.glob("segment-*"), *(one.folder / "kept").glob("segment-*")]:
        if not (whole / path.name).exists():
            os.link(path, whole / path.name)
    return whole


def check_log(folder: Path, threads: Sending, lines: int = 0) -> None:
    """Each acknowledged event stands in the log once; positions follow one another, and marks never go back."""
    found: dict[str, Counter[str]] = {"call": Counter(), "keyed": Counter(), "line": Counter()}
    for block in blocks_of(folder):
        for line in block.events.splitlines():
            event = json.loads(line)
            body = event["body"]
            found[event["topic"]][str(body["n"] if event["topic"] == "line" else body["id"])] += 1
    expected = {**threads.acknowledged, "line": set(map(str, range(lines)))}
    for topic, ids in expected.items():
        missing, more = ids - found[topic].keys(), {i: n for i, n in found[topic].items() if n != 1 or i not in ids}
        assert not missing, f"{len(missing)} acknowledged events of {topic} are missing, e.g. {min(missing)}"
        assert not more, f"{len(more)} events of {topic} are there that were not sent, or twice: {list(more)[:5]}"


def blocks_of(folder: Path) -> Iterator[LogBlock]:
    """The blocks of a log, which must follow one another."""
    block = position = 0
    marks: dict[int, int] = {}
    with LogReader(folder, archives=ARCHIVES) as reader:
        for item in reader.blocks():
            assert isinstance(item, LogBlock), item
            header = item.header
            assert (header.number, header.position) == (block, position)
            block, position = block + 1, header.next_position
            assert header.mark["watermark"] >= marks.get(header.lane, header.mark["watermark"]), "a mark went back"
            marks[header.lane] = header.mark["watermark"]
            yield item


def dump(store: Store) -> str:
    """What two runs over the same blocks have in common."""
    out = io.StringIO()
    store.dump(out)
    return out.getvalue()


def same(ours: str, fresh: str) -> None:
    """Say the first row that differs, instead of all."""
    if ours == fresh:
        return
    for a, b in zip(ours.splitlines(), fresh.splitlines(), strict=False):
        assert a == b
    raise AssertionError(f"one has more rows: {len(ours.splitlines())} and {len(fresh.splitlines())}")


def finish(one: Trial, threads: Sending, how: signal.Signals = signal.SIGKILL) -> None:
    """Go on without a kill until all is counted, end the program, and look at everything."""
    if one.port is None:
        one.start()
    settle(one, threads)
    one.kill(how)
    check(one, threads)


def expired(one: Trial) -> int:
    """How many events were older than what is kept; and of the windows that are not kept, none may be there."""
    with SqlStore.open(one.url) as store:
        statistic, watermark = (
            one.declarations.statistics["detail"],
            store.load_reader(READER).book["lanes"]["watermark"],
        )
        [length] = [length for length in statistic.lengths if length.text == "10s"]
        kept_from = statistic.kept_from(length, watermark)
        rows = [row for part in store.cells(statistic.version, "10s") for row in part]
        assert rows
        assert min(row.start for row in rows) >= kept_from
        return store.counters(READER).get("expired:detail:10s", 0)


def with_settings(**more: Any) -> dict[str, Any]:
    """The small settings, and these."""
    return {**SMALL, **more}
