"""What a run did, in a few lines for people or as JSON for machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import IO, Any

from streamgauge.engines.base import NO_TIME, OUT_OF_RANGE, UNFIT_TIME
from streamgauge.event import DeadLetter
from streamgauge.output.text import Glyphs

MOST_LINES = 15
NAMED = 3
"""Dead letters, statistics and inputs that are named one by one; of more, only how many there are is said."""

_ABOUT_TIME = (NO_TIME, UNFIT_TIME, OUT_OF_RANGE)
_PREFIXES = ("kB", "MB", "GB", "TB")


def summary_lines(summary: Mapping[str, Any], glyphs: Glyphs | None = None) -> list[str]:
    """At most about fifteen lines; what is zero is left out.

    ``summary`` has: ``events``, ``records``, ``bytes``, ``seconds``, ``read_records`` (in this run alone),
    ``dead_letters`` {(lane, reason): n},
    ``first_dead_letters`` [DeadLetter], ``duplicates``, ``late`` and ``expired`` {statistic:every: n}, ``wrong_types``
    {field: n}, ``unused`` (events that no statistic counts), ``cells`` {statistic: {every: (windows, keys, cells)}},
    ``time_units`` {lane: unit}, ``notes`` [text], ``problems`` [text] (inputs that could not be read). All may be
    missing.
    """
    told, problems = _told(summary, glyphs or Glyphs())
    return told + problems


def _told(summary: Mapping[str, Any], glyphs: Glyphs) -> tuple[list[str], list[str]]:
    """The lines of what was done, and of what could not be read."""
    teller = _Teller(summary, glyphs)
    malformed, letters = list(teller.malformed()), list(teller.letters())
    rest = [*teller.counts(), *teller.cells(), *teller.time_units()]
    room = MOST_LINES - 1 - len(malformed) - min(1, len(letters)) - len(rest)
    reserved = min(2, len(summary.get("notes", ())))
    problems = list(teller.some("problems", "inputs that could not be read", room - reserved))
    notes = list(teller.some("notes", "notes", room - len(problems)))
    room -= len(problems) + len(notes)
    told = [teller.first(), *malformed, *letters[: 1 + max(0, room)], *rest, *notes]
    return [glyphs.line(line) for line in told], [glyphs.line(line) for line in problems]


def statistic_notes(summary: Mapping[str, Any], name: str, fields: Container[str]) -> list[str]:
    """What a table says below a statistic: how many events were late, or had the wrong type in one of its fields."""
    chosen = {
        kind: {key.partition(":")[2]: n for key, n in summary.get(kind, {}).items() if key.partition(":")[0] == name}
        for kind in ("late", "expired")
    }
    wrong = {field: n for field, n in summary.get("wrong_types", {}).items() if field in fields}
    return list(_Teller({**chosen, "wrong_types": wrong}, Glyphs()).counts())


def input_notes(summary: Mapping[str, Any]) -> list[str]:
    """What a table says at its end: how many lines are no events, and which times were found."""
    teller = _Teller(summary, Glyphs())
    return [*teller.malformed(), *teller.time_units()]


def print_summary(summary: Mapping[str, Any], out: IO[str]) -> None:
    """Write the lines; in a terminal, what could not be read stands out."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=out, highlight=False, markup=False, emoji=False)
    told, problems = _told(summary, Glyphs.of(getattr(out, "encoding", None)))
    for lines, style in ((told, "dim"), (problems, "red")):
        for line in lines:
            console.print(Text(line, style), soft_wrap=True)


