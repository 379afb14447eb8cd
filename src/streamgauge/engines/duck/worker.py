"""One DuckDB connection that takes whole slices: decode, then the statements of every group."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from streamgauge.aggregates.base import Op
from streamgauge.engines.base import (
    NO_TIME,
    NOT_JSON,
    OUT_OF_RANGE,
    UNFIT_TIME,
    Computed,
    Exclusion,
    Facts,
    GroupResult,
    Ints,
    Slice,
)
from streamgauge.engines.duck.buffer import SamePath
from streamgauge.engines.duck.groups import Group, Statements, groups_of
from streamgauge.engines.duck.layout import NO_OBJECT, Layout, lines_of
from streamgauge.engines.duck.onepass import Done, OnePass
from streamgauge.engines.duck.plan import Assumed, Column, Plan
from streamgauge.engines.duck.rows import GroupRows
from streamgauge.expression import TimeUnit, detect_unit

OBJECT_BYTES = 2**20
"""What ``read_json`` is told of the longest line: larger is slower, so it is only raised where a line needs it."""

MOST_PREPARED = 500
"""Statements that are kept planned."""

SAMPLES = 2000
"""Times by which a lane's unit is told."""

SETTINGS = (
    "SET threads=1",
    "SET TimeZone='UTC'",
    "SET preserve_insertion_order=true",
    "SET enable_external_file_cache=false",
    "SET autoinstall_known_extensions=false",
    "SET autoload_known_extensions=false",
)


NO_INTS: Ints = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Scan:
    """What one pass over a decoded slice tells: records, those that are no events, events that nobody counts.

    ``suspicious``: it must be decoded in the careful layout. ``missed``: producers that were not assumed. ``wrong``:
    events per column whose value has the wrong type; columns without any are absent.
    """

    records: int
    dead: int
    suspicious: bool
    unused: int
    missed: Assumed
    wrong: Mapping[Column, int]
    layout: Layout


