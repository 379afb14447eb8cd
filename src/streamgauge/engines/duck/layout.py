"""How the paths of the declarations are read from a slice: two layouts that give the same texts.

FAST lets ``read_json`` put every path into a typed column. CAREFUL reads each line as one JSON value and extracts: it
is slower, but it takes any depth, tells a wrong container (a string where an object was expected) from an absent one,
and takes keys that differ only in case. A slice that looks suspicious in the fast layout is read again carefully.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamgauge.expression import Path
from streamgauge.expression.types import EnvelopePath

Tree = dict[str, Any]


def quote(name: str) -> str:
    """``name`` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """``text`` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def pointer(keys: Sequence[str | int]) -> str:
    """A JSON pointer (RFC 6901) to these keys, as an SQL string."""
    return literal("".join("/" + str(k).replace("~", "~0").replace("/", "~1") for k in keys))


def lines_of(file: str, maximum_object_size: int) -> str:
    """The lines of a file as the column ``json``, null where a line is no JSON."""
    return (
        f"read_json({literal(file)}, format='newline_delimited', ignore_errors=true, records=false"
        f", maximum_object_size={maximum_object_size}, columns={{json: 'JSON'}})"
    )


NO_OBJECT = "(coalesce(json_type(json), '') <> 'OBJECT')"
"""A condition on the lines of ``lines_of``: this one is no JSON object."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to read the paths of a slice.

    Its SQL yields ``p0, p1, ...`` (VARCHAR), one per path, ``x0, x1, ...`` (BOOLEAN: the path leads through something
    that is no container) where ``broken`` has it, and ``suspicious`` (BOOLEAN) where ``has_suspicion``. ``records``:
    whether ``read_json`` itself extracts the paths, ``columns`` saying which; else ``columns`` selects from the lines,
    and there is ``no_object`` (BOOLEAN).
    """

    paths: tuple[Path, ...]
    select: str
    columns: str
    records: bool
    broken: Mapping[Path, str]
    has_suspicion: bool

    def names(self) -> dict[Path, str]:
        """The column of each path."""
        return {path: f"p{n}" for n, path in enumerate(self.paths)}

    def source(self, file: str, maximum_object_size: int) -> str:
        """A select over the lines of ``file``, in their order."""
        if not self.records:
            lines = f"SELECT {self.columns} FROM {lines_of(file, maximum_object_size)}"
            return f"SELECT {self.select} FROM ({lines})"
        return (
            f"SELECT {self.select} FROM read_json({literal(file)}, format='newline_delimited', ignore_errors=true"
            f", maximum_object_size={maximum_object_size}, columns={self.columns}, records=true)"
        )


Keys = tuple[str | int, ...]


def located(path: Path, root: Keys) -> Keys:
    """The keys of a path from the top of a line, where the body stands under ``root``."""
    return path.keys if isinstance(path, EnvelopePath) else root + path.keys


def careful(paths: Iterable[Path], root: Keys = ()) -> Layout:
    """Every path extracted from the line's JSON: all in one go, because each call would parse the line again."""
    ordered = tuple(paths)
    places = [located(path, root) for path in ordered]
    pointers = ", ".join(map(pointer, places))
    select = [f"{_text(f'v[{n + 1}]', keys)} AS p{n}" for n, keys in enumerate(places)]
    broken = {}
    for n, (path, keys) in enumerate(zip(ordered, places, strict=True)):
        if len(path.keys) > 1:
            broken[path] = f"x{n}"
            select.append(f"{_broken('json', keys)} AS x{n}")
    lines = "json" if not ordered else f"json, json_extract_string(json, [{pointers}]) AS v"
    select.append(f"{NO_OBJECT} AS no_object")
    return Layout(ordered, ", ".join(select), lines, False, broken, False)


def _text(found: str, keys: Keys) -> str:
    # The fast layout writes a fraction as a DOUBLE is cast to text, where JSON has 1.5e-7 for 1.5e-07.
    is_double = f"coalesce(json_type(json, {pointer(keys)}), '') = 'DOUBLE'"
    number = f"TRY_CAST({found} AS DOUBLE)"
    fraction = f"(contains({found}, '.') OR contains({found}, 'e')) AND {is_double} AND isfinite({number})"
    return f"CASE WHEN {fraction} THEN CAST({number} AS VARCHAR) ELSE {found} END"


def _broken(column: str, keys: Sequence[str | int]) -> str:
    tests = []
    for end in range(1, len(keys)):
        wanted = "ARRAY" if isinstance(keys[end], int) else "OBJECT"
        tests.append(f"coalesce(json_type({column}, {pointer(keys[:end])}), 'NULL') NOT IN ('NULL', '{wanted}')")
    return "(" + " OR ".join(tests) + ")"


def fast(paths: Iterable[Path], root: Keys = ()) -> Layout | None:
    """Typed columns; None where only the careful layout can read these paths."""
    ordered = tuple(paths)
    places = [located(path, root) for path in ordered]
    tree: Tree = {}
    if not all(_plant(tree, keys) for keys in places):
        return None
    if not tree or _collides(tree):
        return None
    select = [f"{'.'.join(quote(str(k)) for k in keys)} AS p{n}" for n, keys in enumerate(places)]
    columns = ", ".join(f"{literal(key)}: {literal(_type(child))}" for key, child in tree.items())
    suspicions = [s for key, child in tree.items() for s in _suspicions(quote(key), child, bool(root))]
    if suspicions:
        select.append(f"({' OR '.join(suspicions)}) AS suspicious")
    return Layout(ordered, ", ".join(select), "{" + columns + "}", True, {}, bool(suspicions))


def _plant(tree: Tree, keys: Sequence[str | int]) -> bool:
    """Put a path into the tree; False where it is a part of another path, or counts the elements of a list."""
    if any(isinstance(k, int) or k == "" for k in keys):
        return False
    node = tree
    for key in keys[:-1]:
        child = node.setdefault(str(key), {})
        if child is None:
            return False
        node = child
    if str(keys[-1]) in node:
        return False
    node[str(keys[-1])] = None
    return True


def _collides(tree: Tree) -> bool:
    # read_json matches column names without regard to case when it binds them.
    if len({key.casefold() for key in tree}) < len(tree):
        return True
    return any(_collides(child) for child in tree.values() if child)


def _type(child: Tree | None) -> str:
    if child is None:
        return "VARCHAR"
    return "STRUCT(" + ", ".join(f"{quote(key)} {_type(grandchild)}" for key, grandchild in child.items()) + ")"


def _suspicions(column: str, child: Tree | None, surely_object: bool = False) -> list[str]:
    # read_json gives a struct of nulls for a text or a list as well as for an object without our keys.
    if child is None:
        return []
    parts = [f"{column}.{quote(key)}" for key in child]
    nothing = f"({column} IS NOT NULL AND {' AND '.join(f'{p} IS NULL' for p in parts)})"
    # The body of an event in a log is an object: nothing else becomes an event.
    found = [] if surely_object else [nothing]
    for part, grandchild in zip(parts, child.values(), strict=True):
        found.extend(_suspicions(part, grandchild))
    return found
