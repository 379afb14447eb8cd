"""What a person asked to see of a report, and showing it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from streamgauge.errors import UsageError, nearest

if TYPE_CHECKING:
    from streamgauge.bound import BoundStatistic
    from streamgauge.declare import Declarations
    from streamgauge.output.present import Presenter, Query
    from streamgauge.pipeline import Progress
    from streamgauge.reporting import Report
    from streamgauge.store.base import Store

BINARY = ("parquet", "arrow")
TERMINAL_ROWS = 40
"""Rows of each statistic that a table shows on a terminal unless told."""


@dataclass(frozen=True, slots=True)
class View:
    """Which statistics, lengths, rows and columns to show, how, and where. Empty means all, or the default."""

    statistics: tuple[str, ...] = ()
    every: tuple[str, ...] = ()
    by: tuple[str, ...] | None = None
    start: str = ""
    stop: str = ""
    order: str = ""
    limit: int | None = None
    tz: str = "UTC"
    format: str = "table"
    output: str = "-"
    csv_safe: bool = False


def check_view(view: View, summary: str) -> None:
    """Refuse what can be refused before anything is computed. Raises UsageError or DeclarationError."""
    from streamgauge.output import WRITERS
    from streamgauge.windows import check_zone

    if view.format not in WRITERS:
        hint = nearest(view.format, WRITERS) or f"one of {', '.join(WRITERS)}"
        raise UsageError(f"--format {view.format!r}: unknown format; {hint}")
    if summary not in ("text", "json"):
        raise UsageError(f"--summary {summary!r}: is text or json")
    check_zone(view.tz, "--tz")
    moment(view.start, "--start", view.tz)
    moment(view.stop, "--stop", view.tz)
    if view.format in BINARY and view.output == "-" and sys.stdout.isatty():
        raise UsageError(f"--format {view.format} is not for a terminal; write it to a file with --output FILE")


def moment(text: str, what: str, zone: str) -> int | None:
    """Milliseconds of a time on the command line: ISO 8601 (in ``zone`` where it has none), or epoch s or ms."""
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    if not text:
        return None
    if re.fullmatch("-?[0-9]{1,15}", text):
        number = int(text)
        return number if abs(number) >= 10**11 else number * 1000
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as e:
        raise UsageError(f"{what} {text!r}: not a time; write e.g. 2026-01-31T12:00Z, or epoch seconds") from e
    parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=ZoneInfo(zone))
    return int((parsed - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)


def choose(loaded: Declarations, view: View) -> list[tuple[BoundStatistic, str]]:
    """The statistics and lengths to show. Raises UsageError where nothing, or something unknown, was asked for.

    ``--by`` without ``--statistic`` takes the statistics whose keys are just these, else those that have them.
    """
    statistics = _named(loaded, view)
    if view.by is not None:
        statistics = _with_keys(statistics, view.by, bool(view.statistics))
    shown = [
        (s, length.text) for s in statistics for length in s.lengths if not view.every or length.text in view.every
    ]
    lengths = {length.text for s in statistics for length in s.lengths}
    for every in view.every:
        if every not in lengths:
            hint = nearest(every, lengths) or f"there are {', '.join(sorted(lengths))}"
            raise UsageError(f"--every {every!r}: no such window length here; {hint}")
    if not view.every:
        shown = [(s, s.lengths[0].text) for s in statistics]
    if view.format in ("csv", *BINARY) and len(shown) > 1:
        names = ", ".join(f"{s.name} {every}" for s, every in shown)
        raise UsageError(f"--format {view.format} holds one table; choose one with --statistic and --every: {names}")
    return shown


def _named(loaded: Declarations, view: View) -> list[BoundStatistic]:
    for name in view.statistics:
        if name not in loaded.statistics:
            hint = nearest(name, loaded.statistics) or f"known: {', '.join(loaded.statistics)}"
            raise UsageError(f"--statistic {name!r}: unknown statistic; {hint}")
    return [s for n, s in loaded.statistics.items() if not view.statistics or n in view.statistics]


def _with_keys(statistics: list[BoundStatistic], by: tuple[str, ...], named: bool) -> list[BoundStatistic]:
    wanted = set(by)
    exact = [s for s in statistics if {name for name, _ in s.by} == wanted]
    if exact and not named:
        return exact
    having = [s for s in statistics if wanted <= {name for name, _ in s.by}]
    if not having or (named and len(having) < len(statistics)):
        keys = sorted({name for s in statistics for name, _ in s.by})
        missing = next((b for b in by if b not in keys), by[0] if by else "")
        raise UsageError(f"--by {missing!r}: no such key here; {nearest(missing, keys) or 'keys: ' + ', '.join(keys)}")
    return having


def check_before(loaded: Declarations, view: View, dead_letters: str, inputs: Sequence[str]) -> None:
    """Refuse, before anything is read, what could only be refused afterwards. Raises UsageError."""
    check_queries(loaded, view)
    check_outputs(view, dead_letters, inputs)


def check_outputs(view: View, dead_letters: str, inputs: Sequence[str]) -> None:
    """Refuse to write over what is to be read. Raises UsageError."""
    from streamgauge.log.files import expand

    for option, path in (("--output", view.output), ("--dead-letters", dead_letters)):
        if path not in ("", "-") and any(_same_file(path, name) for name in expand(inputs)):
            raise UsageError(f"{option} {path}: is one of the inputs; name another file")


def _same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def check_queries(loaded: Declarations, view: View) -> None:
    """Refuse rows that cannot be had, such as an unknown --order, before anything is read. Raises UsageError."""
    from streamgauge.event import NEVER
    from streamgauge.output.present import Presenter

    for statistic, every in choose(loaded, view):
        # Only rows are read from a store, and none are asked for yet.
        presenter = Presenter(statistic, cast("Store", None), NEVER)
        names = [column.name for column in presenter.columns(query_of(view, every, view.limit))]
        wanted = view.order.removeprefix("-")
        if view.order and wanted not in names:
            hint = nearest(wanted, names) or f"columns: {', '.join(names)}"
            raise UsageError(f"--order {view.order!r}: {statistic.name} has no such column; {hint}")


def query_of(view: View, every: str, limit: int | None) -> Query:
    """The query for one statistic and window length."""
    from streamgauge.output.present import Query

    return Query(
        every=every,
        by=view.by,
        start_ms=moment(view.start, "--start", view.tz),
        stop_ms=moment(view.stop, "--stop", view.tz),
        order=view.order or None,
        limit=limit,
        tz=view.tz,
    )


def show(report: Report, view: View, summary: str = "") -> None:
    """Write what was asked for. Raises UsageError where the output cannot be written.

    ``summary`` is the form of the one that will follow on standard error: on the same terminal, what it says of the
    inputs is not said twice.
    """
    from streamgauge.output import write

    limit = view.limit
    if limit is None and view.format == "table" and view.output == "-" and sys.stdout.isatty():
        limit = TERMINAL_ROWS
    blocks: list[tuple[Presenter, Query]] = []
    for statistic, every in choose(report.declarations, view):
        blocks.append((report.presenter(statistic.name), query_of(view, every, limit)))
    with _opened(view) as out:
        write(view.format, blocks, out, csv_safe=view.csv_safe, notes=_notes(report, view, summary))


def _notes(report: Report, view: View, summary: str) -> dict[str, list[str]]:
    """What a table says below each statistic, and at its end."""
    from streamgauge.output.summary import input_notes, statistic_notes

    if view.format != "table":
        return {}
    statistics = report.declarations.statistics.values()
    known = {text: normal for s in statistics for text, normal in _fields(s).items()}
    notes = {}
    for statistic in statistics:
        own = set(_fields(statistic).values())
        fields = [text for text in report.summary.get("wrong_types", {}) if known.get(text) in own]
        notes[statistic.name] = statistic_notes(report.summary, statistic.name, fields)
    same_place = view.output == "-" and sys.stdout.isatty() and sys.stderr.isatty()
    if not (same_place and summary == "text"):
        notes[""] = input_notes(report.summary)
    return notes


def _fields(statistic: BoundStatistic) -> dict[str, str]:
    """What a statistic reads and may find to be of the wrong type: normal forms by their texts."""
    fields: dict[str, str] = {}
    for expression in statistic.expressions():
        fields.update({part.text: part.normal for part in (expression, *expression.casts)})
        fields.update({name: name for name in expression.names})
    return fields


@contextlib.contextmanager
def _opened(view: View) -> Iterator[Any]:
    binary = view.format in BINARY
    if view.output == "-":
        yield sys.stdout.buffer if binary else sys.stdout
        sys.stdout.flush()
        return
    try:
        file = open(view.output, "wb") if binary else open(view.output, "w", encoding="utf-8", newline="")  # noqa: SIM115
    except OSError as e:
        raise UsageError(f"--output {view.output}: cannot be written: {e.strerror}") from e
    with file:
        yield file


def write_dead_letters(report: Report, path: str) -> None:
    """Write the dead letters that were kept as NDJSON: position, lane, line, offset, reason, detail, text or base64."""
    import base64

    with _opened(View(output=path)) as out:
        for letter in report.dead_letters():
            fields = {
                n: getattr(letter, n) for n in ("position", "lane", "line", "column", "offset", "reason", "detail")
            }
            try:
                fields["text"] = letter.data.decode("utf-8")
            except UnicodeDecodeError:
                fields["base64"] = base64.b64encode(letter.data).decode("ascii")
            out.write(json.dumps({**fields, "length": letter.length}, ensure_ascii=False) + "\n")


def show_beside(report: Report, dead_letters: str, summary: str) -> None:
    """Write the dead letters where a file is named, and the summary (text or json) on standard error.

    Without a summary, the inputs that could not be read are named all the same.
    """
    if dead_letters:
        write_dead_letters(report, dead_letters)
    if summary:
        print_summary(report, summary)
        return
    for problem in report.summary["problems"]:
        print(f"error: {problem}", file=sys.stderr)


def print_summary(report: Report, form: str) -> None:
    """Print the summary on standard error."""
    from streamgauge.output import summary

    if form == "json":
        print(json.dumps(summary.as_json(report.summary)), file=sys.stderr)
    else:
        summary.print_summary(report.summary, sys.stderr)


@contextlib.contextmanager
def progress() -> Iterator[Callable[[Progress | None, int | None], None]]:
    """A progress bar on a terminal for what takes over a second; nothing in a pipe. Called with None, it goes away."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from streamgauge.clock import SystemClock
    from streamgauge.output.progress import Bar

    bar = Bar(SystemClock())
    try:
        yield bar.show
    finally:
        bar.close()
