"""Times: which unit they are written in, and SQL that reads them as milliseconds since 1970 UTC."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from streamgauge.expression.casts import BLANK, NUMBER
from streamgauge.expression.sqltext import BLANKS, binary_tree, floor_div, matches, trimmed, type_name, wrap
from streamgauge.expression.types import Engine, SqlType

_YEAR = r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_DATE = _YEAR + r"-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{0,9})?)?"
_OFFSET = r"(?:Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)"
_FIRST_DAY = datetime(1799, 12, 1, tzinfo=UTC)
_LAST_DAY = datetime(2200, 2, 1, tzinfo=UTC)


class TimeUnit(StrEnum):
    """How a source writes its times: a number of seconds, milli-, micro- or nanoseconds since 1970, or ISO 8601."""

    S = "s"
    MS = "ms"
    US = "us"
    NS = "ns"
    ISO = "iso"


_BOUNDS = [1.5e10, 1.5e13, 1.5e16]
"""Between 2200 in one unit and 1971 in the next finer one (7.3e9 and 3.2e10 for s and ms), at the geometric mean."""

_YEAR_S = 31_536_000
_UNITS = [TimeUnit.S, TimeUnit.MS, TimeUnit.US, TimeUnit.NS]


def detect_unit(samples: Sequence[str]) -> TimeUnit | None:
    """The unit in which most of these raw texts are times, or None when none of them can be one.

    A number's unit is told by its magnitude, which is unmistakable for the years 1971 to 2200 (and 1740 to 1969).
    Smaller numbers (0 for "never", among others) are seconds, but only if nothing else is found. Equally many votes:
    the unit that comes first.
    """
    votes: Counter[TimeUnit] = Counter()
    small = False
    for sample in samples:
        text = sample.strip(BLANKS)
        if re.fullmatch(NUMBER, text):
            size = abs(float(text))
            small = small or size < _YEAR_S
            if _YEAR_S <= size < float("inf"):
                votes[_UNITS[bisect_right(_BOUNDS, size)]] += 1
        elif re.fullmatch(f"{_DATE}(?:{_CLOCK}{_OFFSET}?)?", text):
            votes[TimeUnit.ISO] += 1
    if votes:
        return votes.most_common(1)[0][0]
    return TimeUnit.S if small else None


def time_ms(sql: str, unit: TimeUnit, engine: Engine, zone: str = "UTC") -> str:
    """SQL of the raw text ``sql`` as BIGINT milliseconds since 1970 UTC; null where it is no time in ``unit``.

    Numbers follow the grammar of ``::DOUBLE``. An integer is exact. A fraction is rounded to the microsecond (in ns,
    to the nanosecond, through a DOUBLE), half away from zero, so that 1521911721.001 is ...001 ms; exact where the
    text has at most 6 decimals of a second and no exponent. Then what is below a millisecond is cut down (floor, also
    before 1970). ISO 8601: a date, or date and time with T or blank, up to 9 decimals, Z, +hh:mm, +hhmm, +hh, or
    nothing: then a local time of ``zone``, the first of two where clocks go back, shifted forward where they skip it.
    Whether a time is permitted is not checked; beyond 10^15 ms from 1970 the result may be null.

    Raises zoneinfo.ZoneInfoNotFoundError for an unknown zone.
    """
    text = wrap(sql)
    if unit is TimeUnit.ISO:
        return _iso(text, engine, zone)
    return _number(text, unit, engine)


def _number(text: str, unit: TimeUnit, engine: Engine) -> str:
    bare = text if engine == "duckdb" else trimmed(text, engine)
    integer = f"TRY_CAST({bare} AS BIGINT)"
    is_number = matches(text, BLANK + NUMBER + BLANK, engine)
    has_fraction = " OR ".join(f"{text} LIKE '%{sign}%'" for sign in ".eE")
    whole = _whole(integer, unit, engine)
    # Most integers are written canonically, and comparing them costs a third of the regular expression.
    return (
        f"CASE WHEN CAST({integer} AS {type_name(SqlType.VARCHAR, engine)}) = {text} THEN {whole} "
        f"WHEN {is_number} THEN CASE WHEN {has_fraction} THEN {_fraction(bare, text, unit, engine)} "
        f"ELSE {whole} END END"
    )


def _whole(integer: str, unit: TimeUnit, engine: Engine) -> str:
    if unit is TimeUnit.S:
        return f"TRY({integer} * 1000)" if engine == "duckdb" else f"try_multiply({integer}, CAST(1000 AS BIGINT))"
    return {
        TimeUnit.MS: integer,
        TimeUnit.US: floor_div(integer, 1000, engine),
        TimeUnit.NS: floor_div(integer, 1_000_000, engine),
    }[unit]


def _fraction(bare: str, text: str, unit: TimeUnit, engine: Engine) -> str:
    """A number with a fraction or an exponent."""
    number = f"TRY_CAST({bare} AS DOUBLE)"
    if unit is TimeUnit.NS:
        return floor_div(_rounded(number), 1_000_000, engine)
    decimals = {TimeUnit.S: 6, TimeUnit.MS: 3, TimeUnit.US: 0}[unit]
    micros = _rounded(f"{number} * CAST('1e{decimals}' AS DOUBLE)")
    # Up to 2^32 seconds, a DOUBLE and its product still round to the right microsecond; beyond, decimals do.
    limit = f"CAST('{2**32 * 10 ** (6 - decimals)}' AS DOUBLE)"
    exact = _decimal(f"TRY_CAST({bare} AS DECIMAL(18, {decimals}))", decimals, engine)
    return (
        f"CASE WHEN abs({number}) < {limit} THEN {_micros_to_ms(micros, engine)} "
        f"WHEN {text} LIKE '%e%' OR {text} LIKE '%E%' THEN {floor_div(micros, 1000, engine)} ELSE {exact} END"
    )


def _rounded(number: str) -> str:
    return f"TRY_CAST(round({number}) AS BIGINT)"


def _micros_to_ms(micros: str, engine: Engine) -> str:
    """Floor to milliseconds of microseconds within 10^18, naming them once: shifted above zero, cut, shifted back."""
    divide = "//" if engine == "duckdb" else "div"
    return f"(({micros} + {10**18}) {divide} 1000 - {10**15})"


def _decimal(number: str, decimals: int, engine: Engine) -> str:
    """Floor to milliseconds of a decimal of the unit with ``decimals`` to the microsecond."""
    micros = 10**decimals
    if decimals == 0:
        return _micros_to_ms(f"CAST({number} AS BIGINT)", engine)
    whole = f"CAST(floor({number}) AS BIGINT)"
    rest = f"CAST(({number} - floor({number})) * {micros} AS BIGINT)"
    return f"({whole} * {micros // 1000} + {rest} {'//' if engine == 'duckdb' else 'div'} 1000)"


def _iso(text: str, engine: Engine, zone: str) -> str:
    """ISO 8601: first without blanks around it, as nearly all are: trimming costs more than all the rest."""
    branches = []
    for subject, blank in ((text, ""), (trimmed(text, engine), BLANK)):
        zoned = matches(text, f"{blank}{_DATE}{_CLOCK}{_OFFSET}{blank}", engine)
        local = matches(text, f"{blank}{_DATE}(?:{_CLOCK})?{blank}", engine)
        instant = _micros_to_ms(_instant(subject, engine), engine)
        wall = _from_wall(_wall(subject, engine), zone, engine, rare=bool(blank))
        branches.append(f"WHEN {zoned} THEN {instant} WHEN {local} THEN {wall}")
    return f"CASE {' '.join(branches)} END"


def _instant(text: str, engine: Engine) -> str:
    """Microseconds of a time with its offset."""
    if engine == "duckdb":
        return f"epoch_us(TRY_CAST({text} AS TIMESTAMPTZ))"
    return f"unix_micros(TRY_CAST({text} AS TIMESTAMP))"


def _wall(text: str, engine: Engine) -> str:
    """Microseconds of a time without an offset, as if it were UTC."""
    if engine == "duckdb":
        return f"epoch_us(TRY_CAST({text} AS TIMESTAMP))"
    as_utc = f"concat({text}, CASE WHEN length({text}) = 10 THEN 'T00:00:00Z' ELSE 'Z' END)"
    return f"unix_micros(TRY_CAST({as_utc} AS TIMESTAMP))"


def _from_wall(micros: str, zone: str, engine: Engine, *, rare: bool) -> str:
    """Milliseconds in UTC of a wall time of the zone.

    The tree of the zone's changes names the time once a branch. Where that is ``rare``, it is given a short name
    instead, which makes shorter SQL and slower work (by 1.5 us an event in DuckDB).
    """
    bounds, offsets = local_offsets(zone)
    leaves = [f"({o})" if o < 0 else str(o) for o in offsets]
    if not rare or not bounds:
        return f"({_micros_to_ms(micros, engine)} - {binary_tree(micros, [b * 1000 for b in bounds], leaves)})"
    tree = f"{_micros_to_ms('w', engine)} - {binary_tree('w', [b * 1000 for b in bounds], leaves)}"
    if engine == "duckdb":
        return f"list_transform([{micros}], lambda w: {tree})[1]"
    return f"transform(array({micros}), w -> {tree})[0]"


@lru_cache(maxsize=16)
def local_offsets(zone: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The zone's offsets from UTC, in ms, by wall time: ``offsets[i]`` where i of the ascending bounds are <= it.

    A wall time that occurs twice has the offset of the first, one that never occurs that from before the change (so
    that it moves forward). From 1800 to 2200. Raises zoneinfo.ZoneInfoNotFoundError.
    """
    info = ZoneInfo(zone)
    if zone == "UTC":
        return (), (0,)  # known without asking for each day of four centuries
    bounds: list[int] = []
    offsets = [_offset(info, _FIRST_DAY)]
    day = _FIRST_DAY
    while day < _LAST_DAY:
        next_day = day + timedelta(days=1)
        after = _offset(info, next_day)
        if after != offsets[-1]:
            bounds.append(_change_ms(info, day, next_day) + max(after, offsets[-1]))
            offsets.append(after)
        day = next_day
    return tuple(bounds), tuple(offsets)


def _offset(info: ZoneInfo, moment: datetime) -> int:
    offset = moment.astimezone(info).utcoffset() or timedelta()
    return offset // timedelta(milliseconds=1)


def _change_ms(info: ZoneInfo, low: datetime, high: datetime) -> int:
    """The instant, in ms, between two days of different offset at which it changes."""
    before = _offset(info, low)
    low_s, high_s = int(low.timestamp()), int(high.timestamp())
    while high_s - low_s > 1:
        middle = (low_s + high_s) // 2
        if _offset(info, datetime.fromtimestamp(middle, UTC)) == before:
            low_s = middle
        else:
            high_s = middle
    return high_s * 1000
