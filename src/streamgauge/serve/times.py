"""Times as a query says them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from streamgauge.errors import DeclarationError
from streamgauge.event import MAX_TIME_MS, MIN_TIME_MS
from streamgauge.serve.problems import bad
from streamgauge.windows import parse_duration_ms

FORMS = "ISO 8601 (2026-01-31T12:00Z), epoch seconds or ms, or relative: now, -1h, today, yesterday, today-7d"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RELATIVE = re.compile(r"(now|today|yesterday)?(?:([+\- ])([0-9]{1,15}[a-z]{1,2}))?")


def moment_ms(text: str, parameter: str, zone: ZoneInfo, now_ms: int) -> int:
    """Milliseconds since 1970 UTC. An ISO time without offset, and ``today``, are of the zone. Raises Problem.

    A ``+`` that the query string made a blank is taken for what it was.
    """
    found = _of(text.strip(), parameter, zone, now_ms)
    if found is None:
        raise bad(parameter, f"{parameter}: {text[:200]!r} is not a time; write {FORMS}")
    if not MIN_TIME_MS <= found < MAX_TIME_MS:
        raise bad(parameter, f"{parameter}: {text[:200]!r} is not between the years 1800 and 2200")
    return found


def _of(text: str, parameter: str, zone: ZoneInfo, now_ms: int) -> int | None:
    if re.fullmatch("-?[0-9]{1,15}", text):
        number = int(text)
        return number if abs(number) >= 10**11 else number * 1000
    relative = _RELATIVE.fullmatch(text)
    if relative and (relative[1] or relative[2] in ("-", "+")):
        return _base(relative[1] or "now", zone, now_ms) + _offset(relative[2], relative[3], parameter)
    try:
        parsed = datetime.fromisoformat(re.sub(r" (\d\d:?\d\d)$", r"+\1", text) if "T" in text else text)
        parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)
        return (parsed - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return None


def _base(word: str, zone: ZoneInfo, now_ms: int) -> int:
    if word == "now":
        return now_ms
    local = (_EPOCH + timedelta(milliseconds=now_ms)).astimezone(zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if word == "yesterday":
        midnight -= timedelta(days=1)
    return (midnight.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)


def _offset(sign: str | None, duration: str | None, parameter: str) -> int:
    if duration is None:
        return 0
    try:
        ms = parse_duration_ms(duration, parameter)
    except DeclarationError as e:
        raise bad(parameter, str(e)) from e
    return -ms if sign == "-" else ms
