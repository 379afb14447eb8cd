"""Dead letters from a shell: a list of them, one with its bytes, and appending them again."""

from __future__ import annotations

import base64
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from streamgauge.asking import Asking, answer, target_of
from streamgauge.errors import UsageError, nearest
from streamgauge.output.json import json_text
from streamgauge.output.text import Glyphs

LIST_FORMATS = ("table", "json", "ndjson")
SHOW_FORMATS = ("text", "json", "raw")
REPLAY_FORMATS = ("text", "json")

PIPE_WIDTH = 200
MOST_ROWS = 1000

Letter = Mapping[str, Any]

_COUNTS = ("replayed", "accepted", "duplicates", "still_bad", "not_replayable")


@dataclass(frozen=True, slots=True)
class LetterQuery:
    """Which dead letters; empty texts ask for all. ``position`` is for a replay, ``state`` and times for a list."""

    reason: str = ""
    source: str = ""
    state: str = ""
    start: str = ""
    stop: str = ""
    position: int | None = None

    def pairs(self) -> list[tuple[str, str]]:
        """As the parameters of a request."""
        names = ("reason", "source", "state", "start", "stop")
        found = [(name, value) for name in names if (value := str(getattr(self, name)))]
        return found + ([("position", str(self.position))] if self.position is not None else [])


def list_letters(asking: Asking, wanted: LetterQuery, limit: int, format_: str, out: IO[str]) -> None:
    """Write those that agree, the oldest first, at most ``limit``. Raises UsageError, RetryableError."""
    _check_format(format_, LIST_FORMATS)
    if limit < 1:
        raise UsageError(f"--limit {limit}: is 1 or more")
    letters, more = _letters(asking, wanted, limit)
    if format_ == "ndjson":
        out.writelines(f"{json_text(letter)}\n" for letter in letters)
    elif format_ == "json":
        out.write("[" + ",\n".join(map(json_text, letters)) + "]\n")
    else:
        glyphs = Glyphs.of(getattr(out, "encoding", None))
        width = shutil.get_terminal_size().columns if out.isatty() else PIPE_WIDTH
        out.writelines(f"{line[:width].rstrip()}\n" for line in _table(letters, glyphs))
        if more:
            print(f"the first {len(letters)}; --limit shows more", file=sys.stderr)


def _letters(asking: Asking, wanted: LetterQuery, limit: int) -> tuple[list[Letter], bool]:
    """The letters, and whether there are more."""
    found: list[Letter] = []
    target = target_of("/v1/dead-letters", [*wanted.pairs(), ("limit", str(min(limit, MOST_ROWS)))])
    while target and len(found) < limit:
        reply = answer(asking, target)
        found += reply.json()["dead_letters"]
        target = reply.next
    return found[:limit], bool(target) or len(found) > limit


def _table(letters: Sequence[Letter], glyphs: Glyphs) -> Iterator[str]:
    if not letters:
        yield "no dead letters"
        return
    heads = ("position", "received", "source", "state", "reason", "message")
    rows = [heads, *(_row(letter, glyphs) for letter in letters)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for position, *texts in rows:
        fields = [text.ljust(width) for text, width in zip(texts, widths[1:], strict=True)]
        yield "  ".join([position.rjust(widths[0]), *fields])


def _row(letter: Letter, glyphs: Glyphs) -> tuple[str, ...]:
    message = letter["text"] if "text" in letter else f"base64 {letter['base64']}"
    told = (letter["received"] or glyphs.null, letter["source"], letter["state"], letter["reason"], message)
    return (str(letter["position"]), *(glyphs.line(text) for text in told))


def show_letter(asking: Asking, position: int, format_: str, out: IO[str]) -> None:
    """Write one dead letter. ``raw``: the bytes that were kept, as they are. Raises UsageError, RetryableError."""
    _check_format(format_, SHOW_FORMATS)
    letter = answer(asking, f"/v1/dead-letters/{position}").json()
    if format_ == "json":
        out.write(json_text(letter) + "\n")
        return
    data = letter["text"].encode() if "text" in letter else base64.b64decode(letter["base64"])
    if format_ == "raw":
        out.flush()
        out.buffer.write(data)  # type: ignore[attr-defined]
        return
    glyphs = Glyphs.of(getattr(out, "encoding", None))
    for name in ("position", "received", "source", "lane", "state", "reason", "detail", "length"):
        if letter[name] not in (None, ""):
            out.write(f"{name}: {glyphs.line(str(letter[name]))}\n")
    if len(data) < letter["length"]:
        out.write(f"kept here: the first {len(data)} bytes\n")
    out.write("\n")
    shown = letter["text"].splitlines() if "text" in letter else [letter["base64"]]
    out.writelines(f"{glyphs.line(line)}\n" for line in shown)


def replay_letters(asking: Asking, wanted: LetterQuery, format_: str, out: IO[str]) -> int:
    """Append those that agree to the log again, until none is left; the exit code: 1 where some are none the better.

    Interrupted or refused, it can be asked again: what was replayed is not replayed a second time.
    """
    _check_format(format_, REPLAY_FORMATS)
    total = dict.fromkeys(_COUNTS, 0)
    refused: list[Letter] = []
    more: list[tuple[str, str]] = []
    while True:
        target = target_of("/v1/dead-letters/replay", [*wanted.pairs(), *more])
        found = answer(asking, target, "POST").json()
        for name in _COUNTS:
            total[name] += found[name]
        refused += found["refused"]
        if found["next"] is None:
            break
        more = [("after", str(found["next"])), ("before", str(found["before"]))]
    if format_ == "json":
        out.write(json.dumps({**total, "remaining": found["remaining"], "refused": refused}) + "\n")
    else:
        _say(total, found["remaining"], refused, out)
    return 1 if total["still_bad"] or total["not_replayable"] or found["remaining"] else 0


def _say(total: Mapping[str, int], remaining: int, refused: Sequence[Letter], out: IO[str]) -> None:
    glyphs = Glyphs.of(getattr(sys.stderr, "encoding", None))
    parts = f"{total['accepted']} accepted, {total['duplicates']} duplicates, {total['still_bad']} still bad"
    out.write(f"replayed {total['replayed']}: {parts}\n")
    if remaining:
        out.write(f"{remaining} are left; ask again\n")
    if total["not_replayable"]:
        out.write(f"not replayable {total['not_replayable']}\n")
        for letter in refused:
            print(f"  {letter['position']}: {glyphs.line(letter['why'])}", file=sys.stderr)


def _check_format(given: str, known: Sequence[str]) -> None:
    if given not in known:
        hint = nearest(given, known) or f"one of {', '.join(known)}"
        raise UsageError(f"--format {given!r}: unknown format; {hint}")
