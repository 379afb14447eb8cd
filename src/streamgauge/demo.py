"""Seeded realistic traffic, to show and to measure: call records and bus messages as NDJSON. Reads no clock.

The same arguments and the same numpy give the same bytes. Lines come about in the order in which things ended, with a
disorder of some seconds, as a switch writes them. Nothing here is anybody's data: names and numbers are made up.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

START_MS = 1_772_409_600_000
"""2026-03-02T00:00:00Z, a Monday."""

_DAY_MS = 86_400_000
_SLOT_MS = 360_000
_CHUNK = 1 << 15
_BAD_CARRIER = 7

# calls an hour, as shares of the busiest one
_DAILY_CURVE = (8, 5, 4, 3, 4, 8, 20, 45, 78, 95, 100, 97, 86, 88, 96, 99, 98, 92, 80, 66, 52, 38, 25, 14)

# weight, SIP code, Q.850 cause, FreeSWITCH's name for it, share that rings, least and most ms from the first sign on
_FAILURES = (
    (28, 486, 17, "USER_BUSY", 0.05, 50, 900),
    (24, 480, 19, "NO_ANSWER", 0.97, 20_000, 60_000),
    (27, 487, 16, "ORIGINATOR_CANCEL", 0.85, 2_000, 30_000),
    (10, 404, 1, "UNALLOCATED_NUMBER", 0.0, 20, 700),
    (5, 503, 34, "NORMAL_CIRCUIT_CONGESTION", 0.0, 20, 400),
    (4, 603, 21, "CALL_REJECTED", 0.3, 300, 9_000),
    (2, 408, 102, "RECOVERY_ON_TIMER_EXPIRE", 0.0, 30_000, 32_000),
)
_ANSWERED = '"sip_code":200,"cause_q850":16,"cause":"NORMAL_CLEARING"'
_REFUSED = '"sip_code":503,"cause_q850":41,"cause":"NORMAL_TEMPORARY_FAILURE"'
_RESULTS = [_ANSWERED, *(f'"sip_code":{f[1]},"cause_q850":{f[2]},"cause":"{f[3]}"' for f in _FAILURES), _REFUSED]
_PREFIXES = (33, 331, 336, 44, 447, 49, 4915, 1212, 1310, 34, 39, 32, 41, 81, 91, 8210)
_CODECS = ("PCMA", "PCMU", "G729", "OPUS")
_AGENTS = ("T46U", "VVX-450", "Zoiper", "JsSIP")
_HOSTS = ("sbc-1", "sbc-2", "sbc-3")
# fields that may be absent bring their own comma
_CALL = (
    '{"call_id":"%012x","account":"%s","carrier":"%s","direction":"%s","from":"%d","to":"%d","start":%d%s,'
    '"answer":%s,"end":%d,"billed_ms":%d,"billed_s":%d,%s%s%s%s,"host":"%s"%s}'
)


@dataclass(frozen=True, slots=True)
class Planted:
    """What was planted in the calls: from ``from_ms`` on, this carrier goes bad, and stays so to the end.

    Of its attempts, ``refused`` get a 503; of its answered calls, ``empty`` have no duration; what rings takes
    ``slower`` times as long to do so. Every record that ends from then on is concerned, and none before.
    """

    carrier: str
    from_ms: int
    refused: float
    empty: float
    slower: float = 1.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Calls to make up: ``count`` lines over ``days``. ``duplicates`` and ``malformed`` are shares of the lines.

    ``refused``, ``empty`` and ``slower`` as in Planted.
    """

    count: int
    seed: int = 7
    start_ms: int = START_MS
    days: int = 1
    carriers: int = 40
    accounts: int = 2000
    duplicates: float = 0.0
    malformed: float = 0.0
    refused: float = 0.35
    empty: float = 0.4
    slower: float = 1.0

    def planted(self) -> Planted:
        """What a good report of it must find. On the last day, between 11:00 and 16:00 UTC."""
        slot = int(np.random.default_rng((self.seed, 1)).integers(110, 160))
        from_ms = self.start_ms + (self.days - 1) * _DAY_MS + slot * _SLOT_MS
        carrier = _carrier(min(_BAD_CARRIER, self.carriers))
        return Planted(carrier, from_ms, self.refused, self.empty, self.slower)

    def chunks(self) -> Iterator[bytes]:
        """The lines, many at a time. Memory does not grow with ``count``."""
        return _chunks(self.count, functools.partial(_call_lines, self, _network(self)))

    def lines(self) -> Iterator[bytes]:
        """The same, a line at a time, each ended by a line feed."""
        for chunk in self.chunks():
            yield from chunk.splitlines(keepends=True)


