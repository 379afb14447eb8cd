"""streamgauge's side: the statistics of a TOML file, from the file of events to Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from _answers import Answers, cell_of, declared
from _bench import HERE

import streamgauge

ONE, TEN, CELLS = (HERE / f"{name}.toml" for name in ("one", "ten", "cells"))


def compute(path: Path, declarations: Path, statistic: Sequence[str] = ()) -> dict[str, pa.Table]:
    """The table of each statistic."""
    files, declared_in = str(path), str(declarations)
    with streamgauge.report(
        files, declarations=declared_in, statistic=statistic, time="body.end", time_unit="ms"
    ) as report:
        return {name: report.table(name) for name in report.declarations.statistics}


def answers(tables: dict[str, pa.Table], declarations: Path) -> Answers:
    """What ``compute`` found, in the form that is compared."""
    found: Answers = {}
    for name, statistic in declared(declarations).items():
        names = ["start_ms", *statistic["by"], *statistic["measures"]]
        columns = [tables[name].column(column).to_pylist() for column in names]
        found[name] = dict(cell_of(start, key, values) for start, key, *values in zip(*columns, strict=True))
    return found
