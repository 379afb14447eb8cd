"""What a long-running command says, and how it ends."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streamgauge.declare import load
from streamgauge.errors import UsageError
from streamgauge.running import JsonLines, log_to, run, serve


def test_in_a_pipe_every_line_of_the_log_is_json() -> None:
    try:
        raise ValueError("of\ntwo lines")
    except ValueError:
        record = logging.LogRecord("streamgauge.x", logging.ERROR, "", 0, "ü %s", ("said",), sys.exc_info())
    record.created = 1_700_000_000.5
    text = JsonLines().format(record)
    assert "\n" not in text
    said = json.loads(text)
    assert said["time"] == "2023-11-14T22:13:20.500+00:00"
    assert (said["level"], said["logger"], said["message"]) == ("error", "streamgauge.x", "ü said")
    assert "ValueError: of\ntwo lines" in said["error"]


def test_what_is_logged_goes_to_one_place_once() -> None:
    logger = logging.getLogger("streamgauge")
    before = logger.handlers[:], logger.level, logger.propagate
    out = io.StringIO()
    try:
        log_to(io.StringIO())
        log_to(out)
        logger.info("here")
    finally:
        logger.handlers[:], logger.level, logger.propagate = before
    assert json.loads(out.getvalue())["message"] == "here"


def test_stdin_cannot_be_two_sources(tmp_path: Path) -> None:
    config = tmp_path / "streamgauge.toml"
    config.write_text(
        '[source.stdin]\ntype = "stdin"\n[statistic.s]\ntopic = "*"\nevery = "1m"\nmeasures = { n = "count()" }\n'
    )
    with pytest.raises(UsageError, match="has a source of this name"):
        run(load(config=config), str(tmp_path / "data"), "", {"port": 0}, stdin=True)
    assert not (tmp_path / "data").exists()


def test_a_log_that_is_not_there_cannot_be_served(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--log .*nowhere: no such folder"):
        serve(load(), str(tmp_path / "s.db"), str(tmp_path / "nowhere"), "live", {"port": 0})


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_exit_0(tmp_path: Path, how: signal.Signals) -> None:
    program = "from streamgauge.cli import main; main()"
    command = [sys.executable, "-c", program, "run", "--data", str(tmp_path / "data"), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        assert process.stderr is not None
        said = json.loads(process.stderr.readline())
        assert re.match(r"listening on http://127\.0\.0\.1:\d+, data in ", said["message"])
        process.send_signal(how)
        assert process.wait(10) == 0
        assert process.stderr.read() == b""


def test_a_token_is_let_in_by_the_lines_that_come_with_it() -> None:
    import tomllib

    from streamgauge.errors import UsageError
    from streamgauge.running import token_lines
    from streamgauge.serve.auth import hashed, tokens_from

    for write in (False, True):
        lines = token_lines("board-1", write)
        (made,) = tokens_from(tomllib.loads("\n".join(lines))["serve"]["tokens"])
        assert (made.name, made.sha256, made.read, made.write) == ("board-1", hashed(lines[1][2:]), True, write)
    with pytest.raises(UsageError, match="letters, digits"):
        token_lines('a" = 1', False)
