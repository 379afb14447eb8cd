"""The times of recorded events: read to keep their pace, and written anew to make them happen now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from streamgauge.expression import TimeUnit, detect_unit
from streamgauge.sources.jsontext import find

_PER_MS = {
    TimeUnit.S: Decimal("0.001"),
    TimeUnit.MS: Decimal(1),
    TimeUnit.US: Decimal(1000),
    TimeUnit.NS: Decimal(10) ** 6,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DEFAULT_PATHS: tuple[tuple[str | int, ...], ...] = (("time",), ("timestamp",))


@dataclass(slots=True)
class TimeField:
    """Where the time of a body stands, and how it is written. ``unit`` None: told from the first times seen."""

    paths: Sequence[Sequence[str | int]] = DEFAULT_PATHS
    unit: TimeUnit | None = None
    zone: str = "UTC"

    def learn(self, bodies: Sequence[bytes]) -> None:
        """Find the unit, if it is not known, from the first of the bodies."""
        if self.unit is None:
            values = (self._value(body) for body in bodies[:1000])
            self.unit = detect_unit([_text(value) for value in values if value is not None])

    def time_ms(self, body: bytes) -> int | None:
        """When it happened, ms since 1970 UTC; None where it does not say, or is no JSON object."""
        value = self._value(body)
        if value is None or self.unit is None:
            return None
        return _iso_ms(value, self.zone) if self.unit is TimeUnit.ISO else _number_ms(value, self.unit)

    def shifted(self, body: bytes, to_ms: int) -> bytes:
        """The body with another time, written as the old one was: all else of it stays byte for byte.

        A number stays a number of its unit, a text a text; an ISO time becomes one of UTC with milliseconds.
        """
        text = body.decode()
        for path in self.paths:
            member = find(text, path)
            if member is not None and member.value is not None and self.unit is not None:
                written = _written(to_ms, self.unit)
                quoted = isinstance(member.value, str)
                return (text[: member.start] + (f'"{written}"' if quoted else written) + text[member.end :]).encode()
        return body

    def _value(self, body: bytes) -> Any:
        """The raw time: that of the first path which has one."""
        try:
            found: Any = json.loads(body)
        except (ValueError, RecursionError):
            return None
        for path in self.paths:
            value = found
            for key in path:
                value = value.get(key) if isinstance(value, dict) else None
            if value is not None:
                return value
        return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _number_ms(value: Any, unit: TimeUnit) -> int | None:
    try:
        number = Decimal(_text(value).strip())
        return int((number / _PER_MS[unit]).to_integral_value("ROUND_FLOOR")) if number.is_finite() else None
    except (InvalidOperation, ValueError, OverflowError):
        return None


def _iso_ms(value: Any, zone: str) -> int | None:
    try:
        moment = datetime.fromisoformat(value)
        since = (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))) - _EPOCH
    except (ValueError, TypeError, OverflowError):
        return None
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def _written(time_ms: int, unit: TimeUnit) -> str:
    if unit is TimeUnit.ISO:
        moment = datetime.fromtimestamp(time_ms // 1000, UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"
    if unit is TimeUnit.S and time_ms % 1000:
        return f"{time_ms // 1000}.{time_ms % 1000:03d}"
    return str(int(time_ms * _PER_MS[unit]))
