"""Texts about declarations: what a statistic computes, what a pack has, what is wrong, and a file to start from."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from streamgauge import packs as shipped
from streamgauge.bound import BoundStatistic
from streamgauge.declare import CONFIGURATION, PACK, Declarations, Pack, in_order, load
from streamgauge.errors import DeclarationError, Mistake, UsageError, nearest
from streamgauge.parameter import Parameter
from streamgauge.statistic import shown
from streamgauge.tomlfile import TomlFile

WIDTH = 120
_LONG_LIST = 12


def explain_all(loaded: Declarations) -> Iterator[str]:
    """Packs with their parameters, shapes with their fields and producers, and the statistics."""
    for pack in loaded.packs.values():
        yield from _wrapped(f"pack {pack.name}", pack.help)
        for name, parameter in pack.parameters.items():
            yield from _wrapped(f"  {name} = {_value(pack.values[name])}", _parameter(pack, name, parameter))
    for bound in loaded.shapes.values():
        shape = bound.shape
        yield from _wrapped(f"shape {shape.name}", shape.help)
        width = max(len(name) for name in shape.fields)
        for name, field in shape.fields.items():
            unit = f" [{field.unit}]" if field.unit else ""
            yield from _wrapped(f"  {name:{width}}  {field.type.value}{unit}", field.help)
        for producer in bound.producers[: bound.active]:
            tests = [f"topic is {producer.topic}"] if producer.topic else []
            tests += [_one_line(producer.when.text)] if producer.when else []
            yield from _wrapped(f"  filled by {producer.name}", "where " + " and ".join(tests) if tests else "always")
    for statistic in loaded.statistics.values():
        keys = ", ".join(name for name, _ in statistic.by)
        every = ", ".join(length.text for length in statistic.lengths)
        by = f" by {keys}" if keys else ""
        yield from _wrapped(f"statistic {statistic.name}{by} every {every}", statistic.spec.help)


def _parameter(pack: Pack, name: str, parameter: Parameter) -> str:
    value = pack.values[name]
    told = "" if value == parameter.default else f" (default {_value(parameter.default)})"
    kind = f"one of {', '.join(parameter.choices)}" if parameter.choices else parameter.type
    return f"{kind}{told}; {parameter.help}"


def _value(value: Any) -> str:
    """A value as TOML has it; of a long list the beginning, and how long it is."""
    if isinstance(value, list) and len(value) > _LONG_LIST:
        return f"[{', '.join(_toml(v) for v in value[:_LONG_LIST])}, ...] ({len(value)} in all)"
    return _toml(value)


def _wrapped(head: str, text: str = "", sql: bool = False) -> Iterator[str]:
    """``head: text`` in lines of at most WIDTH characters, the later ones indented; never broken in quotes of SQL."""
    indent = " " * (len(head) - len(head.lstrip()) + 6)
    yield from _broken(f"{head}: {text}" if text else head, "", indent, sql)


def _broken(line: str, first: str, later: str, sql: bool) -> Iterator[str]:
    kept = _QUOTED.sub(lambda m: m[0].replace(" ", "\0"), line) if sql else line
    for part in textwrap.wrap(
        kept, WIDTH, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    ):
        yield part.replace("\0", " ")


_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")


def _one_line(expression: str) -> str:
    """An expression without the line breaks and indents of its author; what is in quotes stays as it is."""

    def joined(match: re.Match[str]) -> str:
        return match[0] if match[0][0] in "'\"" else re.sub(r"\( | (?=\))", lambda m: m[0].strip(), _blank(match[0]))

    return re.sub(rf"{_QUOTED.pattern}|[^'\"]+", joined, expression.strip())


def _blank(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text)


def explain_statistic(loaded: Declarations, name: str, sql: bool = True) -> Iterator[str]:
    """One statistic: windows, keys, fields with their expressions, measures with their formulas, and the SQL."""
    if name not in loaded.statistics:
        hint = nearest(name, loaded.statistics) or f"known: {', '.join(loaded.statistics)}"
        raise UsageError(f"unknown statistic {name!r}; {hint}")
    statistic = loaded.statistics[name]
    yield f"statistic {name}, version {statistic.version}"
    if statistic.spec.help:
        yield from _wrapped(f"  {statistic.spec.help}")
    yield from _counts(statistic)
    yield from _fields(statistic)
    yield "measures"
    for key, measure in shown(statistic.spec.measures).items():
        yield from _wrapped(f"  {key} = {_spelled(measure.formula(), statistic)}", sql=True)
        yield from _wrapped(f"      {measure.help}")
    if sql:
        yield "SQL (DuckDB), over the table e of decoded events"
        for statement in _sql(loaded, statistic):
            yield from pretty(statement + ";")


def _counts(statistic: BoundStatistic) -> Iterator[str]:
    spec = statistic.spec
    counted = f"the shape {spec.of}" if spec.of else "all topics" if spec.topic == "*" else f"topics {spec.topic}"
    where = f" where {_one_line(statistic.where.text)}" if statistic.where else ""
    yield from _wrapped(f"  counts {counted}{where}", sql=True)
    yield f"  every {', '.join(length.text for length in statistic.lengths)}, zone {spec.zone}"
    chosen = f"the field {statistic.time}" if statistic.time else "the event's time"
    delay = f", final {spec.delay} later" if statistic.delay_ms else ""
    yield f"  the window is chosen by {chosen}{delay}"
    for name, expression in statistic.by:
        yield from _wrapped(f"  key {name} = {_one_line(expression.text)}", sql=True)
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
        yield from _wrapped(f"  {name} {field.type.value}{' [' + field.unit + ']' if field.unit else ''}", field.help)
        for producer in shape.producers[: shape.active]:
            if name in producer.fields:
                yield from _wrapped(f"      {producer.name}", _one_line(producer.fields[name].text), sql=True)


def _spelled(formula: str, statistic: BoundStatistic) -> str:
    """A formula in one line, with the operands that have no name written out."""
    hidden = {n: m for n, m in statistic.spec.measures.items() if n not in shown(statistic.spec.measures)}
    spelled = re.sub(r"\b_\d+\b", lambda m: hidden[m[0]].formula() if m[0] in hidden else m[0], formula)
    return _one_line(spelled)


_MARK = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\(SELECT\b|[(),]|\s(?=(?:FROM|WHERE|GROUP BY|ORDER BY)\b)""", re.IGNORECASE
)


