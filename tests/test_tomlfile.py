from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.errors import DeclarationError
from streamgauge.tomlfile import TomlFile

TEXT = '''# a comment = 1
packs = ["voip"]

[statistic.quality]
of = "call"
where = """
[not.a.table]
every = 5
"""
every = [
    "6m",
    ["x"],
]
by = { carrier = "c", "odd key" = "d" }
measures.attempts = "count()"

[statistic."a.b".measures]
n = "count()"

[[list]]
x = 1
'''


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("packs",), 2),
        (("statistic",), 4),
        (("statistic", "quality"), 4),
        (("statistic", "quality", "where"), 6),
        (("statistic", "quality", "every"), 10),
        (("statistic", "quality", "by"), 14),
        (("statistic", "quality", "by", "carrier"), 14),
        (("statistic", "quality", "measures"), 15),
        (("statistic", "quality", "measures", "attempts"), 15),
        (("statistic", "a.b", "measures", "n"), 18),
        (("list", "x"), 21),
        (("statistic", "quality", "unknown"), 4),
    ],
)
def test_the_place_of_a_key(keys: tuple[str, ...], line: int) -> None:
    assert TomlFile.parse(TEXT, "my.toml").place(*keys) == f"my.toml:{line}"


def test_what_looks_like_a_table_inside_a_text_is_none() -> None:
    toml = TomlFile.parse(TEXT, "my.toml")
    assert toml.place("not", "a", "table") == "my.toml"


def test_places_below_keys() -> None:
    place = TomlFile.parse(TEXT, "f").places("statistic", "quality")
    assert (place(), place("every")) == ("f:4", "f:10")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = 1\nb = \n", "f:2: declarations: not TOML: Invalid value at 5"),
        ("a = 1\na = 2\n", "f:2: declarations: not TOML: Cannot overwrite a value at 6"),
        ('a = "x\n', "f:1: declarations: not TOML: Illegal character '\\n' at 7"),
        ("[a\n", "f:1: declarations: not TOML: Expected ']' at the end of a table declaration at 3"),
        ("a = [1,\n2\n", "f:2: declarations: not TOML: Unclosed array at the end of the file"),
        ("every: 6m\n", "f:1: declarations: not TOML: Expected '=' after a key in a key/value pair at 6"),
        ("x = 1\nof = call\n", "f:2: declarations: not TOML: Invalid value at 6; a text stands in quotes"),
        ("a = " + "[" * 5000, "f: declarations: not TOML: nested too deep"),
        ("a = " + "9" * 5000, "f: declarations: not TOML: Exceeds the limit"),
        ("a = 2020-13-45\n", "f:1: declarations: not TOML"),
    ],
)
def test_what_is_not_toml_is_said_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(DeclarationError) as error:
        TomlFile.parse(text, "f")
    assert str(error.value).startswith(problem)


def test_yaml_is_told_apart() -> None:
    with pytest.raises(DeclarationError, match="TOML writes name = value"):
        TomlFile.parse("every: 6m\n", "f")


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "w.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1\r\n[b]\r\nc = 2\r\n")
    toml = TomlFile.read(path)
    assert toml.data == {"a": 1, "b": {"c": 2}}
    assert toml.place("b", "c") == f"{path}:3"


def test_bytes_that_are_not_utf_8_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b"a = 1\nb = 'caf\xe9'\n")
    with pytest.raises(DeclarationError, match=r"latin\.toml:2: declarations: not UTF-8 at byte 15"):
        TomlFile.read(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="no such file"):
        TomlFile.read(tmp_path / "none.toml")


def test_a_table_that_is_none_is_named_with_its_place() -> None:
    toml = TomlFile.parse("x = 1\nstatistic = 5\n", "f")
    assert toml.table("pack", "voip") == {}
    with pytest.raises(DeclarationError, match="f:2: table 'statistic': is 5, expected a table"):
        toml.table("statistic")


@given(st.text(alphabet="ab=[]{}\"'#\n. 1,\\"))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        toml = TomlFile.parse(text, "f")
    except DeclarationError:
        return
    assert all(1 <= line <= text.count("\n") + 1 for line in toml.lines.values())
