"""What can be found in the cells of the day, and in the messages behind one of them, by asking the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from streamgauge.demonstration.change import Fall, find_fall
from streamgauge.demonstration.client import Client

CLEAR = 12.0
"""The least gain (see change) of a fall that is told: made-up carriers that stay as they are reach 8."""

_QUALITY = "carrier_quality"
_COUNTS = "start,start_ms,carrier,seizures,answered"
_HOUR_MS = 3_600_000

Cell = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """A carrier whose share of answered calls fell: in which window of 6 minutes first, and how it was around it.

    ``hours``: the cells of the hour before, that of the change, and the two after, each with ``refused``, how many
    of its calls got a 503. ``window`` is the cell that ``events``, the first of its messages, belong to.
    """

    carrier: str
    fall: Fall
    window: Cell
    hours: Sequence[Cell]
    events: Sequence[Mapping[str, Any]]
    counted: int
    url: str

    @property
    def from_ms(self) -> int:
        """The start of the first bad window."""
        return int(self.window["start_ms"])


def counted(client: Client) -> tuple[int, int]:
    """How many calls and bus messages the cells have counted so far."""
    calls = client.cells("voip_volume", {"every": "1d", "rollup": "", "fields": "legs"})
    bus = client.cells("fedora_volume", {"every": "1d", "fields": "messages"})
    return sum(cell["legs"] for cell in calls), sum(cell["messages"] for cell in bus)


def busiest(client: Client, most: int = 4) -> list[Cell]:
    """The categories of bus messages that had most of them."""
    query = {"every": "1d", "order": "-messages", "limit": most, "fields": "category,messages"}
    return list(client.get("/v1/statistics/volume_by_category/cells", query)["cells"])


def find_bad_carrier(client: Client) -> Found | None:
    """The carrier whose answers fell most clearly, and when; None where none of them did.

    Which one: from its hours. When: from its windows of 6 minutes.
    """
    hours = sorted(client.cells(_QUALITY, {"every": "1h", "fields": _COUNTS}), key=lambda c: c["carrier"] or "")
    gains = {}
    for carrier, cells in groupby(hours, key=lambda c: c["carrier"]):
        fall = find_fall(_counts(list(cells)))
        if carrier is not None and fall is not None and fall.gain >= CLEAR:
            gains[carrier] = fall.gain
    return _looked_into(client, max(gains, key=gains.__getitem__)) if gains else None


def _counts(cells: Sequence[Cell]) -> list[tuple[int, int]]:
    ordered = sorted(cells, key=lambda c: c["start_ms"])
    return [(cell["seizures"], cell["answered"]) for cell in ordered]


def _looked_into(client: Client, carrier: str) -> Found | None:
    of = {"key.carrier": carrier}
    windows = list(client.cells(_QUALITY, {"every": "6m", **of, "fields": _COUNTS}))
    fall = find_fall(_counts(windows))
    if fall is None:
        return None
    window = sorted(windows, key=lambda c: c["start_ms"])[fall.at]
    query = {"every": "6m", "start": window["start"], **of}
    path = f"/v1/statistics/{_QUALITY}/events"
    behind = client.get(path, {**query, "limit": 2})
    hours = _around(client, of, window["start_ms"])
    return Found(carrier, fall, window, hours, behind["events"], behind["counted"], client.url(path, query))


def _around(client: Client, of: Mapping[str, str], at_ms: int) -> list[Cell]:
    first = at_ms // _HOUR_MS * _HOUR_MS - _HOUR_MS
    query = {"every": "1h", "start": first, "stop": first + 4 * _HOUR_MS, **of}
    fields = "start,start_ms,attempts,answered,asr,pdd_18x_p50"
    hours = list(client.cells(_QUALITY, {**query, "fields": fields}))
    replies = client.cells("sip_replies", {**query, "key.code": 503, "fields": "start_ms,calls"})
    refused = {cell["start_ms"]: cell["calls"] for cell in replies}
    return [{**hour, "refused": refused.get(hour["start_ms"], 0)} for hour in hours]
