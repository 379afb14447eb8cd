"""Dead letters from a shell: listed, shown and replayed, over a store and over a program."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgauge.asking import InProcess, OverHttp
from streamgauge.errors import UsageError
from streamgauge.letters_command import LetterQuery, list_letters, replay_letters, show_letter
from tests.exactly_once.trial import Trial, trial
from tests.serve.serving import made
from tests.test_letters import CONFIG, counted, mend, post, record


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    _, store = made(tmp_path_factory.mktemp("letters"))
    found = InProcess(str(store), {})
    yield found
    found.close()


@pytest.fixture
def mended(tmp_path: Path) -> Iterator[Trial]:
    with trial(tmp_path, {}) as found:
        (tmp_path / "streamgauge.toml").write_text(CONFIG)
        found.start()
        post(found, "/v1/events?source=pbx", b"\n".join(record(n) for n in range(3)))
        mend(found)
        yield found


def listed(asking: InProcess | OverHttp, wanted: LetterQuery, limit: int = 100, format_: str = "table") -> str:
    out = io.StringIO()
    list_letters(asking, wanted, limit, format_, out)
    return out.getvalue()


def test_a_list_has_a_line_for_each(local: InProcess) -> None:
    heads, *lines = listed(local, LetterQuery()).splitlines()
    assert heads.split() == ["position", "received", "source", "state", "reason", "message"]
    assert [line.split()[-1] for line in lines] == ["{nonsense", "base64"] or len(lines) == 2
    assert listed(local, LetterQuery(reason="no such")) == "no dead letters\n"


def test_a_list_as_json_and_ndjson_holds_the_same(local: InProcess) -> None:
    found = json.loads(listed(local, LetterQuery(), format_="json"))
    assert [json.loads(line) for line in listed(local, LetterQuery(), format_="ndjson").splitlines()] == found
    assert len(json.loads(listed(local, LetterQuery(), 1, "json"))) == 1


def test_one_is_shown_with_its_bytes(local: InProcess) -> None:
    position = json.loads(listed(local, LetterQuery(), 1, "ndjson"))["position"]
    out = io.StringIO()
    show_letter(local, position, "text", out)
    assert f"position: {position}\n" in out.getvalue()
    assert out.getvalue().endswith("\n{nonsense\n")
    raw = io.TextIOWrapper(io.BytesIO())
    show_letter(local, position, "raw", raw)
    raw.flush()
    assert raw.buffer.getvalue() == b"{nonsense"  # type: ignore[attr-defined]


def test_what_is_not_there_is_said(local: InProcess) -> None:
    with pytest.raises(UsageError, match="there is no dead letter at position 99999"):
        show_letter(local, 99_999, "text", io.StringIO())
    with pytest.raises(UsageError, match="did you mean table"):
        listed(local, LetterQuery(), format_="tabel")
    with pytest.raises(UsageError, match="neither new nor replayed"):
        listed(local, LetterQuery(state="old"))


def test_a_store_alone_replays_nothing_and_says_who_would(local: InProcess) -> None:
    with pytest.raises(UsageError, match="writes no log; ask the program that does"):
        replay_letters(local, LetterQuery(), "text", io.StringIO())


def test_a_replay_goes_on_until_none_is_left(mended: Trial) -> None:
    out = io.StringIO()
    asking = OverHttp(f"http://127.0.0.1:{mended.port}")
    assert replay_letters(asking, LetterQuery(source="pbx"), "text", out) == 0
    assert out.getvalue() == "replayed 3: 3 accepted, 0 duplicates, 0 still bad\n"
    assert counted(mended) == {"cdr": 3}
    again = io.StringIO()
    assert replay_letters(asking, LetterQuery(), "json", again) == 0
    assert json.loads(again.getvalue())["replayed"] == 0


def test_the_command_takes_its_token_from_the_environment_and_never_shows_it(mended: Trial) -> None:
    main = "from streamgauge.cli import main; main()"
    command = [sys.executable, "-c", main, "dead-letters", "list", "--url", f"http://127.0.0.1:{mended.port}"]
    environment = {**os.environ, "STREAMGAUGE_TOKEN": "very-secret"}
    for more in ([], ["--help"], ["--state", "wrong"]):
        done = subprocess.run([*command, *more], capture_output=True, text=True, env=environment, check=False)
        assert "very-secret" not in done.stdout + done.stderr
        assert done.returncode == (2 if "wrong" in more else 0)
