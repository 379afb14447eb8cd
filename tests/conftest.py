"""Rules for the whole run: hypothesis without deadlines, and no skipped test where STREAMGAUGE_NO_SKIP=1."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

NO_SKIP = os.environ.get("STREAMGAUGE_NO_SKIP") == "1"

# A deadline measures the machine and not the code. Found examples are printed as a decorator that repeats them.
_CALM = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", _CALM)
settings.register_profile("thorough", _CALM, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

_SKIPPED = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SKIPPED] = []
    if NO_SKIP and not hasattr(config, "workerinput"):
        config.pluginmanager.register(NoSkip(config), "streamgauge-no-skip")


class NoSkip:
    """Fails the run if a test or a module was skipped, or a test is expected to fail, and names each."""

    def __init__(self, config: pytest.Config) -> None:
        self.skipped = config.stash[_SKIPPED]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped or hasattr(report, "wasxfail"):
            self.skipped.append(f"{report.nodeid}: {_reason(report)}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.skipped.append(f"{report.nodeid}: {_reason(report)}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.skipped and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.skipped:
            terminalreporter.section("skipped, which STREAMGAUGE_NO_SKIP=1 forbids", red=True)
            for line in sorted(set(self.skipped)):
                terminalreporter.line(line)


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    expected = getattr(report, "wasxfail", None)
    if expected is not None:
        return f"expected to fail ({expected})" if expected else "expected to fail"
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
