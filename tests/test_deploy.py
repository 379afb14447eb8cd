"""deploy/: the systemd unit and the Dockerfile start what exists, as nobody in particular, and write where they may."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import typer.main

from streamgauge import cli
from streamgauge.serve.auth import OPEN_PATHS
from streamgauge.serve.base import ServeSettings
from streamgauge.sources.base import STOP_WITHIN_S

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
UNIT = DEPLOY / "streamgauge.service"
IMAGE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def unit() -> ConfigParser:
    read = ConfigParser(strict=False, interpolation=None)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read_string(UNIT.read_text(encoding="utf-8"))
    return read


def instruction(name: str) -> str:
    """The last of this name, which is that of the image."""
    return re.findall(rf"(?m)^{name} (.*)$", IMAGE)[-1].strip()


def check_command(words: list[str]) -> None:
    """Raises AssertionError where there is no such command, or it has no such option."""
    command = typer.main.get_command(cli.app).commands[words[0]]  # type: ignore[attr-defined]
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known


def test_the_unit_starts_a_command_that_exists() -> None:
    program, *words = shlex.split(unit()["Service"]["ExecStart"])
    assert Path(program).name == "streamgauge"
    check_command(words)


def test_the_image_starts_a_command_that_exists() -> None:
    assert json.loads(instruction("ENTRYPOINT")) == ["streamgauge"]
    check_command(json.loads(instruction("CMD")))


def test_the_unit_is_nobody_and_writes_to_its_own_folder_alone() -> None:
    service = unit()["Service"]
    wanted = {"DynamicUser": "yes", "ProtectSystem": "strict", "NoNewPrivileges": "yes", "CapabilityBoundingSet": ""}
    assert {name: service[name] for name in wanted} == wanted
    assert "${STATE_DIRECTORY}" in service["ExecStart"]
    assert not {name for name in service if name.startswith(("ReadWrite", "Bind"))}


def test_the_unit_is_given_the_time_that_a_stop_may_take() -> None:
    assert int(unit()["Service"]["TimeoutStopSec"]) > 2 * STOP_WITHIN_S


def test_the_image_is_nobody_and_keeps_its_data_in_a_volume() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", instruction("USER"))
    words = json.loads(instruction("CMD"))
    assert words[words.index("--data") + 1] == instruction("VOLUME")


def test_the_image_is_asked_for_its_health_where_it_answers() -> None:
    port = str(ServeSettings().port)
    (path,) = re.findall(rf"http://127\.0\.0\.1:{port}(/\w+)", instruction("HEALTHCHECK"))
    assert path in OPEN_PATHS
    assert instruction("EXPOSE") == port


def test_the_image_asks_for_tokens_where_it_listens_on_every_address() -> None:
    assert "0.0.0.0" in instruction("CMD")
    assert "--insecure" not in instruction("CMD")


def test_only_what_the_image_is_made_of_is_sent_to_the_builder() -> None:
    sent = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for line in re.findall(r"(?m)^COPY (?!--)(.*)$", IMAGE) for word in line.split()[:-1]}
    assert sent == {name.removeprefix("./") for name in copied}


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        return  # what can be said of it without systemd is said above
    program = shlex.split(unit()["Service"]["ExecStart"])[0]
    (tmp_path / UNIT.name).write_text(UNIT.read_text(encoding="utf-8").replace(program, "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / UNIT.name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    said = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (done.returncode, said) == (0, [])