def calls(
    count: int,
    seed: int = 7,
    start_ms: int = START_MS,
    days: int = 1,
    *,
    carriers: int = 40,
    accounts: int = 2000,
    duplicates: float = 0.0,
    malformed: float = 0.0,
) -> Iterator[bytes]:
    """Yield ``count`` lines, each ended by a line feed: flat call records of about 345 bytes, two legs a call.

    The inbound leg is the account's, the outbound leg the carrier's; times are ms since 1970 UTC; ``answer`` is null
    where there was none, and ``ringing``, post-dial delays, ``codec`` and ``user_agent`` are absent where they are not
    known. Of the lines, ``duplicates`` (a share, 0 to 1) repeat an earlier one and ``malformed`` are no JSON.
    """
    return Traffic(count, seed, start_ms, days, carriers, accounts, duplicates, malformed).lines()


def write_calls(
    path: str | Path,
    count: int,
    seed: int = 7,
    start_ms: int = START_MS,
    days: int = 1,
    *,
    carriers: int = 40,
    accounts: int = 2000,
    duplicates: float = 0.0,
    malformed: float = 0.0,
) -> int:
    """Write what ``calls`` yields to a file, replacing it; return its size in bytes. A million lines take seconds."""
    traffic = Traffic(count, seed, start_ms, days, carriers, accounts, duplicates, malformed)
    with open(path, "wb") as file:
        return sum(file.write(chunk) for chunk in traffic.chunks())


def planted(seed: int = 7, start_ms: int = START_MS, days: int = 1, *, carriers: int = 40) -> Planted:
    """The truth about what ``calls`` and ``write_calls`` of the same arguments contain."""
    return Traffic(0, seed, start_ms, days, carriers).planted()


def bus(count: int, seed: int = 7, start_ms: int = START_MS, days: int = 1) -> Iterator[bytes]:
    """Yield ``count`` lines, each ended by a line feed: messages as on Fedora's bus, ``timestamp`` in epoch seconds."""

    def make(number: int, first: int, rows: int) -> list[str]:
        rng = np.random.default_rng((seed, 3, number))
        times = _times(rng, first, rows, count, start_ms, days)
        return _bus_lines(rng, first, times[_written_order(rng, times)])

    for chunk in _chunks(count, make):
        yield from chunk.splitlines(keepends=True)


def part_by(share: float) -> float:
    """The part of a day after which this share of its events has happened; both 0 to 1.

    >>> part_by(0.0), round(part_by(0.5), 3), part_by(1.0)
    (0.0, 0.587, 1.0)
    """
    curve = np.concatenate(([0.0], np.cumsum(_DAILY_CURVE)))
    return float(np.interp(share, curve / curve[-1], np.arange(25) / 24))


_Maker = Callable[[int, int, int], list[str]]
"""Makes the lines of one chunk from its number, the number of its first line, and how many lines it has."""


def _chunks(count: int, make: _Maker) -> Iterator[bytes]:
    # latin-1 so that a malformed line may hold bytes that are no UTF-8; all the rest is ASCII
    for number, first in enumerate(range(0, count, _CHUNK)):
        yield ("\n".join(make(number, first, min(_CHUNK, count - first))) + "\n").encode("latin-1")