def pretty(statement: str) -> Iterator[str]:
    """The same SQL, broken before its clauses and indented by the depth of its sub-queries.

    >>> for line in pretty("SELECT a, 'x FROM y' FROM (SELECT b FROM t) WHERE (b = 1)"): print(line)
      SELECT a, 'x FROM y'
      FROM (
          SELECT b
          FROM t
      )
      WHERE (b = 1)
    """
    opened: list[bool] = []  # for every parenthesis that is open, whether a sub-query is in it
    items, line, end = list[str](), "", 0
    for mark in _MARK.finditer(statement):
        line, end, token = line + statement[end : mark.start()], mark.end(), mark[0]
        in_query = not opened or opened[-1]
        if token.isspace() and in_query:
            yield from _clause([*items, line], opened)
            items, line = [], ""
        elif token == "," and in_query:
            items, line = [*items, line + ","], ""
        elif len(token) > 1 and token[0] == "(":
            yield from _clause([*items, line + "("], opened)
            items, line = [], "SELECT"
            opened.append(True)
        elif token == ")" and opened and opened[-1]:
            yield from _clause([*items, line], opened)
            items, line = [], ")"
            opened.pop()
        else:
            line += token
            if token == "(":
                opened.append(False)
            elif token == ")" and opened:
                opened.pop()
    yield from _clause([*items, line + statement[end:]], opened)


def _clause(items: Sequence[str], opened: Sequence[bool]) -> Iterator[str]:
    """One clause: in a line if it fits, else a line or more for every item of its list."""
    indent = "  " + "    " * sum(opened)
    text = "".join(items).strip()
    lines = [text] if len(indent + text) <= WIDTH else [item.strip() for item in items]
    for number, line in enumerate(lines):
        first = indent + ("    " if number else "")
        yield from _broken(line, first, first + "    ", sql=True)


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


