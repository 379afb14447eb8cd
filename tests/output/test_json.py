"""JSON and NDJSON: what is read back is what was there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO, StringIO, TextIOWrapper
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.aggregates import count, latest, mean, proportion, sum, tally, top
from streamgauge.output import writer
from streamgauge.output.json import json_text
from streamgauge.output.present import Presenter, Query
from streamgauge.store import open_store
from streamgauge.store.base import CellBatch, Store
from tests.output.made import fill, presenter, statistic, written

VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
BOUND = statistic("s", {"n": count(), "wide": sum("body.v::BIGINT")}, by={"k": "body.k"}, every=["6m", "1h"])
OK = "body.ok = '1'"
TEXTS = {"codes": tally("body.k"), "last": latest("body.k"), "flag": latest(OK)}
EVENTS = [{"time": 0, "body.k": k, "body.v::BIGINT": 2**63 - 1} for k in ["é", "é", '"', "\x9b[2J\n", None]]


@given(value=VALUES)
def test_any_value_is_one_line_that_reads_back_as_itself(value: Any) -> None:
    text = json_text(value)
    assert json.loads(text) == value
    assert len(text.splitlines()) <= 1
    text.encode()


def test_json_is_one_array_over_all_blocks_and_ndjson_the_same_objects_by_line() -> None:
    with presenter(BOUND, EVENTS) as shown:
        blocks = [(shown, Query(every=every)) for every in ("6m", "1h")]
        rows = [row for _, query in blocks for row in shown.rows(query)]
        assert json.loads(written("json", *blocks)) == rows
        assert [json.loads(line) for line in written("ndjson", *blocks).split("\n")[:-1]] == rows
        assert [(row["every"], row["k"], row["n"]) for row in rows[:2]] == [("6m", '"', 1), ("6m", "\x9b[2J\n", 1)]
        assert max(row["wide"] for row in rows) == 2 * (2**63 - 1)


def test_an_object_is_what_json_itself_makes_of_the_row() -> None:
    measures = {"n": count(), "share": proportion(count(OK), count()), "mean": mean("body.x::DOUBLE"), **TEXTS}
    bound = statistic("s", measures, by={"k": "body.k", "code": "body.v::BIGINT", "ok": OK}, min_n=2)
    values = [(k, v, x) for k in ("%s", "a", None) for v in (1, None) for x in (0.1, -0.0, None)]
    events = [{"time": 0, "body.k": k, "body.v::BIGINT": v, "body.x::DOUBLE": x, OK: v == 1} for k, v, x in values]
    with presenter(bound, events) as shown:
        assert written("ndjson", (shown, Query())) == "".join(json.dumps(r) + "\n" for r in shown.rows(Query()))


def test_no_rows_are_an_empty_array_and_no_line() -> None:
    with presenter(BOUND, []) as shown:
        assert written("json", (shown, Query())) == "[]\n"
        assert written("json") == "[]\n"
        assert written("ndjson", (shown, Query())) == ""


def test_maps_are_objects_lists_are_lists_and_null_is_null() -> None:
    measures = {"codes": tally("body.c"), "most": top("body.c", 1), "last": latest("body.x")}
    events = [{"time": 0, "body.c": code} for code in ("200", "200", "486")]
    with presenter(statistic("s", measures), events) as shown:
        (row,) = json.loads(written("json", (shown, Query())))
        assert row["codes"] == {"200": 2, "486": 1}
        assert (row["most"], row["most_other"]) == ([["200", 2]], 1)
        assert row["last"] is None


def test_an_output_that_is_not_utf8_gets_ascii() -> None:
    raw = BytesIO()
    out = TextIOWrapper(raw, encoding="latin-1", newline="")
    with presenter(BOUND, [{"time": 0, "body.k": "日本", "body.v::BIGINT": 1}]) as shown:
        writer("ndjson").write([(shown, Query())], out)
        out.flush()
        assert raw.getvalue().isascii()
        assert json.loads(raw.getvalue())["k"] == "日本"


class Progress(StringIO):
    """Fails, as a closed pipe does, at the write that it was told."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self.left = writes

    def write(self, text: str) -> int:
        if not self.left:
            raise BrokenPipeError
        self.left -= 1
        return super().write(text)


class CountingStore:
    """A store that notes how many batches of cells were read from it."""

    def __init__(self, store: Store) -> None:
        self.store, self.read = store, 0

    def batches(self, *args: Any) -> Iterator[CellBatch]:
        for batch in self.store.batches(*args):
            for n in range(len(batch)):
                self.read += 1
                yield batch.part(n, n + 1)


@pytest.mark.parametrize("name", ["json", "ndjson", "csv"])
def test_a_closed_pipe_is_told_at_once_and_no_further_cell_is_read(name: str) -> None:
    events = [{"time": n * 360_000, "body.k": "a", "body.v::BIGINT": n} for n in range(50)]
    with open_store() as store:
        fill(store, BOUND, events)
        counting = CountingStore(store)
        shown = Presenter(BOUND, counting, 0)  # type: ignore[arg-type]
        with pytest.raises(BrokenPipeError):
            writer(name).write([(shown, Query())], Progress(3))
        assert counting.read <= 4
