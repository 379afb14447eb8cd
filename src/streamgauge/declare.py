"""TOML and Python declarations, loaded all or not at all, with every mistake said at once."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from streamgauge import forms
from streamgauge import packs as shipped
from streamgauge.bound import BoundShape, BoundStatistic, bind, bind_shape
from streamgauge.errors import DeclarationError, Mistake, nearest
from streamgauge.expression import TimeUnit, parse
from streamgauge.forms import Collector, Form, Unfinished, wrong
from streamgauge.parameter import Parameter, Substitution, parameter_from
from streamgauge.shape import Shape
from streamgauge.statistic import Statistic, StatisticSpec, collected
from streamgauge.tomlfile import TomlFile
from streamgauge.tomlshape import merged, shape_from, shape_mistakes
from streamgauge.tomlstatistic import statistic_from
from streamgauge.windows import check_zone, parse_duration_ms

CONFIGURATION = ("packs", "report", "source", "serve", "store", "log")
"""Top-level tables of streamgauge.toml that are no declarations."""

DECLARATIONS = ("pack", "shape", "statistic")

SUFFIXES = (".toml", ".py")
"""What a folder of declarations is read for."""

REPORT: Mapping[str, Form] = {
    "input": forms.one_of(("ndjson", "json", "csv", "parquet")),
    "time": forms.text("an SQL expression"),
    "time_unit": forms.one_of(tuple(TimeUnit)),
    "topic": forms.text("an SQL expression"),
    "id": forms.text("an SQL expression"),
    "zone": forms.text('a time zone, e.g. "Europe/Paris"'),
    "lateness": forms.text('a duration, e.g. "30s"'),
    "max_line": forms.text('a size, e.g. "16MB"'),
    "store": forms.text("the name or URL of a store"),
    "workers": forms.whole("a number of threads, 1 to 64", 1, 64),
}
"""What ``[report]`` of a configuration may hold: how inputs are read."""

SERVE: Mapping[str, Form] = {
    "host": forms.text("an address to listen on"),
    "port": forms.whole("a port, 0 to 65535", 0, 65_535),
    "hosts": forms.texts("a list of names under which clients reach it"),
    "origins": forms.texts("a list of origins of pages that may read it"),
    "metrics": forms.texts("a list of statistics that /metrics shows"),
    "insecure": forms.FLAG,
    "tokens": forms.table("a table of tokens"),
}
"""What ``[serve]`` of a configuration may hold."""

STORE: Mapping[str, Form] = {"url": forms.text("the name or URL of a store")}

LOG: Mapping[str, Form] = {
    "keep": forms.text('a duration, e.g. "30d"'),
    "max_size": forms.text('a size, e.g. "50GB"'),
    "lane_idle": forms.text('a duration, e.g. "5m"'),
}
"""What ``[log]`` of a configuration may hold: how long the log is kept, and when a silent lane rests."""

PACK: Mapping[str, Form] = {"help": forms.text(), "parameters": forms.table("a table of parameters")}
"""What ``[pack.NAME]`` of a pack's own file may hold."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack as loaded: its parameters and the values that they have."""

    name: str
    help: str
    parameters: Mapping[str, Parameter]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Declarations:
    """Everything declared, bound and checked. ``configuration`` holds the other tables of streamgauge.toml."""

    statistics: Mapping[str, BoundStatistic]
    shapes: Mapping[str, BoundShape]
    packs: Mapping[str, Pack]
    configuration: Mapping[str, Any] = field(default_factory=dict)


def load(
    packs: Sequence[str] = (),
    files: Sequence[str | Path] = (),
    config: str | Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    where: str = "",
) -> Declarations:
    """Load packs (names or TOML files), declaration files (TOML, Python, or folders of them) and a configuration.

    ``parameters`` override those that the configuration gives (``{"min_calls": 5}``, or ``{"voip.min_calls": 5}``
    where several packs have one). ``where`` is one more condition on the events of every statistic.

    Raises:
        DeclarationError: with every mistake of every file; nothing is half loaded.
    """
    loader = _Loader(parameters or {}, where)
    settings = loader.configuration(Path(config)) if config else {}
    # Operators' files come first: their producers are tried before those of the packs.
    for path in _expand(files, loader):
        loader.file(path)
    for pack in dict.fromkeys([*packs, *settings.get("packs", [])]):
        loader.pack(pack)
    return loader.finish(settings)