def _times(rng: np.random.Generator, first: int, rows: int, count: int, start_ms: int, days: int) -> Ints:
    """The ascending times of the events ``first`` and following of ``count``, spread along the daily curve."""
    hours = np.tile(np.array(_DAILY_CURVE, dtype=np.float64), days)
    share = np.concatenate(([0.0], np.cumsum(hours))) / hours.sum()
    # one time in each of count equal parts of the traffic, so that chunks follow one another
    at = (first + np.arange(rows) + rng.random(rows)) / count
    offset = np.interp(at, share, np.arange(len(share)) * 3_600_000.0)
    return np.asarray(offset.astype(np.int64) + start_ms)


def _written_order(rng: np.random.Generator, times: Ints) -> NDArray[np.intp]:
    return np.argsort(times + rng.exponential(1500.0, len(times)).astype(np.int64), kind="stable")


@dataclass(frozen=True, slots=True)
class _Network:
    """What stays the same through all chunks: who has how much traffic, and how good each carrier is."""

    carriers: list[str]
    accounts: list[str]
    carrier_share: NDArray[np.float64]
    account_share: NDArray[np.float64]
    answer_rate: NDArray[np.float64]
    pdd_ms: NDArray[np.float64]
    bad: int
    planted: Planted


def _network(traffic: Traffic) -> _Network:
    rng = np.random.default_rng((traffic.seed, 2))
    truth = traffic.planted()
    names = [_carrier(n + 1) for n in range(traffic.carriers)]
    return _Network(
        carriers=names,
        accounts=[f"acct-{n + 1:04d}" for n in range(traffic.accounts)],
        carrier_share=_shares(traffic.carriers, 0.7),
        account_share=_shares(traffic.accounts, 0.6),
        answer_rate=rng.uniform(0.42, 0.72, traffic.carriers),
        pdd_ms=rng.uniform(700.0, 3500.0, traffic.carriers),
        bad=names.index(truth.carrier),
        planted=truth,
    )


def _carrier(number: int) -> str:
    return f"carrier-{number:03d}"


def _shares(many: int, steepness: float) -> NDArray[np.float64]:
    """The cumulated shares of the largest, the second largest, and so on."""
    weights = np.arange(1, many + 1) ** -steepness
    return np.asarray(np.cumsum(weights) / weights.sum())


def _pick(rng: np.random.Generator, shares: NDArray[np.float64], rows: int) -> NDArray[np.intp]:
    return np.minimum(np.searchsorted(shares, rng.random(rows), side="right"), len(shares) - 1)


