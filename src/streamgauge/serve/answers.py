"""What each question is answered with, found in one transaction of the store. No web framework here."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from streamgauge.bound import BoundStatistic
from streamgauge.event import MAX_TIME_MS, MIN_TIME_MS
from streamgauge.output.cells import iso
from streamgauge.scope import Scope
from streamgauge.serve.base import (
    CellName,
    LoggedEvent,
    Reads,
    Replayed,
    ReplayQuery,
    SourceStatus,
    Standing,
    Station,
)
from streamgauge.serve.describe import key_columns, precise, quality_of, watermark_of
from streamgauge.serve.formats import Format, encoded, fields_for
from streamgauge.serve.keyfilter import exact_key, key_filter
from streamgauge.serve.pages import Page, page_of, read_page
from streamgauge.serve.paging import Cursor, fingerprint, next_url
from streamgauge.serve.parameters import MOST_REPLAYS, Given
from streamgauge.serve.pieces import Piece, picked
from streamgauge.serve.problems import bad
from streamgauge.serve.query import CellQuery, length_of, range_of, zone_of
from streamgauge.serve.times import moment_ms
from streamgauge.store.base import ALL_TEXT, OTHER_TEXT, KeptLetter, LetterFilter, key_id
from streamgauge.windows import Length

LATEST_WINDOWS = 100
"""How many windows back the newest cell of a key is looked for, unless told."""

SHOWN_BYTES = 4096
"""Bytes of a dead letter that a list shows."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came: its path and parameters (for the URL of the next page), and what it is all about."""

    path: str
    pairs: Sequence[tuple[str, str]]
    fingerprint: str

    def next_url(self, cursor: Cursor | None) -> str | None:
        """The URL of the next page."""
        return next_url(self.path, self.pairs, cursor, self.fingerprint)


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes in parts, the tag of what they were made of, and the URL of the next page. None: not modified."""

    parts: Sequence[bytes] | None
    etag: str
    next: str | None = None


def tag_of(standing: Standing, *more: object) -> str:
    """The ETag of an answer: another one whenever what it was made of may be another."""
    # Weak: a time in the head of a document may be another although nothing has changed.
    return f'W/"{fingerprint(standing, *more)}"'


def cells_answer(
    reads: Reads, station: Station, query: CellQuery, asked: Asked, known: Format, unless: Sequence[str]
) -> Answer:
    """A page of cells. Not modified where its tag is one of ``unless``."""
    statistic = query.statistic
    standing = station.standing(reads, statistic)
    effective = _aligned(query)
    tag = tag_of(standing, asked.fingerprint, effective, query.cursor, query.limit, query.fields, query.zone.key, known)
    if tag in unless or "*" in unless:
        return Answer(None, tag)
    fields = query.fields
    query = replace(query, fields=fields_for(known, fields)).narrowed()
    coverage = (lambda a, b: station.coverage(reads, statistic, a, b)) if query.gaps else None
    page = read_page(reads, query, standing.watermark, coverage)
    page = page.within(query.range.start_ms, query.range.stop_ms)
    head: dict[str, Any] = {}
    if known.name == "json":
        tallies = station.tallies(reads, query.range.start_ms, query.range.stop_ms)
        rolling = query.row_length.text if query.rolling > 1 else None
        zone = query.zone
        head = _head(statistic, query.length, standing, query) | {
            "rolling": rolling,
            "rollup": None if query.by is None else list(query.by),
            "stop": precise(query.range.stop_ms, zone),
            **quality_of(tallies),
        }
    return _paged(page, known, query, asked, tag, fields, head)


def _paged(
    page: Page, known: Format, query: CellQuery, asked: Asked, tag: str, fields: Sequence[str], head: Mapping[str, Any]
) -> Answer:
    url = asked.next_url(page.next)
    head = {**head, "rows": page.rows, "next": url} if head else {}
    return Answer(encoded(known, page, fields, query.zone.key, head), tag, url)


def _head(statistic: BoundStatistic, length: Length, standing: Standing, query: CellQuery) -> dict[str, Any]:
    return {
        "statistic": statistic.name,
        "every": length.text,
        "start": precise(query.range.start_ms, query.zone),
        "tz": query.zone.key,
        "version": statistic.version,
        **watermark_of(standing.watermark, query.zone),
    }


def _aligned(query: CellQuery) -> tuple[int | None, int | None]:
    """The range as the windows see it: what ``-1h`` means changes with every look at the clock, these do not."""
    windows, found = query.statistic.windows, list[int | None]()
    for bound in (query.range.start_ms, query.range.stop_ms):
        found.append(None if bound is None else windows.start(query.length, max(bound - 1, MIN_TIME_MS)))
    return found[0], found[1]


def latest_answer(
    reads: Reads, station: Station, query: CellQuery, asked: Asked, known: Format, unless: Sequence[str]
) -> Answer:
    """The newest cell of each key. Not modified where its tag is one of ``unless``."""
    statistic, every = query.statistic, query.length.text
    standing = station.standing(reads, statistic)
    newest = reads.next_start(statistic.version, every, MAX_TIME_MS, descending=True)
    since = query.range.start_ms
    if since is None:
        since = (newest or 0) - (LATEST_WINDOWS - 1) * query.length.nominal_ms
    tag = tag_of(standing, asked.fingerprint, since, query.cursor, query.limit, query.fields, query.zone.key, known)
    if tag in unless or "*" in unless:
        return Answer(None, tag)
    fields = query.fields
    query = replace(query, fields=fields_for(known, fields)).narrowed()
    found = _newest(reads, query, since)
    page = page_of(found, query, standing.watermark, reads)
    query = replace(query, range=replace(query.range, start_ms=max(since, MIN_TIME_MS)))
    head = {}
    if known.name == "json":
        tallies = quality_of(station.tallies(reads, query.range.start_ms, None))
        head = _head(statistic, query.length, standing, query) | tallies
    page = page.within(query.range.start_ms, None)
    return _paged(page, known, query, asked, tag, fields, head)


def _newest(reads: Reads, query: CellQuery, since: int) -> Iterator[Piece]:
    keys, version, every = query.keys, query.statistic.version, query.length.text
    size, after = query.limit + 1, query.cursor.key
    while True:
        batch = reads.latest(version, every, query.wanted, size, since, after, keys.ids, keys.containing)
        kept = picked(batch, [n for n, key in enumerate(batch.keys) if keys.matches(key)])
        if len(kept):
            yield Piece(kept, kept.starts)
        if len(batch) < size:
            return
        after = batch.keys[-1]


def keys_answer(
    reads: Reads, statistic: BoundStatistic, given: Given, asked: Asked, cursor: Cursor, now_ms: int
) -> dict[str, Any]:
    """The keys that have a cell; of the longest windows unless told, since these have the fewest cells."""
    length = length_of(statistic, given, statistic.windows.lengths[-1])
    zone = zone_of(given)
    wanted, keys, limit = range_of(given, zone, now_ms), key_filter(statistic, given.others()), given.limit()
    found = reads.keys(
        statistic.version,
        length.text,
        limit + 1,
        wanted.start_ms,
        wanted.stop_ms,
        cursor.key,
        keys.ids,
        keys.containing,
    )
    more = replace(cursor, start_ms=found[limit - 1][1], key=found[limit - 1][0]) if len(found) > limit else None
    rows = [
        {**key_columns(statistic, json.loads(text)), "last": iso(start, zone)}
        for text, start in found[:limit]
        if keys.matches(text)
    ]
    return {"statistic": statistic.name, "every": length.text, "keys": rows, "next": asked.next_url(more)}


def cell_name(statistic: BoundStatistic, given: Given, now_ms: int) -> CellName:
    """The cell whose events are asked for: of the length ``every``, the window that holds the time ``start``.

    Its whole key must be given, or ``row=all``, ``row=other``. Raises Problem.
    """
    length, zone = length_of(statistic, given), zone_of(given)
    if not given.text("start"):
        raise bad("start", "start: these are the events of one cell; give a time in its window, such as its start")
    at = moment_ms(given.text("start"), "start", zone, now_ms)
    start = statistic.windows.start(length, at)
    others, row = given.others(), given.text("row")
    if row not in ("", "key", "all", "other"):
        raise bad("row", f"row: {row[:100]!r} is neither all nor other")
    if row in ("all", "other") and statistic.by:
        if others:
            raise bad("row", f"row: the row {row} has no key; leave out row, or {others[0][0]}")
        key = ALL_TEXT if row == "all" else OTHER_TEXT
    else:
        key = exact_key(statistic, others)
    return CellName(statistic, length, start, statistic.windows.stop(length, start), key)


def counted_by(reads: Reads, cell: CellName) -> int:
    """How many events the cell counted; 0 where there is none."""
    every, version = cell.every.text, cell.statistic.version
    found = reads.cells(version, every, (), 1, cell.start_ms, cell.start_ms + 1, ids=[key_id(cell.key)])
    return sum(found.events)


def cell_events_head(cell: CellName, given: Given, counted: int) -> dict[str, Any]:
    """What is said of the cell beside its events."""
    zone = zone_of(given)
    return {
        "statistic": cell.statistic.name,
        "every": cell.every.text,
        "start": iso(cell.start_ms, zone),
        "stop": iso(cell.stop_ms, zone),
        **key_columns(cell.statistic, json.loads(cell.key)),
        "counted": counted,
    }


def event_document(event: LoggedEvent) -> dict[str, Any]:
    """An event as JSON, but for its body, which is the message's own."""
    return {
        "position": event.position,
        "time": precise(event.time_ms),
        "time_ms": event.time_ms,
        "topic": event.topic,
        "source": event.source,
        "id": event.id or None,
        **({"owner": event.owner} if event.owner else {}),
    }


