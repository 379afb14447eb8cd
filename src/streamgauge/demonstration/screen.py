"""What is shown while the day is played: tables in a terminal, lines in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Protocol, TextIO

from streamgauge.clock import Clock
from streamgauge.demonstration import findings
from streamgauge.demonstration.client import Client
from streamgauge.demonstration.player import Player
from streamgauge.demonstration.telling import SLOT_MS, clock_time, day, percent, thousands
from streamgauge.output.board import Board, Sheet

BAD_SHARE = 0.35
"""A carrier whose share of answered calls is surely below this is marked."""

ROWS = 10
LINE_S = 2.0


class Shown(Protocol):
    """Shows how far a player is, whenever it is asked to look."""

    def look(self) -> None:
        """Ask the service and show what it says. For a thread."""
        ...


class _View:
    def __init__(self, out: TextIO, client: Client, player: Player, clock: Clock) -> None:
        self._out, self._client, self._player, self._clock = out, client, player, clock

    def _newest_ms(self) -> dict[str, int]:
        """The newest time that has been counted, by source; a source that has none is left out."""
        sources = self._client.get("/v1/sources")["sources"]
        times = {s["name"]: [lane["newest_ms"] for lane in s["lanes"]] for s in sources}
        return {name: max(newest) for name, newest in times.items() if newest}

    def _head(self, newest: Mapping[str, int]) -> str:
        counted = sum(findings.counted(self._client))
        at = f"{day(max(newest.values()))} {clock_time(max(newest.values()))}: " if newest else ""
        return f"{at}{thousands(self._player.sent)} sent, {thousands(counted)} counted"


class Lines(_View):
    """One line every other second."""

    def __enter__(self) -> Lines:
        self._due_s = self._clock.monotonic_s() + LINE_S
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def look(self) -> None:
        """As Shown.look."""
        if self._clock.monotonic_s() >= self._due_s:
            self._due_s = self._clock.monotonic_s() + LINE_S
            print(self._head(self._newest_ms()), file=self._out, flush=True)


class Screen(_View):
    """Tables: the largest carriers over the last hour, and what is said on the bus."""

    def __enter__(self) -> Screen:
        self._closing = ExitStack()
        self._board = self._closing.enter_context(Board(self._out))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.close()

    def look(self) -> None:
        """As Shown.look."""
        newest = self._newest_ms()
        sheets = [make(newest[source]) for source, make in self._sheets.items() if source in newest]
        self._board.show(self._head(newest), sheets)

    @property
    def _sheets(self) -> Mapping[str, Callable[[int], Sheet]]:
        return {"calls": self._carriers, "bus": self._categories}

    def _largest(self, statistic: str, every_ms: int, newest_ms: int, query: Mapping[str, Any]) -> list[findings.Cell]:
        """The rows of the last hour that is over, the largest first."""
        stop = newest_ms // every_ms * every_ms
        of = {"rolling": "1h", "start": stop - every_ms, "stop": stop, "limit": ROWS, **query}
        return list(self._client.get(f"/v1/statistics/{statistic}/cells", of)["cells"])

    def _carriers(self, newest_ms: int) -> Sheet:
        fields = "carrier,attempts,asr,asr_upper,isa,pdd_18x_p50"
        query = {"every": "6m", "order": "-attempts", "fields": fields}
        cells = self._largest("carrier_quality", SLOT_MS, newest_ms, query)
        rows = [
            (
                cell["carrier"],
                thousands(cell["attempts"]),
                percent(cell["asr"]),
                percent(cell["isa"]),
                f"{thousands(cell['pdd_18x_p50'])} ms",
            )
            for cell in cells
        ]
        bad = frozenset(n for n, cell in enumerate(cells) if (cell["asr_upper"] or 1.0) < BAD_SHARE)
        heads = ("carrier", "calls", "answered", "408 or 5xx", "median delay")
        return Sheet("The largest carriers, over an hour", heads, rows, bad)

    def _categories(self, newest_ms: int) -> Sheet:
        query = {"every": "1m", "order": "-messages", "fields": "category,messages"}
        cells = self._largest("volume_by_category", 60_000, newest_ms, query)
        rows = [(cell["category"], thousands(cell["messages"])) for cell in cells]
        return Sheet("Bus messages, over an hour", ("category", "messages"), rows)
