"""docs/command-line.md has a heading for every command and option, and for nothing that does not exist.

A command is a heading of level 2 (``## report``); its options are in headings below it (``### `--every LENGTH` ``, or
several in one), or below ``## Options of every command``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent.parent / "docs" / "command-line.md"
SHARED = "Options of every command"
NOT_OURS = {"--help", "--install-completion", "--show-completion"}


def commands() -> dict[str, set[str]]:
    """The options of each command, by their first long name; those of ``streamgauge`` itself under ``SHARED``."""
    import typer.main

    from streamgauge import cli

    return dict(_walk(typer.main.get_command(cli.app), ""))


def _walk(command: Any, name: str) -> Iterator[tuple[str, set[str]]]:
    inner = getattr(command, "commands", {})
    options = {
        next((o for o in parameter.opts if o.startswith("--")), parameter.opts[0])
        for parameter in command.params
        if parameter.param_type_name == "option" and not parameter.hidden
    }
    if not inner or not name:
        yield name or SHARED, options - NOT_OURS
    for key, value in inner.items():
        if not value.hidden:
            yield from _walk(value, f"{name} {key}".strip())


def headings(text: str) -> dict[str, set[str]]:
    """The options in the headings below each heading of level 2."""
    found: dict[str, set[str]] = {}
    fence = section = ""
    for line in text.splitlines():
        mark = re.match(r"```+|~~~+", line)
        if mark:
            fence = "" if fence else mark.group()
        elif not fence and line.startswith("## "):
            section = line[3:].replace("`", "").removeprefix("streamgauge ").strip()
            found[section] = set()
        elif not fence and section and re.match(r"#{3,6} ", line):
            found[section] |= set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", line))
    return found


def test_headings_are_found_by_section_and_not_in_code() -> None:
    text = "## `report`\n### `--every LENGTH`, `--by KEY`\n```\n## no\n### --no\n```\n"
    text += f"## {SHARED}\n### `-c`, `--config`\n"
    assert headings(text) == {"report": {"--every", "--by"}, SHARED: {"--config"}}


def test_every_command_has_a_heading() -> None:
    assert set(commands()) - {SHARED} <= set(headings(PAGE.read_text()))


def test_every_option_has_a_heading() -> None:
    found = headings(PAGE.read_text())
    shared = found.get(SHARED, set())
    missing = {
        f"{command} {option}"
        for command, options in commands().items()
        for option in options - found.get(command, set()) - shared
    }
    assert not missing


def test_no_heading_names_an_option_that_does_not_exist() -> None:
    known = commands()
    every = {option for options in known.values() for option in options}
    found = headings(PAGE.read_text())
    unknown = {f"{section} {option}" for section in found for option in found[section] - known.get(section, every)}
    assert not unknown - {f"{SHARED} {option}" for option in every}
