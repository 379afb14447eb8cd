"""Lines of events and of dead letters."""

from __future__ import annotations

import json
from base64 import b64decode

from hypothesis import given
from hypothesis import strategies as st

from streamgauge.log.compose import dead_line, event_lines, lines_of, without_blank_lines

TEXTS = st.text(st.characters(codec="utf-8"))
EVENTS = st.lists(
    st.tuples(
        st.integers(-(10**12), 10**13),
        st.none() | TEXTS,
        st.none() | TEXTS,
        st.none() | TEXTS,
        st.dictionaries(TEXTS, TEXTS | st.integers()),
    ),
    max_size=5,
)


@given(events=EVENTS, source=TEXTS, owned=st.booleans())
def test_a_line_is_read_back_as_what_it_was_made_of(events: list, source: str, owned: bool) -> None:
    times, topics, ids, owners, said = (list(column) for column in zip(*events, strict=True)) if events else ([],) * 5
    bodies = [json.dumps(one).encode() for one in said]
    data = event_lines(times, topics, ids, owners if owned else None, source, bodies)
    lines = data.split(b"\n")
    assert lines.pop() == b""
    for n, line in enumerate(lines):
        wanted = {"time": times[n], "topic": topics[n] or "", "id": ids[n], "source": source, "owner": owners[n]}
        wanted["body"] = said[n]
        absent = {k for k in ("id", "owner") if wanted[k] is None} | (set() if owned else {"owner"})
        assert list(json.loads(line).items()) == [(k, v) for k, v in wanted.items() if k not in absent]
        assert line.endswith(b'"body":' + bodies[n] + b"}")
    assert len(lines) == len(events)


@given(data=st.binary(max_size=200))
def test_a_dead_letter_keeps_its_bytes_whatever_they_are(data: bytes) -> None:
    line = dead_line("not JSON", "why", 5, data, len(data))
    assert line.count(b"\n") == 1
    said = json.loads(line)
    assert (said["reason"], said["detail"], said["time"], said["length"]) == ("not JSON", "why", 5, len(data))
    assert (said["raw"].encode() if "raw" in said else b64decode(said["base64"])) == data


def test_a_long_dead_letter_is_cut_between_characters() -> None:
    data = b"x" + "é".encode() * 40_000
    said = json.loads(dead_line("r", "", 0, data, len(data)))
    assert said["length"] == 80_001
    assert said["raw"].encode() == data[:65_535]
    assert "base64" in json.loads(dead_line("r", "", 0, b"\xff" + data, len(data) + 1))


def test_bytes_that_are_not_to_be_kept_are_not() -> None:
    assert set(json.loads(dead_line("r", "d", 0, None, 7))) == {"reason", "detail", "time", "length"}


def test_lines_stand_without_the_blanks_around_them() -> None:
    assert lines_of(b'{"a":1}\n{}\n') == ([b'{"a":1}', b"{}"], True)
    assert lines_of(b'{"a":1}\r\n \x0b{} \x0c\n!\n') == ([b'{"a":1}', b"{}", b"!"], False)
    assert lines_of(b"") == ([], False)
    assert without_blank_lines(b"\n{}\n \r\n!") == b"{}\n!\n"
