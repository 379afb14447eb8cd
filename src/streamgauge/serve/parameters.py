"""The parameters of requests: what each is called, takes and means, for reading them and for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from streamgauge.serve.problems import Problem, bad, nearest_of
from streamgauge.serve.times import FORMS

MOST = 300
"""Parameters of one request."""

DEFAULT_LIMIT = 100
MOST_ROWS = 1000
"""The largest ``limit``."""

MAX_ROWS = 50_000
"""What ``limit=max`` means."""

MOST_REPLAYS = 10_000
"""The largest ``limit`` of a replay."""

YES_NO: Mapping[str, bool] = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a query string; ``schema`` and ``example`` as in OpenAPI."""

    name: str
    help: str
    example: Any
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False

    def openapi(self) -> dict[str, Any]:
        """As OpenAPI writes it."""
        same = {"name": self.name, "in": "query", "required": self.required, "description": self.help}
        return {**same, "schema": dict(self.schema), "example": self.example}


_COUNT = {"oneOf": [{"type": "integer", "minimum": 1, "maximum": MOST_ROWS}, {"type": "string", "enum": ["max"]}]}

_PLACE = {"type": "integer", "minimum": 0}
_REPLAYS = {"type": "integer", "minimum": 1, "maximum": MOST_REPLAYS}

EVERY = Parameter("every", "Length of the windows; the first that the statistic declares unless told.", "6m")
START = Parameter("start", f"Windows that start at this time or later: {FORMS}.", "-1h")
STOP = Parameter("stop", "Windows that start before this time; in the same forms.", "now")
TZ = Parameter("tz", "Zone in which times are written, and read where they have none.", "Europe/Paris")
ROLLING = Parameter(
    "rolling", "Each row covers this long, up to the end of its window: consecutive windows, merged when read.", "1h"
)
ROLLUP = Parameter(
    "rollup", "Keys to keep, separated by commas; all others are merged. Empty: one row per window.", "carrier"
)
GAPS = Parameter(
    "gaps",
    "Also rows for windows without a cell: zeros where the window was covered, nulls where it was not.",
    "true",
    {"type": "boolean"},
)
ORDER = Parameter("order", "asc or desc by time, or a column, with - before it for descending.", "desc")
LIMIT = Parameter(
    "limit", f"Rows of a page, 1 to {MOST_ROWS}, or max for {MAX_ROWS}. JSON: {DEFAULT_LIMIT} unless told.", 5, _COUNT
)
CURSOR = Parameter("cursor", "Where the page begins: taken from `next` or the Link of the one before.", "WyJhIiwwXQ")
FIELDS = Parameter("fields", "Only these columns, separated by commas, in this order.", "start,carrier,attempts,asr")
FILTERS = Parameter(
    "filters",
    "key.NAME=VALUE (repeated: any of them), key.NAME__prefix=TEXT, key.NAME__null=true or false; and on columns "
    "COLUMN__lt, __le, __gt, __ge, __eq, __ne=VALUE, such as asr__lt=0.4. A null never matches.",
    {"key.carrier": "carrier-007", "asr__lt": "0.4"},
    {"type": "object", "additionalProperties": {"type": "string"}},
)
REASON = Parameter("reason", "Only those of this reason.", "not JSON")
SOURCE = Parameter("source", "Only those of this source.", "http")
STATE = Parameter("state", "new, or replayed.", "new", {"type": "string", "enum": ["new", "replayed"]})
POSITION = Parameter("position", "Only the one at this position.", 481513, _PLACE)
AFTER = Parameter("after", "Only those behind this position: `next` of the answer before.", 481513, _PLACE)
BEFORE = Parameter("before", "Only those before this position: `before` of the answer before.", 481999, _PLACE)
REPLAYS = Parameter("limit", f"At most so many, 1 to {MOST_REPLAYS}.", 1000, _REPLAYS)
ROW = Parameter(
    "row",
    "Instead of keys: all for the row of totals, other for the row that keys past max_keys are folded into.",
    "all",
    {"type": "string", "enum": ["all", "other"]},
)

CELLS = (EVERY, START, STOP, TZ, ROLLING, ROLLUP, GAPS, ORDER, LIMIT, CURSOR, FIELDS)
LATEST = (EVERY, START, TZ, LIMIT, CURSOR, FIELDS)
KEYS = (EVERY, START, STOP, TZ, LIMIT, CURSOR)
EVENTS = (EVERY, START, TZ, ROW, LIMIT, CURSOR)
LETTERS = (REASON, SOURCE, STATE, START, STOP, TZ, LIMIT, CURSOR)
REPLAY = (REASON, SOURCE, POSITION, AFTER, BEFORE, REPLAYS)


class Given:
    """The parameters of one request. Every method raises Problem where what was given cannot be understood."""

    def __init__(self, query: bytes, known: Sequence[Parameter]) -> None:
        try:
            text = query.decode("ascii")
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST, errors="strict")
        except UnicodeDecodeError as e:
            raise bad("", "the query string is not UTF-8, percent-encoded") from e
        except ValueError as e:
            raise bad("", f"the query string has more than {MOST} parameters") from e
        self.known = [parameter.name for parameter in known]
        self.pairs = pairs
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def others(self) -> list[tuple[str, str]]:
        """Those that are not of the known ones, in order."""
        return [(name, value) for name, value in self.pairs if name not in self.known]

    def refuse_others(self, more: Iterable[str] = ()) -> None:
        """Raise Problem if there is any that is not known; ``more`` are names that could have been meant too."""
        for name, _ in self.others():
            raise unknown_parameter(name, [*self.known, *more])

    def text(self, name: str, default: str = "") -> str:
        """The value of a parameter that may be given once."""
        values = self._values.get(name, [default])
        if len(values) > 1:
            raise bad(name, f"{name}: is given {len(values)} times; give it once")
        return values[0]

    def has(self, name: str) -> bool:
        """Whether it is given, be it empty."""
        return name in self._values

    def flag(self, name: str) -> bool:
        """A yes or no; no where it is not given."""
        text = self.text(name, "false").lower()
        if text not in YES_NO:
            raise bad(name, f"{name}: {text[:200]!r} is neither true nor false")
        return YES_NO[text]

    def limit(self, default: int = DEFAULT_LIMIT) -> int:
        """How many rows."""
        text = self.text("limit", str(default))
        if text == "max":
            return MAX_ROWS
        if text == str(default):
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MOST_ROWS):
            raise bad("limit", f"limit: {text[:200]!r} is not 1 to {MOST_ROWS}, or max for {MAX_ROWS}")
        return int(text)

    def whole(self, name: str, least: int = 0, most: int = 2**63 - 1) -> int | None:
        """A number; None where it is not given."""
        if not self.has(name):
            return None
        text = self.text(name)
        if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
            said = f"{least} to {most}" if most < 2**62 else f"a number from {least} on"
            raise bad(name, f"{name}: {text[:200]!r} is not {said}")
        return int(text)

    def names(self, name: str) -> tuple[str, ...] | None:
        """A list of names separated by commas; None where it is not given."""
        if not self.has(name):
            return None
        return tuple(part.strip() for part in self.text(name).split(",") if part.strip())


def unknown_parameter(name: str, known: Sequence[str]) -> Problem:
    """The problem of a parameter that nothing is known of."""
    close = nearest_of(name, known)
    hint = f"did you mean {close}?" if close else f"known: {', '.join(known)}"
    return Problem("unknown-parameter", f"{name[:200]}: there is no such parameter; {hint}", name[:200], close)
