"""The structural scan against a plain loop over characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.codecs.scan import find_objects, is_balanced_object

HOSTILE = st.lists(st.sampled_from(list(b'"\\{}\n{}"a\\')), max_size=25).map(bytes)


def escaped_places(data: bytes) -> set[int]:
    places, at = set(), 0
    while at < len(data):
        end = at
        while end < len(data) and data[end] == ord("\\"):
            end += 1
        if (end - at) % 2:
            places.add(end)
        at = max(end, at + 1)
    return places


def plain_loop(data: bytes, depth: int, in_string: bool) -> tuple[list[int], list[int], int, list[int], int, bool]:
    starts, ends, broken, begun, escaped = [], [], [], -1, escaped_places(data)
    for at, char in enumerate(data):
        if char == ord("\n"):
            if in_string:
                broken.append(at)
            in_string = False
        elif char == ord('"') and at not in escaped:
            in_string = not in_string
        elif char == ord("{") and not in_string:
            begun = at if depth == 0 else begun
            depth += 1
        elif char == ord("}") and not in_string and depth:
            depth -= 1
            if depth == 0:
                starts += [begun] if begun >= 0 else []
                ends.append(at + 1)
                begun = -1
    return starts, ends, begun if depth else -1, broken, depth, in_string


@given(HOSTILE, st.integers(0, 3), st.booleans())
def test_scan_equals_a_loop_over_characters(data: bytes, depth: int, in_string: bool) -> None:
    spans = find_objects(data, depth, in_string)
    found = (spans.starts.tolist(), spans.ends.tolist(), spans.open_at, spans.broken.tolist(), spans.depth)
    assert (*found, spans.in_string) == plain_loop(data, depth, in_string)


@pytest.mark.parametrize(
    ("line", "balanced"),
    [
        (b"{}", True),
        (b'  {"a":{"b":"}"}} \r', True),
        (b'{"a":"\\"}"}', True),
        (b'{"a":"\\\\"}', True),
        (b"{}{}", False),
        (b"{} x", False),
        (b'{"a":1', False),
        (b'{"a":"}', False),
        (b"[{}]", False),
        (b"", False),
    ],
)
def test_balanced_object(line: bytes, balanced: bool) -> None:
    assert is_balanced_object(line) is balanced


def test_depth_does_not_recurse() -> None:
    assert is_balanced_object(b'{"a":' * 100_000 + b"1" + b"}" * 100_000)
