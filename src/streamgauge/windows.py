"""Windows: their lengths, their alignment, the calendar. Pure; the only file that knows what a time zone is.

A fixed length (``6m``, ``24h``, ``7d``) is aligned to 1970-01-01T00:00Z by floor division, before 1970 too. A length
of the calendar (``1d``, ``1w``, ``1mo``) starts where its local date does in a named zone. Engines never see a zone:
they compute partials for **base windows** of a fixed length that divides every window, and the cells of each length
are merged from those.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NoReturn
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import DeclarationError, Mistake, nearest
from streamgauge.event import FOREVER, MAX_TIME_MS, MIN_TIME_MS, NEVER

Times = NDArray[np.int64]
"""Milliseconds since 1970 UTC, in a numpy array."""

Unit = Literal["ms", "s", "m", "h", "d", "w", "mo"]

DAY_MS = 86_400_000
LONGEST_FIXED_MS = 366 * DAY_MS
LONGEST_DURATION_MS = MAX_TIME_MS - MIN_TIME_MS

_UNIT_MS: dict[Unit, int] = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": DAY_MS, "w": 7 * DAY_MS,
                             "mo": 30 * DAY_MS}  # fmt: skip
_CALENDAR: tuple[Unit, ...] = ("d", "w", "mo")
_FORM = re.compile(r"([0-9]{1,15})[ \t]*(ms|s|m|h|d|w|mo)")
_LOOSE = re.compile(r"([0-9]{1,15})[ \t]*([^\W\d_]+)")
_LONG_NAMES: tuple[tuple[str, Unit], ...] = (
    ("millisecond", "ms"), ("msec", "ms"), ("sec", "s"), ("min", "m"), ("hour", "h"), ("hr", "h"), ("day", "d"),
    ("week", "w"), ("mon", "mo"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Length:
    """The length of a window, as a declaration says it. Made by ``parse_length``.

    ``text`` is its canonical form (``6m``). ``nominal_ms`` is exact for a fixed length; for one of the calendar it is
    the usual length (30 days for ``1mo``), good for ordering and estimates only.
    """

    text: str
    unit: Unit
    count: int
    calendar: bool
    nominal_ms: int

    def __str__(self) -> str:
        return self.text


def parse_length(text: str, what: str = "every", where: str = "") -> Length:
    """Read a window length: ``1s`` to ``1mo``. ``what`` and ``where`` name the declaration in the message.

    ``1d``, ``1w`` (from Monday) and ``1mo`` are of the calendar; every other count and unit is a fixed length, whole
    seconds, at most 366 days (so ``24h``, ``7d`` and ``2w`` are aligned to the epoch). Raises DeclarationError.
    """
    count, unit = _scan(text, what, where, "a window length", "6m, 1h, 1d, 1w or 1mo")
    refuse = functools.partial(_refuse, what, where, str(text))
    if count == 0:
        refuse("a window cannot be empty", "the shortest is 1s")
    calendar = count == 1 and unit in _CALENDAR
    nominal_ms = count * _UNIT_MS[unit]
    if unit == "mo" and count > 1:
        refuse("the longest window of the calendar is 1mo", "months can be put together when they are read")
    if nominal_ms % 1000:
        refuse("a window is a whole number of seconds", "the shortest is 1s")
    if nominal_ms > LONGEST_FIXED_MS:
        refuse("a window is at most 366d long", "longer spans can be put together when they are read")
    return Length(f"{count}{unit}", unit, count, calendar, nominal_ms)


def parse_duration_ms(text: str, what: str = "duration", where: str = "") -> int:
    """Read a duration in milliseconds: ``0s``, ``500ms``, ``4h``, ``90d``; a day is 24 h and a week 168 h.

    For lateness, delay, keep and backlog. At most 400 years. Raises DeclarationError.
    """
    count, unit = _scan(text, what, where, "a duration", "500ms, 90s, 4h or 90d")
    if unit == "mo":
        _refuse(what, where, str(text), "a month is no fixed duration", f"write {30 * count}d")
    if count * _UNIT_MS[unit] > LONGEST_DURATION_MS:
        _refuse(what, where, str(text), "longer than 400 years", "146097d is the most")
    return count * _UNIT_MS[unit]


def _scan(text: str, what: str, where: str, noun: str, examples: str) -> tuple[int, Unit]:
    stripped = text.strip() if isinstance(text, str) else ""
    if found := _FORM.fullmatch(stripped):
        unit: Unit = found[2]  # type: ignore[assignment]
        return int(found[1]), unit
    hint = _form_hint(stripped) or f"write a whole number and a unit (ms, s, m, h, d, w, mo), as {examples}"
    _refuse(what, where, str(text), f"not {noun}", hint)


def _form_hint(text: str) -> str:
    if re.fullmatch(r"[0-9]+[.,][0-9]+[ \t]*[a-z]+", text):
        return "write a whole number of a smaller unit, as 90m for 1.5h"
    loose = _LOOSE.fullmatch(text)
    if not loose:
        return ""
    count, name = loose[1], loose[2].lower()
    if loose[2] == "M":
        return f"did you mean {count}m (minutes) or {count}mo (months)?"
    if name in _UNIT_MS:
        return f"did you mean {count}{name}?"
    return next((f"did you mean {count}{unit}?" for prefix, unit in _LONG_NAMES if name.startswith(prefix)), "")


def _refuse(what: str, where: str, got: str, problem: str, hint: str = "") -> NoReturn:
    raise DeclarationError(Mistake(what, problem, where, got, hint))


class Windows:
    """The windows of one statistic: its lengths in its zone, and the base windows that they are merged from.

    ``bases`` is ``((until_ms, base_length_ms), ...)``, ascending, the last ``until_ms`` FOREVER: an event before
    ``until_ms`` (and not before the one ahead of it) is in the base window ``floor(time / base) * base``. Every
    boundary of every length is a boundary of the base that is in force there, so a base window is never split.

    Times must lie in the permitted years (MIN_TIME_MS <= time < MAX_TIME_MS); a ValueError says which does not.
    """

    def __init__(
        self, lengths: Iterable[Length | str], zone: str = "UTC", what: str = "every", where: str = ""
    ) -> None:
        """Raises DeclarationError for no length, the same length twice, or an unknown zone."""
        parsed = [parse_length(x, what, where) if isinstance(x, str) else x for x in lengths]
        self.lengths: tuple[Length, ...] = tuple(sorted(parsed, key=lambda x: (x.nominal_ms, x.calendar)))
        self.zone = check_zone(zone, what, where)
        if not self.lengths:
            _refuse(what, where, "", "no window length given", 'write for example every = ["1h", "1d"]')
        for one, other in itertools.pairwise(self.lengths):
            if (one.nominal_ms, one.calendar) == (other.nominal_ms, other.calendar):
                _refuse(what, where, other.text, f"the same windows as {one.text!r}", "leave one of them out")
        self.bases: tuple[tuple[int, int], ...] = _bases(self.lengths, zone)
        self._untils = np.array([until for until, _ in self.bases[:-1]], dtype=np.int64)
        self._base_ms = np.array([base for _, base in self.bases], dtype=np.int64)

    def __repr__(self) -> str:
        return f"Windows({[x.text for x in self.lengths]!r}, {self.zone!r})"

    def base_of(self, times: Times) -> Times:
        """The start of the base window that contains each time. A new array of the same shape."""
        times = np.asarray(times, dtype=np.int64)
        if len(self.bases) == 1:
            return _floor(times, self.bases[0][1])
        base = self._base_ms[np.searchsorted(self._untils, times, side="right")]
        return times - np.mod(times, base)

    def starts(self, length: Length, times: Times) -> Times:
        """The start of the window of that length that contains each time. A new array of the same shape."""
        times = np.asarray(times, dtype=np.int64)
        if not length.calendar:
            return _floor(times, length.nominal_ms)
        boundaries = _boundaries(self.zone, length.unit)
        return boundaries[_index(boundaries, times)]

    def stops(self, length: Length, starts: Times) -> Times:
        """The end (exclusive) of each window whose start is given."""
        starts = np.asarray(starts, dtype=np.int64)
        if not length.calendar:
            return starts + length.nominal_ms
        boundaries = _boundaries(self.zone, length.unit)
        return boundaries[_index(boundaries, starts) + 1]

    def start(self, length: Length, time_ms: int) -> int:
        """The start of the window that contains one time."""
        return int(self.starts(length, np.array([time_ms], dtype=np.int64))[0])

    def stop(self, length: Length, start_ms: int) -> int:
        """The end (exclusive) of the window that starts there."""
        return int(self.stops(length, np.array([start_ms], dtype=np.int64))[0])

    def span(self, length: Length, start_ms: int, stop_ms: int) -> list[int]:
        """The starts of all windows that overlap ``[start_ms, stop_ms)``, ascending; as many as there are.

        A range of 400 years has 12.6 thousand million windows of 1 s: bound the range before asking.
        """
        if stop_ms <= start_ms:
            return []
        if not length.calendar:
            step = length.nominal_ms
            return list(range(start_ms // step * step, stop_ms, step))
        boundaries = _boundaries(self.zone, length.unit)
        first, last = _index(boundaries, np.array([start_ms, stop_ms - 1], dtype=np.int64))
        return [int(x) for x in boundaries[first : last + 1]]


def _floor(times: Times, step: int) -> Times:
    # numpy's remainder has the sign of the divisor, so this is a floor before 1970 too
    return times - np.mod(times, step)


def _index(boundaries: Times, times: Times) -> NDArray[np.intp]:
    index = np.searchsorted(boundaries, times, side="right") - 1
    outside = (index < 0) | (index >= len(boundaries) - 1)
    if outside.any():
        raise ValueError(f"time {int(times[outside].flat[0])} ms is outside the years 1800 to 2199")
    return index


_FOREIGN_ZONES = ("localtime", "posixrules", "Factory")
"""What a machine's database may have beside the world's zones: they mean another thing on another machine."""


def check_zone(zone: str, what: str = "zone", where: str = "") -> str:
    """Return ``zone`` if the time zone database has it. Raises DeclarationError, with a near match, if not."""
    try:
        if zone not in _FOREIGN_ZONES and not zone.startswith(("posix/", "right/")):
            return ZoneInfo(zone).key
    except (ValueError, TypeError, AttributeError, OSError, KeyError):
        pass
    _refuse(what, where, str(zone), "unknown time zone", _zone_hint(str(zone)))


def _zone_hint(zone: str) -> str:
    known = sorted(available_timezones().difference(_FOREIGN_ZONES))
    wanted = zone.strip().lower().replace(" ", "_")
    for candidate in known:
        if wanted in (candidate.lower(), candidate.lower().rpartition("/")[2]):
            return f"did you mean {candidate}?"
    return nearest(zone, known) or "write a name of the IANA database, such as Europe/Paris or UTC"


_EPOCH = datetime(1970, 1, 1)
_LOCAL_FIRST = np.datetime64("1799-11-01")
_LOCAL_LAST = np.datetime64("2200-03-01")
_SCAN_FIRST = datetime(1799, 10, 30)
_SCAN_DAYS = int((_LOCAL_LAST - _LOCAL_FIRST).astype(np.int64)) + 6
_MILLISECOND = timedelta(milliseconds=1)
_FUTURE_MS = 4_102_444_800_000  # 2100-01-01: from here on a base is chosen for all that follows


@functools.lru_cache(maxsize=64)
def _boundaries(zone: str, unit: Unit) -> Times:
    """All boundaries of the calendar unit around the permitted years, ascending; read-only.

    A local date starts at the first instant at which the zone's clocks show it or a later one. So a date whose
    midnight a clock change skips starts at the change, a date that was skipped whole has no window, and clocks that
    go back over midnight do not start the date a second time.
    """
    midnights = _local_midnights(unit)
    if zone == "UTC":
        return _frozen(midnights)
    instants, offsets = _transitions(zone)
    # what the clocks show just before the next change, and the most that they have shown by then
    shown = np.append(instants[1:], FOREVER // 2) + offsets
    era = np.searchsorted(np.maximum.accumulate(shown), midnights, side="right")
    return _frozen(np.unique(np.maximum(instants[era], midnights - offsets[era])))


def _frozen(array: Times) -> Times:
    array.setflags(write=False)
    return array


def _local_midnights(unit: Unit) -> Times:
    if unit == "mo":
        days = np.arange(_LOCAL_FIRST.astype("M8[M]"), _LOCAL_LAST.astype("M8[M]")).astype("M8[D]").astype(np.int64)
    else:
        days = np.arange(_LOCAL_FIRST, _LOCAL_LAST).astype(np.int64)
    if unit == "w":
        days = days[(days + 3) % 7 == 0]  # 1970-01-01 was a Thursday
    return np.asarray(days * DAY_MS, dtype=np.int64)


@functools.lru_cache(maxsize=1024)
def _transitions(zone: str) -> tuple[Times, Times]:
    """When the zone's offset changed (UTC, ms), and the offset (ms) from then on; the first is in force since ever.

    Found by asking the zone for every other day and halving where the answer changed, so that nothing but the public
    interface of zoneinfo is needed. The shortest spell that any zone spent at an offset is four days (Freetown, 1939).
    """
    # fromutc takes the reading of a UTC clock that has the zone as its tzinfo
    info, step = ZoneInfo(zone), timedelta(days=2)
    fromutc, moment = info.fromutc, _SCAN_FIRST.replace(tzinfo=info)
    instants, offsets = [NEVER // 2], [fromutc(moment).utcoffset()]
    for _ in range(_SCAN_DAYS // 2):
        moment += step
        found = fromutc(moment).utcoffset()
        if found != offsets[-1]:
            instants.append(_first_with(info, found, moment - step, moment))
            offsets.append(found)
    milliseconds = [(x or timedelta(0)) // _MILLISECOND for x in offsets]
    return _frozen(np.array(instants, dtype=np.int64)), _frozen(np.array(milliseconds, dtype=np.int64))


def _first_with(zone: ZoneInfo, wanted: timedelta | None, before: datetime, after: datetime) -> int:
    second = timedelta(seconds=1)
    while after - before > second:
        middle = before + (after - before) // second // 2 * second
        before, after = (before, middle) if zone.fromutc(middle).utcoffset() == wanted else (middle, after)
    return (after.replace(tzinfo=None) - _EPOCH) // _MILLISECOND


def _bases(lengths: Sequence[Length], zone: str) -> tuple[tuple[int, int], ...]:
    """The largest base for each era: the gcd of the fixed lengths and of all boundaries from there to the last."""
    fixed = math.gcd(*(x.nominal_ms for x in lengths if not x.calendar))
    units = [x.unit for x in lengths if x.calendar]
    if not units or zone == "UTC":
        return ((FOREVER, math.gcd(fixed, DAY_MS) if units else fixed),)
    edges = np.unique(np.concatenate([_boundaries(zone, unit) for unit in units]))
    largest = np.gcd(np.gcd.accumulate(edges[::-1])[::-1], fixed)
    # the gcd of the last few edges alone would be huge by chance
    largest = np.minimum(largest, largest[np.searchsorted(edges, _FUTURE_MS)])
    changes = np.flatnonzero(np.diff(largest)) + 1
    # a base begins at its first own boundary after the last edge that it does not divide
    untils = [int(-(-edges[i - 1] // largest[i]) * largest[i]) for i in changes] + [FOREVER]
    return tuple(zip(untils, (int(largest[i]) for i in [0, *changes]), strict=True))
