"""The running program: sources, log, pipeline, store and service, put together, started and stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamgauge.clock import Clock, SystemClock
from streamgauge.drilldown import ARCHIVES, LogEvents
from streamgauge.engines.base import logged_envelope
from streamgauge.engines.duck import DuckEngine, SliceBuffer
from streamgauge.engines.duck.envelope import DuckEnvelope
from streamgauge.engines.duck.find import DuckFinder
from streamgauge.errors import StreamgaugeError
from streamgauge.housekeeping import LOOK_S, Housekeeping
from streamgauge.live import READER, Live
from streamgauge.log.idle import IdleRules
from streamgauge.log.intake import LogIntake
from streamgauge.log.reading import LogReader
from streamgauge.log.recall import RUN_IDS, Recall
from streamgauge.log.retention import Policy
from streamgauge.log.writer import LogWriter, WriterOptions
from streamgauge.serve.base import CellName, ServeSettings
from streamgauge.serve.rest import create_app
from streamgauge.serve.server import Service
from streamgauge.sources import HttpOptions, HttpSource, Source, make_source
from streamgauge.sources.http_routes import events_router
from streamgauge.station import LiveStation
from streamgauge.step import Step, no_step
from streamgauge.store import open_store
from streamgauge.store.sql_query import SqlReadings

if TYPE_CHECKING:
    from streamgauge.bound import BoundStatistic
    from streamgauge.declare import Declarations
    from streamgauge.store.base import Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How to run. ``data`` is the folder of log and store; ``store`` empty: ``store.db`` in it.

    ``sources``: options by name, beside ``http``, which is always there. ``keep`` and ``max_bytes`` bound the log;
    ``look_s``: how often closed segments are looked for, to be archived. ``run_ids``: see log.recall. ``step`` is told
    every step of every part by its name (testing.kill_points).
    """

    data: Path
    store: str = ""
    serve: ServeSettings = field(default_factory=ServeSettings)
    sources: Mapping[str, Any] = field(default_factory=dict)
    keep: Policy = field(default_factory=Policy)
    log: WriterOptions = field(default_factory=WriterOptions)
    idle: IdleRules = field(default_factory=IdleRules)
    look_s: float = LOOK_S
    run_ids: int = RUN_IDS
    step: Step = no_step

    @property
    def log_folder(self) -> Path:
        """Where the segments are."""
        return self.data / "log"

    @property
    def store_name(self) -> str:
        """The store's path or URL."""
        return self.store or str(self.data / "store.db")


