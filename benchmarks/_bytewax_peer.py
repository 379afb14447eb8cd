"""bytewax's side: a dataflow as its users write it, each statistic a ``fold_window`` of its own over one parsed stream.

It is given what makes it fast: folds that change a list in place, ``ordered=False``, and no recovery store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
from _answers import Answers, cell_of
from bytewax.connectors.files import FileSource
from bytewax.dataflow import Dataflow
from bytewax.operators import windowing
from bytewax.operators.windowing import EventClock, TumblingWindower
from bytewax.testing import TestingSink, run_main

Record = dict[str, Any]
State = list[Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTES_6, HOUR = timedelta(minutes=6), timedelta(hours=1)
OUT_OF_ORDER = timedelta(minutes=5)
"""How long a window waits for its last events. The made-up calls are seconds out of order."""


@dataclass(frozen=True)
class Fold:
    """One statistic. ``key`` must give a text; ``fold`` changes its first argument and returns it."""

    name: str
    every: timedelta
    key: Callable[[Record], str]
    where: Callable[[Record], bool] | None
    new: Callable[[], State]
    fold: Callable[[State, Record], State]
    merge: Callable[[State, State], State]


def _time(record: Record) -> datetime:
    return datetime.fromtimestamp(record["end"] / 1000, UTC)


def _carriers(state: State, call: Record) -> State:
    state[0] += 1
    if call["answer"] is not None:
        state[1] += 1
        if call["billed_s"] == 0:
            state[2] += 1
    billed_ms = call["billed_ms"]
    state[3] += billed_ms
    if billed_ms > state[4]:
        state[4] = billed_ms
    return state


def _merge_carriers(a: State, b: State) -> State:
    return [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3], max(a[4], b[4])]


def _accounts(state: State, call: Record) -> State:
    state[0] += 1
    if call["answer"] is not None:
        state[1] += 1
    billed_ms = call["billed_ms"]
    state[2] += billed_ms
    if billed_ms > state[3]:
        state[3] = billed_ms
    return state


def _merge_accounts(a: State, b: State) -> State:
    return [a[0] + b[0], a[1] + b[1], a[2] + b[2], max(a[3], b[3])]


def _refusals(state: State, call: Record) -> State:
    state[0] += 1
    code = call["sip_code"]
    if code == 200:
        state[1] += 1
    elif code == 486:
        state[2] += 1
    elif code == 503:
        state[3] += 1
    return state


def _hosts(state: State, call: Record) -> State:
    state[0] += 1
    if call["answer"] is not None:
        state[1] += 1
    state[2] += call["billed_ms"]
    start = call["start"]
    if state[3] is None or start < state[3]:
        state[3] = start
    return state


def _merge_hosts(a: State, b: State) -> State:
    return [a[0] + b[0], a[1] + b[1], a[2] + b[2], min(a[3], b[3])]


def _codecs(state: State, call: Record) -> State:
    state[0] += 1
    billed_s = call["billed_s"]
    state[1] += billed_s
    if billed_s > state[2]:
        state[2] = billed_s
    return state


def _merge_codecs(a: State, b: State) -> State:
    return [a[0] + b[0], a[1] + b[1], max(a[2], b[2])]


def _replies(state: State, call: Record) -> State:
    state[0] += 1
    if "ringing" in call:
        state[1] += 1
    return state


def _causes(state: State, call: Record) -> State:
    state[0] += 1
    if "ringing" in call:
        state[1] += 1
    end = call["end"]
    if end > state[2]:
        state[2] = end
    return state


def _agents(state: State, call: Record) -> State:
    state[0] += 1
    if call["answer"] is not None:
        state[1] += 1
    state[2] += call["billed_ms"]
    return state


def _ringing(state: State, call: Record) -> State:
    state[0] += 1
    pdd_ms = call["pdd_18x_ms"]
    if pdd_ms >= 5000:
        state[1] += 1
    state[2] += pdd_ms
    if state[3] is None or pdd_ms < state[3]:
        state[3] = pdd_ms
    if pdd_ms > state[4]:
        state[4] = pdd_ms
    return state


def _merge_ringing(a: State, b: State) -> State:
    return [a[0] + b[0], a[1] + b[1], a[2] + b[2], min(a[3], b[3]), max(a[4], b[4])]


def _volume(state: State, call: Record) -> State:
    state[0] += 1
    if call["answer"] is not None and call["billed_s"] == 0:
        state[1] += 1
    state[2] += call["billed_ms"]
    return state


def _added(a: State, b: State) -> State:
    return [x + y for x, y in zip(a, b, strict=True)]


def _inbound(call: Record) -> bool:
    return bool(call["direction"] == "inbound")


def _outbound(call: Record) -> bool:
    return bool(call["direction"] == "outbound")


def _answered(call: Record) -> bool:
    return call["answer"] is not None


def _rang(call: Record) -> bool:
    return "pdd_18x_ms" in call


def _carrier(call: Record) -> str:
    return str(call["carrier"])


CARRIERS = Fold("carriers", MINUTES_6, _carrier, None, lambda: [0, 0, 0, 0, 0], _carriers, _merge_carriers)

ONE = (CARRIERS,)
TEN = (
    CARRIERS,
    Fold("accounts", HOUR, lambda c: c["account"], _inbound, lambda: [0, 0, 0, 0], _accounts, _merge_accounts),
    Fold("refusals", MINUTES_6, _carrier, _outbound, lambda: [0, 0, 0, 0], _refusals, _added),
    Fold("hosts", MINUTES_6, lambda c: c["host"], None, lambda: [0, 0, 0, None], _hosts, _merge_hosts),
    Fold("codecs", HOUR, lambda c: c["codec"], _answered, lambda: [0, 0, 0], _codecs, _merge_codecs),
    Fold("replies", MINUTES_6, lambda c: str(c["sip_code"]), None, lambda: [0, 0], _replies, _added),
    Fold("causes", HOUR, lambda c: c["cause"], None, lambda: [0, 0, 0], _causes, _merge_codecs),
    Fold("agents", HOUR, lambda c: c["user_agent"], _inbound, lambda: [0, 0, 0], _agents, _added),
    Fold("ringing", MINUTES_6, _carrier, _rang, lambda: [0, 0, 0, None, 0], _ringing, _merge_ringing),
    Fold("volume", MINUTES_6, lambda c: c["direction"], None, lambda: [0, 0, 0], _volume, _added),
)  # fmt: skip

Found = dict[str, list[Any]]


def compute(path: Path, folds: Sequence[Fold]) -> Found:
    """For each statistic the items that its windows gave: ``(key, (number of the window, state))``."""
    found: Found = {}
    flow = Dataflow("calls")
    records = op.map("parse", op.input("lines", flow, FileSource(path)), json.loads)
    for fold in folds:
        counted = op.filter(f"{fold.name}_where", records, fold.where) if fold.where is not None else records
        clock = EventClock(_time, wait_for_system_duration=OUT_OF_ORDER)
        windower = TumblingWindower(length=fold.every, align_to=EPOCH)
        keyed = op.key_on(f"{fold.name}_key", counted, fold.key)
        windows = windowing.fold_window(
            fold.name, keyed, clock, windower, fold.new, fold.fold, fold.merge, ordered=False
        )
        op.output(f"{fold.name}_out", windows.down, TestingSink(found.setdefault(fold.name, [])))
    run_main(flow)
    return found


def answers(found: Found, folds: Sequence[Fold]) -> Answers:
    """What was found, in the form that is compared."""
    result: Answers = {}
    for fold in folds:
        length_ms = fold.every // timedelta(milliseconds=1)
        result[fold.name] = dict(cell_of(number * length_ms, key, state) for key, (number, state) in found[fold.name])
    return result
