"""What the operator may set for a source: each setting with its default, its form and its help, in one place.

A type of source declares a frozen dataclass, of which each field is made by ``setting``. From that come the check of
``[source.NAME]``, the object that the source is built with, and the reference page::

    @dataclass(frozen=True, slots=True)
    class TailOptions(CommonOptions):
        path: str = setting("the file, or a pattern of files", text(), required=True)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar

from streamgauge.engines.base import Envelope
from streamgauge.errors import DeclarationError, Mistake
from streamgauge.expression import Expression, TimeUnit, parse
from streamgauge.forms import FLAG, Form, mistakes, one_of, text, texts
from streamgauge.log.base import Arrival
from streamgauge.windows import check_zone, parse_duration_ms

_Options = TypeVar("_Options", bound="CommonOptions")
Place = Callable[..., str]

_CONSTANT = re.compile(r"[\w*#][\w.:/#*@+-]*")
_OF_BODY = re.compile(r"body(?![\w:/#*@+-])")


def setting(help_: str, form: Form, default: Any = MISSING, *, required: bool = False) -> Any:
    """A field of an options class. ``help_`` is Markdown, one sentence without its full stop."""
    metadata = {"help": help_, "form": form, "required": required}
    return field(default="" if default is MISSING else default, metadata=metadata)


def constant_or_expression(given: str) -> str:
    """The SQL expression that a setting means: a bare name stands for itself, so that ``topic = "call"`` works.

    A bare name has letters, digits and ``_ . : / # * @ + -`` only, and does not begin with ``body.``.

    >>> constant_or_expression("pbx.cdr"), constant_or_expression("body.kind"), constant_or_expression("'x y'")
    ("'pbx.cdr'", 'body.kind', "'x y'")
    """
    if _CONSTANT.fullmatch(given) and not _OF_BODY.match(given) and given.upper() != "NULL":
        return f"'{given}'"
    return given


@dataclass(frozen=True, slots=True)
class CommonOptions:
    """What every source has: how its messages become events."""

    topic: str = setting("the events' topic: a name, or an SQL expression over `body`", text(), "")
    time: str = setting(
        "when an event happened, an SQL expression; unset: as the producer of its shape says, else `body.time`, "
        "else `body.timestamp`",
        text(),
        "",
    )
    time_unit: str = setting(
        "the unit of those times; unset: found from the first events of each lane", one_of(tuple(TimeUnit)), ""
    )
    id: str = setting("what tells an event from all others, an SQL expression; duplicates are dropped", text(), "")
    zone: str = setting("the time zone of times that are written without one", text(), "UTC")
    lateness: str = setting("how far behind the newest event of its lane an event may be", text(), "10s")
    owner: str = setting("whose an event is: a name, or an SQL expression over `body`", text(), "")
    mask: str | tuple[str, ...] = setting(
        "a path below `body` that is hidden when an event is appended, as `body.to`, or a list of them",
        texts("a path, or a list of paths"),
    )
    keep_bytes: bool = setting("whether a dead letter keeps its bytes where something is masked", FLAG, False)

    @property
    def masks(self) -> tuple[str, ...]:
        """The masked paths."""
        return tuple(self.mask) if not isinstance(self.mask, str) else (self.mask,) if self.mask else ()


def read_options(cls: type[_Options], name: str, values: Any, place: Place = lambda *keys: "") -> _Options:
    """The options of ``[source.name]``. ``place(key)`` says where a setting stands, ``place()`` where the table does.

    Raises DeclarationError with every mistake, each with the nearest right name.
    """
    what = f"source {name!r}"
    forms = {f.name: f.metadata["form"] for f in fields(cls)}
    found = list(mistakes(values, forms, what, place, also=("type",)))
    if isinstance(values, Mapping):
        found += [
            Mistake(what, f"has no {f.name!r}", place(), hint=f.metadata["help"])
            for f in fields(cls)
            if f.metadata["required"] and f.name not in values
        ]
    if found:
        raise DeclarationError(found)
    options = cls(**{key: _frozen(value) for key, value in values.items() if key != "type"})
    found = list(dict.fromkeys(_value_mistakes(options, what, place)))
    if found:
        raise DeclarationError(found)
    return options


def arrival_of(options: CommonOptions, what: str, place: Place = lambda *keys: "", **more: Any) -> Arrival:
    """How the events of a source with these options become events. Raises DeclarationError."""
    envelope = Envelope(
        time=expression(options.time, f"{what}: time", place("time")),
        topic=expression(constant_or_expression(options.topic), f"{what}: topic", place("topic")),
        id=expression(constant_or_expression(options.id), f"{what}: id", place("id")),
        time_unit=TimeUnit(options.time_unit) if options.time_unit else None,
        zone=check_zone(options.zone, f"{what}: zone", place("zone")),
    )
    owner = expression(constant_or_expression(options.owner), f"{what}: owner", place("owner"))
    return Arrival(
        envelope=envelope,
        lateness_ms=parse_duration_ms(options.lateness, f"{what}: lateness", place("lateness")),
        owner=owner.text if owner else "",
        mask=options.masks,
        keep_bytes=options.keep_bytes or not options.masks,
        **more,
    )


def expression(given: str, what: str, where: str = "") -> Expression | None:
    """The checked expression; None of the empty text. Raises DeclarationError."""
    return parse(given, columns={}, what=what, where=where) if given else None


def path_of(given: str, what: str, where: str = "") -> tuple[str | int, ...]:
    """The keys of a path below body, casts around it aside. Raises DeclarationError for any other expression."""
    tree = parse(given, columns={}, what=what, where=where).tree
    while tree.op == "cast":
        tree = tree.args[0]
    if tree.op != "path":
        raise DeclarationError(Mistake(what, "is no path", where, given, "write one as body.caller.number"))
    keys: tuple[str | int, ...] = tree.value.keys  # type: ignore[attr-defined]
    return keys


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _value_mistakes(options: CommonOptions, what: str, place: Place) -> Iterator[Mistake]:
    """What is wrong with values that have the right form."""
    checks: list[Callable[[], object]] = [lambda: arrival_of(options, what, place)]
    checks += [lambda m=m: path_of(m, f"{what}: mask", place("mask")) for m in options.masks]  # type: ignore[misc]
    own = getattr(options, "check", None)
    if own is not None:
        checks.append(lambda: own(what, place))
    for check in checks:
        try:
            check()
        except DeclarationError as error:
            yield from error.mistakes


def reference_table(cls: type[CommonOptions]) -> str:
    """The settings of a source type that are its own, as a Markdown table."""
    common = set() if cls is CommonOptions else {f.name for f in fields(CommonOptions)}
    rows = [f"| `{f.name}` | {_default(f)} | {_help(f)} |" for f in fields(cls) if f.name not in common]
    return "\n".join(["| setting | default | what it is |", "|---|---|---|", *rows]) + "\n"


def _default(known: Field[Any]) -> str:
    if known.metadata["required"]:
        return "required"
    value = known.default
    if value in ("", ()):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _help(known: Field[Any]) -> str:
    words = known.metadata["form"].words
    help_: str = known.metadata["help"]
    return help_.replace("|", "\\|") + (f"; one of `{'`, `'.join(words)}`" if words else "")
