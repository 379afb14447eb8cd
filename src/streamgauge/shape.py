"""Shapes: named sets of fields that several producers fill."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from streamgauge.errors import DeclarationError, Mistake
from streamgauge.expression import SqlType, TimeUnit
from streamgauge.forms import Keys

ENVELOPE: Mapping[str, SqlType] = {
    "topic": SqlType.VARCHAR,
    "time": SqlType.BIGINT,
    "id": SqlType.VARCHAR,
    "source": SqlType.VARCHAR,
}
"""The columns that every event has: ``time`` in ms since 1970 UTC, ``source`` the name of its lane."""

DEFAULT_SCALE = 6
"""Decimal digits to which a DOUBLE is rounded, once per event, unless told."""


@dataclass(frozen=True, slots=True)
class ShapeField:
    """One typed field of a shape. ``scale``: decimal digits kept of a DOUBLE."""

    type: SqlType
    unit: str = ""
    help: str = ""
    scale: int = DEFAULT_SCALE


@dataclass(frozen=True, slots=True)
class Producer:
    """How one kind of message fills a shape.

    An event is this producer's where its topic matches ``topic`` (a pattern, empty for any) and ``when`` holds (empty
    for always); the first producer that matches wins. ``time``, ``id`` and ``fields`` are SQL expressions; a field that
    is not named is null. ``time_unit`` None: found from the first block of each lane. ``refused`` are the settings that
    are left out of a draft.
    """

    name: str
    topic: str = ""
    when: str = ""
    time: str = ""
    time_unit: TimeUnit | None = None
    id: str = ""
    family: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""
    places: Mapping[Keys, str] = field(default_factory=dict, compare=False, repr=False)
    refused: frozenset[str] = frozenset()

    def place(self, *keys: str) -> str:
        """``file:line`` of a setting or field; that of the producer where it is not known."""
        return self.places.get(keys, self.origin)


@dataclass(frozen=True, slots=True)
class Shape:
    """A named set of fields. Only producers of ``family`` (all where it is empty) fill it.

    ``time_field`` is the field that equals the envelope's time, if one does. In a draft, ``refused`` are the settings
    that are left out, and ``unsure`` the types that fields may have whose declarations were refused.
    """

    name: str
    fields: Mapping[str, ShapeField]
    producers: tuple[Producer, ...]
    family: str = ""
    time_field: str = ""
    help: str = ""
    origin: str = ""
    refused: frozenset[str] = frozenset()
    unsure: Mapping[str, tuple[SqlType, ...]] = field(default_factory=dict, repr=False)

    @property
    def whole(self) -> bool:
        """Whether nothing of it was refused."""
        return not (self.refused or self.unsure or any(p.refused for p in self.producers))

    def active(self) -> tuple[Producer, ...]:
        """The producers that fill it, in the order in which they are tried."""
        return tuple(p for p in self.producers if not self.family or p.family in ("", self.family))

    def columns(self) -> dict[str, SqlType]:
        """The columns that an expression over this shape may name."""
        unsure = {name: types[0] for name, types in self.unsure.items()}
        return {**unsure, **ENVELOPE, **{name: f.type for name, f in self.fields.items()}}


_TOPIC = re.compile(r"[A-Za-z0-9_.:/@*-]+")


def check_topic(pattern: str, what: str, where: str = "") -> str:
    """Return a topic pattern (``*`` stands for any characters) if it is one. Raises DeclarationError."""
    if _TOPIC.fullmatch(pattern):
        return pattern
    hint = "letters, digits, _ . : / @ -, and * for any characters, e.g. 'cdr.*'"
    raise DeclarationError(Mistake(what, "not a topic pattern", where, got=pattern, hint=hint))
