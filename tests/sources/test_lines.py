"""Bytes as they come, made into lines: how they were split is never seen."""

from __future__ import annotations

import itertools
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.codecs.base import BLANKS
from streamgauge.sources.http_bodies import elements, lines_of_body
from streamgauge.sources.http_problem import Problem
from streamgauge.sources.lines import LineKeeper, Lines, tidy, without_lead
from streamgauge.sources.tail_forms import CsvKeeper, Keeper

MAX_LINE = 12


def plainly(data: bytes) -> tuple[list[bytes], list[tuple[int, int, int, int]]]:
    """The lines of a text and what is refused of it, in the simplest way: ``(record, offset, line, length)``."""
    lines: list[bytes] = []
    refused: list[tuple[int, int, int, int]] = []
    offset = 0
    pieces = data.split(b"\n")
    for number, piece in enumerate(pieces if pieces[-1] else pieces[:-1], 1):
        bare = piece.removesuffix(b"\r")
        if len(bare) > MAX_LINE and bare.strip(BLANKS):
            refused.append((len(lines), offset, number, len(bare)))
            lines.append(b"!")
        elif bare.strip(BLANKS):
            lines.append(bare)
        offset += len(piece) + 1
    return lines, refused


def found(parts: list[Lines]) -> tuple[list[bytes], list[tuple[int, int, int, int]]]:
    lines: list[bytes] = []
    refused: list[tuple[int, int, int, int]] = []
    for part in parts:
        refused += [(r.record + len(lines), r.offset, r.line, r.length) for r in part.refused]
        lines += part.data.split(b"\n")[:-1]
    return lines, refused


TEXTS = st.lists(st.sampled_from([b"a", b"{}", b" ", b"\t", b"\n", b"\n\n", b"\r\n", b"x" * 7, b"y" * 13, b"\r"])).map(
    b"".join
)


@given(TEXTS)
def test_tidy_is_what_it_says(data: bytes) -> None:
    assert found([tidy(data, MAX_LINE)]) == plainly(data)


@given(TEXTS, st.lists(st.integers(0, 40), max_size=8))
def test_parts_give_what_the_whole_gives(data: bytes, cuts: list[int]) -> None:
    # A blank line that is too long is refused where it comes in parts, as what it began with is not kept.
    data = data.replace(b" ", b"").replace(b"\t", b"").replace(b"\r", b"")
    keeper = LineKeeper(MAX_LINE)
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    parts = [keeper.push(data[start:end]) for start, end in itertools.pairwise(places)]
    parts.append(keeper.end())
    assert found(parts) == plainly(data)
    assert keeper.offset == len(data)


@pytest.mark.parametrize("max_line", [10, 1000])
@given(cuts=st.lists(st.integers(0, 200), max_size=10))
def test_csv_in_parts_gives_what_the_whole_gives(max_line: int, cuts: list[int]) -> None:
    data = b'id,note\r\n1,a\n\n2,"b\nc ""d"" e"\n3,toolongforsome,\n4,\n5,f\n'

    def records(places: list[int]) -> list[bytes]:
        keeper: Keeper = CsvKeeper(None, "x.csv", max_line, 0, 1)
        parts = [keeper.push(data[start:end]) for start, end in itertools.pairwise(places)]
        parts += [keeper.settle(), keeper.end()]
        assert (keeper.offset, keeper.kept) == (len(data), 0)
        return found(parts)[0]

    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    if max_line > 10:
        assert records(places) == records([0, len(data)])
        assert records(places)[0] == b'{"id":"1","note":"a"}'
    assert records(places)[-1] == b'{"id":"5","note":"f"}'


def test_blanks_within_a_line_stay_however_many_they_are() -> None:
    line = b'{"a":' + b" " * 1_000_000 + b"1}"
    assert without_lead(b"  " + line + b"\t\r\n") == line + b"\n"


@given(
    st.lists(st.sampled_from(['{"a":1}', '{"b":{"c":"}{"}}', "{\n}", '{"d":"xxxxxxxxxxxxxxxx"}']), max_size=8),
    st.data(),
)
def test_elements_are_cut_out_whatever_stands_between_them(bodies: list[str], data: st.DataObject) -> None:
    between = st.sampled_from([",", " ,\n", "", "\n", "]["])
    text = "[" + "".join(body + data.draw(between) for body in bodies) + "]"
    found = elements(text.encode(), 16, 10_000)
    wanted = ["!" if len(body) > 16 else body.replace("\n", "\r") for body in bodies]
    assert found.data.decode() == "".join(body + "\n" for body in wanted)
    assert [line.record for line in found.refused] == [n for n, body in enumerate(bodies) if len(body) > 16]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'[{"a":1},{"b":', "does not end"),
        (b'[{"a":"x\ny"}]', "a string does not end at byte 9"),
        (b"[" + b"1," * 20_000 + b"]", "belong to no JSON object"),
        (b'[{"a":"' + b"\\" * 3_000_000 + b'"}]', "is not JSON at byte"),
    ],
)
def test_text_that_is_no_json_at_all_is_refused_as_a_whole(text: bytes, said: str) -> None:
    with pytest.raises(Problem, match=said):
        elements(text, 1000, 10_000)


@pytest.mark.parametrize(
    "text",
    [
        b"{}" + b"\n" * 4_000_000,
        b"[" + b"{}," * 1_000_000 + b"{}]",
        b"[" + b"{}" * 1_000_000 + b"]",
        b"[{\n" + b"{\n" * 2_000_000,
        b"[" * 4_000_000,
        b'["' + b'"' * 4_000_000,
        b"[\n" + b"x{\n" * 1_000_000,
    ],
    ids=lambda text: repr(text[:6]),
)
def test_no_text_takes_long(text: bytes) -> None:
    started = time.process_time()
    with suppress(Problem):
        lines_of_body(text, "application/json", 1000, 10**9)
    assert time.process_time() - started < 3


def test_the_elements_of_an_array_are_cut_out_without_being_read() -> None:
    text = b'[{"a":1e2,"a":1},\n\n {"b":"\\u00e9\\"}"} , 7, "x", {"c":{}}]'
    assert elements(text, 1000, 10_000).data == b'{"a":1e2,"a":1}\n{"b":"\\u00e9\\"}"}\n7\n"x"\n{"c":{}}\n'