def _expand(files: Sequence[str | Path], loader: _Loader) -> Iterable[Path]:
    """The files, and those of the folders in the order of their names, each once."""
    seen: set[Path] = set()
    for name in files:
        try:
            paths = _files_of(Path(name))
        except DeclarationError as e:
            loader.missing(name, e)
            continue
        for path in paths:
            if (real := path.resolve()) not in seen:
                seen.add(real)
                yield path


def _files_of(path: Path) -> list[Path]:
    try:
        if not path.is_dir():
            if path.exists():
                return [path]
            raise DeclarationError(Mistake("declarations", "no such file", str(path), hint=_near_file(path)))
        found = sorted(p for p in path.iterdir() if p.suffix in SUFFIXES and p.is_file())
    except (OSError, ValueError) as e:
        problem = str(getattr(e, "strerror", None) or e).lower()
        raise DeclarationError(Mistake("declarations", problem, str(path))) from e
    if not found:
        raise DeclarationError(Mistake("declarations", "this folder holds no .toml and no .py file", str(path)))
    return found


def _near_file(path: Path) -> str:
    try:
        return nearest(path.name, [p.name for p in path.parent.iterdir()])
    except OSError:
        return ""


def in_order(mistakes: Iterable[Mistake], files: Sequence[str] = ()) -> list[Mistake]:
    """The mistakes, each once, by file and line: the files in the order given, others as they come; those of none last.

    >>> [m.where for m in in_order(Mistake("x", "y", w) for w in ("b:3", "", "a:10", "b:2", "a:9"))]
    ['b:2', 'b:3', 'a:9', 'a:10', '']
    """
    places = {m: m.where.rpartition(":") for m in mistakes}
    found = {m: (file, int(line)) if file and line.isdigit() else (m.where, 0) for m, (file, _, line) in places.items()}
    known = {f: n for n, f in enumerate(dict.fromkeys([*files, *(file for file, _ in found.values() if file)]))}
    return sorted(found, key=lambda m: (known.get(found[m][0], len(known)), found[m][1]))


