"""Sources bring events in. Here are their types by name; each has its options, defaults and help in its own file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streamgauge.clock import Clock
from streamgauge.errors import DeclarationError, Mistake, nearest
from streamgauge.sources.base import Guarantee, Source, SourceStatus, State
from streamgauge.sources.http import HttpOptions, HttpSource
from streamgauge.sources.options import CommonOptions, Place, read_options, reference_table
from streamgauge.sources.replay import ReplayOptions, ReplaySource
from streamgauge.sources.stdin import StdinOptions, StdinSource
from streamgauge.sources.tail import TailOptions, TailSource

__all__ = [
    "TYPES",
    "Guarantee",
    "HttpOptions",
    "HttpSource",
    "ReplayOptions",
    "ReplaySource",
    "Source",
    "SourceStatus",
    "State",
    "StdinOptions",
    "StdinSource",
    "TailOptions",
    "TailSource",
    "make_source",
    "options_of",
    "read_source",
    "reference",
]

TYPES: Mapping[str, tuple[type[CommonOptions], Callable[[str, Any, Clock], Source]]] = {
    "http": (HttpOptions, HttpSource),
    "tail": (TailOptions, TailSource),
    "stdin": (StdinOptions, StdinSource),
    "replay": (ReplayOptions, ReplaySource),
}
"""What ``type = "..."`` may be: the options, and what is built from them."""


def options_of(type_: str, what: str = "type", where: str = "") -> type[CommonOptions]:
    """The options of a type of source. Raises DeclarationError with the nearest name."""
    if type_ not in TYPES:
        hint = nearest(str(type_), TYPES) or f"known: {', '.join(TYPES)}"
        raise DeclarationError(Mistake(what, "unknown type of source", where, str(type_), hint))
    return TYPES[type_][0]


def read_source(name: str, table: Any, place: Place = lambda *keys: "") -> CommonOptions:
    """The options of ``[source.name]``, of the type that it says. Raises DeclarationError with every mistake.

    ``place(key)`` is where a setting stands, ``place()`` where the table does.
    """
    what = f"source {name!r}"
    type_ = table.get("type") if isinstance(table, Mapping) else None
    if not isinstance(type_, str):
        hint = f'write type = "..." with one of {", ".join(TYPES)}'
        raise DeclarationError(Mistake(what, "has no type", place(), hint=hint))
    return read_options(options_of(type_, f"{what}: type", place("type")), name, table, place)


def make_source(name: str, options: CommonOptions, clock: Clock) -> Source:
    """The source of this name with these options."""
    for known, build in TYPES.values():
        if type(options) is known:
            return build(name, options, clock)
    raise TypeError(f"{type(options).__name__} are the options of no type of source")


def reference() -> str:
    """The reference page of all sources, in Markdown."""
    parts = ["## Every source\n", _text(CommonOptions), reference_table(CommonOptions)]
    for type_, (options, source) in TYPES.items():
        guarantee: Guarantee = source.guarantee  # type: ignore[attr-defined]
        parts += [f"## `{type_}`\n", _text(options), f"Counts an event *{guarantee}*.\n", reference_table(options)]
    return "\n".join(parts)


def _text(options: type[CommonOptions]) -> str:
    lines = [line.strip() for line in (options.__doc__ or "").strip().splitlines()]
    return "\n".join(lines).replace("``", "`") + "\n"
