"""Cells from a shell: what REST answers, as a table or a format, once or again and again."""

from __future__ import annotations

import io
import select
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any
from urllib.parse import quote

from streamgauge.asking import Asking, Reply, answer, target_of
from streamgauge.errors import RetryableError, UsageError, nearest

FORMATS = ("table", "json", "ndjson", "csv")
TERMINAL_ROWS = 40
"""Rows that a table shows on a terminal unless told."""

LIVE_S = 1.0
MOST_ROWS = 1000
"""The largest limit; without one, all rows are shown."""

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CellsView:
    """What is to be shown. Empty texts mean what REST means where a parameter is left out."""

    statistic: str
    every: str = ""
    keys: tuple[str, ...] = ()
    start: str = ""
    stop: str = ""
    tz: str = ""
    by: str | None = None
    rolling: str = ""
    order: str = ""
    limit: int | None = None
    format: str = "table"
    live: bool = False

    def pairs(self) -> list[tuple[str, str]]:
        """The parameters of the request. Raises UsageError for a key that has no value."""
        names = ("every", "start", "stop", "tz", "rolling", "order")
        found = [(name, value) for name in names if (value := str(getattr(self, name)))]
        found += [("rollup", self.by)] if self.by is not None else []
        for text in self.keys:
            name, sign, value = text.partition("=")
            if not sign or not name:
                raise UsageError(f"--key {text[:200]!r}: write NAME=VALUE, e.g. --key carrier=carrier-007")
            found.append((f"key.{name}", value))
        return [*found, ("limit", "max" if self.limit is None else str(self.limit))]

    @property
    def path(self) -> str:
        """Of the statistic."""
        return f"/v1/statistics/{quote(self.statistic, safe='')}"


def check_cells(view: CellsView) -> None:
    """Refuse what can be refused before anybody is asked. Raises UsageError."""
    if view.format not in FORMATS:
        hint = nearest(view.format, FORMATS) or f"one of {', '.join(FORMATS)}"
        raise UsageError(f"--format {view.format!r}: unknown format; {hint}")
    if view.limit is not None and not 1 <= view.limit <= MOST_ROWS:
        raise UsageError(f"--limit {view.limit}: is 1 to {MOST_ROWS}; leave it out for all rows")
    if view.live and view.format not in ("table", "ndjson"):
        raise UsageError(f"--live --format {view.format}: is a table on a terminal, and NDJSON in a pipe")
    view.pairs()


def show_cells(asking: Asking, view: CellsView, out: IO[str]) -> None:
    """Write what was asked for, or with ``live`` go on doing so until interrupted, or until the pipe is closed.

    Raises UsageError, RetryableError, BrokenPipeError.
    """
    check_cells(view)
    if view.live:
        follow(asking, view, out)
    elif view.format == "table":
        if view.limit is None and out.isatty():
            view = replace(view, limit=TERMINAL_ROWS)
        _Table(asking, view).write(out, list(_documents(asking, view)))
    elif view.format == "json":
        _write_json(list(_documents(asking, view)), out)
    else:
        _write_parts(asking, view, out)
    _say_if_other(asking, view)


def follow(asking: Asking, view: CellsView, out: IO[str], until: Callable[[], bool] = lambda: False) -> None:
    """Show the newest cells each second: a table on a terminal; elsewhere a line for each one that has changed.

    Where nobody answers for a while, that is said, and it goes on. ``until`` says that it is enough.
    """
    view = replace(view, order=view.order or "desc")
    if view.format == "table" and out.isatty():
        _on_terminal(asking, view, out, until)
    else:
        _as_lines(asking, replace(view, limit=view.limit or MOST_ROWS), out, until)


def _pages(asking: Asking, view: CellsView, suffix: str = "") -> Iterator[Reply]:
    """All pages, or the one that the limit allows."""
    target = target_of(f"{view.path}/cells{suffix}", view.pairs())
    while target:
        reply = answer(asking, target)
        yield reply
        target = reply.next if view.limit is None else ""


def _documents(asking: Asking, view: CellsView) -> Iterator[Document]:
    return (reply.json() for reply in _pages(asking, view))


def _write_json(documents: Sequence[Document], out: IO[str]) -> None:
    """The document of the first page, with the cells of all; ``next`` is of the last."""
    from streamgauge.output.json import json_text

    cells = [json_text(cell) for document in documents for cell in document["cells"]]
    head = {**documents[0], "rows": len(cells), "next": documents[-1]["next"]}
    del head["cells"]
    out.write(f'{json_text(head)[:-1]}, "cells": [\n' + ",\n".join(cells) + "\n]}\n")


def _write_parts(asking: Asking, view: CellsView, out: IO[str]) -> None:
    """NDJSON or CSV as it comes; of CSV the header once."""
    for number, reply in enumerate(_pages(asking, view, f".{view.format}")):
        body = reply.body
        if number and view.format == "csv":
            body = body.partition(b"\r\n")[2]
        _write_bytes(body, out)


