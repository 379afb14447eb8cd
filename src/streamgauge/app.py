"""Composition root: builds everything from what the caller asks; the only file that knows everyone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from streamgauge.errors import UsageError, nearest
from streamgauge.reporting import Report, ReportOptions, run_report

__all__ = [
    "Given",
    "Report",
    "ReportOptions",
    "chosen",
    "default_declarations",
    "narrowed",
    "options_of",
    "report",
    "run_report",
]

if TYPE_CHECKING:
    from streamgauge.bound import BoundStatistic
    from streamgauge.declare import Declarations


def report(
    files: str | Path | Sequence[str | Path],
    *,
    pack: str | Sequence[str] = (),
    declarations: str | Path | Sequence[str | Path] = (),
    config: str | Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    where: str = "",
    statistic: str | Sequence[str] = (),
    stdin: BinaryIO | None = None,
    **options: Any,
) -> Report:
    """Compute statistics over files of events.

    ``files`` are names, globs or ``-``; ``pack`` and ``declarations`` say what to compute; ``options`` are those of
    ReportOptions. Close the report, or use it in a ``with``, when it is read.

    ``report("calls.jsonl", pack="voip").table("carrier_quality")`` is an Arrow table.

    Raises:
        DeclarationError: with every mistake in what was declared.
        UsageError: for an option that cannot be carried out.
    """
    from streamgauge.declare import load

    packs, named = _several(pack), _several(declarations)
    loaded = load(packs, named, config, parameters, where)
    if not (loaded.statistics or packs or named):
        loaded = default_declarations(where, loaded.configuration)
    if wanted := _several(statistic):
        loaded = chosen(loaded, wanted)
    settings = ReportOptions(**{**_configured(loaded), **options})
    return run_report([str(f) for f in _several(files)], loaded, settings, stdin)


def chosen(loaded: Declarations, names: Sequence[str]) -> Declarations:
    """The declarations with only these statistics. Raises UsageError for an unknown one."""
    for name in names:
        if name not in loaded.statistics:
            hint = nearest(name, loaded.statistics) or f"known: {', '.join(loaded.statistics)}"
            raise UsageError(f"unknown statistic {name!r}; {hint}")
    return replace(loaded, statistics={n: s for n, s in loaded.statistics.items() if n in names})


def _several(value: Any) -> list[Any]:
    return [value] if isinstance(value, str | Path) else list(value)


def default_declarations(where: str = "", configuration: Mapping[str, Any] | None = None) -> Declarations:
    """What a report shows where nothing is declared: how many events of each topic there are."""
    from streamgauge.bound import bind
    from streamgauge.declare import Declarations
    from streamgauge.measures import measure_from
    from streamgauge.statistic import StatisticSpec

    spec = StatisticSpec(
        name="volume",
        topic="*",
        every=("1h", "1d"),
        by={"topic_name": "topic"},
        measures={"count": measure_from("count()", "measure 'count'")},
        help="Events by topic.",
    )
    return Declarations({spec.name: bind(spec, {}, where)}, {}, {}, configuration or {})


def narrowed(loaded: Declarations, wanted: Sequence[tuple[BoundStatistic, str]], where: str = "") -> Declarations:
    """The declarations with only these statistics and window lengths, for a run that keeps nothing else."""
    from streamgauge.bound import bind

    lengths: dict[str, list[str]] = {}
    for statistic, every in wanted:
        lengths.setdefault(statistic.name, []).append(every)
    statistics = {}
    for name, shown in lengths.items():
        spec = loaded.statistics[name].spec
        kept = {length: text for length, text in spec.keep.items() if length in shown}
        statistics[name] = bind(replace(spec, every=tuple(shown), keep=kept), loaded.shapes, where)
    return replace(loaded, statistics=statistics)


SIZES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def size_of(text: str, what: str) -> int:
    """Bytes of a text such as ``16MB`` (of 2^20). Raises UsageError."""
    found = re.fullmatch(r"\s*(\d{1,12})\s*([KMG]?)B?\s*", text.upper())
    if found is None or int(found.group(1)) == 0:
        raise UsageError(f"{what}: {text!r} is no size; write e.g. 16MB, 512KB or a number of bytes")
    return int(found.group(1)) * SIZES[found.group(2)]


class Given(NamedTuple):
    """How inputs are read, as the command line says it; empty texts where it says nothing."""

    form: str = ""
    time: str = ""
    time_unit: str = ""
    topic: str = ""
    id: str = ""
    zone: str = ""
    lateness: str = ""
    max_line: str = ""
    store: str = ""
    finish: bool = False
    workers: int = 0


def options_of(loaded: Declarations, given: Given) -> ReportOptions:
    """The options of a run: what was given, else what the configuration says, else the defaults."""
    said = {name: value for name, value in given._asdict().items() if value}
    if "max_line" in said:
        said["max_line"] = size_of(given.max_line, "--max-line")
    options = ReportOptions(**{**_configured(loaded), **said})
    if options.finish and not options.store:
        raise UsageError("--finish goes with --store; without a store every window is final anyway")
    return options


def _configured(loaded: Declarations) -> dict[str, Any]:
    """The options that ``[report]`` of the configuration sets; load has checked them, but for the size."""
    values = {n: v for n, v in loaded.configuration.get("report", {}).items() if v}
    if "input" in values:
        values["form"] = values.pop("input")
    if "max_line" in values:
        values["max_line"] = size_of(values["max_line"], "[report]: max_line")
    return values
