"""A DuckDB connection that can reach nothing, and a way to compute one value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import pytest

from streamgauge.expression import SqlType, lower, lower_wrong, parse
from tests.expression.helpers import COLUMNS, Compute, resolve, select


@pytest.fixture(scope="session")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    con = duckdb.connect(config={"threads": "1"})
    con.execute("SET enable_external_access=false")
    con.execute("SET lock_configuration=true")
    yield con
    con.close()


@pytest.fixture(scope="session")
def compute(duck: duckdb.DuckDBPyConnection) -> Compute:
    """compute("body.a::BIGINT + 1", a="5") -> 6; ``wrong=True`` asks for lower_wrong instead."""

    def run(text: str, /, *, wrong: bool = False, columns: Mapping[str, SqlType] | None = None, **values: Any) -> Any:
        expression = parse(text, columns=COLUMNS if columns is None else columns, what="test")
        sql = (lower_wrong if wrong else lower)(expression, "duckdb", resolve)
        return select(duck, str(sql), expression, values, columns or COLUMNS)

    return run
