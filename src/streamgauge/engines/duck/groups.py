"""One statement per group of statistics that share what they count, their keys and their base windows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamgauge.aggregates.base import Kind, Op, Term
from streamgauge.bound import BoundPrimitive, BoundStatistic
from streamgauge.engines.duck.plan import ENGINE, Column, Plan, computed_once, topic_test
from streamgauge.event import MAX_TIME_MS, MIN_TIME_MS
from streamgauge.expression import Expression, Path, SqlType, key_text, lower, scaled, term

INTEGER_TERMS = (Term.HIGH_SQUARED, Term.HIGH_LOW, Term.LOW_SQUARED)


@dataclass(slots=True)
class Group:
    """Statistics that one statement computes, with the distinct primitives of all of them.

    ``places``: for each statistic, where its primitives stand in ``primitives``. ``wrong``: for each statistic, the
    columns whose wrong types its cells count.
    """

    statistics: list[int]
    lead: BoundStatistic
    primitives: list[BoundPrimitive] = field(default_factory=list)
    places: list[list[int]] = field(default_factory=list)
    wrong: list[list[Column]] = field(default_factory=list)
    totals: bool = False


def groups_of(plan: Plan) -> list[Group]:
    """The groups of a plan; a statistic with totals is in a second one, without keys."""
    found: dict[Any, Group] = {}
    for number, statistic in enumerate(plan.statistics):
        for totals in (False, True) if statistic.spec.totals and statistic.by else (False,):
            group = found.setdefault(_identity(statistic, totals), Group([], statistic, totals=totals))
            _add(group, number, statistic, plan)
    return list(found.values())


def _identity(s: BoundStatistic, totals: bool) -> tuple[Any, ...]:
    keys = () if totals else tuple(e.normal for _, e in s.by)
    where = s.where.normal if s.where is not None else ""
    return (s.spec.of, s.spec.topic, where, keys, totals, s.windows.bases, s.time, s.delay_ms, s.lateness_ms)


def _add(group: Group, number: int, statistic: BoundStatistic, plan: Plan) -> None:
    known = {p.identity: n for n, p in enumerate(group.primitives)}
    places = []
    for primitive in statistic.primitives:
        if primitive.identity not in known:
            known[primitive.identity] = len(group.primitives)
            group.primitives.append(primitive)
        places.append(known[primitive.identity])
    group.statistics.append(number)
    group.places.append(places)
    group.wrong.append(_columns_of(statistic, plan))


def _columns_of(statistic: BoundStatistic, plan: Plan) -> list[Column]:
    found: dict[str, Column] = {}
    for expression in statistic.expressions():
        for column in columns_read(expression, statistic, plan):
            found[column.name] = column
    return list(found.values())


def columns_read(expression: Expression, statistic: BoundStatistic, plan: Plan) -> Iterable[Column]:
    """The typed columns of ``e`` that an expression of a statistic reads."""
    if statistic.shape is not None:
        for name in expression.names & statistic.shape.shape.fields.keys():
            yield plan.columns.shape_field(statistic.shape, name)
    for part in computed_once(expression):
        yield plan.columns.expression(part, statistic.shape)


class Statements:
    """The SQL of one group over the table ``e``."""

    def __init__(self, plan: Plan, group: Group) -> None:
        self.plan, self.group, self.lead = plan, group, group.lead
        shapes = ("", self.lead.spec.of)
        self.known = {
            c.expression.tree: c.name
            for c in plan.columns.found.values()
            if c.expression is not None and c.shape in shapes
        }

    def lowered(self, expression: Expression) -> str:
        return lower(expression, ENGINE, self.resolve, known=self.known)

    def resolve(self, name: Path | str) -> str:
        if isinstance(name, Path):
            raise KeyError(f"no column holds {name}")
        if self.lead.shape is not None and name in self.lead.shape.shape.fields:
            return self.plan.columns.shape_field(self.lead.shape, name).name
        return "t" if name == "time" else name

    def time(self) -> str:
        """The time that chooses the window; null outside the permitted years."""
        if not self.lead.time:
            return "t"
        field_ = self.resolve(self.lead.time)
        return f"CASE WHEN {field_} >= {MIN_TIME_MS} AND {field_} < {MAX_TIME_MS} THEN {field_} END"

    def base(self) -> str:
        """The start of the base window of ``tw``. Shifted to be positive, because % truncates toward zero."""
        branches = []
        for until, length in self.lead.windows.bases:
            shift = (abs(MIN_TIME_MS) // length + 1) * length
            branches.append((until, f"tw - (tw + {shift}) % {length}"))
        last = branches[-1][1]
        if len(branches) == 1:
            return last
        return f"CASE {' '.join(f'WHEN tw < {until} THEN {sql}' for until, sql in branches[:-1])} ELSE {last} END"

    @property
    def counts_all(self) -> bool:
        """Whether the group's statistics count every event."""
        return self.lead.shape is None and self.lead.spec.topic == "*" and self.lead.where is None

    def counted(self) -> str:
        """A condition on the rows of ``e``: the group's statistics may count this event."""
        tests = ["t IS NOT NULL"]
        if self.lead.shape is not None:
            number = next(n for n, s in enumerate(self.plan.shapes) if s is self.lead.shape)
            tests.append(f"s{number} < {self.lead.shape.active}")
        elif self.lead.spec.topic != "*":
            tests.append(topic_test(self.lead.spec.topic))
        if self.lead.time:
            tests.append(f"{self.time()} IS NOT NULL")
        if self.lead.where is not None:
            tests.append(self.lowered(self.lead.where))
        return " AND ".join(f"({t})" for t in tests)

    def rows(self, watermarks: Sequence[tuple[int, int]], columns: str) -> str:
        """The events that the group counts, with ``b`` (base window), ``k0..`` (keys), ``blk`` and ``rowid``."""
        inner = f"SELECT *, rowid AS o, {self.time()} AS tw FROM {columns} WHERE {self.counted()}"
        keys = [] if self.group.totals else [(n, e) for n, (_, e) in enumerate(self.lead.by)]
        # Each further list in a select of its own: two that are unnested side by side would be paired up.
        later = [k for k in keys if k[1].type is SqlType.LIST][1:]
        select = ["*", f"{self.base()} AS b", *(f"{self.key(e)} AS k{n}" for n, e in keys if (n, e) not in later)]
        select += [f"{self.block(watermarks)} AS blk"] if watermarks else []
        sql = f"SELECT {', '.join(select)} FROM ({inner}) WHERE tw IS NOT NULL"
        for n, e in later:
            sql = f"SELECT *, {self.key(e)} AS k{n} FROM ({sql})"
        return sql

    def key(self, expression: Expression) -> str:
        sql = self.lowered(expression)
        if expression.type is SqlType.LIST:
            # list_distinct leaves nulls out; an empty list, and what is no list, count under null too.
            whole = f"len({sql}) > 0 AND list_count({sql}) = len({sql})"
            with_null = f"list_append(coalesce(list_distinct({sql}), []::VARCHAR[]), NULL)"
            return f"unnest(CASE WHEN {whole} THEN list_distinct({sql}) ELSE {with_null} END)"
        return key_text(sql, expression.type, ENGINE)

    def block(self, watermarks: Sequence[tuple[int, int]]) -> str:
        """The block of an event that may be late, else -1."""
        wait = self.lead.delay_ms + self.lead.lateness_ms
        cases = []
        for n in reversed(range(len(watermarks))):
            first, watermark = watermarks[n]
            cases.append(f"WHEN o >= {first} THEN CASE WHEN tw < {watermark - wait} THEN {n} ELSE -1 END")
        return f"CASE {' '.join(cases)} ELSE -1 END"

    def by(self, watermarks: Sequence[tuple[int, int]]) -> str:
        """The columns that a statement groups by: base window, keys, and the block where events may be late."""
        keys = [] if self.group.totals else [f"k{n}" for n in range(len(self.lead.by))]
        return ", ".join(["b", *keys, *(["blk"] if watermarks else [])])

    @property
    def needs_positions(self) -> bool:
        """Whether somebody asks for the positions of a row's first and last event, whatever is late."""
        return any(s.spec.max_keys for s in (self.plan.statistics[n] for n in self.group.statistics))

    def plain(self, watermarks: Sequence[tuple[int, int]], wrong: Iterable[Column]) -> str:
        """The statement of all primitives but those per sub-key."""
        positions = bool(watermarks) or self.needs_positions
        return self.grouped(self.rows(watermarks, "e"), self.by(watermarks), positions, wrong)

    def grouped(self, rows: str, by: str, positions: bool, wrong: Iterable[Column]) -> str:
        """The plain primitives of ``rows``, grouped ``by`` its columns."""
        select, outer = [by, "count(*) AS n"], [by, "n"]
        if positions:
            select.append("min(o) AS first_o, max(o) AS last_o")
            outer.append("first_o, last_o")
        for n, p in enumerate(self.group.primitives):
            inside, outside = self.primitive(n, p)
            select += inside
            outer += outside
        for column in wrong:
            select.append(f"count(*) FILTER (WHERE {column.wrong}) AS {column.wrong}")
            outer.append(column.wrong)
        for n, (sql, number) in enumerate(self.doubles().values()):
            select.append(f"count(*) FILTER (WHERE ({sql}) IS NOT NULL AND ({number}) IS NULL) AS u{n}")
            outer.append(f"u{n}")
        return f"SELECT {', '.join(outer)} FROM (SELECT {', '.join(select)} FROM ({rows}) GROUP BY {by})"

    def doubles(self) -> dict[tuple[str, int], tuple[str, str]]:
        """The arguments that may not fit into 64 bits once scaled, by label and scale, and how they are scaled."""
        found: dict[tuple[str, int], tuple[str, str]] = {}
        for p in self.group.primitives:
            if p.argument is not None and p.argument.type is SqlType.DOUBLE:
                sql = self.lowered(p.argument)
                found[p.argument.text, p.scale] = (sql, scaled(sql, p.argument.type, p.scale, ENGINE))
        return found

    def value(self, p: BoundPrimitive) -> str:
        """The value that a primitive takes: a scaled integer, or a text, or as it is."""
        if p.argument is None or p.primitive.argument is None:
            return "true"
        sql, kind = self.lowered(p.argument), p.primitive.argument.kind
        if kind is Kind.NUMBER:
            number = scaled(sql, p.argument.type, p.scale, ENGINE)
            return number if p.primitive.term is Term.VALUE else term(p.primitive.term, number, ENGINE, p.edges)
        if kind is Kind.TEXT:
            text = sql if p.argument.type is SqlType.VARCHAR else f"CAST({sql} AS VARCHAR)"
            return text if p.primitive.term in (Term.VALUE, Term.TEXT) else term(p.primitive.term, text, ENGINE, ())
        if p.argument.type is not SqlType.DOUBLE:
            return sql
        return f"(CAST({scaled(sql, p.argument.type, p.scale, ENGINE)} AS DOUBLE) / CAST('1e{p.scale}' AS DOUBLE))"

    def primitive(self, n: int, p: BoundPrimitive) -> tuple[list[str], list[str]]:
        value, op = self.value(p), p.primitive.op
        where = f" FILTER (WHERE {self.lowered(p.where)})" if p.where is not None else ""
        if op is Op.COUNT:
            counted = "*" if p.argument is None else value
            return [f"count({counted}){where} AS c{n}"], [f"c{n}"]
        if op is Op.SUM:
            # sum(BIGINT) is a HUGEINT: what fits goes out as BIGINT, the rare rest as text.
            wide = f"CASE WHEN TRY_CAST(c{n} AS BIGINT) IS NULL THEN CAST(c{n} AS VARCHAR) END AS c{n}_wide"
            return [f"coalesce(sum({value}){where}, 0) AS c{n}"], [f"TRY_CAST(c{n} AS BIGINT) AS c{n}", wide]
        if op in (Op.MIN, Op.MAX):
            return [f"{op.value}({value}){where} AS c{n}"], [f"c{n}"]
        if op in (Op.ARG_MIN, Op.ARG_MAX):
            order = "CAST(t AS HUGEINT) * 4294967296 + o"
            condition = f"({value}) IS NOT NULL" + (f" AND ({self.lowered(p.where)})" if p.where is not None else "")
            record = f"{{'t': t, 'o': o, 'v': {value}}}"
            return [f"{op.value}({record}, {order}) FILTER (WHERE {condition}) AS c{n}"], [f"c{n}"]
        return [], []

    def sub_keyed(self, n: int, watermarks: Sequence[tuple[int, int]]) -> str:
        """The statement of a primitive per sub-key: one row per cell, with lists."""
        p, by = self.group.primitives[n], self.by(watermarks)
        where = f" AND ({self.lowered(p.where)})" if p.where is not None else ""
        rows = f"SELECT {by}, o, {self.value(p)} AS v FROM ({self.rows(watermarks, 'e')}) WHERE true{where}"
        counted = f"SELECT {by}, v, count(*) AS c, min(o) AS o FROM ({rows}) WHERE v IS NOT NULL GROUP BY {by}, v"
        return f"SELECT {by}, list(v) AS v, list(c) AS c, list(o) AS o FROM ({counted}) GROUP BY {by}"
