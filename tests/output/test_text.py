"""Values in a table: two that differ never look alike, and none steers a terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from streamgauge.output.text import Glyphs, folded

GLYPHS = Glyphs()
ASCII = Glyphs.of("ascii")


@given(text=st.text())
def test_what_is_shown_is_printable_and_tells_the_text(text: str) -> None:
    for glyphs in (GLYPHS, ASCII, Glyphs.of("latin-1")):
        shown = glyphs.text(text)
        assert shown.replace("\u200c", "").replace("\u200d", "").isprintable()
        shown.encode(glyphs.encoding)
        assert (json.loads(shown) if shown.startswith('"') else shown) == text


@given(a=st.text(), b=st.text())
def test_two_texts_never_look_alike(a: str, b: str) -> None:
    assert (GLYPHS.text(a) == GLYPHS.text(b)) is (a == b)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("acme", "acme"),
        ("null", "null"),
        ("a b", "a b"),
        ("DOMAIN\\user", "DOMAIN\\user"),
        ("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"),
        ("[red]x[/red] :smile:", "[red]x[/red] :smile:"),
        ("", '""'),
        (" a", '" a"'),
        ("\u2013", '"\u2013"'),
        ("(all)", '"(all)"'),
        ('"', '"\\""'),
        ("a\nb", '"a\\nb"'),
        ("a\tb\r", '"a\\tb\\r"'),
        ("\x1b]0;x\x07", '"\\u001b]0;x\\u0007"'),
        ("\x9b2J", '"\\u009b2J"'),
        ("\x00", '"\\u0000"'),
        ("abc\u202ecba", '"abc\\u202ecba"'),
        ("\ud800", '"\\ud800"'),
        ("\U000e0041", '"\\udb40\\udc41"'),
    ],
)
def test_a_text_is_quoted_only_where_it_would_not_be_clear(text: str, shown: str) -> None:
    assert GLYPHS.text(text) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (999, "999"),
        (-1000, "-1 000"),
        (2**70, "1 180 591 620 717 411 303 424"),
        (0.0, "0.0"),
        (-0.5, "-0.5000"),
        (9.99999, "10.0000"),
        (1234.5, "1 234.5"),
        (999999.96, "1 000 000.0"),
        (0.00001, "0.000010000"),
        (0.0000099, "9.9e-06"),
        (1e15, "1e+15"),
        (5e-324, "4.9407e-324"),
        (True, "true"),
        (None, "\u2013"),
        ("x", "x"),
    ],
)
def test_numbers_have_separated_thousands_and_about_five_digits(value: object, shown: str) -> None:
    assert GLYPHS.value(value).replace("\u00a0", " ") == shown  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0, "0.0"), (1, "100.0"), (0.9996, "99.96"), (0.00005, "0.01"), (1e-9, "0.0000001"), (0.0005, "0.1")],
)
def test_only_none_and_all_are_shown_as_0_and_100_percent(share: float, shown: str) -> None:
    assert GLYPHS.percent(share) == shown


def test_a_map_shows_five_entries_and_how_many_others_there_are() -> None:
    pairs = [(str(n), n) for n in range(7)]

    def shown(count: int, other: int = 0) -> str:
        return GLYPHS.pairs(pairs[:count], other).replace("\u00a0", " ")

    assert shown(0) == "\u2013"
    assert shown(5) == "0: 0, 1: 1, 2: 2, 3: 3, 4: 4"
    assert shown(6) == shown(7) == "0: 0, 1: 1, 2: 2, 3: 3, 4: 4, \u2026"
    assert shown(1, 1200) == "0: 0, \u2026 (1 200 other)"
    assert shown(0, 3) == "\u2026 (3 other)"


def test_a_sub_key_that_reads_like_two_entries_is_quoted() -> None:
    shown = GLYPHS.pairs([("a: 1, b", 2), ("sip:x@y", 1)]).replace("\u00a0", " ")
    assert shown == '"a: 1, b": 2, sip:x@y: 1'


@given(text=st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" ")), width=st.integers(2, 12))
def test_folding_loses_nothing_but_blanks_and_keeps_the_width(text: str, width: int) -> None:
    lines = list(folded(text, width))
    assert all(cell_len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_line_that_starts_with_blanks_keeps_them() -> None:
    assert list(folded("  a bc", 4)) == ["  a", "bc"]


def test_an_encoding_without_our_characters_gets_others() -> None:
    assert (ASCII.null, ASCII.more, ASCII.integer(1234)) == ("-", "...", "1 234")
    assert ASCII.text("é") == '"\\u00e9"'
    assert ASCII.text("-") == '"-"'
    assert ASCII.line("é\x1b") == "\\xe9\\u001b"
    assert Glyphs.of(None) == Glyphs.of("utf-8") == GLYPHS
