"""A run with STREAMGAUGE_NO_SKIP=1 fails where a test is skipped, with and without worker processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")

PASSES = "def test_passes():\n    pass\n"
SKIPS = "import pytest\n\ndef test_skips():\n    pytest.skip('no server')\n"
SKIPS_BY_MARK = "import pytest\n\n@pytest.mark.skip(reason='not now')\ndef test_skips():\n    pass\n"
SKIPS_MODULE = "import pytest\n\npytest.importorskip('no_such_library')\n"
EXPECTED_TO_FAIL = "import pytest\n\n@pytest.mark.xfail(reason='known')\ndef test_fails():\n    assert False\n"


def run_tests(folder: Path, text: str, no_skip: str, workers: str) -> subprocess.CompletedProcess[str]:
    """Run one test file under a copy of our conftest, as a user's shell would."""
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "test_one.py").write_text(text + "\n\n" + PASSES)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "STREAMGAUGE"))}
    environment["STREAMGAUGE_NO_SKIP"] = no_skip
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", workers, "."]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SKIPS, "test_one.py::test_skips: Skipped: no server"),
        (SKIPS_BY_MARK, "test_one.py::test_skips: Skipped: not now"),
        (SKIPS_MODULE, "test_one.py: Skipped: could not import 'no_such_library'"),
        (EXPECTED_TO_FAIL, "test_one.py::test_fails: expected to fail (known)"),
    ],
)
def test_a_skipped_test_fails_the_run_and_is_named(tmp_path: Path, text: str, reason: str, workers: str) -> None:
    done = run_tests(tmp_path, text, "1", workers)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert reason in done.stdout


def test_without_the_variable_a_skipped_test_is_only_reported(tmp_path: Path) -> None:
    assert run_tests(tmp_path, SKIPS, "0", "0").returncode == pytest.ExitCode.OK


def test_with_nothing_skipped_the_run_passes(tmp_path: Path) -> None:
    assert run_tests(tmp_path, "", "1", "0").returncode == pytest.ExitCode.OK
