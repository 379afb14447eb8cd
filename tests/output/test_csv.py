"""CSV: the standard library's reader gets back what was written."""

from __future__ import annotations

import csv
import json
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.aggregates import count, latest, sum, tally
from streamgauge.errors import UsageError
from streamgauge.output.csv import field
from streamgauge.output.present import Query
from tests.output.made import presenter, statistic, written

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
KEYED = statistic("s", {"n": count()}, by={"k": "body.k"}, every=["6m", "1h"])


def read(text: str) -> list[list[str]]:
    return list(csv.reader(StringIO(text, newline=""), strict=True))


@given(texts=st.lists(TEXT, min_size=1, max_size=5))
def test_any_text_reads_back_as_itself(texts: list[str]) -> None:
    assert read(",".join(map(field, texts)) + "\r\n") == [texts]


@given(text=TEXT)
def test_a_safe_text_is_never_a_formula_and_only_a_formula_is_changed(text: str) -> None:
    ((safe,),) = read(field(text, safe=True) + "\r\n")
    assert safe[:1] not in tuple("=+-@\t\r")
    assert safe in (text, "'" + text)
    assert (safe == text) is (text[:1] not in tuple("=+-@\t\r"))


@given(value=st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_stays_the_same_number_also_where_texts_are_made_safe(value: Any) -> None:
    assert type(value)(field(value, safe=True)) == value


def test_a_header_then_a_record_per_cell_each_ended_by_cr_lf() -> None:
    measures = {"n": count(), "wide": sum("body.v::BIGINT"), "codes": tally("body.k"), "last": latest("body.x")}
    events = [{"time": 0, "body.k": k, "body.v::BIGINT": 2**62} for k in ("-1", "", None, "-1", "-1")]
    with presenter(statistic("s", measures, by={"k": "body.k"}), events) as shown:
        query = Query()
        text = written("csv", (shown, query), csv_safe=True)
        assert text.count("\r\n") == text.count("\n") == 4
        header, *records = read(text)
        assert header == [c.name for c in shown.columns(query)]
        found = [dict(zip(header, record, strict=True)) for record in records]
        assert [r["k"] for r in found] == ["", "'-1", ""]
        assert [r["wide"] for r in found] == [str(2**62), str(3 * 2**62), str(2**62)]
        assert [json.loads(r["codes"]) for r in found] == [{"": 1}, {"-1": 3}, {}]
        assert {r["last"] for r in found} == {""}
        # Null is nothing at all, an empty text is a pair of quotes.
        assert [line.split(",")[8] for line in text.split("\r\n")[1:4]] == ['""', "'-1", ""]


def test_a_csv_of_no_cell_still_has_its_header() -> None:
    with presenter(KEYED, []) as shown:
        assert written("csv", (shown, Query())).startswith("statistic,every,window_by,start,")


@pytest.mark.parametrize("name", ["csv", "parquet", "arrow"])
def test_two_lengths_in_one_file_are_refused_and_named(name: str) -> None:
    with presenter(KEYED, []) as shown, pytest.raises(UsageError) as refused:
        written(name, (shown, Query()), (shown, Query(every="1h")))
    assert str(refused.value) == (
        f"{name}: holds one statistic and one window length, not 2 (s 6m, s 1h); "
        "choose with --statistic and --every, or write json, which holds them all"
    )


def test_a_lone_surrogate_becomes_the_replacement_character() -> None:
    assert field("a\ud800").encode() == "a\ufffd".encode()
