"""The long-running commands: a program or a service in an event loop, what it logs, and how it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamgauge.clock import SystemClock
from streamgauge.errors import UsageError

if TYPE_CHECKING:
    from streamgauge.declare import Declarations
    from streamgauge.service import Program


def run(loaded: Declarations, data: str, store: str, given: Mapping[str, Any], stdin: bool) -> int:
    """Run until SIGTERM or SIGINT; the exit code. Raises StreamgaugeError where the operator must act."""
    from dataclasses import replace

    from streamgauge.service import Program, settings_of
    from streamgauge.sources import StdinOptions

    log_to(sys.stderr)
    settings = settings_of(loaded.configuration, Path(data), store, given)
    if stdin:
        if "stdin" in settings.sources:
            raise UsageError("--stdin: the configuration has a source of this name; leave one of them out")
        settings = replace(settings, sources={**settings.sources, "stdin": StdinOptions()})
    program = Program(loaded, settings)
    asyncio.run(program.run(_say_where))
    return 0


def _say_where(program: Program) -> None:
    host = program.settings.serve.host
    url = f"http://{f'[{host}]' if ':' in host else host}:{program.port}"
    logging.getLogger("streamgauge").info("listening on %s, data in %s", url, program.settings.data)


def serve(loaded: Declarations, store: str, log: str, reader: str, given: Mapping[str, Any]) -> int:
    """Serve a store until SIGTERM or SIGINT; the exit code. Raises StreamgaugeError where the operator must act."""
    log_to(sys.stderr)
    asyncio.run(_serve(loaded, store, log, reader, given))
    return 0


async def _serve(loaded: Declarations, store: str, log: str, reader: str, given: Mapping[str, Any]) -> None:
    from streamgauge.serve.rest import create_app
    from streamgauge.serve.server import Service
    from streamgauge.serve.station import StoreStation
    from streamgauge.service import new_log_events, serve_settings
    from streamgauge.store.sql_query import SqlReadings

    settings, clock = serve_settings(loaded.configuration, given), SystemClock()
    if log and not Path(log).is_dir():
        raise UsageError(f"--log {log}: no such folder")
    readings = await asyncio.to_thread(SqlReadings.open, store, clock)
    events = new_log_events(loaded, Path(log), readings, clock, reader) if log else None
    station = StoreStation(loaded.statistics, readings, reader, events)
    service = Service(create_app(station, settings, clock=clock), settings)
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    try:
        await service.start()
        logging.getLogger("streamgauge").info("serving %s on http://%s:%d", store, settings.host, service.port)
        await stopping.wait()
    finally:
        await service.stop()
        if events is not None:
            events.close()
        readings.close()


def token_lines(name: str, write: bool) -> list[str]:
    """A new token, shown this once, and what to write into the configuration for it. Raises UsageError."""
    from streamgauge.serve.auth import new_token

    if not re.fullmatch("[A-Za-z0-9_-]+", name):
        raise UsageError(f"token {name!r}: a name has letters, digits, _ and - only")
    token, digest = new_token()
    allow = '["read", "write"]' if write else '["read"]'
    said = ["# give this to whoever it is for; it is not kept anywhere:", f"# {token}", "[serve.tokens]"]
    return [*said, f'{name} = {{ hash = "{digest}", allow = {allow} }}']


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time`` (ISO 8601), ``level``, ``logger``, ``message``, and ``error`` if any."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False)


def log_to(out: Any) -> None:
    """Log what an operator should know: readable on a terminal, JSON in a pipe."""
    handler = logging.StreamHandler(out)
    readable = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
    handler.setFormatter(readable if out.isatty() else JsonLines())
    for name, level in (("", logging.WARNING), ("streamgauge", logging.INFO)):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False
    logging.captureWarnings(True)
