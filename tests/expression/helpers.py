"""What the tests of expressions share: the columns that they read, and how SQL gets their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import duckdb

from streamgauge.expression import Expression, Path, SqlType

Compute = Callable[..., Any]

COLUMNS: Mapping[str, SqlType] = {
    "text": SqlType.VARCHAR,
    "whole": SqlType.BIGINT,
    "number": SqlType.DOUBLE,
    "flag": SqlType.BOOLEAN,
    "list": SqlType.LIST,
}


def resolve(name: Path | str) -> str:
    return '"' + str(name).replace('"', "'") + '"'


def select(
    duck: duckdb.DuckDBPyConnection,
    sql: str,
    expression: Expression,
    values: Mapping[str, Any],
    columns: Mapping[str, SqlType],
) -> Any:
    read = {resolve(p): (values[str(p.keys[0])], "VARCHAR") for p in expression.paths}
    read |= {resolve(n): (values[n], str(columns[n])) for n in expression.names}
    params = [v for v, _ in read.values()]
    names = ", ".join(f"CAST(${i} AS {t}) AS {n}" for i, (n, (_, t)) in enumerate(read.items(), 1))
    source = f" FROM (SELECT {names})" if names else ""
    return duck.execute(f"SELECT {sql}{source}", params).fetchall()[0][0]
