"""Decode and aggregate in one statement, without the table of decoded events, where one group is all there is.

The statement also counts what would need more than one pass (dead letters, suspicious containers, producers that were
not assumed); a slice that has any of it is taken the long way. The results are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from streamgauge.aggregates.base import Op
from streamgauge.engines.base import Computed, Positions, Slice
from streamgauge.engines.duck.groups import Group, Statements
from streamgauge.engines.duck.plan import Column, Plan, Variant
from streamgauge.engines.duck.rows import GroupRows
from streamgauge.expression import SqlType

UNUSED, DOUBTFUL = -(2**61), -(2**61) + 1
"""Stand in the place of a base window: of events that nobody counts, and of rows that need the long way."""

PATIENCE = 8
"""Slices that are taken the long way at once after one that had to be."""


@dataclass(frozen=True, slots=True)
class Done:
    """A slice that is decoded and computed."""

    records: int
    computed: Computed


class OnePass:
    """The one statement of one group. Not for two threads at once."""

    def __init__(self, group: Group, statements: Statements) -> None:
        self.group, self.statements = group, statements
        self._waits = 0

    @classmethod
    def of(cls, plan: Plan, groups: Sequence[tuple[Group, Statements]]) -> OnePass | None:
        """For a plan that one pass can compute; else None: ids, sub-keys, positions and lists need the table."""
        if len(groups) != 1 or plan.has_id:
            return None
        group, statements = groups[0]
        tabled = (Op.COUNT_BY, Op.ARG_MIN, Op.ARG_MAX)
        if statements.needs_positions or group.lead.time or any(p.primitive.op in tabled for p in group.primitives):
            return None
        if any(expression.type is SqlType.LIST for _, expression in group.lead.by):
            return None
        return cls(group, statements)

    def compute(
        self, fetch: Callable[[str], pa.Table], variant: Variant, slice_: Slice, object_size: int
    ) -> Done | None:
        """The results of a slice; None where it must be taken the long way."""
        layout = variant.fast
        if self._waits or layout is None:
            self._waits = max(0, self._waits - 1)
            return None
        wrong = variant.wrongs(layout)
        decode = variant.decode(slice_.path, slice_.unit, slice_.source, layout, object_size)
        doubt = [variant.missed(n) for n in range(len(variant.plan.shapes))]
        doubt += ["suspicious"] if layout.has_suspicion else []
        try:
            table = fetch(self._statement(decode, wrong, doubt))
        except duckdb.InvalidInputException:
            self._waits = PATIENCE
            return None
        done = self._done(table, wrong)
        self._waits = 0 if done is not None else PATIENCE
        return done

    def _statement(self, decode: str, wrong: Sequence[Column], doubt: Sequence[str]) -> str:
        s = self.statements
        doubtful = " OR ".join(["t IS NULL", *(f"coalesce({d}, false)" for d in doubt)])
        unused = "" if s.counts_all else f"WHEN NOT coalesce({s.counted()}, false) THEN {UNUSED}"
        base = f"CASE WHEN {doubtful} THEN {DOUBTFUL} {unused} ELSE {s.base()} END AS b"
        # A key of events that nobody counts would make groups for nothing.
        key = "{}" if s.counts_all else "CASE WHEN b > " + str(DOUBTFUL) + " THEN {} END"
        keys = [f"{key.format(s.key(e))} AS k{n}" for n, (_, e) in enumerate(s.lead.by)]
        rows = f"SELECT *, {base} FROM (SELECT *, t AS tw FROM ({decode}))"
        return s.grouped(f"SELECT {', '.join(['*', *keys])} FROM ({rows})", s.by(()), False, wrong)

    def _done(self, table: pa.Table, wrong: Sequence[Column]) -> Done | None:
        base = table.column("b")
        if pc.any(pc.equal(base, DOUBTFUL)).as_py():
            return None
        records = pc.sum(table.column("n")).as_py() or 0
        totals: Counter[str] = Counter()
        for c in wrong:
            totals[c.label] += pc.sum(table.column(c.wrong)).as_py() or 0
        counted = table.filter(pc.greater(base, DOUBTFUL)).combine_chunks()
        rows = GroupRows(self.group, list(self.statements.doubles()), counted, {}, wrong, Positions.at(0))
        used = pc.sum(counted.column("n")).as_py() or 0
        totals.update(rows.overflows())
        return Done(records, Computed(rows.results(), +totals, records - used))
