"""What the shape ``call`` is filled with, field by field, seen through a statistic that keeps each field's value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from streamgauge.app import report
from streamgauge.reporting import Report

FIELDS = (
    "call_id account carrier direction leg from to start ringing answer end duration_ms billed_ms billed_s sip_code "
    "cause_q850 cause pdd_180_ms pdd_18x_ms codec host user_agent sip_call_id"
).split()

# `from`, `to` and `end` are words of SQL, and `start` is one of the output's: hence quotes and a prefix.
DECLARATION = """
[statistic.call_fields]
of = "call"
every = ["1d"]
by = { event_id = "id" }
[statistic.call_fields.measures]
legs = "count()"
""" + "\n".join(f"f_{name} = 'latest(\"{name}\")'" for name in FIELDS)


def write_lines(path: Path, events: Iterable[Mapping[str, Any]]) -> Path:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


def run(files: list[Path], folder: Path, *more: Path, **parameters: Any) -> Report:
    """A report of the voip pack with ``call_fields`` (and more declarations) over these files; to be closed."""
    declaration = folder / "call_fields.toml"
    declaration.write_text(DECLARATION)
    return report(files, pack="voip", declarations=[*more, declaration], parameters=parameters)


def fields_of(found: Report) -> dict[str | None, dict[str, Any]]:
    """Event id to the fields of its call."""
    return {row["event_id"]: {name: row[f"f_{name}"] for name in FIELDS} for row in found.rows("call_fields", "1d")}