def check_files(
    files: Sequence[str], packs: Sequence[str], config: str | None, parameters: Mapping[str, Any], form: str
) -> int:
    """Load everything named, print every mistake or what is there. Returns the exit code.

    ``config`` is the configuration that goes with the files, unless one of them is a configuration itself.
    """
    if form not in ("text", "json"):
        raise UsageError(f"--format {form!r}: is text or json")
    configs: list[str | None] = [f for f in files if _is_configuration(f)]
    rest = [f for f in files if f not in configs]
    said: list[Mistake] = []
    found: dict[str, list[str]] = {}
    for each in configs or [config]:
        try:
            loaded = load(packs, rest, each, parameters)
        except DeclarationError as e:
            said.extend(e.mistakes)
        else:
            found = {"statistics": [*loaded.statistics], "shapes": [*loaded.shapes], "packs": [*loaded.packs]}
    mistakes = in_order(said)
    if form == "json":
        fields = ("where", "what", "got", "problem", "hint")
        print(json.dumps([{f: getattr(m, f) for f in fields} for m in mistakes], indent=1, ensure_ascii=False))
    else:
        for line in mistakes or _summary(found):
            print(line)
        if mistakes:
            print(f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}")
    return 2 if mistakes else 0


def _summary(found: Mapping[str, Sequence[str]]) -> Iterator[str]:
    named = [f"{kind} {', '.join(names)}" for kind, names in found.items() if names]
    yield from _wrapped("ok", "; ".join(named) or "nothing is declared")


def _is_configuration(name: str) -> bool:
    """Whether a TOML file is a configuration (it has such a table, or gives values to a pack)."""
    path = Path(name)
    if path.suffix != ".toml" or not path.is_file():
        return False
    try:
        data = TomlFile.read(path).data
    except DeclarationError:
        return False  # loading it says what is wrong
    values = data.get("pack", {})
    given = isinstance(values, dict) and any(
        isinstance(v, dict) and not PACK.keys() & v.keys() for v in values.values()
    )
    return given or any(table in data for table in CONFIGURATION)


_STARTER = """\
# streamgauge.toml: read from the current folder, or named with -c.
# A line that begins with # and no blank is a setting: take the # away to use it.

packs = ["{pack}"]

# {help}
[pack.{pack}]
{parameters}

# How inputs are read; the command line goes first.
[report]

# ndjson, json, csv or parquet; else told from the content
#input = "ndjson"

# where an event's time is; else the pack says it, or body.time, body.timestamp
#time = "body.end"

# s, ms, us, ns or iso; else told from each file's first block
#time_unit = "ms"

# of ISO times that have none
#zone = "UTC"

# how far behind its newest event a file is believed complete; else unlimited
#lateness = "10m"

# a longer line is a dead letter
#max_line = "16MB"

# keep results, and go on from there in the next run
#store = "streamgauge.db"

# The rest is for streamgauge run. A source beside HTTP: files that are being written.
#[source.files]
#type = "tail"
#path = "/var/log/events-*.jsonl"

# where to listen; elsewhere than on loopback it wants tokens
#[serve]
#host = "127.0.0.1"
#port = 8080

# a path, or postgresql://user@host/database; else store.db in the data folder
#[store]
#url = "streamgauge-data/store.db"

# how long the log is kept, and how large it may become; else for ever
#[log]
#keep = "30d"
#max_size = "50GB"

# A statistic of your own. Its fields: streamgauge explain --pack {pack}
#[statistic.by_hour]
#of = "{shape}"
#every = ["1h"]
#by = ["{key}"]
#measures = {{ events_seen = "count()" }}

# A producer of your own, tried before those of the pack.
#[shape.{shape}.producer.mine]
#when = "body.kind = 'mine'"
#time = "body.end"
#time_unit = "ms"
#id = "body.uuid"
#fields = {{ {key} = "body.{key}" }}
"""


def starter(pack: str) -> str:
    """A commented streamgauge.toml for a pack. Raises UsageError for an unknown one."""
    if pack not in shipped.PACKS:
        hint = nearest(pack, shipped.PACKS) or f"known: {', '.join(shipped.PACKS)}"
        raise UsageError(f"unknown pack {pack!r}; {hint}")
    loaded = load([pack])
    described = loaded.packs[pack]
    lines = [line for p in described.parameters.values() for line in _commented(p)]
    shape = next(iter(loaded.shapes.values()))
    key = next(name for s in loaded.statistics.values() for name, _ in s.by)
    return _STARTER.format(pack=pack, help=described.help, parameters="\n".join(lines), shape=shape.shape.name, key=key)


def _commented(parameter: Parameter) -> Iterator[str]:
    choices = f" ({', '.join(parameter.choices)})" if parameter.choices else ""
    yield ""
    yield from textwrap.wrap(parameter.help + choices, WIDTH, initial_indent="# ", subsequent_indent="# ")
    setting = f"{parameter.name} = {_toml(parameter.default)}"
    yield from _broken(setting, "#", "#    ", sql=True)


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