class Program:
    """One run. ``start`` and ``stop`` it in one event loop; ``run`` does both, until a signal comes.

    Started in the order in which each part needs the ones before: store, log writer, intake, pipeline, service,
    sources. Stopped the other way round: nothing more comes in, what came in is appended and committed.
    """

    def __init__(self, declarations: Declarations, settings: RunSettings, clock: Clock | None = None) -> None:
        self.declarations, self.settings, self.clock = declarations, settings, clock or SystemClock()
        self.sources: dict[str, Source] = {}
        self.service: Service | None = None
        self._closing = contextlib.ExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = False

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self.service.port if self.service is not None else self.settings.serve.port

    async def run(self, on_start: Callable[[Program], None] | None = None) -> None:
        """Run until SIGTERM or SIGINT."""
        stopping, loop = asyncio.Event(), asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stopping.set)
        try:
            await self.start()
            if on_start is not None:
                on_start(self)
            await stopping.wait()
        finally:
            await self.stop()

    async def start(self) -> None:
        """Start all parts. Raises StreamgaugeError where the operator must act; what was started is stopped then."""
        try:
            await asyncio.to_thread(self._open)
            self.intake.start()
            self.live.start()
            self.housekeeping.start()
            await self._serve()
            for source in self.sources.values():
                self._tasks.append(asyncio.create_task(self._bring(source)))
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Take nothing more in, append and commit what came in, and close everything. May be called again."""
        if self._stopped:
            return
        self._stopped = True
        stopping = [source.stop() for source in self.sources.values()]
        if self.service is not None:
            # At the same time, as both wait for requests that may not come to an end.
            stopping.append(self.service.stop())
        await asyncio.gather(*stopping, return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._closing.close)

    def _open(self) -> None:
        """Open what blocks: the store, the log, and what is remembered of it."""
        settings, clock = self.settings, self.clock
        settings.data.mkdir(parents=True, exist_ok=True)
        self.store: Store = self._closing.enter_context(open_store(settings.store_name, settings.step))
        known = self.store.load_reader(READER)
        self.writer = LogWriter.open(
            settings.log_folder,
            clock,
            settings.log,
            archives=ARCHIVES,
            at_least=(known.blocks, known.position),
            step=settings.step,
        )
        self._closing.callback(self.writer.close)
        recall = Recall(settings.log_folder, clock, run_ids=settings.run_ids, step=settings.step)
        recall.restore(self.writer.next_block, self._blocks_from)
        self._closing.callback(recall.close)
        shapes = tuple(self.declarations.shapes.values())
        envelope = DuckEnvelope(shapes)
        self._closing.callback(envelope.close)
        self.live = self._live(shapes)
        self._say_how_the_log_is()
        self.intake = LogIntake(
            self.writer,
            envelope,
            SliceBuffer,
            clock,
            recall,
            rules=settings.idle,
            closes=self.live.closes,
            step=settings.step,
        )
        self.housekeeping = Housekeeping(self.writer, self.live, settings.keep, clock, settings.look_s, settings.step)
        self._closing.callback(self.housekeeping.stop)
        self._closing.callback(self.live.stop)
        self._closing.callback(self.live.finish)
        self._closing.callback(self._stop_intake)
        self.sources = {name: make_source(name, options, clock) for name, options in self._source_options().items()}

    def _stop_intake(self) -> None:
        """End the log writer. Where an append hangs, what it uses must stay open: it ends with the process."""
        if not self.intake.stop():
            _log.error("an append to the log does not end; the program ends without it")
            self._closing.pop_all()

    def _say_how_the_log_is(self) -> None:
        """Log what opening it found: a write that did not finish, which is nothing to worry about, and damage."""
        if self.writer.cut is not None:
            _log.warning("%s", self.writer.cut)
        for damage in self.writer.damages:
            self.live.say_damaged(damage)

    def _live(self, shapes: Sequence[Any]) -> Live:
        statistics = list(self.declarations.statistics.values())
        return Live(
            statistics,
            lambda: DuckEngine(statistics, shapes, logged_envelope()),
            SliceBuffer,
            self.store,
            self.settings.log_folder,
            ARCHIVES,
            lambda: self.writer.next_block,
            self.clock,
            self.settings.step,
        )

    def _source_options(self) -> dict[str, Any]:
        return {"http": HttpOptions(), **self.settings.sources}

    def _blocks_from(self, block: int) -> Any:
        with LogReader(self.settings.log_folder, after_block=block - 1 if block else None, archives=ARCHIVES) as reader:
            yield from reader.blocks()

    async def _serve(self) -> None:
        readings = await asyncio.to_thread(SqlReadings.open, self.settings.store_name, self.clock)
        self._closing.callback(readings.close)
        events = new_log_events(
            self.declarations, self.settings.log_folder, readings, self.clock, READER, self._durable
        )
        self._closing.callback(events.close)
        station = LiveStation(self.declarations.statistics, readings, self, events)
        http = {name: source for name, source in self.sources.items() if isinstance(source, HttpSource)}
        app = create_app(station, self.settings.serve, [events_router(http)], self.clock)
        self.service = Service(app, self.settings.serve)
        await self.service.start()

    def _durable(self) -> int:
        return self.writer.next_block

    async def _bring(self, source: Source) -> None:
        """One source, until it ends. Where it fails, its status says why, and the others go on."""
        try:
            await source.run(self.intake)
        except StreamgaugeError as error:
            _log.error("source %s: %s", source.name, error)
        except Exception:
            _log.exception("source %s has failed", source.name)


def new_log_events(
    declarations: Declarations,
    folder: Path,
    readings: SqlReadings,
    clock: Clock,
    reader: str = READER,
    until: Callable[[], int] | None = None,
) -> LogEvents:
    """What reads the log for a drill-down. ``until``: see LogEvents; what was committed unless told."""
    shapes = tuple(declarations.shapes.values())

    def finder(statistic: BoundStatistic, totals: bool) -> DuckFinder:
        return DuckFinder(statistic, shapes, totals)

    def keys_of(cell: CellName) -> set[str]:
        with readings.within(10.0) as reads:
            stop = cell.start_ms + 1
            found = reads.keys(cell.statistic.version, cell.every.text, 2**31 - 1, cell.start_ms, stop)
        return {text for text, _ in found}

    def counted() -> int:
        with readings.within(10.0) as reads:
            return reads.standing(reader)[1]

    return LogEvents(folder, finder, SliceBuffer, keys_of, clock, until or counted, counted)


def settings_of(configuration: Mapping[str, Any], data: Path, store: str, serve: Mapping[str, Any]) -> RunSettings:
    """The settings of a run: what was given, else what the configuration says, else the defaults.

    Raises UsageError or DeclarationError.
    """
    from streamgauge.app import size_of
    from streamgauge.windows import parse_duration_ms

    log = configuration.get("log", {})
    keep = parse_duration_ms(log["keep"], "[log]: keep") if "keep" in log else None
    most = size_of(log["max_size"], "[log]: max_size") if "max_size" in log else None
    idle = IdleRules()
    if "lane_idle" in log:
        idle = replace(idle, rest_s=parse_duration_ms(log["lane_idle"], "[log]: lane_idle") / 1000)
    return RunSettings(
        data=data,
        store=store or configuration.get("store", {}).get("url", ""),
        serve=serve_settings(configuration, serve),
        sources=configuration.get("source", {}),
        keep=Policy(keep, most),
        idle=idle,
    )


def serve_settings(configuration: Mapping[str, Any], given: Mapping[str, Any]) -> ServeSettings:
    """How to serve: what was given, else ``[serve]``."""
    from streamgauge.serve.auth import tokens_from

    said = {**configuration.get("serve", {}), **{name: value for name, value in given.items() if value is not None}}
    said["tokens"] = tokens_from(said.get("tokens", {}))
    for name in ("hosts", "origins", "metrics"):
        listed = said.get(name, ())
        said[name] = (listed,) if isinstance(listed, str) else tuple(listed)
    return ServeSettings(**said)