@dataclass(frozen=True, slots=True)
class _Calls:
    """Some calls, a row each: who, what came of it, and when, in ms; ``rings`` and ``answers`` tell which happened."""

    carrier: NDArray[np.intp]
    account: NDArray[np.intp]
    result: NDArray[np.intp]
    rings: NDArray[np.bool_]
    start: Ints
    ringing: Ints
    answer: Ints
    end: Ints

    def legs(self, rng: np.random.Generator) -> _Calls:
        """Two rows for each call: the inbound leg, which starts earlier and hears of all a little later; outbound."""
        rows = 2 * len(self.end)
        inbound = np.arange(rows) % 2 == 0
        hop = np.repeat(rng.integers(1, 9, rows // 2), 2) * inbound
        return _Calls(
            carrier=np.repeat(self.carrier, 2),
            account=np.repeat(self.account, 2),
            result=np.repeat(self.result, 2),
            rings=np.repeat(self.rings, 2),
            start=np.repeat(self.start, 2) - rng.integers(20, 120, rows) * inbound,
            ringing=np.repeat(self.ringing, 2) + hop,
            answer=np.repeat(self.answer, 2) + hop,
            end=np.repeat(self.end, 2) + hop,
        )


def _make_calls(rng: np.random.Generator, network: _Network, end: Ints) -> _Calls:
    rows = len(end)
    carrier, account = _pick(rng, network.carrier_share, rows), _pick(rng, network.account_share, rows)
    bad = (carrier == network.bad) & (end >= network.planted.from_ms)
    result = 1 + _pick(rng, _FAILURE_SHARE, rows)
    result[rng.random(rows) < network.answer_rate[carrier]] = 0
    result[bad & (rng.random(rows) < network.planted.refused)] = len(_RESULTS) - 1
    rings = rng.random(rows) < _RINGS[result]
    usual = network.pdd_ms[carrier] * np.where(bad, network.planted.slower, 1.0)
    pdd = np.clip(usual * rng.lognormal(0.0, 0.45, rows), 150, 20_000)
    talk = np.minimum(rng.lognormal(np.log(75_000.0), 1.2, rows), 10_800_000)
    empty = rng.random(rows) < np.where(bad, network.planted.empty, 0.003)
    talk = np.where((result == 0) & ~empty, talk, 0).astype(np.int64)
    wait = rng.uniform(_LEAST_MS[result], _MOST_MS[result])
    answer = end - talk
    ringing = answer - wait.astype(np.int64)
    return _Calls(carrier, account, result, rings, ringing - (pdd * rings).astype(np.int64), ringing, answer, end)


_FAILURE_SHARE = np.cumsum([f[0] for f in _FAILURES]) / sum(f[0] for f in _FAILURES)
# by result: answered, the failures in their order, the planted refusal
_RINGS = np.array([0.995, *(f[4] for f in _FAILURES), 0.0])
_LEAST_MS = np.array([1_500.0, *(f[5] for f in _FAILURES), 20.0])
_MOST_MS = np.array([22_000.0, *(f[6] for f in _FAILURES), 300.0])


def _call_lines(traffic: Traffic, network: _Network, number: int, first: int, rows: int) -> list[str]:
    rng = np.random.default_rng((traffic.seed, 4, number))
    times = _times(rng, first // 2, (rows + 1) // 2, (traffic.count + 1) // 2, traffic.start_ms, traffic.days)
    legs = _make_calls(rng, network, times).legs(rng)
    columns = _call_columns(rng, network, legs, _identifiers(traffic.seed, first, len(legs.end)))
    order = _written_order(rng, legs.end)[:rows].tolist()
    lines = list(map(_CALL.__mod__, zip(*columns, strict=True)))
    return _spoiled(rng, [lines[n] for n in order], traffic)


def _identifiers(seed: int, first: int, rows: int) -> list[int]:
    """Numbers of 48 bits that look random and are never the same twice: an odd factor permutes them."""
    return [((first + n + (seed << 32)) * 0x79B97F4A7C15) & 0xFFFF_FFFF_FFFF for n in range(rows)]


def _call_columns(
    rng: np.random.Generator, network: _Network, legs: _Calls, identifiers: list[int]
) -> list[Sequence[object]]:
    rows = len(legs.end)
    answered = legs.result == 0
    pdd = (legs.ringing - legs.start).tolist()
    is_180 = legs.rings & (rng.random(rows) < 0.8)
    # whole seconds as FreeSWITCH has them: the second of the end less the second of the answer
    billed_s = np.where(answered, legs.end // 1000 - legs.answer // 1000, 0)
    callers, callees = (np.repeat(_numbers(rng, rows // 2), 2) for _ in range(2))
    inbound = np.arange(rows) % 2 == 0
    return [
        identifiers,
        [network.accounts[n] for n in legs.account.tolist()],
        [network.carriers[n] for n in legs.carrier.tolist()],
        ["inbound", "outbound"] * (rows // 2),
        callers.tolist(),
        callees.tolist(),
        legs.start.tolist(),
        _where(legs.rings, ',"ringing":%d', legs.ringing.tolist()),
        _where(answered, "%d", legs.answer.tolist(), "null"),
        legs.end.tolist(),
        np.where(answered, legs.end - legs.answer, 0).tolist(),
        billed_s.tolist(),
        [_RESULTS[n] for n in legs.result.tolist()],
        _where(legs.rings, ',"pdd_18x_ms":%d', pdd),
        _where(is_180, ',"pdd_180_ms":%d', pdd),
        _where(answered, ',"codec":"%s"', _any_of(rng, _CODECS, rows)),
        _any_of(rng, _HOSTS, rows),
        _where(inbound, ',"user_agent":"%s"', _any_of(rng, _AGENTS, rows)),
    ]


def _any_of(rng: np.random.Generator, names: Sequence[str], rows: int) -> list[str]:
    return [names[n] for n in rng.integers(0, len(names), rows).tolist()]


def _where(present: NDArray[np.bool_], form: str, values: Sequence[object], absent: str = "") -> list[str]:
    return [form % value if here else absent for value, here in zip(values, present.tolist(), strict=True)]


def _numbers(rng: np.random.Generator, rows: int) -> Ints:
    """Telephone numbers of eleven digits, each under one of the prefixes."""
    prefix = np.array(_PREFIXES)[rng.integers(0, len(_PREFIXES), rows)]
    room = 10 ** (11 - np.char.str_len(prefix.astype(str)))
    return np.asarray(prefix * room + (rng.random(rows) * room).astype(np.int64))


def _spoiled(rng: np.random.Generator, lines: list[str], traffic: Traffic) -> list[str]:
    """Put repeats of earlier lines, and lines that are no JSON, in the place of some."""
    chance = rng.random(len(lines))
    for n in np.flatnonzero(chance < traffic.duplicates).tolist():
        lines[n] = lines[max(0, n - 1 - n % 200)]
    for n in np.flatnonzero(chance >= 1.0 - traffic.malformed).tolist():
        text = lines[n]
        spoilt = (text[: len(text) // 2], "-- rotated --", text.replace("acct", "acct\xff"), text[:-1] + "]")
        lines[n] = spoilt[n % len(spoilt)]
    return lines


_TOPICS = (
    (30, "buildsys.build.state.change", '"build_id":%d,"name":"%s","new":1,"owner":"%s"'),
    (18, "copr.build.end", '"build":%d,"pkg":"%s","status":1,"user":"%s"'),
    (14, "git.receive", '"commit":{"seen":%d,"repo":"%s","username":"%s"}'),
    (12, "bodhi.update.comment", '"comment":{"karma":1,"id":%d,"update_title":"%s","author":"%s"}'),
    (8, "bodhi.update.request.testing", '"update":{"id":%d,"title":"%s"},"agent":"%s"'),
    (7, "pagure.issue.comment.added", '"issue":{"id":%d,"title":"%s"},"agent":"%s"'),
    (6, "mailman.receive", '"msg":{"lines":%d,"list-id":"%s","from":"%s"}'),
    (3, "wiki.article.edit", '"revision":%d,"title":"%s","user":"%s"'),
    (2, "meetbot.meeting.start", '"attendees":%d,"channel":"#%s","owner":"%s"'),
)
_TOPIC_SHARE = np.cumsum([t[0] for t in _TOPICS]) / sum(t[0] for t in _TOPICS)
_PACKAGES = ("kernel", "glibc", "python3", "gcc", "systemd", "firefox", "bash", "curl", "mesa", "rust", "vim", "podman")
_PEOPLE = ("ada", "barbara", "edsger", "grace", "hedy", "ken", "linus", "margaret", "niklaus", "radia", "tim")
_BUS = [
    f'{{"topic":"org.fedoraproject.prod.{topic}","timestamp":%d.%06d,"i":%d,"msg":{{{msg}}},"msg_id":"2026-%016x"}}'
    for _, topic, msg in _TOPICS
]


def _bus_lines(rng: np.random.Generator, first: int, times: Ints) -> list[str]:
    rows = len(times)
    columns = (
        (times // 1000).tolist(),
        (times % 1000 * 1000 + rng.integers(0, 1000, rows)).tolist(),
        range(first + 1, first + rows + 1),
        rng.integers(1, 4_000_000, rows).tolist(),
        _any_of(rng, _PACKAGES, rows),
        _any_of(rng, _PEOPLE, rows),
        rng.integers(0, 2**63, rows).tolist(),
    )
    topics = _pick(rng, _TOPIC_SHARE, rows).tolist()
    return [_BUS[topic] % row for topic, row in zip(topics, zip(*columns, strict=True), strict=True)]
