"""streamgauge's side: the statistics of a TOML file, from the file of events to Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

import pyarrow as pa
from _answers import Answers, cell_of, declared
from _bench import HERE

import streamgauge
from streamgauge.app import Report

ONE, TEN, CELLS = (HERE / f"{name}.toml" for name in ("one", "ten", "cells"))


def report(path: Path, declarations: Path, statistic: Sequence[str] = ()) -> Report:
    """The report of a file, with all statistics of a TOML file or the named ones."""
    files, declared_in = str(path), str(declarations)
    return streamgauge.report(files, declarations=declared_in, statistic=statistic, time="body.end", time_unit="ms")


def tables(found: Report) -> dict[str, pa.Table]:
    """The table of each statistic."""
    return {name: found.table(name) for name in found.declarations.statistics}


def compute(path: Path, declarations: Path, statistic: Sequence[str] = ()) -> dict[str, pa.Table]:
    """From the file to the table of each statistic."""
    with report(path, declarations, statistic) as found:
        return tables(found)


def warm_up() -> None:
    """Import what a report imports late."""
    with NamedTemporaryFile(suffix=".jsonl") as empty:
        empty.write(b"{}\n")
        empty.flush()
        compute(Path(empty.name), ONE)


def answers(tables: dict[str, pa.Table], declarations: Path) -> Answers:
    """What ``compute`` found, in the form that is compared."""
    found: Answers = {}
    for name, statistic in declared(declarations).items():
        names = ["start_ms", *statistic["by"], *statistic["measures"]]
        columns = [tables[name].column(column).to_pylist() for column in names]
        found[name] = dict(cell_of(start, key, values) for start, key, *values in zip(*columns, strict=True))
    return found