class DuckWorker:
    """Computes one slice at a time. Not for two threads at once."""

    def __init__(self, plan: Plan, memory_limit: str = "") -> None:
        self.plan = plan
        self.connection = duckdb.connect(":memory:")
        for setting in (*SETTINGS, *([f"SET memory_limit='{memory_limit}'"] if memory_limit else [])):
            self.connection.execute(setting)
        self.assumed: Assumed = frozenset()
        self.groups = [(group, Statements(plan, group)) for group in groups_of(plan)]
        self.one_pass = OnePass.of(plan, self.groups)
        self.done: Done | None = None
        self._files = SamePath()
        self._prepared: dict[str, str] = {}
        self._named = 0

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
        self._files.close()

    def sniff(self, slice_: Slice) -> TimeUnit | None:
        """See Engine.sniff."""
        if not self.plan.may_need_unit(slice_.blocks[0].data):
            return None
        variant = self.plan.variant(self.plan.all_producers(), times_only=True)
        rows = self.fetch(variant.sample_times(slice_.path, slice_.source, variant.careful, self._object_size(slice_)))
        for shape in range(len(self.plan.shapes)):
            found = rows.column(f"s{shape}").unique().to_pylist()
            self.plan.assumed |= {(shape, n) for n in found if n is not None}
        return detect_unit([v for v in rows.column("v").to_pylist() if v is not None][:SAMPLES])

    def decode(self, slice_: Slice, want_times: bool) -> Facts:
        """See Engine.decode."""
        self.done, self.assumed = None, self.plan.assumed
        slice_ = replace(slice_, path=self._files.of(slice_.path))
        if self.one_pass is not None and not want_times:
            variant = self.plan.variant(self.assumed)
            self.done = self.one_pass.compute(self.fetch, variant, slice_, self._object_size(slice_))
            if self.done is not None:
                return Facts(self.done.records, NO_INTS, [], [])
        scan = self._decode(slice_)
        facts = Facts(scan.records, *(self._dead(slice_) if scan.dead else (NO_INTS, [], [])))
        if want_times:
            facts.times = self._numbers("SELECT coalesce(t, 0) FROM e ORDER BY rowid")
        if self.plan.has_id:
            facts.ids = self._ids()
        self.scan = scan
        return facts

    def compute(self, exclusion: Exclusion) -> Computed:
        """See Engine.compute."""
        if self.done is not None:
            return self.done.computed
        if len(exclusion.duplicates):
            self._delete(exclusion.duplicates)
            self.scan = self._scan(self.scan.layout)
        totals: Counter[str] = Counter()
        for column, n in self.scan.wrong.items():
            totals[column.label] += n
        overflows = False
        results: list[GroupResult] = []
        for group, statements in self.groups:
            shared = self._group(group, statements, exclusion, self.scan.wrong)
            results.extend(shared.results())
            overflows = overflows or bool(shared.overflows())
        if overflows:
            totals.update(self._overflows())
        return Computed(results, totals, self.scan.unused)

    def _overflows(self) -> dict[str, int]:
        """Events per argument whose value does not fit into 64 bits once scaled, each once, whatever counts it."""
        tests: dict[str, list[str]] = {}
        for _, s in self.groups:
            for (label, _), (sql, number) in s.doubles().items():
                tests.setdefault(label, []).append(f"({s.counted()} AND ({sql}) IS NOT NULL AND ({number}) IS NULL)")
        select = ", ".join(f"count(*) FILTER (WHERE {' OR '.join(found)})" for found in tests.values())
        row = self.connection.execute(f"SELECT {select} FROM e").fetchall()[0]
        return {label: int(n) for label, n in zip(tests, row, strict=True) if n}

    def _decode(self, slice_: Slice) -> Scan:
        """Make the table ``e`` of a slice, in the layout and with the producers that it needs."""
        scan = self._scanned(slice_)
        if scan.missed:
            self.plan.assumed |= scan.missed
            self.assumed |= scan.missed
            scan = self._scanned(slice_)
        return scan

    def _scanned(self, slice_: Slice) -> Scan:
        variant = self.plan.variant(self.assumed)
        if variant.fast is not None and self._try(slice_, variant.fast):
            scan = self._scan(variant.fast)
            if not scan.suspicious:
                return scan
        self._create(slice_, variant.careful)
        return self._scan(variant.careful)

    def _scan(self, layout: Layout) -> Scan:
        """What one pass over ``e`` tells."""
        variant = self.plan.variant(self.assumed)
        wrongs = variant.wrongs(layout)
        counted = " OR ".join(f"({s.counted()})" for _, s in self.groups) or "false"
        select = ["count(*)", "count(*) FILTER (WHERE t IS NULL)"]
        select.append("coalesce(bool_or(suspicious), false)" if layout.has_suspicion else "false")
        select.append(f"count(*) FILTER (WHERE t IS NOT NULL AND NOT coalesce({counted}, false))")
        select += [f"list(DISTINCT s{n}) FILTER (WHERE {variant.missed(n)})" for n in range(len(self.plan.shapes))]
        select += [f"count(*) FILTER (WHERE t IS NOT NULL AND {c.wrong})" for c in wrongs]
        row = self.connection.execute(f"SELECT {', '.join(select)} FROM e").fetchall()[0]
        shapes = len(self.plan.shapes)
        missed = {(s, int(n)) for s, found in enumerate(row[4 : 4 + shapes]) for n in found or ()}
        counts = {c: int(n) for c, n in zip(wrongs, row[4 + shapes :], strict=True) if n}
        return Scan(int(row[0]), int(row[1]), bool(row[2]), int(row[3]), frozenset(missed), counts, layout)

    def _object_size(self, slice_: Slice) -> int:
        longest = max((len(b.data) for b in slice_.blocks), default=0)
        return OBJECT_BYTES if longest <= OBJECT_BYTES else min(longest, slice_.size) + 1024

    def _try(self, slice_: Slice, layout: Layout) -> bool:
        try:
            self._create(slice_, layout)
        except duckdb.InvalidInputException:
            # A line that this layout cannot take (too deep) refuses the whole read.
            return False
        return True

    def _create(self, slice_: Slice, layout: Layout) -> None:
        variant = self.plan.variant(self.assumed)
        select = variant.decode(slice_.path, slice_.unit, slice_.source, layout, self._object_size(slice_))
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE e AS {select}")

    def _dead(self, slice_: Slice) -> tuple[Ints, list[str], list[str | None]]:
        """The records that are no events, why, and their times' texts."""
        dead = self._numbers("SELECT rowid FROM e WHERE t IS NULL ORDER BY rowid")
        size = self._object_size(slice_)
        variant = self.plan.variant(self.assumed, times_only=True)
        lines = f"SELECT {NO_OBJECT} AS bad FROM {lines_of(slice_.path, size)}"
        times = variant.times_found(slice_.path, slice_.unit, slice_.source, variant.careful, size)
        # Two reads of the same lines, in the same order: tables, because rowid then joins them.
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE bad AS {lines}")
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE found AS {times}")
        rows = self.fetch(
            "SELECT bad, v, ms FROM e JOIN bad ON e.rowid = bad.rowid JOIN found ON e.rowid = found.rowid"
            " WHERE t IS NULL ORDER BY e.rowid"
        ).to_pylist()
        self.connection.execute("DROP TABLE bad; DROP TABLE found")
        return dead, [reason_of(r["bad"], r["v"], r["ms"]) for r in rows], [r["v"] for r in rows]

    def _ids(self) -> tuple[Any, Any, Any]:
        low = "CAST(h & 18446744073709551615::UHUGEINT AS UBIGINT)"
        high = "CAST(h >> 64 AS UBIGINT)"
        rows = self.fetch(
            f"SELECT coalesce({low}, 0), coalesce({high}, 0), h IS NOT NULL AND t IS NOT NULL FROM e ORDER BY rowid"
        )
        return tuple(rows.column(n).to_numpy() for n in range(3))

    def _delete(self, ordinals: Ints) -> None:
        self.connection.register("gone", pa.table({"o": ordinals}))
        self.connection.execute("DELETE FROM e WHERE rowid IN (SELECT o FROM gone)")
        self.connection.unregister("gone")

    def _group(
        self, group: Group, statements: Statements, exclusion: Exclusion, wrong: Mapping[Column, int]
    ) -> GroupRows:
        columns = [c for c in dict.fromkeys(c for columns in group.wrong for c in columns) if c in wrong]
        plain = self.fetch(statements.plain(exclusion.watermarks, columns))
        sub_keyed = {
            n: self.fetch(statements.sub_keyed(n, exclusion.watermarks))
            for n, p in enumerate(group.primitives)
            if p.primitive.op is Op.COUNT_BY
        }
        return GroupRows(group, list(statements.doubles()), plain, sub_keyed, columns, exclusion.positions)

    def fetch(self, sql: str) -> pa.Table:
        """The rows of a select, planned once for all slices."""
        if sql not in self._prepared:
            if len(self._prepared) == MOST_PREPARED:
                self.connection.execute(f"DEALLOCATE {self._prepared.pop(next(iter(self._prepared)))}")
            self._named += 1
            self.connection.execute(f"PREPARE s{self._named} AS {sql}")
            self._prepared[sql] = f"s{self._named}"
        table: pa.Table = self.connection.sql(f"EXECUTE {self._prepared[sql]}").to_arrow_table().combine_chunks()
        return table

    def _numbers(self, sql: str) -> Ints:
        numbers: Ints = self.fetch(sql).column(0).to_numpy()
        return numbers


_YEARS = range(1800, 2200)


def reason_of(malformed: bool, raw: str | None, ms: int | None) -> str:
    """Why a record is no event: ``raw`` is its time's text, ``ms`` that time if it fits its unit, whatever the year."""
    if malformed:
        return NOT_JSON
    if raw is None or raw.strip() in ("", "NaN", "nan"):
        return NO_TIME
    year = re.match(r"\s*(-?\d{1,9})-\d", raw)
    outside = ms is not None or re.fullmatch(r"-?\d{19,}", raw) or (year and int(year.group(1)) not in _YEARS)
    return OUT_OF_RANGE if outside else UNFIT_TIME
