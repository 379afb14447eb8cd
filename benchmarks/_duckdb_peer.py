"""DuckDB's side: what somebody who knows DuckDB writes by hand, with its default settings (a thread per core)."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
from _answers import Answers, cell_of

_MINUTES_6, _HOUR = 360_000, 3_600_000

_ONE = """
SELECT "end" - "end" % 360000 AS start_ms, carrier,
    count(*) AS calls,
    count(answer) AS answered,
    count(*) FILTER (WHERE answer IS NOT NULL AND billed_s = 0) AS empty,
    sum(billed_ms) AS talk_ms,
    max(billed_ms) AS longest_ms
FROM read_json(
    $path, format = 'newline_delimited',
    columns = {carrier: 'VARCHAR', "end": 'BIGINT', answer: 'BIGINT', billed_s: 'BIGINT', billed_ms: 'BIGINT'}
)
GROUP BY ALL
"""

_COLUMNS = """{
    account: 'VARCHAR', carrier: 'VARCHAR', direction: 'VARCHAR', start: 'BIGINT', ringing: 'BIGINT', answer: 'BIGINT',
    "end": 'BIGINT', billed_ms: 'BIGINT', billed_s: 'BIGINT', sip_code: 'BIGINT', cause: 'VARCHAR',
    pdd_18x_ms: 'BIGINT', codec: 'VARCHAR', host: 'VARCHAR', user_agent: 'VARCHAR'
}"""

# by statistic: window, key, condition, measures
_TEN = {
    "carriers": (
        _MINUTES_6, "carrier", "true",
        "count(*), count(answer), count_if(answer IS NOT NULL AND billed_s = 0), sum(billed_ms), max(billed_ms)",
    ),
    "accounts": (
        _HOUR, "account", "direction = 'inbound'", "count(*), count(answer), sum(billed_ms), max(billed_ms)",
    ),
    "refusals": (
        _MINUTES_6, "carrier", "direction = 'outbound'",
        "count(*), count_if(sip_code = 200), count_if(sip_code = 486), count_if(sip_code = 503)",
    ),
    "hosts": (_MINUTES_6, "host", "true", "count(*), count(answer), sum(billed_ms), min(start)"),
    "codecs": (_HOUR, "codec", "answer IS NOT NULL", "count(*), sum(billed_s), max(billed_s)"),
    "replies": (_MINUTES_6, "sip_code", "true", "count(*), count(ringing)"),
    "causes": (_HOUR, "cause", "true", 'count(*), count(ringing), max("end")'),
    "agents": (_HOUR, "user_agent", "direction = 'inbound'", "count(*), count(answer), sum(billed_ms)"),
    "ringing": (
        _MINUTES_6, "carrier", "pdd_18x_ms IS NOT NULL",
        "count(*), count_if(pdd_18x_ms >= 5000), sum(pdd_18x_ms), min(pdd_18x_ms), max(pdd_18x_ms)",
    ),
    "volume": (
        _MINUTES_6, "direction", "true", "count(*), count_if(answer IS NOT NULL AND billed_s = 0), sum(billed_ms)",
    ),
}  # fmt: skip


def compute_one(path: Path) -> pa.Table:
    """The one statistic, typed columns straight into a group by."""
    with duckdb.connect() as connection:
        return connection.sql(_ONE, params={"path": str(path)}).to_arrow_table()


def compute_ten(path: Path) -> dict[str, pa.Table]:
    """The ten statistics: a typed table, then a group by for each."""
    with duckdb.connect() as connection:
        source = f"read_json($path, format = 'newline_delimited', columns = {_COLUMNS})"
        connection.execute(f"CREATE TEMP TABLE calls AS SELECT * FROM {source}", {"path": str(path)})
        return {name: connection.sql(_statement(*parts)).to_arrow_table() for name, parts in _TEN.items()}


def _statement(every_ms: int, key: str, where: str, measures: str) -> str:
    return f'SELECT "end" - "end" % {every_ms}, {key}, {measures} FROM calls WHERE {where} GROUP BY 1, 2'


def answers(tables: dict[str, pa.Table]) -> Answers:
    """What was found, in the form that is compared."""
    found: Answers = {}
    for name, table in tables.items():
        rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
        found[name] = dict(cell_of(start, key, values) for start, key, *values in rows)
    return found
