"""Declarations as tests write them: TOML or Python text in real files, and what is said about it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from textwrap import dedent
from typing import Any

from streamgauge.declare import Declarations, load
from streamgauge.errors import DeclarationError, Mistake

CALLS = """
[shape.call]
help = "one call"
time_field = "end"
[shape.call.fields]
carrier = "VARCHAR"
end = "BIGINT"
answer = "BIGINT"
cost = { type = "DOUBLE", scale = 3, unit = "EUR", help = "what it cost" }
[shape.call.producer.flat]
when = "body.kind = 'call'"
time = "body.end"
time_unit = "ms"
id = "body.id"
fields = { carrier = "body.carrier", end = "body.end::BIGINT", answer = "body.answer::BIGINT", cost = "body.c::DOUBLE" }
"""

QUALITY = """
[statistic.quality]
of = "call"
every = ["6m", "1h"]
by = { carrier = "carrier" }
[statistic.quality.measures]
attempts = "count()"
answered = "count(answer IS NOT NULL)"
asr = "proportion(answered, attempts)"
"""


def declared(*texts: str, **options: Any) -> Declarations:
    """What these texts declare, each in a file: a.toml, b.toml... (a.py where it has ``import``)."""
    with tempfile.TemporaryDirectory() as folder:
        return load(files=written(Path(folder), *texts), **options)


def written(folder: Path, *texts: str) -> list[Path]:
    """The files of these texts."""
    paths = []
    for letter, text in zip("abcdef", texts, strict=False):
        path = folder / f"{letter}.{'py' if 'import' in text else 'toml'}"
        path.write_text(dedent(text), encoding="utf-8")
        paths.append(path)
    return paths


def mistakes(*texts: str, **options: Any) -> list[Mistake]:
    """The mistakes of these texts; none where they load."""
    try:
        declared(*texts, **options)
    except DeclarationError as e:
        return list(e.mistakes)
    return []


def said(*texts: str, **options: Any) -> list[str]:
    """The mistakes as they are printed, with the names of files without their folder."""
    return [one_line(m) for m in mistakes(*texts, **options)]


def one_line(mistake: Mistake) -> str:
    """A mistake as it is printed, without the folder of its file."""
    return str(mistake).replace(mistake.where, Path(mistake.where).name, 1) if mistake.where else str(mistake)


def lines_of(text: str, *parts: str) -> list[int]:
    """The numbers of the lines that hold these parts, as they are in the file."""
    lines = dedent(text).splitlines()
    return [next(n for n, line in enumerate(lines, 1) if part in line) for part in parts]
