"""What holds for the repository as a whole: how it starts, what may stand in it, and how long its parts are."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import streamgauge

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "src").rglob("*.py"))
LONGEST_MODULE = 500
LONGEST_FUNCTION = 50

# Written in halves, so that this file may name what no file may contain.
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:work|root|home/\w+|Users/\w+)" + "/")


def tracked_files() -> list[Path]:
    """The files that git tracks, or would track if they were added now."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for name in sorted(set(done.stdout.split("\0"))) if name and (path := ROOT / name).is_file()]


def module_name(path: Path) -> str:
    return str(path.relative_to(ROOT / "src"))


def test_readme_opens_with_three_lines_and_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    opening = lines[: lines.index("make test    # sets up, then runs every test") + 1]
    assert opening[0] == "# streamgauge"
    assert len([line for line in opening if line and not line.startswith(("#", "`", "make"))]) == 3
    assert [line.split("#")[0].split() for line in opening if line.startswith("make")] == [
        ["make", "demo"],
        ["make", "test"],
    ]


def test_every_local_link_of_the_markdown_files_at_the_top_leads_somewhere() -> None:
    dead = [
        f"{page.name}: {target}"
        for page in ROOT.glob("*.md")
        for target in re.findall(r"\]\(([^)#]+)", page.read_text())
        if not target.startswith(("http:", "https:", "mailto:")) and not (ROOT / target).exists()
    ]
    assert not dead


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in tracked_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert not found


def test_the_search_for_machine_paths_finds_one() -> None:
    assert MACHINE_PATH.search("open('/" + "work/main/x')")
    assert MACHINE_PATH.search("cd /" + "root/")
    assert not MACHINE_PATH.search("docs/work/ $HOME/root/ https://example.org/work/".replace("org/work", "org/w"))


def test_every_folder_of_modules_is_a_package() -> None:
    # import-linter does not see a module in a folder that has no __init__.py, so that no fence would hold it.
    assert not {str(m.parent.relative_to(ROOT)) for m in MODULES if not (m.parent / "__init__.py").exists()} - {"src"}


def test_nothing_that_is_made_would_be_tracked() -> None:
    made = re.compile(r"(^|/)(\.venv|build|dist|site|__pycache__|\.hypothesis|\.(pytest|mypy|ruff)_cache)/|\.pyc$")
    assert not [name for path in tracked_files() if made.search(name := str(path.relative_to(ROOT)))]


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_module_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_MODULE


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_every_function_is_short(path: Path) -> None:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    lengths = {
        f"{node.name} at line {node.lineno}": (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, functions)
    }
    assert not {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION}


def test_the_continuous_integration_script_forbids_skips_and_runs_everything() -> None:
    script = ROOT / ".ci" / "run"
    text = script.read_text()
    assert os.access(script, os.X_OK)
    assert "export STREAMGAUGE_NO_SKIP=1" in text
    assert all(re.search(rf"^(step|make) {target}\b", text, re.MULTILINE) for target in ("check", "docs", "test"))


@pytest.mark.parametrize("target", ["demo", "test", "check", "docs", "bench", "clean", "help"])
def test_make_has_the_target(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_version_is_told_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" not in project
    assert streamgauge.__version__ == "0.1.0.dev0"


def test_importing_the_package_imports_no_library() -> None:
    code = "import streamgauge, sys; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"duckdb", "sqlglot", "sqlalchemy", "pyarrow", "numpy", "typer", "rich"} & set(done.stdout.split())


@pytest.mark.parametrize("name", streamgauge.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(streamgauge, name) is not None


def test_no_module_hides_a_public_name() -> None:
    # Once imported, a module `streamgauge.report` would stand in the package in place of the function.
    modules = {path.stem for path in (ROOT / "src" / "streamgauge").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not modules & set(streamgauge.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'raport'"):
        _ = streamgauge.raport
