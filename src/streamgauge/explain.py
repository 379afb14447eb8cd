"""Texts about declarations: what a statistic computes, what a pack has, what is wrong, and a file to start from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from streamgauge import packs as shipped
from streamgauge.bound import BoundStatistic
from streamgauge.declare import CONFIGURATION, Declarations, Pack, load
from streamgauge.errors import DeclarationError, Mistake, UsageError, nearest
from streamgauge.statistic import shown


def explain_all(loaded: Declarations) -> Iterator[str]:
    """Packs with their parameters, shapes with their fields and producers, and the statistics."""
    for pack in loaded.packs.values():
        yield f"pack {pack.name}: {pack.help}"
        yield from (f"  {line}" for line in _parameters(pack))
    for shape in loaded.shapes.values():
        yield f"shape {shape.shape.name}: {shape.shape.help}"
        for name, field in shape.shape.fields.items():
            unit = f" [{field.unit}]" if field.unit else ""
            yield f"  {name} {field.type.value}{unit}{': ' + field.help if field.help else ''}"
        for producer in shape.producers:
            yield f"  filled by {producer.name}" + (f" where {producer.when.text}" if producer.when else "")
    for statistic in loaded.statistics.values():
        keys = ", ".join(name for name, _ in statistic.by) or "all events"
        every = ", ".join(length.text for length in statistic.lengths)
        yield f"statistic {statistic.name} by {keys} every {every}: {statistic.spec.help}"


def _parameters(pack: Pack) -> Iterator[str]:
    for name, parameter in pack.parameters.items():
        value = pack.values[name]
        told = "" if value == parameter.default else f" (default {parameter.default!r})"
        choices = f", one of {' '.join(parameter.choices)}" if parameter.choices else ""
        yield f"{name} = {value!r}{told}: {parameter.type}{choices}. {parameter.help}"


def explain_statistic(loaded: Declarations, name: str, sql: bool = True) -> Iterator[str]:
    """One statistic: windows, keys, fields with their expressions, measures with their formulas, and the SQL."""
    if name not in loaded.statistics:
        hint = nearest(name, loaded.statistics) or f"known: {', '.join(loaded.statistics)}"
        raise UsageError(f"unknown statistic {name!r}; {hint}")
    statistic = loaded.statistics[name]
    yield f"statistic {name}, version {statistic.version}"
    yield f"  {statistic.spec.help}"
    yield from _counts(statistic)
    yield from _fields(statistic)
    yield "measures"
    for key, measure in shown(statistic.spec.measures).items():
        yield f"  {key} = {_spelled(measure.formula(), statistic)}"
        yield f"      {measure.help}"
    if sql:
        yield "SQL (DuckDB), over the table e of decoded events"
        for statement in _sql(loaded, statistic):
            yield f"  {statement}"


def _counts(statistic: BoundStatistic) -> Iterator[str]:
    spec = statistic.spec
    yield f"  counts {'the shape ' + spec.of if spec.of else 'topics ' + spec.topic}" + (
        f" where {spec.where}" if spec.where else ""
    )
    yield f"  every {', '.join(length.text for length in statistic.lengths)}, zone {spec.zone}"
    chosen = f"the field {statistic.time}" if statistic.time else "the event's time"
    delay = f", final {spec.delay} later" if statistic.delay_ms else ""
    yield f"  the window is chosen by {chosen}{delay}"
    for name, expression in statistic.by:
        yield f"  key {name} = {expression.text}"
    for every, text in spec.keep.items():
        yield f"  windows of {every} are kept {text}"


def _fields(statistic: BoundStatistic) -> Iterator[str]:
    if statistic.shape is None:
        return
    shape = statistic.shape
    used = {n for e in statistic.expressions() for n in e.names} | {statistic.time}
    yield "fields"
    for name, field in shape.shape.fields.items():
        if name not in used:
            continue
        yield f"  {name} {field.type.value}{' [' + field.unit + ']' if field.unit else ''}"
        for producer in shape.producers:
            if name in producer.fields:
                yield f"      {producer.name}: {producer.fields[name].text}"


def _spelled(formula: str, statistic: BoundStatistic) -> str:
    """A formula with the hidden operands of a ratio written out."""
    for name, measure in statistic.spec.measures.items():
        if name.startswith("_"):
            formula = formula.replace(name, measure.formula())
    return formula


def _sql(loaded: Declarations, statistic: BoundStatistic) -> Iterator[str]:
    from streamgauge.aggregates.base import Op
    from streamgauge.engines.base import Envelope
    from streamgauge.engines.duck.groups import Statements, groups_of
    from streamgauge.engines.duck.plan import Plan
    from streamgauge.expression import TimeUnit

    plan = Plan([statistic], loaded.shapes.values(), Envelope())
    variant = plan.variant(plan.all_producers())
    decode = variant.decode("FILE", TimeUnit.MS, "FILE", variant.fast or variant.careful, 2**20)
    yield f"CREATE TEMP TABLE e AS {decode}"
    for group in groups_of(plan):
        statements = Statements(plan, group)
        yield statements.plain((), ())
        for n, primitive in enumerate(group.primitives):
            if primitive.primitive.op is Op.COUNT_BY:
                yield statements.sub_keyed(n, ())


def check_files(files: Sequence[str], packs: Sequence[str], parameters: Mapping[str, Any], form: str) -> int:
    """Load everything named, print every mistake or what is there. Returns the exit code."""
    if form not in ("text", "json"):
        raise UsageError(f"--format {form!r}: is text or json")
    configs = [f for f in files if _is_configuration(f)]
    rest = [f for f in files if f not in configs]
    mistakes: dict[Mistake, None] = {}
    found: dict[str, None] = {}
    choices: list[str | None] = [*configs] or [None]
    for config in choices:
        try:
            loaded = load(packs, rest, config, parameters)
            found.update(dict.fromkeys([*loaded.statistics, *loaded.shapes]))
        except DeclarationError as e:
            mistakes.update(dict.fromkeys(e.mistakes))
    if form == "json":
        fields = ("where", "what", "got", "problem", "hint")
        print(json.dumps([{f: getattr(m, f) for f in fields} for m in mistakes], indent=1))
    else:
        for mistake in mistakes:
            print(mistake)
        print(f"{len(mistakes)} mistakes" if mistakes else f"ok: {', '.join(found) or 'nothing is declared'}")
    return 2 if mistakes else 0


def _is_configuration(name: str) -> bool:
    """Whether a TOML file is a configuration (it has such a table, or gives values to a pack)."""
    import tomllib

    path = Path(name)
    if path.suffix != ".toml" or not path.is_file():
        return False
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError):
        return False  # loading it says what is wrong
    values = data.get("pack", {})
    given = isinstance(values, dict) and any(isinstance(v, dict) and "parameters" not in v for v in values.values())
    return given or any(table in data for table in CONFIGURATION)


_STARTER = """\
# streamgauge.toml: read from the current folder, or named with -c. Every line that is commented out is a default.

