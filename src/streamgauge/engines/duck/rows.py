"""From a statement's Arrow table to the results of each statistic of its group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamgauge.aggregates.base import Op
from streamgauge.engines.base import GroupResult, Ints, Keys, Positions
from streamgauge.engines.duck.groups import Group
from streamgauge.engines.duck.plan import Column
from streamgauge.partial import SubRows


class GroupRows:
    """The rows that one group's statements gave for one slice."""

    def __init__(
        self,
        group: Group,
        doubles: Sequence[tuple[str, int]],
        plain: pa.Table,
        sub_keyed: Mapping[int, pa.Table],
        wrong: Sequence[Column],
        positions: Positions,
    ) -> None:
        self.group, self.doubles, self.plain, self.wrong, self.positions = group, doubles, plain, wrong, positions
        self.key_names = [] if group.totals else [f"k{n}" for n in range(len(group.lead.by))]
        self.keys = None if group.totals else keys_of([plain.column(name) for name in self.key_names], plain.num_rows)
        self.columns = {
            n: self._sub_rows(sub_keyed[n]) if n in sub_keyed else self._column(n, p.primitive.op)
            for n, p in enumerate(group.primitives)
        }

    def results(self) -> list[GroupResult]:
        """One result per statistic of the group."""
        return [self._result(i) for i in range(len(self.group.statistics))]

    def overflows(self) -> dict[str, int]:
        """Events per argument whose value does not fit into 64 bits once scaled; none where there is none."""
        counts: dict[str, int] = {}
        for n, (label, _) in enumerate(self.doubles):
            # What does not fit with a few digits does not with more either.
            counts[label] = max(counts.get(label, 0), int(self._ints(f"u{n}").sum()))
        return {label: n for label, n in counts.items() if n}

    def _result(self, i: int) -> GroupResult:
        return GroupResult(
            statistic=self.group.statistics[i],
            starts=self._ints("b"),
            keys=self.keys,
            events=self._ints("n"),
            block=self._ints("blk") if "blk" in self.plain.column_names else self._none_late(),
            first=self._positions("first_o"),
            last=self._positions("last_o"),
            wrong=self._wrong(i),
            columns=[self.columns[place] for place in self.group.places[i]],
        )

    def _wrong(self, i: int) -> dict[str, Ints]:
        found: dict[str, Ints] = {}
        mine = [self.group.primitives[place] for place in self.group.places[i]]
        doubles = {(p.argument.text, p.scale) for p in mine if p.argument is not None}
        counts = [(c.label, c.wrong) for c in self.wrong if c in self.group.wrong[i]]
        counts += [(double[0], f"u{n}") for n, double in enumerate(self.doubles) if double in doubles]
        for label, column in counts:
            values = self._ints(column)
            if values.any():
                found[label] = found[label] + values if label in found else values
        return found

    def _none_late(self) -> Ints:
        return np.full(self.plain.num_rows, -1, dtype=np.int64)

    def _positions(self, name: str) -> Ints:
        if name not in self.plain.column_names:
            return np.zeros(self.plain.num_rows, dtype=np.int64)
        return self.positions.of(self._ints(name))

    def _ints(self, name: str) -> Ints:
        ints: Ints = self.plain.column(name).to_numpy().astype(np.int64, copy=False)
        return ints

    def _column(self, n: int, op: Op) -> Any:
        column = self.plain.column(f"c{n}")
        if op is Op.SUM:
            wide = self.plain.column(f"c{n}_wide")
            if wide.null_count < len(wide):
                pairs = zip(column.to_pylist(), wide.to_pylist(), strict=True)
                return [value if text is None else int(text) for value, text in pairs]
            return self._ints(f"c{n}")
        if op in (Op.MIN, Op.MAX):
            return pc.fill_null(column, 0).to_numpy().astype(np.int64, copy=False), column.is_valid().to_numpy()
        if op in (Op.ARG_MIN, Op.ARG_MAX):
            return [r and (r["t"], self.positions.one(r["o"]), r["v"]) for r in column.to_pylist()]
        return self._ints(f"c{n}")

    def _sub_rows(self, table: pa.Table) -> SubRows:
        row = self._places(table)
        order = np.argsort(row, kind="stable")
        table = table.take(pa.array(order)).combine_chunks()
        lists = {name: _one(table.column(name)) for name in ("v", "c", "o")}
        lengths = np.diff(lists["v"].offsets.to_numpy())
        values = lists["v"].flatten()
        texts = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
        return SubRows(
            row=np.repeat(row[order], lengths),
            sub_key=values.to_pylist() if texts else values.to_numpy(),
            count=lists["c"].flatten().to_numpy().astype(np.int64, copy=False),
            position=self.positions.of(lists["o"].flatten().to_numpy().astype(np.int64, copy=False)),
        )

    def _places(self, table: pa.Table) -> Ints:
        """For each row of a statement per sub-key, the plain statement's row of the same window, key and block."""
        names = [c for c in self.plain.column_names if c in ("b", "blk") or c in self.key_names]
        known = {key: n for n, key in enumerate(zip(*(self.plain.column(c).to_pylist() for c in names), strict=True))}
        rows = zip(*(table.column(c).to_pylist() for c in names), strict=True)
        return np.fromiter((known[key] for key in rows), np.int64, table.num_rows)


def keys_of(columns: Sequence[pa.ChunkedArray], rows: int) -> Keys:
    """The distinct keys of rows, one column of values for each part of a key."""
    codes: Ints = np.zeros(rows, dtype=np.int64)
    encoded = [_one(column).dictionary_encode(null_encoding="encode") for column in columns]
    if len(encoded) == 1:
        return Keys([encoded[0].dictionary.to_pylist()], len(encoded[0].dictionary), _codes(encoded[0]))
    places: Ints = np.zeros(min(rows, 1), dtype=np.int64)
    for column in encoded:
        # Made dense again after each column: the product of all could pass 64 bits.
        pairs = codes * len(column.dictionary) + _codes(column)
        _, places, codes = np.unique(pairs, return_index=True, return_inverse=True)
    return Keys([column.take(places).to_pylist() for column in encoded], len(places), codes)


def _codes(column: pa.DictionaryArray) -> Ints:
    codes: Ints = column.indices.to_numpy().astype(np.int64)
    return codes


def _one(column: pa.ChunkedArray) -> Any:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
