"""Statistics over made-up events, in a real store, for the tests of the output.

An event is a dictionary: its ``time``, and the value of each expression that the statistic reads, by its text. So no
engine is needed to know what a cell must hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from itertools import chain
from typing import Any

import numpy as np

from streamgauge.aggregates.base import Aggregate, Op
from streamgauge.bound import BoundPrimitive, BoundStatistic, bind
from streamgauge.event import FOREVER
from streamgauge.expression import SqlType
from streamgauge.output import Block, write
from streamgauge.output.present import Presenter, Query
from streamgauge.partial import Partial, SubRows
from streamgauge.statistic import named, spec_from
from streamgauge.store import open_store
from streamgauge.store.base import Commit, Store, Version
from streamgauge.store.cells import CellCache
from streamgauge.store.keys import ALL
from streamgauge.testing.reference import compute, scaled

Event = Mapping[str, Any]


def statistic(name: str, measures: Mapping[str, Any], **settings: Any) -> BoundStatistic:
    """A bound statistic over the topic ``t``."""
    values = {"topic": "t", "every": ["6m"], **settings}
    return bind(spec_from(name, values, named(measures), "made.py:1"), {})


def fill(store: Store, bound: BoundStatistic, events: Sequence[Event], late: Sequence[int] = ()) -> None:
    """Put the cells of these events into the store; ``late`` are places of those that came late."""
    cache = CellCache(store)
    states = [s for m in bound.measures if isinstance(m.measure, Aggregate) for s in m.measure.states()]
    for length in bound.lengths:
        cache.table(bound.version, length.text, states, bound.spec.max_keys or 0)
        for totals in (False, True) if bound.spec.totals else (False,):
            partial = _partial(bound, cache, events, late, totals)
            partial.starts = bound.windows.starts(length, partial.starts)
            cache.merge(bound.version, length.text, partial)
    cells, keys = cache.changes()
    version = Version(bound.name, bound.version)
    store.commit(Commit("report", len(events), versions=[version], cells=cells, keys=keys))
    cache.committed()


@contextmanager
def presenter(
    bound: BoundStatistic, events: Sequence[Event], watermark: int = FOREVER, late: Sequence[int] = ()
) -> Iterator[Presenter]:
    """A presenter of these events, for as long as its temporary store is open."""
    with open_store() as store:
        fill(store, bound, events, late)
        yield Presenter(bound, store, watermark)


def written(name: str, *blocks: Block, **options: Any) -> str:
    """What a writer of texts writes."""
    out = StringIO()
    write(name, blocks, out, **options)
    return out.getvalue()


def table(shown: Presenter, query: Query | None = None, **options: Any) -> str:
    """One table, its no-break spaces and en dashes as what a keyboard has."""
    text = written("table", (shown, query or Query()), **options)
    return text.replace("\u00a0", " ").replace("\u2013", "-")


def _partial(
    bound: BoundStatistic, cache: CellCache, events: Sequence[Event], late: Sequence[int], totals: bool
) -> Partial:
    """One row per event and key."""
    rows = [(place, key) for place, event in enumerate(events) for key in ([()] if totals else _keys(bound, event))]
    places = np.array([place for place, _ in rows], dtype=np.int64)
    keys = np.full(len(rows), ALL)
    if not totals:
        columns = [[key[n] for _, key in rows] for n in range(len(bound.by))]
        keys = cache.keys.numbers(columns, len(rows))
    came_late = np.isin(places, late).astype(np.int64)
    wrong = sorted({field for event in events for field in event.get("wrong", ())})
    return Partial(
        starts=np.array([events[p]["time"] for p in places], dtype=np.int64),
        keys=keys,
        events=np.ones(len(rows), dtype=np.int64),
        first_position=places,
        columns=[_column(p, [(int(n), events[n]) for n in places]) for p in bound.primitives],
        late=came_late,
        revision=np.where(came_late > 0, places, -1),
        wrong={f: np.array([f in events[p].get("wrong", ()) for p in places], dtype=np.int64) for f in wrong},
    )


def _keys(bound: BoundStatistic, event: Event) -> list[tuple[Any, ...]]:
    keys: list[tuple[Any, ...]] = [()]
    for _, expression in bound.by:
        value = event[expression.text]
        several = (list(dict.fromkeys(value)) or [None]) if expression.type is SqlType.LIST else [value]
        keys = [(*key, one) for key in keys for one in several]
    return keys


def _column(bound: BoundPrimitive, rows: Sequence[tuple[int, Event]]) -> Any:
    computed = [_computed(bound, place, event) for place, event in rows]
    match bound.primitive.op:
        case Op.COUNT:
            return np.array(computed, dtype=np.int64)
        case Op.SUM | Op.ARG_MIN | Op.ARG_MAX:
            return computed
        case Op.MIN | Op.MAX:
            valid = np.array([c is not None for c in computed], dtype=np.bool_)
            return np.array([c or 0 for c in computed], dtype=np.int64), valid
    sizes = [len(keys) for keys, _, _ in computed]
    sub_keys = list(chain.from_iterable(keys for keys, _, _ in computed))
    hashes = bool(sub_keys) and isinstance(sub_keys[0], np.generic)
    return SubRows(
        np.repeat(np.arange(len(rows)), sizes),
        np.array(sub_keys) if hashes or not sub_keys else sub_keys,
        np.array(list(chain.from_iterable(counts for _, counts, _ in computed)), dtype=np.int64),
        np.array(list(chain.from_iterable(first for _, _, first in computed)), dtype=np.int64),
    )


def _computed(bound: BoundPrimitive, place: int, event: Event) -> Any:
    primitive = bound.primitive
    counted = not primitive.where or event.get(primitive.where) is True
    value = None if primitive.argument is None else event.get(primitive.argument.sql)
    if bound.argument is not None and bound.argument.type in (SqlType.BIGINT, SqlType.DOUBLE):
        kept_as_it_is = primitive.op in (Op.ARG_MIN, Op.ARG_MAX)
        value = value if kept_as_it_is or primitive.term.value == "hash" else scaled(value, bound.scale)
    if primitive.term.value in ("text", "hash") and value is not None:
        value = str(value)
    return compute(primitive, [(event["time"], place, value)] if counted else [], bound.scale)
