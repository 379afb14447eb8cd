"""Cells from a shell: what REST answers, of a store and of a URL, once and again and again."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgauge.asking import InProcess, OverHttp, Where, answer, asking, chosen
from streamgauge.cells_command import CellsView, check_cells, follow, show_cells
from streamgauge.declare import Declarations, load
from streamgauge.errors import RetryableError, UsageError
from streamgauge.listed import Listed
from streamgauge.output import write
from streamgauge.output.present import Query
from tests.serve.serving import declared, made, opened, reported, served


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Declarations, Path]:
    folder = tmp_path_factory.mktemp("cells")
    return folder, *made(folder)


@pytest.fixture(scope="module")
def local(made_up: tuple[Path, Declarations, Path]) -> Iterator[InProcess]:
    _, loaded, store = made_up
    found = InProcess(str(store), loaded.statistics)
    yield found
    found.close()


@pytest.fixture(scope="module")
def url(made_up: tuple[Path, Declarations, Path]) -> Iterator[str]:
    _, loaded, store = made_up
    with opened(loaded, store) as station, served(station) as found:
        yield found


def shown(service: InProcess | OverHttp, name: str = "quality", **more: object) -> str:
    out = io.StringIO(newline="")
    show_cells(service, CellsView(name, **more), out)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.mark.parametrize("format_", ["table", "json", "ndjson", "csv"])
def test_a_store_and_a_url_show_the_same(local: InProcess, url: str, format_: str) -> None:
    wanted = {"every": "1h", "order": "-attempts", "limit": 7, "format": format_}
    assert shown(local, **wanted) == shown(OverHttp(url), **wanted)


def test_all_rows_are_shown_unless_told(local: InProcess) -> None:
    every = [json.loads(line) for line in shown(local, every="6m", format="ndjson").splitlines()]
    assert len(every) > 100
    assert json.loads(shown(local, every="6m", format="json"))["cells"] == every
    rows = list(csv.DictReader(io.StringIO(shown(local, every="6m", format="csv"))))
    assert [row["attempts"] for row in rows] == [str(row["attempts"]) for row in every]


@pytest.mark.parametrize("name", ["quality", "pairs", "tags", "volume", "months"])
def test_a_table_is_that_of_a_report(
    made_up: tuple[Path, Declarations, Path], local: InProcess, tmp_path: Path, name: str
) -> None:
    _, loaded, _ = made_up
    made(tmp_path)
    every = loaded.statistics[name].lengths[0].text
    with reported(tmp_path, declared(tmp_path)) as report:
        out = io.StringIO()
        write("table", [(report.presenter(name), Query(every))], out)
    assert shown(local, name).startswith(out.getvalue().rstrip("\n"))


@pytest.mark.parametrize("pack", ["voip", "fedora"])
def test_a_measure_is_known_by_its_formula(pack: str) -> None:
    """Or a table of what a program says would not look as one of its declarations."""
    from streamgauge.serve.describe import _measure
    from streamgauge.serve.query import presenter_of

    for statistic in load(packs=[pack]).statistics.values():
        presenter = presenter_of(statistic)
        measures = [_measure(presenter, one) for one in presenter.shown]
        document = {"name": "n", "help": "", "keys": [], "measures": measures, "window_by": "time", "zone": "UTC"}
        found = Listed(document, "1h", None, [])
        assert [(s.columns, s.low) for s in found.shown] == [(s.columns, s.low) for s in presenter.shown]
        assert [[o.format for o in s.outputs] for s in found.shown] == [
            [o.format for o in s.outputs] for s in presenter.shown
        ]


def test_keys_and_times_mean_what_they_mean_in_rest(local: InProcess) -> None:
    rows = shown(local, every="1h", keys=("carrier=carrier-002", "carrier=carrier-010"), format="ndjson").splitlines()
    assert {json.loads(row)["carrier"] for row in rows} == {"carrier-002", "carrier-010"}
    assert shown(local, every="1h", start="-1h", format="ndjson") == ""
    merged = json.loads(shown(local, every="1d", by="", format="json"))
    assert merged["rollup"] == []


@pytest.mark.parametrize(
    ("view", "said"),
    [
        ({"format": "tabel"}, "did you mean table?"),
        ({"limit": 0}, "--limit 0: is 1 to 1000"),
        ({"keys": ("carrier",)}, "write NAME=VALUE"),
        ({"live": True, "format": "csv"}, "a table on a terminal, and NDJSON in a pipe"),
    ],
)
def test_what_is_wrong_is_said_before_anybody_is_asked(view: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        check_cells(CellsView("quality", **view))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "view", "said"),
    [
        ("qualty", {}, "did you mean quality"),
        ("quality", {"every": "7m"}, "every"),
        ("quality", {"order": "atempts"}, "did you mean attempts"),
        ("quality", {"start": "soon"}, "start: 'soon' is not a time"),
        ("../healthz", {}, "there is no"),
    ],
)
def test_what_rest_refuses_is_refused_in_its_words(
    local: InProcess, url: str, name: str, view: dict[str, object], said: str
) -> None:
    for service in (local, OverHttp(url)):
        with pytest.raises(UsageError, match=said):
            shown(service, name, **view)


def test_cells_of_other_definitions_are_not_taken_for_silence(
    made_up: tuple[Path, Declarations, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, store = made_up
    (tmp_path / "d.toml").write_text('[statistic.quality]\ntopic = "x"\nevery = ["1h"]\nmeasures = { n = "count()" }\n')
    other = InProcess(str(store), load(files=[tmp_path / "d.toml"]).statistics)
    assert shown(other, format="ndjson") == ""
    other.close()
    assert "the store has no cells of quality as it is declared here" in capsys.readouterr().err


def test_live_in_a_pipe_says_what_has_changed_and_nothing_twice(local: InProcess) -> None:
    out, turns = io.StringIO(), iter([False, False, True])
    follow(local, CellsView("quality", every="1h", live=True), out, lambda: next(turns))
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len({(row["start"], row["row"], row["carrier"]) for row in rows}) == len(rows) > 10
    assert [row["start_ms"] for row in rows] == sorted(row["start_ms"] for row in rows)


def test_live_ends_when_nobody_reads_any_more(made_up: tuple[Path, Declarations, Path]) -> None:
    folder, _, store = made_up
    options = ["--store", str(store), "-d", str(folder / "declarations.toml"), "--every", "1d", "--live"]
    main = "import sys; from streamgauge.cli import main; main()"
    command = [sys.executable, "-c", main, "cells", "quality", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["statistic"] == "quality"
        process.stdout.close()
        assert process.wait(20) == 0
        assert process.stderr.read() == b""


def test_one_of_data_store_and_url(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--data and --url: give one of them"):
        chosen(Where(data="x", url="y"))
    assert chosen(Where(store="s")) == Where(store="s")
    with pytest.raises(UsageError, match=f"--data {tmp_path}: has no store.db"):
        asking(Where(data=str(tmp_path)), {}).__enter__()


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://h:port", "http://u:p@h", "http://h/?a=b"])
def test_what_is_no_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        OverHttp(url)
    assert "u:p" not in str(refused.value)


def test_a_token_is_in_no_message() -> None:
    assert "secret" not in repr(Where(url="http://h", token="secret"))
    with pytest.raises(UsageError) as refused:
        OverHttp("http://h", "sec\nret")
    assert "ret" not in str(refused.value).replace("characters", "")


def test_nobody_there_is_no_mistake_of_the_command() -> None:
    with pytest.raises(RetryableError, match="does not answer"):
        answer(OverHttp("http://127.0.0.1:1"), "/healthz")