packs = ["{pack}"]

# {help}
[pack.{pack}]
{parameters}

# How inputs are read; the command line goes first.
[report]
# input = "ndjson"          # ndjson, json, csv or parquet; else told from the content
# time = "body.end"         # where an event's time is; else the pack says it, or body.time, body.timestamp
# time_unit = "ms"          # s, ms, us, ns or iso; else told from each file's first block
# zone = "UTC"              # of ISO times that have none
# lateness = "10m"          # how far behind its newest event a file is believed complete; else unlimited
# max_line = "16MB"
# store = "streamgauge.db"  # keep results, and go on from there in the next run

# A statistic of your own. Fields: streamgauge explain --pack {pack}
# [statistic.by_hour]
# of = "{shape}"
# every = ["1h"]
# by = {{ {key} = "{key}" }}
# [statistic.by_hour.measures]
# events_seen = "count()"

# A producer of your own, tried before those of the pack.
# [shape.{shape}.producer.mine]
# when = "body.kind = 'mine'"
# time = "body.end::BIGINT"
# time_unit = "ms"
# id = "body.uuid"
# fields = {{ {key} = "body.{key}" }}
"""


def starter(pack: str) -> str:
    """A commented streamgauge.toml for a pack. Raises UsageError for an unknown one."""
    if pack not in shipped.PACKS:
        hint = nearest(pack, shipped.PACKS) or f"known: {', '.join(shipped.PACKS)}"
        raise UsageError(f"unknown pack {pack!r}; {hint}")
    loaded = load([pack])
    described = loaded.packs[pack]
    lines = [
        f"# {name} = {_toml(parameter.default)}    # {parameter.help}"
        for name, parameter in described.parameters.items()
    ]
    shape = next(iter(loaded.shapes.values()))
    key = next(name for s in loaded.statistics.values() for name, _ in s.by)
    return _STARTER.format(pack=pack, help=described.help, parameters="\n".join(lines), shape=shape.shape.name, key=key)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    return json.dumps(value)
