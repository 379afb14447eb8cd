"""From names and globs to the list of inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamgauge.log import expand


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.json", "a.json", "c.csv", "sub/d.json", "[x].json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_given_order_is_kept_and_the_matches_of_a_glob_are_sorted(folder: Path) -> None:
    assert expand(["c.csv", "[ab].json", "-"]) == ["c.csv", "a.json", "b.json", "-"]


def test_a_pattern_that_matches_nothing_stays(folder: Path) -> None:
    assert expand(["*.xml", "none.json"]) == ["*.xml", "none.json"]


def test_folders_are_no_matches_but_stay_where_named(folder: Path) -> None:
    assert expand(["s*", "sub"]) == ["s*", "sub"]
    assert expand(["**/*.json"]) == ["[x].json", "a.json", "b.json", "sub/d.json"]


def test_a_file_whose_name_looks_like_a_glob(folder: Path) -> None:
    assert expand(["[x].json"]) == ["[x].json"]


def test_a_file_named_twice_is_read_once_and_said(folder: Path) -> None:
    (folder / "link.json").symlink_to("a.json")
    repeated: list[str] = []
    assert expand(["a.json", "./a.json", "link.json", "-", "-", "none", "none"], repeated) == ["a.json", "-", "none"]
    assert repeated == ["./a.json", "link.json", "-", "none"]
