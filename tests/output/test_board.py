"""A board draws its sheets again in the same place, marks rows, steers nothing, and leaves nothing behind."""

from __future__ import annotations

import io
import re

import pytest

from streamgauge.output.board import Board, Sheet

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
SHEET = Sheet("carriers", ("carrier", "calls"), [("one", "1 000"), ("two", "7")], frozenset({1}))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    return Terminal()


def shown(terminal: Terminal) -> list[str]:
    return [line.rstrip() for line in ESCAPES.sub("", terminal.getvalue().replace("\r", "")).splitlines()]


def test_sheets_stand_side_by_side_below_the_head(terminal: Terminal) -> None:
    with Board(terminal) as board:
        board.show("noon", [SHEET, Sheet("other", ("a",), [("b",)])])
        lines = shown(terminal)
    assert lines[:5] == [
        "noon",
        "",
        "carriers          other",
        "carrier  calls    a",
        "one      1 000    b",
    ]
    assert lines[5] == "two          7"


def test_marked_row_and_no_other_is_red(terminal: Terminal) -> None:
    with Board(terminal) as board:
        board.show("", [SHEET])
        red = [line for line in terminal.getvalue().splitlines() if "\x1b[1;31m" in line]
    assert [re.search(r"one|two", line)[0] for line in red if re.search(r"one|two", line)] == ["two"]  # type: ignore[index]


def test_is_drawn_over_and_taken_away(terminal: Terminal) -> None:
    with Board(terminal) as board:
        board.show("first", [SHEET])
        height = len(shown(terminal))
        before = len(terminal.getvalue())
        board.show("second", [SHEET])
        between = terminal.getvalue()[before:].partition("second")[0]
    after = terminal.getvalue().rpartition("second")[2]
    for erased in (between, after):
        assert erased.count("\x1b[2K") == height
        assert erased.count("\x1b[1A") >= height - 1


def test_text_of_the_input_cannot_steer_the_terminal(terminal: Terminal) -> None:
    with Board(terminal) as board:
        board.show("\x1b]0;title\x07", [Sheet("\x1b[2J", ("[bold]h",), [("\x1b[31mred\x07",)])])
        said = terminal.getvalue()
    assert "\x1b]0" not in said
    assert "\x1b[2J" not in said
    assert "\x07" not in said
    assert "[bold]h" in ESCAPES.sub("", said)
