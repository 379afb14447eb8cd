"""The command line as people use it: a process, real files, a real pipe."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streamgauge.cli import main
from tests.declaring import CALLS, QUALITY

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"duckdb", "sqlglot", "sqlalchemy", "pyarrow", "numpy", "rich", "msgpack", "zstandard"}
MAIN = [sys.executable, "-c", "from streamgauge.cli import main; main()"]
T0 = 1_700_000_000_000


def run(*args: str, cwd: Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*MAIN, *args], cwd=cwd, input=stdin, capture_output=True, check=False, env=_env())
    return subprocess.CompletedProcess(args, done.returncode, done.stdout.decode(), done.stderr.decode())


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "200"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my.toml").write_text(CALLS + QUALITY)
    lines = [
        {
            "kind": "call",
            "topic": "cdr",
            "time": t,
            "end": t,
            "id": str(n),
            "carrier": "ab"[n % 2],
            "answer": t if n else None,
        }
        for n, t in enumerate(range(T0, T0 + 10 * 60_000, 60_000))
    ]
    (tmp_path / "calls.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


class TestHelp:
    def test_it_imports_nothing_heavy(self, tmp_path: Path) -> None:
        code = (
            "import sys; sys.argv = ['streamgauge', '--help']\n"
            "from streamgauge.cli import main\n"
            "try: main()\n"
            "except SystemExit as e: print(e.code, *sorted({m.split('.')[0] for m in sys.modules}))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=_env(), check=True)
        code_and_modules = done.stdout.splitlines()[-1].split()
        assert code_and_modules[0] == "0"
        assert not HEAVY & set(code_and_modules)

    @pytest.mark.parametrize("command", ["report", "check", "explain", "init"])
    def test_every_command_has_it(self, command: str, tmp_path: Path) -> None:
        done = run(command, "--help", cwd=tmp_path)
        assert done.returncode == 0
        assert done.stdout.startswith("Usage: ")

    def test_the_version(self, tmp_path: Path) -> None:
        from streamgauge import __version__

        assert run("--version", cwd=tmp_path).stdout == f"{__version__}\n"


class TestReport:
    def test_without_pack_and_declarations_events_are_counted_by_topic(self, folder: Path) -> None:
        done = run("report", "calls.jsonl", "--format", "ndjson", cwd=folder)
        assert done.returncode == 0
        assert [(r["topic_name"], r["count"]) for r in map(json.loads, done.stdout.splitlines())] == [("cdr", 10)]
        assert "10 events" in done.stderr

    def test_csv_by_keys(self, folder: Path) -> None:
        done = run(
            "report", "calls.jsonl", "-d", "my.toml", "--every", "1h", "--by", "carrier", "-f", "csv", cwd=folder
        )
        assert [line.split(",")[8] for line in done.stdout.splitlines()] == ["carrier", "a", "b"]

    def test_standard_input_with_a_condition(self, folder: Path) -> None:
        data = gzip.compress((folder / "calls.jsonl").read_bytes())
        args = ("-d", "my.toml", "--where", "carrier = 'a'", "--every", "1h", "--format", "json", "-q")
        done = run("report", "-", *args, cwd=folder, stdin=data)
        assert [row["attempts"] for row in json.loads(done.stdout)] == [5]
        assert done.stderr == ""

    def test_the_configuration_of_the_folder_is_read(self, folder: Path) -> None:
        (folder / "streamgauge.toml").write_text(CALLS + QUALITY + '[report]\ninput = "csv"\n')
        done = run("report", "calls.jsonl", "--input", "ndjson", "-f", "csv", "-q", cwd=folder)
        assert done.stdout.startswith("statistic,every")
        assert "quality,6m" in done.stdout

    def test_a_file_is_written(self, folder: Path) -> None:
        done = run("report", "calls.jsonl", "-f", "csv", "-o", "out.csv", cwd=folder)
        assert (done.returncode, done.stdout) == (0, "")
        assert (folder / "out.csv").read_text().startswith("statistic,every")

    def test_a_store_goes_on_where_it_was(self, folder: Path) -> None:
        args = ("-d", "my.toml", "--every", "1h", "--by", "", "-f", "ndjson", "-q", "--store", "s.db")
        first = run("report", "calls.jsonl", *args, cwd=folder)
        second = run("report", "calls.jsonl", *args, "--finish", cwd=folder)
        assert [json.loads(d.stdout)["attempts"] for d in (first, second)] == [10, 10]
        assert [json.loads(d.stdout)["state"] for d in (first, second)] == ["provisional", "final"]

    def test_inputs_that_cannot_be_read_are_named_and_the_others_reported(self, folder: Path) -> None:
        (folder / "empty.jsonl").write_text("")
        (folder / "cut.gz").write_bytes(gzip.compress((folder / "calls.jsonl").read_bytes() * 50)[:-40])
        (folder / "binary").write_bytes(bytes(range(256)) * 20)
        done = run(
            "report", "calls.jsonl", ".", "none.jsonl", "empty.jsonl", "cut.gz", "binary", "-f", "csv", "-q", cwd=folder
        )
        assert done.returncode == 1
        assert "cdr" in done.stdout
        for name in (
            "none.jsonl: no such file",
            "empty.jsonl: is empty",
            "cut.gz: ended early",
            "binary: ",
            ".: is a folder",
        ):
            assert name in done.stderr

    def test_quiet_still_names_what_could_not_be_read(self, folder: Path) -> None:
        done = run("report", "none.jsonl", "-q", cwd=folder)
        assert (done.returncode, done.stderr) == (1, "error: none.jsonl: no such file\n")

    def test_dead_letters_are_written(self, folder: Path) -> None:
        (folder / "bad.jsonl").write_bytes(b'{"time": 1}\nnot JSON\n{"x": 1}\n\xff\n')
        run("report", "bad.jsonl", "--dead-letters", "dead.jsonl", cwd=folder)
        letters = [json.loads(line) for line in (folder / "dead.jsonl").read_text().splitlines()]
        assert [(d["line"], d.get("text"), d.get("base64")) for d in letters] == [
            (2, "not JSON", None),
            (3, '{"x": 1}', None),
            (4, None, "/w=="),
        ]

    def test_the_summary_as_json(self, folder: Path) -> None:
        done = run("report", "calls.jsonl", "--summary", "json", cwd=folder)
        assert json.loads(done.stderr)["events"] == 10


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        (["report"], "Missing argument"),
        (["report", "x", "--limit", "-1"], "--limit"),
        (["report", "x", "--limit", "ten"], "--limit"),
        (["report", "x", "--workers", "100"], "--workers"),
        (["report", "x", "--nothing"], "--nothing"),
        (["rport"], "rport"),
        (["report", "x", "--format", "cvs"], "error: --format 'cvs': unknown format; did you mean csv?"),
        (["report", "x", "--format", "csv", "-p", "voip"], "error: --format csv holds one table; choose one with"),
        (["report", "x", "--start", "soon"], "error: --start 'soon': not a time"),
        (["report", "x", "--tz", "Mars"], "error: --tz: 'Mars': unknown time zone"),
        (["report", "x", "--zone", "Mars"], "error: --zone: 'Mars': unknown time zone"),
        (["report", "x", "--time", "body."], "error: --time: 'body.'"),
        (["report", "x", "--time-unit", "sec"], "error: --time-unit"),
        (["report", "x", "--max-line", "big"], "error: --max-line: 'big' is no size"),
        (["report", "x", "--lateness", "1"], "error: --lateness: '1': not a duration"),
        (["report", "x", "--input", "parqet"], "error: --input 'parqet': unknown form; did you mean parquet?"),
        (["report", "x", "--order", "nothing"], "nothing"),
        (["report", "x", "-o", "no/folder/x"], "error: --output no/folder/x: cannot be written"),
        (["report", "x", "--where", "body.x >"], "error: --where: 'body.x >'"),
        (["report", "x", "-p", "viop"], "error: pack: unknown pack 'viop'; did you mean voip?"),
        (["report", "x", "-d", "none.toml"], "error: none.toml: declarations: no such file"),
        (["report", "x", "-c", "none.toml"], "error: --config none.toml: no such file"),
        (["report", "x", "-p", "voip", "--set", "min_calls"], "error: --set 'min_calls': write name=value"),
        (
            ["report", "x", "-p", "voip", "--set", "min_calls=few"],
            "parameter 'min_calls': is 'few', expected an integer",
        ),
        (["report", "x", "-p", "voip", "-s", "carier_quality"], "did you mean carrier_quality?"),
        (["explain", "x", "-p", "voip"], "error: unknown statistic 'x'"),
        (["explain"], "error: no statistic is declared; name a --pack or --declarations"),
        (["init", "viop"], "error: unknown pack 'viop'; did you mean voip?"),
        (["init", "voip", "-o", "no/folder/x"], "error: no/folder/x: cannot be written"),
        (["check", "none.toml"], "none.toml: declarations: no such file"),
    ],
)
def test_a_mistake_is_a_line_and_the_code_2(
    folder: Path, args: list[str], wanted: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["streamgauge", *args])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    assert end.value.code == 2, said
    assert wanted in (said.out if args[0] == "check" else said.err)


def test_every_mistake_of_every_file_is_said_at_once(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "a.toml").write_text("[statistic.a\n")
    (folder / "more" / "b.py").write_text("1 / 0\n")
    (folder / "my.toml").write_text((CALLS + QUALITY).replace("count()", "cuont()"))
    done = run("check", "my.toml", "more", cwd=folder)
    assert done.returncode == 2
    assert [line.split(": ")[0] for line in done.stdout.splitlines()] == [
        "my.toml:22",
        "more/a.toml:1",
        "more/b.py:1",
        "3 mistakes",
    ]


def test_explain_and_check_of_what_is_right(folder: Path) -> None:
    assert run("check", "my.toml", cwd=folder).stdout == "ok: statistics quality; shapes call\n"
    assert "asr = proportion(answered, attempts)" in run("explain", "quality", "-d", "my.toml", cwd=folder).stdout
    assert "filled by flat" in run("explain", "-d", "my.toml", cwd=folder).stdout


def test_init_writes_a_file_that_every_command_reads_and_not_over_another(folder: Path) -> None:
    assert run("init", "voip", cwd=folder).returncode == 0
    assert "statistics carrier_quality" in run("check", "streamgauge.toml", cwd=folder).stdout
    assert run("explain", "carrier_quality", "--no-sql", cwd=folder).returncode == 0
    again = run("init", "voip", cwd=folder)
    assert (again.returncode, "--force writes over it" in again.stderr) == (2, True)
    assert run("init", "fedora", "--force", cwd=folder).returncode == 0
    assert 'packs = ["fedora"]' in (folder / "streamgauge.toml").read_text()


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_a_reader_that_stops_early_is_no_error(folder: Path, form: str) -> None:
    events = "".join(f'{{"topic": "t{n}", "time": {T0}}}\n' for n in range(20_000))
    (folder / "many.jsonl").write_text(events)
    command = [*MAIN, "report", "many.jsonl", "--format", form, "-q"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_env()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        assert (process.wait(), said) == (0, b"")


def test_interrupted_it_says_so_in_a_word(folder: Path) -> None:
    command = [*MAIN, "report", "-"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder, env=_env(), **pipes) as process:  # type: ignore[call-overload]
        process.stdin.write(b'{"time": 1}\n')
        process.stdin.flush()
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        process.stdin.close()
        said = process.stderr.read().decode()
        assert process.wait() == 130, said
        assert "Traceback" not in said


class TestHostileUse:
    """What is asked wrongly costs nothing that was there, and ends in a sentence."""

    @pytest.mark.parametrize("option", ["--output", "--dead-letters"])
    def test_an_input_is_never_written_over(self, folder: Path, option: str) -> None:
        before = (folder / "calls.jsonl").read_bytes()
        done = run("report", "calls.jsonl", "-d", "my.toml", option, "./calls.jsonl", cwd=folder)
        assert done.returncode == 2
        assert "is one of the inputs" in done.stderr
        assert (folder / "calls.jsonl").read_bytes() == before

    def test_an_unknown_order_is_refused_before_the_output_is_opened(self, folder: Path) -> None:
        (folder / "keep.txt").write_text("precious")
        done = run("report", "calls.jsonl", "-d", "my.toml", "--order", "callz", "-o", "keep.txt", cwd=folder)
        assert done.returncode == 2
        assert "has no such column" in done.stderr
        assert (folder / "keep.txt").read_text() == "precious"

    @pytest.mark.parametrize("form", ["table", "csv", "json", "parquet"])
    def test_a_full_disk_is_said_without_a_traceback(self, folder: Path, form: str) -> None:
        done = run("report", "calls.jsonl", "-d", "my.toml", "--every", "1h", "-f", form, "-o", "/dev/full", cwd=folder)
        assert done.returncode == 2
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize(("closing", "said"), [(">&-", "standard output is closed"), ("<&-", "input is closed")])
    def test_a_closed_stream_is_said(self, folder: Path, closing: str, said: str) -> None:
        code = "from streamgauge.cli import main; main()"
        shell = f"'{sys.executable}' -c '{code}' report - -d my.toml {closing}"
        done = subprocess.run(["sh", "-c", shell], cwd=folder, capture_output=True, check=False, env=_env())
        assert done.returncode in (1, 2)
        assert said in done.stderr.decode()
        assert b"Traceback" not in done.stderr

    def test_a_device_is_no_declaration(self, folder: Path) -> None:
        done = run("check", "/dev/full", cwd=folder)
        assert done.returncode == 2
        assert "is a device" in done.stdout

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--finish"], "--finish goes with --store"),
            (["--store", ""], "--store: is an empty text"),
            (["--set", "a=1", "--set", "a=2"], "--set a: is given twice"),
        ],
    )
    def test_an_option_without_effect_is_refused(self, folder: Path, options: list[str], said: str) -> None:
        done = run("report", "calls.jsonl", "-d", "my.toml", *options, cwd=folder)
        assert (done.returncode, said in done.stderr) == (2, True)

    def test_a_time_that_is_the_same_for_all_still_has_a_unit(self, folder: Path) -> None:
        (folder / "n.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
        done = run("report", "n.jsonl", "--time", "1700000000000", "-f", "ndjson", "-q", cwd=folder)
        assert [json.loads(line)["events"] for line in done.stdout.splitlines()] == [2]
