"""The guides of the running program: nothing that exists is missing in them, and what is generated is as it was made.

``.venv/bin/python tests/test_docs.py`` writes the generated part of docs/sources.md again.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamgauge.declare import LOG, SERVE, STORE
from streamgauge.serve import parameters
from streamgauge.serve.base import Condition
from streamgauge.serve.problems import KINDS
from streamgauge.serve.routes import PATHS
from streamgauge.sources import reference
from streamgauge.sources.base import State
from streamgauge.sources.http import PARAMETERS

DOCS = Path(__file__).resolve().parent.parent / "docs"
SOURCES = DOCS / "sources.md"
MARK = "<!-- reference: written by tests/test_docs.py -->\n"


def generated() -> str:
    """docs/sources.md with the reference as the code has it: its headings stand one level lower."""
    above = SOURCES.read_text(encoding="utf-8").partition(MARK)[0]
    return f"{above}{MARK}\n{re.sub(r'(?m)^## ', '### ', reference()).rstrip()}\n"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_the_reference_of_sources_is_that_of_the_code() -> None:
    assert SOURCES.read_text(encoding="utf-8") == generated(), "run: .venv/bin/python tests/test_docs.py"


@pytest.mark.parametrize("path", PATHS)
def test_the_guide_names_every_route(path: str) -> None:
    assert f"{path}`" in page("rest.md").replace("?", "`") or f"{path} " in page("rest.md")


@pytest.mark.parametrize("kind", KINDS)
def test_the_guide_names_every_kind_of_problem(kind: str) -> None:
    assert f"| `{kind}` |" in page("rest.md")


def test_the_guide_names_every_parameter() -> None:
    known = {p.name for group in vars(parameters).values() if isinstance(group, tuple) for p in group if p}
    assert {"every", "rolling"} <= known
    missing = {name for name in known if f"`{name}" not in page("rest.md") and f"?{name}=" not in page("rest.md")}
    assert not missing - {"filters"}


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_the_guide_names_every_parameter_of_events_that_are_sent(parameter: str) -> None:
    assert f"`{parameter}`" in page("sources.md")


@pytest.mark.parametrize("word", [*Condition, *State])
def test_the_operating_guide_says_what_each_state_means(word: str) -> None:
    if word not in (Condition.OK, State.STARTING):
        assert f"`{word.value}`" in page("operating.md")


@pytest.mark.parametrize(
    "setting", [f"{t}.{s}" for t, n in (("serve", SERVE), ("store", STORE), ("log", LOG)) for s in n]
)
def test_the_configuration_page_names_every_setting(setting: str) -> None:
    table, _, name = setting.partition(".")
    section = page("declarations.md").partition("## Configuration")[2]
    assert f"`{name}`" in section.partition(f"`[{table}]`")[2]


@pytest.mark.parametrize(
    "command", re.findall(r"`streamgauge ([a-z][a-z-]*)", "".join(page(p.name) for p in DOCS.glob("*.md")))
)
def test_no_page_names_a_command_that_does_not_exist(command: str) -> None:
    import typer.main

    from streamgauge import cli

    assert command in typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]


if __name__ == "__main__":
    SOURCES.write_text(generated(), encoding="utf-8")
