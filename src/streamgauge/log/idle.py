"""When silence moves a lane's watermark. Pure: every decision is one over clock readings that it is given.

A lane that brings nothing is idle, and its watermark moves on by the time for which it has been idle, counted from its
newest event. Only durations are counted, so that a wall clock that is set makes no difference. A lane that is known to
be behind is not idle, whatever it brings. One that has been idle for long rests: it holds nobody back any more. Where
no lane is active, the one that was active last goes on, or the last windows would never become final.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from streamgauge.event import FOREVER
from streamgauge.watermark import LaneMark, LaneState, rest, tick

Closes = Callable[[int], int]
"""The first time after this one (ms) at which a window becomes final that may hold an event; FOREVER where none does.
"""


def at_any_time(after_ms: int) -> int:
    """Of windows nothing is known: each moment may be the end of one."""
    return after_ms + 1


@dataclass(frozen=True, slots=True)
class IdleRules:
    """How often silence is told. Durations in seconds.

    ``tick_s``: at least between two ticks of a lane, where the next makes a window final; ``quiet_s``: where it makes
    none final, which is for coverage and deadlines. ``rest_s``: how long idle until a lane rests (``lane_idle``).
    ``grace_s``: how long after a start a lane counts as behind whose source has said nothing yet.
    """

    tick_s: float = 0.5
    quiet_s: float = 10.0
    rest_s: float = 300.0
    grace_s: float = 5.0


@dataclass(slots=True)
class Silence:
    """Since when a lane is silent, by the monotonic clock.

    ``before_s``: how long it was idle already at ``since_s``. ``told_s``: when that was last told by a tick.
    """

    since_s: float
    before_s: float = 0.0
    told_s: float = 0.0
    behind: bool = False
    heard: bool = True

    def idle_s(self, now_s: float) -> float:
        """How long the lane has been idle."""
        return self.before_s + max(0.0, now_s - self.since_s)

    def interrupt(self, now_s: float, *, behind: bool) -> None:
        """The lane brought something just now."""
        self.since_s, self.before_s, self.told_s, self.behind, self.heard = now_s, 0.0, now_s, behind, True

    def speak(self, now_s: float, *, behind: bool) -> None:
        """The lane's source said whether it is behind, and brought nothing."""
        if behind or self.behind:
            self.interrupt(now_s, behind=behind)
        self.heard = True


def silence_at_start(mark: LaneMark, now_s: float) -> Silence:
    """The silence of a lane when the program starts: it goes on from what was told of it."""
    told = 0 if mark.newest is None or mark.lateness_ms is None else mark.watermark - mark.newest + mark.lateness_ms
    return Silence(now_s, max(0, told) / 1000, now_s, heard=False)


def next_mark(
    mark: LaneMark, silence: Silence, now_s: float, closes: Closes, rules: IdleRules, *, alone: bool
) -> LaneMark | None:
    """The mark that a tick is to tell of a lane now; None for no tick.

    ``alone``: no lane is active, and this was the last one.
    """
    if silence.behind or (not silence.heard and now_s - silence.since_s < rules.grace_s):
        return None
    idle_s = silence.idle_s(now_s)
    if mark.state is LaneState.ACTIVE and now_s - silence.since_s >= rules.rest_s:
        return rest(_moved(mark, idle_s))
    if mark.state is not LaneState.ACTIVE and not alone:
        return None
    quiet_s, moved = now_s - max(silence.told_s, silence.since_s), _moved(mark, idle_s)
    if quiet_s < rules.tick_s or moved.watermark <= mark.watermark:
        return None
    return moved if quiet_s >= rules.quiet_s or closes(mark.watermark) <= moved.watermark else None


def _moved(mark: LaneMark, idle_s: float) -> LaneMark:
    if mark.newest is None or mark.lateness_ms is None:
        return mark
    return tick(mark, min(FOREVER, mark.newest - mark.lateness_ms + int(idle_s * 1000)))


def due(
    marks: Mapping[int, LaneMark],
    silences: Mapping[int, Silence],
    now_s: float,
    closes: Closes,
    rules: IdleRules,
    last: int | None,
    busy: Collection[int] = (),
) -> dict[int, LaneMark]:
    """The marks that ticks are to tell now, by lane. ``busy``: lanes not to be asked.

    ``last``: the lane that was active last, where none is.
    """
    found = {}
    for lane, mark in marks.items():
        if lane not in busy:
            moved = next_mark(mark, silences[lane], now_s, closes, rules, alone=lane == last)
            if moved is not None:
                found[lane] = moved
    return found