def _write_bytes(data: bytes, out: IO[str]) -> None:
    binary = getattr(out, "buffer", None)
    if binary is None:
        out.write(data.decode())
        return
    out.flush()
    binary.write(data)


class _Table:
    """Writes pages of cells as a table. What the statistic is is asked once."""

    def __init__(self, asking: Asking, view: CellsView) -> None:
        self._view = view
        self._described = answer(asking, view.path).json()

    def write(self, out: IO[str], pages: Sequence[Document], **options: Any) -> None:
        from streamgauge.listed import Listed
        from streamgauge.output.base import Options
        from streamgauge.output.present import Query
        from streamgauge.output.table import write_table

        first, rows = pages[0], [cell for page in pages for cell in page["cells"]]
        every, by = first["rolling"] or first["every"], first["rollup"]
        listed = Listed(self._described, every, by, rows)
        query = Query(every=every, by=None if by is None else tuple(by), tz=first["tz"])
        notes = {listed.statistic.name: list(self._notes(pages))}
        write_table([(listed.presenter(), query)], out, Options(notes=notes, **options))

    def _notes(self, pages: Sequence[Document]) -> Iterator[str]:
        first, rows = pages[0], sum(page["rows"] for page in pages)
        if pages[-1]["next"]:
            yield f"the first {rows} rows; --limit shows more, --start others"
        letters = ", ".join(f"{reason} {count}" for reason, count in first["dead_letters"].items())
        if letters:
            yield f"dead letters: {letters}; streamgauge dead-letters list shows them"
        if first["watermark"]:
            yield f"watermark {first['watermark']}"


def _on_terminal(asking: Asking, view: CellsView, out: IO[str], until: Callable[[], bool]) -> None:
    from streamgauge.output.screen import Screen

    table, newest, pause = _Table(asking, view), _Newest(asking), threading.Event()
    text = ""
    with Screen(out) as screen:
        while not until():
            shown = replace(view, limit=view.limit or min(screen.rows, MOST_ROWS))
            try:
                page = newest.page(shown)
                if page is not None:
                    drawn = io.StringIO()
                    table.write(drawn, [page], width=screen.width, terminal=True)
                    text = drawn.getvalue().rstrip("\n")
                screen.show(text)
            except RetryableError as error:
                screen.show(f"{text}\n\n{error}")
            pause.wait(LIVE_S)


def _as_lines(asking: Asking, view: CellsView, out: IO[str], until: Callable[[], bool]) -> None:
    from streamgauge.output.json import json_text

    keys = _key_names(answer(asking, view.path).json(), view)
    newest, known, problem = _Newest(asking), dict[tuple[Any, ...], Any](), ""
    pause = threading.Event()
    while not until() and not _closed(out):
        try:
            page = newest.page(view)
            problem = ""
        except RetryableError as error:
            if str(error) != problem:
                print(f"error: {error}", file=sys.stderr)
            page, problem = None, str(error)
        if page is not None:
            rows = {(row["start_ms"], row["row"], *(row[key] for key in keys)): row for row in page["cells"]}
            # Newest last, as in a file that grows.
            changed = [row for place, row in reversed(rows.items()) if known.get(place) != row]
            out.write("".join(f"{json_text(row)}\n" for row in changed))
            out.flush()
            known = rows
        pause.wait(LIVE_S)


class _Newest:
    """The page as it is now; None where nothing has changed since it was asked for last."""

    def __init__(self, asking: Asking) -> None:
        self._asking, self._tag, self._target = asking, "", ""

    def page(self, view: CellsView) -> Document | None:
        target = target_of(f"{view.path}/cells", view.pairs())
        unless = {"If-None-Match": self._tag} if self._tag and target == self._target else {}
        reply = answer(self._asking, target, headers=unless)
        self._tag, self._target = reply.headers.get("etag", ""), target
        return None if reply.status == 304 else reply.json()


def _key_names(described: Document, view: CellsView) -> list[str]:
    if view.by is not None:
        return [name.strip() for name in view.by.split(",") if name.strip()]
    return [key["name"] for key in described["keys"]]


def _closed(out: IO[str]) -> bool:
    """Whether nobody reads the pipe any more, which a write alone would tell otherwise."""
    try:
        poll = select.poll()
        poll.register(out.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))
    except (OSError, ValueError):
        return False


def _say_if_other(asking: Asking, view: CellsView) -> None:
    """A store has no cells of a definition that it was not made with: nobody should take that for silence."""
    if not asking.local:
        return
    described = answer(asking, view.path).json()
    if not any(window["cells"] for window in described["windows"]):
        hint = "where there should be some, give the declarations that the store was made with (--pack, --declarations)"
        print(f"the store has no cells of {view.statistic} as it is declared here; {hint}", file=sys.stderr)