class _Loader(Collector):
    """Reads declarations and gathers their mistakes. What has some is kept as a draft, to judge the rest with it."""

    def __init__(self, parameters: Mapping[str, Any], where: str) -> None:
        super().__init__()
        self.given = dict(parameters)
        self.pack_values: dict[str, tuple[Mapping[str, Any], Callable[..., str]]] = {}
        self.extra_where = where
        self.shapes: dict[str, Shape] = {}
        self.specs: dict[str, StatisticSpec] = {}
        self.doubles: list[StatisticSpec] = []
        self.files: list[str] = []
        self.unread: set[str] = set()
        """Names of shapes that may be declared where we cannot read it; ``*`` for any."""
        self.broken: set[str] = set()
        """Names of parameters whose declarations were refused."""
        self.packs: dict[str, Pack] = {}
        self.origins: dict[str, str] = {}

    def missing(self, name: str | Path, error: DeclarationError) -> None:
        """A file that is not there, or cannot be read."""
        self.files.append(str(Path(name)))
        self.mistakes.extend(error.mistakes)
        self.unread.add("*")

    def read(self, function: Callable[..., TomlFile], source: Any, name: str | None = None) -> TomlFile | None:
        self.files.append(str(source) if name is None else name)
        toml: TomlFile | None = self.attempt(function, source) if name is None else self.attempt(function, source, name)
        if toml is None:
            self.unread.add("*")
        return toml

    def table(self, toml: TomlFile, *keys: str) -> dict[str, Any]:
        """A table of the file; empty, and a mistake, where something else stands there."""
        return self.attempt(toml.table, *keys) or {}

    def configuration(self, path: Path) -> dict[str, Any]:
        if (toml := self.read(TomlFile.read, path)) is None:
            return {}
        for name, values in self.table(toml, "pack").items():
            if forms.is_table(values):
                self.pack_values[name] = (values, toml.places("pack", name))
            else:
                expected = "a table of parameters and their values"
                self.mistakes.append(wrong(f"pack {name!r}", values, expected, toml.place("pack", name)))
        wanted = toml.data.get("packs", [])
        if not forms.is_list(wanted, forms.is_text):
            self.mistakes.append(wrong("packs", wanted, 'a list of names, e.g. ["voip"]', toml.place("packs")))
            wanted = [name for name in wanted if forms.is_text(name)] if isinstance(wanted, list) else []
            self.unread.add("*")
        self._unknown_tables(toml, (*CONFIGURATION, *DECLARATIONS))
        self._declarations(toml, {})
        report, place = self.table(toml, "report"), toml.places("report")
        self.mistakes += forms.mistakes(report, REPORT, "[report]", place)
        for name, value in report.items():
            if name in REPORT and REPORT[name].fits(value):
                self.attempt(_check_report, name, value, f"[report]: {name}", place(name))
        found = {"packs": wanted, "report": report}
        for name, known in (("serve", SERVE), ("store", STORE), ("log", LOG)):
            found[name] = self.table(toml, name)
            self.mistakes += forms.mistakes(found[name], known, f"[{name}]", toml.places(name))
        found["source"] = self._sources(toml)
        return found

    def _sources(self, toml: TomlFile) -> dict[str, Any]:
        """The options of each source, checked."""
        tables = self.table(toml, "source")
        if not tables:
            return {}
        from streamgauge.sources import read_source

        read = {name: self.attempt(read_source, name, t, toml.places("source", name)) for name, t in tables.items()}
        return {name: options for name, options in read.items() if options}

    def file(self, path: Path) -> None:
        if path.suffix == ".py":
            self._python(path)
            return
        if (toml := self.read(TomlFile.read, path)) is None:
            return
        for name in CONFIGURATION:
            if name in toml.data:
                hint = "this file holds declarations only; configuration belongs into streamgauge.toml (-c)"
                self.mistakes.append(Mistake(f"table {name!r}", "is not a declaration", toml.place(name), hint=hint))
        self._unknown_tables(toml, (*CONFIGURATION, *DECLARATIONS))
        parameters: dict[str, tuple[Parameter, Any]] = {}
        for name in self.table(toml, "pack"):
            parameters.update(self._pack(toml, name))
        self._declarations(toml, parameters)

    def pack(self, name: str) -> None:
        if name.endswith(SUFFIXES) or "/" in name:
            for path in _expand([name], self):
                self.file(path)
            return
        if name not in shipped.PACKS:
            hint = nearest(name, shipped.PACKS) or f"known: {', '.join(shipped.PACKS)}, or the path of a file"
            self.mistakes.append(Mistake("pack", f"unknown pack {name!r}", hint=hint))
            self.unread.add("*")
            return
        if (toml := self.read(TomlFile.parse, shipped.text(name), f"pack {name}")) is not None:
            self._set_apart(toml, name)
            self._declarations(toml, self._pack(toml, name))

    def _set_apart(self, toml: TomlFile, pack: str) -> None:
        """Put the packs' names before the names of statistics that two packs have, such as ``volume``."""
        for name in [n for n in toml.table("statistic") if n in self.specs]:
            other = self.specs[name].origin.removeprefix("pack ").partition(":")[0]
            if other not in self.packs:
                continue  # an operator's own: that is a mistake, and said
            first = self.specs.pop(name)
            self.specs[f"{other}_{name}"] = replace(first, name=f"{other}_{name}")
            toml.rename(("statistic", name), f"{pack}_{name}")

    def _unknown_tables(self, toml: TomlFile, known: Sequence[str]) -> None:
        for name in toml.data:
            if name not in known:
                hint = nearest(name, known) or f"known: {', '.join(known)}"
                self.mistakes.append(Mistake(f"table {name!r}", "is unknown", toml.place(name), hint=hint))
                table = toml.data[name]
                if nearest(name, known) == nearest("shape", known) and forms.is_table(table):
                    self.unread |= table.keys()

    def _pack(self, toml: TomlFile, name: str) -> dict[str, tuple[Parameter, Any]]:
        """The parameters of ``[pack.NAME]`` with their values."""
        what, place = f"pack {name!r}", toml.places("pack", name)
        if name in self.packs:
            problem = f"is declared twice; first at {self.origins[name]}"
            self.mistakes.append(Mistake(what, problem, place()))
        self.origins.setdefault(name, place())
        head = toml.data["pack"][name]
        self.mistakes.extend(forms.mistakes(head, PACK, what, place))
        head = head if forms.is_table(head) else {}
        raw = head.get("parameters")
        parameters = {
            key: parameter
            for key, value in (raw if forms.is_table(raw) else {}).items()
            if (parameter := self.attempt(parameter_from, what, place("parameters", key), key, value)) is not None
        }
        self.broken |= (raw.keys() if forms.is_table(raw) else set()) - parameters.keys()
        values = self._values(name, parameters)
        help_ = head.get("help", "")
        pack = Pack(name, help_ if forms.is_text(help_) else "", parameters, values)
        self.packs.setdefault(name, pack)
        return {key: (parameter, values[key]) for key, parameter in parameters.items()}

    def _values(self, pack: str, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
        """The parameters' values: from ``parameters`` of ``load``, else the configuration's, else the defaults."""
        what = f"pack {pack!r}"
        configured, place = self.pack_values.get(pack, ({}, lambda *_: ""))
        own = {k.removeprefix(f"{pack}."): v for k, v in self.given.items() if k.startswith(f"{pack}.")}
        given = {**{k: v for k, v in self.given.items() if k in parameters}, **own}
        for name in {**configured, **own}:
            if name not in parameters and name not in self.broken:
                hint = nearest(name, parameters) or f"known: {', '.join(parameters) or 'none'}"
                where = place(name) if name in configured else ""
                self.mistakes.append(Mistake(what, f"unknown parameter {name!r}", where, hint=hint))
        values = {name: parameter.default for name, parameter in parameters.items()}
        for name, parameter in parameters.items():
            for told, where in ((configured, place(name)), (given, "")):
                # What is refused leaves the default, so that its use makes no second mistake.
                if name in told and self.attempt(parameter.check, told[name], what, where) is not None:
                    values[name] = told[name]
        return values

    def _declarations(self, toml: TomlFile, parameters: Mapping[str, tuple[Parameter, Any]]) -> None:
        put = Substitution(parameters, frozenset(self.broken - parameters.keys()))
        if not forms.is_table(toml.data.get("shape", {})):
            self.unread.add("*")
        for name in self.table(toml, "shape"):
            shape = self.attempt(shape_from, toml, name, put)
            self.shapes[name] = self.attempt(merged, self.shapes[name], shape) if name in self.shapes else shape
        for name in self.table(toml, "statistic"):
            if (spec := self.attempt(statistic_from, toml, name, put)) is not None:
                self._add(spec)

    def _add(self, spec: StatisticSpec) -> None:
        if spec.name in self.specs:
            problem = f"is declared twice; first at {self.specs[spec.name].origin}"
            self.mistakes.append(Mistake(spec.what, problem, spec.origin))
            self.doubles.append(spec)
        else:
            self.specs[spec.name] = spec

    def _python(self, path: Path) -> None:
        import runpy

        self.files.append(str(path))
        namespace: dict[str, Any] = {}
        with collected() as found, contextlib.redirect_stdout(sys.stderr):
            try:
                namespace = runpy.run_path(str(path))
            except KeyboardInterrupt:
                raise
            except BaseException as e:
                self.mistakes.extend(_python_mistakes(path, e))
        statistics = [s for s in found if not isinstance(s, DeclarationError)]
        for error in found:
            if isinstance(error, DeclarationError):
                self.mistakes.extend(error.mistakes)
                if isinstance(error, Unfinished):
                    self._add(error.draft)
        # Also those that were made by a module which was imported before.
        for value in namespace.values():
            if isinstance(value, type) and issubclass(value, Statistic) and "spec" in vars(value):
                statistics.append(value)
        for declared in dict.fromkeys(statistics):
            self._add(declared.spec)

    def finish(self, configuration: Mapping[str, Any]) -> Declarations:
        for name, (_, place) in self.pack_values.items():
            if name not in self.packs:
                load_it = f'load it with --pack {name}, or packs = ["{name}"]'
                hint = load_it if name in shipped.PACKS else nearest(name, shipped.PACKS) or load_it
                self.mistakes.append(Mistake(f"pack {name!r}", "is configured but not loaded", place(), hint=hint))
        for name in self.given:
            if name in self.broken:
                continue
            if not any(name in p.parameters or name.startswith(f"{p.name}.") for p in self.packs.values()):
                known = [n for p in self.packs.values() for n in p.parameters]
                hint = nearest(name, known) or f"known: {', '.join(known) or 'none, as no pack is loaded'}"
                self.mistakes.append(Mistake("parameter", f"unknown parameter {name!r}", hint=hint))
        shapes: dict[str, BoundShape] = {name: self.attempt(_checked_shape, s) for name, s in self.shapes.items()}
        statistics: dict[str, BoundStatistic] = {}
        for spec in [*self.doubles, *self.specs.values()]:
            around = {**shapes, spec.of: _ANY_SHAPE} if self._may_be_elsewhere(spec.of) else shapes
            statistics[spec.name] = self.attempt(bind, spec, around, self.extra_where)
        if self.mistakes:
            raise DeclarationError(in_order(self.mistakes, self.files))
        return Declarations(statistics, shapes, self.packs, configuration)

    def _may_be_elsewhere(self, shape: str) -> bool:
        """Whether a shape that we do not know may be declared in what could not be read."""
        if not shape or shape in self.shapes:
            return False
        return shape in self.unread or ("*" in self.unread and not nearest(shape, self.shapes))


_ANY_SHAPE = BoundShape(Shape("", {}, (), refused=frozenset({"fields"})), (), 0)


def _check_report(name: str, value: Any, what: str, place: str) -> None:
    """Refuse a setting of ``[report]`` that has the right form, and no meaning. Raises DeclarationError."""
    if name in ("time", "topic", "id") and value:
        parse(value, columns={}, what=what, where=place)
    elif name == "zone":
        check_zone(value, what, place)
    elif name == "lateness":
        parse_duration_ms(value, what, place)


def _python_mistakes(path: Path, error: BaseException) -> list[Mistake]:
    """What is wrong with a Python file that did not run to its end, with the last line of it that ran."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    line = lines[-1] if lines else getattr(error, "lineno", None)
    where = f"{path}:{line}" if line else str(path)
    if isinstance(error, DeclarationError):
        return [replace(m, where=m.where or where) for m in error.mistakes]
    said = " ".join(str(error).split())
    if isinstance(error, SyntaxError):
        return [Mistake("Python declarations", f"{type(error).__name__}: {error.msg}", where)]
    if isinstance(error, SystemExit):
        return [Mistake("Python declarations", f"ended the program (SystemExit: {said})", where)]
    return [Mistake("Python declarations", f"raised {type(error).__name__}: {said}".rstrip(": "), where)]


def _checked_shape(shape: Shape) -> BoundShape:
    """The shape with its expressions parsed. Raises Unfinished with every mistake."""
    found = list(shape_mistakes(shape))
    if not (shape.fields or shape.unsure):
        shape = replace(shape, refused=shape.refused | {"fields"})
    collect = Collector()
    bound: BoundShape = collect.attempt(bind_shape, shape)
    if found or collect.mistakes:
        raise Unfinished([*found, *collect.mistakes], bound)
    return bound