def as_json(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The whole summary as plain JSON, nothing left out; a dead letter's bytes as text, undecodable ones replaced."""
    seconds, read = summary.get("seconds", 0.0), summary.get("read_records", summary.get("records", 0))
    return {
        **{name: summary.get(name, 0) for name in ("events", "records", "bytes", "seconds")},
        "read_records": read,
        "records_per_s": read / seconds if seconds else None,
        "dead_letters": [
            {"input": lane, "reason": reason, "count": count}
            for (lane, reason), count in sorted(summary.get("dead_letters", {}).items())
        ],
        "first_dead_letters": [_letter(letter) for letter in summary.get("first_dead_letters", ())],
        **{name: summary.get(name, 0) for name in ("duplicates", "unused")},
        **{name: dict(summary.get(name, {})) for name in ("late", "expired", "wrong_types", "time_units")},
        "cells": {
            name: {e: dict(zip(("windows", "keys", "cells"), n, strict=True)) for e, n in lengths.items()}
            for name, lengths in summary.get("cells", {}).items()
        },
        **{name: list(summary.get(name, ())) for name in ("notes", "problems")},
    }


def _letter(letter: DeadLetter) -> dict[str, Any]:
    names = ("position", "lane", "line", "column", "offset", "reason", "detail", "length")
    return {**{n: getattr(letter, n) for n in names}, "data": letter.data.decode("utf-8", "replace")}


class _Teller:
    """Finds the sentences."""

    def __init__(self, summary: Mapping[str, Any], glyphs: Glyphs) -> None:
        self.summary, self.glyphs = summary, glyphs

    def first(self) -> str:
        events, records = self._get("events", 0), self._get("records", 0)
        size, seconds = self._get("bytes", 0), self._get("seconds", 0.0)
        of = f" of {self._n(records)} records" if records > events else ""
        read = self._get("read_records", records)
        # When a store goes on, only what this run read tells how fast it was.
        done, what = (events, "events") if read == records else (read, "records")
        rate = f" ({self._n(round(done / seconds))} {what}/s)" if read and seconds >= 0.05 else ""
        speed = f" in {seconds:.1f} s{rate}" if seconds >= 0.05 else ""
        before = f", {self._n(read)} records of them in this run" if read < records else ""
        return f"{self._n(events)} event{'' if events == 1 else 's'}{of}, {human_bytes(size)}{before}{speed}"

    def malformed(self) -> Iterator[str]:
        """How many are no events."""
        reasons: Counter[str] = Counter()
        for (_, reason), count in self._get("dead_letters", {}).items():
            reasons[reason] += count
        timeless = {reason: reasons.pop(reason) for reason in _ABOUT_TIME if reason in reasons}
        counted = [("malformed", reasons), ("no usable time", timeless)]
        told = [f"{what}: {self._counts(counts)}" for what, counts in counted if sum(counts.values())]
        if told:
            yield "; ".join(told)

    def letters(self) -> Iterator[str]:
        """The first that are no events, by name."""
        for letter in self._get("first_dead_letters", ())[:NAMED]:
            column = f" at character {letter.column}" if letter.column else ""
            said = letter.detail.removeprefix(f"{letter.reason}: ")
            detail = f": {said}{column}" if said else column
            yield f"  {letter.lane}:{letter.line}: {letter.reason}{detail}"

    def counts(self) -> Iterator[str]:
        if duplicates := self._get("duplicates", 0):
            yield f"duplicates: {self._n(duplicates)}, counted once"
        for name in ("late", "expired"):
            if told := self._counts({key.replace(":", " "): n for key, n in self._get(name, {}).items()}):
                yield f"{name}: {told}"
        if told := self._counts(self._get("wrong_types", {})):
            yield f"wrong types: {told}"
        if unused := self._get("unused", 0):
            yield f"unused: {self._many(unused, 'event')} that no statistic counts"

    def cells(self) -> Iterator[str]:
        cells = {name: lengths for name, lengths in self._get("cells", {}).items() if lengths}
        if len(cells) > NAMED:
            total = sum(count for lengths in cells.values() for _, _, count in lengths.values())
            yield f"{len(cells)} statistics: {self._n(total)} cells"
            return
        for name, lengths in cells.items():
            told = (f"{self._many(w, 'window')} of {e}, {self._many(k, 'key')}" for e, (w, k, _) in lengths.items())
            total = sum(count for _, _, count in lengths.values())
            yield f"{name}: {self._many(total, 'cell')}: {'; '.join(told)}"

    def time_units(self) -> Iterator[str]:
        lanes: dict[str, list[str]] = {}
        for lane, unit in self._get("time_units", {}).items():
            lanes.setdefault(unit, []).append(lane)
        told = (f"{unit} in {self._names(names)}" for unit, names in lanes.items() if unit)
        if text := "; ".join(told):
            yield f"times as found: {text}"

    def some(self, name: str, what: str, room: int) -> Iterator[str]:
        """The first lines of a list, and how many more there are, in two lines at least."""
        lines: Sequence[str] = self._get(name, ())
        most = max(2, min(NAMED + 1, room))
        shown = len(lines) if len(lines) <= min(most, NAMED) else most - 1
        yield from lines[:shown]
        if len(lines) > shown:
            yield f"... and {self._n(len(lines) - shown)} more {what}"

    def _get(self, name: str, default: Any) -> Any:
        return self.summary.get(name, default)

    def _n(self, count: int) -> str:
        return self.glyphs.integer(count)

    def _many(self, count: int, noun: str) -> str:
        return f"{self._n(count)} {noun}{'' if count == 1 else 's'}"

    def _counts(self, counts: Mapping[str, int]) -> str:
        """``not JSON 30, too long 2``, the most frequent first, at most six."""
        found = sorted(((n, name) for name, n in counts.items() if n), key=lambda pair: (-pair[0], pair[1]))
        told = [f"{name} {self._n(n)}" for n, name in found[:6]]
        more = sum(n for n, _ in found[6:])
        return ", ".join(told + ([f"others {self._n(more)}"] if more else []))

    def _names(self, names: Sequence[str]) -> str:
        return ", ".join(names) if len(names) <= NAMED else f"{self._n(len(names))} inputs"


def human_bytes(size: int) -> str:
    """A size in decimal units.

    >>> human_bytes(999), human_bytes(1_700_000_000)
    ('999 bytes', '1.7 GB')
    """
    if size < 1000:
        return f"{size} bytes"
    amount, unit = float(size), ""
    for prefix in _PREFIXES:
        if amount < 999.95:
            break
        amount, unit = amount / 1000, prefix
    return f"{amount:.1f} {unit}"