def letters_answer(
    reads: Reads, station: Station, given: Given, asked: Asked, cursor: Cursor, now_ms: int
) -> dict[str, Any]:
    """A page of dead letters, by position."""
    received, limit = range_of(given, zone_of(given), now_ms), given.limit()
    state = given.text("state") or None
    if state is not None and state not in ("new", "replayed"):
        raise bad("state", f"state: {state[:100]!r} is neither new nor replayed")
    wanted = LetterFilter(
        given.text("reason") or None, given.text("source") or None, state, received.start_ms, received.stop_ms
    )
    found = station.dead_letters(reads, Scope.all, wanted, cursor.position, limit + 1)
    more = replace(cursor, position=found[limit - 1].position) if len(found) > limit else None
    rows = [letter_document(letter, SHOWN_BYTES) for letter in found[:limit]]
    return {"dead_letters": rows, "next": asked.next_url(more)}


def letter_document(letter: KeptLetter, most: int | None = None) -> dict[str, Any]:
    """A dead letter as JSON, with its text, or in base64 where it is none; ``length`` is the whole message's."""
    names = ("position", "source", "lane", "line", "column", "offset", "reason", "detail", "state", "length")
    found = {name: getattr(letter, name) for name in names}
    found["received"] = precise(letter.received_ms) if letter.received_ms else None
    data = letter.data[:most]
    try:
        return {**found, "text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {**found, "base64": base64.b64encode(data).decode("ascii")}


def replay_query(given: Given) -> ReplayQuery:
    """Which dead letters are to be replayed. Raises Problem."""
    limit, after = given.whole("limit", 1, MOST_REPLAYS), given.whole("after")
    return ReplayQuery(
        reason=given.text("reason") or None,
        source=given.text("source") or None,
        position=given.whole("position"),
        after=-1 if after is None else after,
        before=given.whole("before"),
        limit=MOST_REPLAYS if limit is None else limit,
    )


def replayed_document(found: Replayed) -> dict[str, Any]:
    """What a replay did, as JSON."""
    refused = [{"position": position, "why": why} for position, why in found.refused.items()]
    names = ("replayed", "accepted", "duplicates", "still_bad", "not_replayable", "remaining", "next", "before")
    return {**{name: getattr(found, name) for name in names}, "refused": refused}


def source_document(source: SourceStatus) -> dict[str, Any]:
    """A source as JSON."""
    return {
        "name": source.name,
        "kind": source.kind,
        "state": source.state,
        "lag_ms": source.lag_ms,
        "events_per_s": source.events_per_s,
        "last_event": precise(source.last_event_ms),
        "watermark": precise(source.watermark_ms),
        "last_error": source.last_error,
        "dead_letters": source.dead_letters,
        "duplicates": source.duplicates,
        "lanes": [dict(lane) for lane in source.lanes],
    }
