"""What the demonstration says, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from streamgauge.demo import Planted
from streamgauge.demonstration.client import Client
from streamgauge.demonstration.findings import Cell, Found
from streamgauge.demonstration.player import Played

SLOT_MS = 360_000

_NARROW = "start,attempts,asr,pdd_18x_p50"


def clock_time(ms: int) -> str:
    """Hours and minutes, UTC.

    >>> clock_time(1_772_409_600_000)
    '00:00'
    """
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%H:%M}"


def day(ms: int) -> str:
    """The date, UTC."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d}"


def percent(share: float | None) -> str:
    """A share of 1.

    >>> percent(0.1234), percent(None)
    ('12.3 %', '-')
    """
    return "-" if share is None else f"{share * 100:.1f} %"


def thousands(number: int | None) -> str:
    """With separated thousands.

    >>> thousands(1234567), thousands(None)
    ('1 234 567', '-')
    """
    return "-" if number is None else f"{number:,}".replace(",", " ")


def where_to_look(client: Client, carrier: str, start_ms: int) -> Iterator[str]:
    """Addresses that answer while the program runs."""
    quality = "/v1/statistics/carrier_quality"
    latest = {"every": "1h", "fields": "start,carrier,attempts,asr", "limit": 10}
    one = {"every": "6m", "key.carrier": carrier, "order": "desc", "limit": 5, "fields": _NARROW}
    rest = {"every": "1h", "start": f"{day(start_ms)}T00:00Z", "fields": "start,category,messages"}
    yield f"The service listens on {client.base}. While it runs, ask it from another terminal:"
    yield f"  curl -s '{client.url(f'{quality}/latest', latest)}'"
    yield f"  curl -s '{client.url(f'{quality}/cells', one)}'"
    yield f"  curl -s '{client.url('/v1/statistics/volume_by_category/cells.csv', rest)}'"
    yield f"  curl -s '{client.url('/v1/sources')}'"
    yield f"  curl -s '{client.url('/openapi.json')}'"
    yield f"  streamgauge cells carrier_quality --every 6m --key carrier={carrier} --live --url {client.base}"


def when_it_went_bad(found: Found | None, truth: Planted, is_whole: bool) -> Iterator[str]:
    """What was found, and what was planted."""
    planted = f"{truth.carrier} goes bad at {clock_time(truth.from_ms)} UTC on {day(truth.from_ms)}"
    if found is None:
        yield "Found:   no carrier's answers fell clearly"
    else:
        before, after = percent(found.fall.before), percent(found.fall.after)
        yield (
            f"Found:   {found.carrier} went bad at {clock_time(found.from_ms)} UTC on {day(found.from_ms)}: "
            f"answered {before} before, {after} after"
        )
    yield f"Planted: {planted}"
    if not is_whole:
        yield "         (not all of the day was played: this machine is too slow for it)"
    elif found is not None and found.carrier == truth.carrier:
        yield f"         {_apart((found.from_ms - truth.from_ms) // SLOT_MS)}"


def _apart(windows: int) -> str:
    if not windows:
        return "the very window of 6 minutes"
    return f"found {abs(windows) * 6} minutes {'late' if windows > 0 else 'early'}, in few calls a window"


def hours_around(found: Found) -> Iterator[str]:
    """The cells of the hours around the change, as a table."""
    heads = ("hour (UTC)", "calls", "answered", "503s", "median post-dial delay")
    rows = [
        (
            clock_time(cell["start_ms"]),
            thousands(cell["attempts"]),
            percent(cell["asr"]),
            thousands(cell["refused"]),
            f"{thousands(cell['pdd_18x_p50'])} ms",
        )
        for cell in found.hours
    ]
    yield f"What the cells of {found.carrier} say, an hour each:"
    yield from table((heads, *rows))


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows below heads, the first column left, all others right.

    >>> list(table([("a", "b"), ("x", "10")]))
    ['  a   b', '  x  10']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        sized = list(zip(row, widths, strict=True))
        (first, width), rest = sized[0], sized[1:]
        yield "  " + "  ".join([f"{first:<{width}}", *(f"{text:>{width}}" for text, width in rest)])


def messages_behind(found: Found) -> Iterator[str]:
    """How to open the messages behind the first bad window, and the first of them."""
    window = found.window
    yield (
        f"The messages behind one number, the {found.counted} calls of {found.carrier} in the 6 minutes from "
        f"{clock_time(found.from_ms)} ({window['answered']} answered):"
    )
    yield f"  curl -s '{found.url}'"
    for event in found.events:
        yield f"  position {event['position']}: {_call(event['body'])}"


def _call(body: Mapping[str, Any]) -> str:
    ended = datetime.fromtimestamp(body["end"] / 1000, UTC)
    return (
        f"ended {ended:%H:%M:%S}, {body['account']} called {body['to']}, "
        f"{body['sip_code']} {body['cause']}, billed {body['billed_s']} s"
    )


def what_was_counted(played: Mapping[str, Played], counted: tuple[int, int], top: Sequence[Cell]) -> Iterator[str]:
    """What was accepted against what the cells have counted, and what the bus was busy with."""
    yield "What came in, and what the cells have counted:"
    heads = ("stream", "sent", "not JSON", "sent twice", "accepted", "counted")
    rows = [
        (name, *map(thousands, (p.sent, p.malformed, p.duplicates, p.accepted, number)))
        for (name, p), number in zip(played.items(), counted, strict=True)
    ]
    yield from table((heads, *rows))
    if top:
        most = [f"{cell['category']} {thousands(cell['messages'])}" for cell in top]
        yield f"  most messages: {', '.join(most)}"
