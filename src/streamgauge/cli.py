"""The command line. Only parses, prints and exits: everything else is imported when a command runs."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamgauge.errors import DeclarationError, StreamgaugeError, UsageError

if TYPE_CHECKING:
    from streamgauge.app import ReportOptions
    from streamgauge.declare import Declarations
    from streamgauge.view import View

app = typer.Typer(
    help="Windowed statistics of events, correct to the last digit, at the speed JSON can be parsed.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

CONFIG = "streamgauge.toml"

PackOption = Annotated[list[str] | None, typer.Option("--pack", "-p", help="A pack (voip, fedora) or its TOML file.")]
DeclarationsOption = Annotated[
    list[str] | None, typer.Option("--declarations", "-d", help="A TOML or Python file of declarations, or a folder.")
]
ConfigOption = Annotated[
    str, typer.Option("--config", "-c", help="The configuration; ./streamgauge.toml if it exists.")
]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="A pack's parameter, e.g. min_calls=50.")]
WhereOption = Annotated[str, typer.Option(help="Count only events for which this SQL condition holds.")]


def main() -> None:
    """Run the command line; what was given wrongly ends with a sentence and exit code 2."""
    try:
        app()
    except DeclarationError as e:
        for mistake in e.mistakes:
            print(f"error: {mistake}", file=sys.stderr)
        sys.exit(e.exit_code)
    except StreamgaugeError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(e.exit_code)
    except OSError as e:
        # What we read is handled where it is read: this is an output, such as a full disk.
        _give_up_output()
        print(f"error: cannot write: {e.strerror or e}; nothing more is written", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _give_up_output() -> None:
    """Send what is still buffered nowhere, so that closing standard output does not fail again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _to_a_pipe(command: Callable[..., None]) -> Callable[..., None]:
    """The same command, for which it is no error when the reader of its output has seen enough (``| head``)."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        if sys.stdout is None:
            raise UsageError("standard output is closed; send it to /dev/null if it is not wanted")
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:
            _give_up_output()
            raise typer.Exit(0) from None

    return run


def _version(value: bool) -> None:
    if value:
        from streamgauge import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Windowed statistics of events, correct to the last digit, at the speed JSON can be parsed."""


@app.command()
@_to_a_pipe
def report(
    files: Annotated[list[str], typer.Argument(help="Files or globs of events, or - for standard input.")],
    pack: PackOption = None,
    declarations: DeclarationsOption = None,
    config: ConfigOption = "",
    parameters: SetOption = None,
    statistic: Annotated[list[str] | None, typer.Option("--statistic", "-s", help="Show only this statistic.")] = None,
    every: Annotated[list[str] | None, typer.Option(help="Show only this window length, e.g. 6m.")] = None,
    by: Annotated[str | None, typer.Option(help="Roll up to these keys, e.g. carrier; an empty text for none.")] = None,
    where: WhereOption = "",
    start: Annotated[str, typer.Option(help="Show windows from this time on (ISO 8601, or epoch s or ms).")] = "",
    stop: Annotated[str, typer.Option(help="Show windows that start before this time.")] = "",
    order: Annotated[str, typer.Option(help="Order by this column; -COLUMN for descending.")] = "",
    limit: Annotated[int | None, typer.Option(help="Show at most so many rows of each statistic.", min=0)] = None,
    tz: Annotated[str, typer.Option(help="Write times in this zone.")] = "UTC",
    format_: Annotated[
        str, typer.Option("--format", "-f", help="table, json, ndjson, csv, parquet or arrow.")
    ] = "table",
    output: Annotated[str, typer.Option("--output", "-o", help="Write here instead of standard output.")] = "-",
    csv_safe: Annotated[bool, typer.Option("--csv-safe", help="Quote texts that a spreadsheet would run.")] = False,
    form: Annotated[str, typer.Option("--input", help="ndjson, json, csv or parquet; else told from content.")] = "",
    time: Annotated[str, typer.Option(help="Where an event's time is, e.g. body.end.")] = "",
    time_unit: Annotated[str, typer.Option(help="s, ms, us, ns or iso; else told from each first block.")] = "",
    topic: Annotated[str, typer.Option(help="Where an event's topic is, e.g. body.kind.")] = "",
    id_: Annotated[str, typer.Option("--id", help="Where an event's id is: duplicates are counted once.")] = "",
    zone: Annotated[str, typer.Option(help="Zone of ISO times that have none; UTC.")] = "",
    lateness: Annotated[str, typer.Option(help="How far behind its newest event a file is complete; unlimited.")] = "",
    max_line: Annotated[str, typer.Option(help="The longest line; 16MB.")] = "",
    store: Annotated[str | None, typer.Option(help="Keep results here, and go on from here in the next run.")] = None,
    finish: Annotated[bool, typer.Option("--finish", help="With --store: nothing more comes, all is final.")] = False,
    workers: Annotated[int, typer.Option(help="Threads that decode; 2.", min=0, max=64)] = 0,
    dead_letters: Annotated[str, typer.Option(help="Write the lines that are no events here, as NDJSON.")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No summary on standard error.")] = False,
    summary: Annotated[str, typer.Option(help="The summary on standard error: text or json.")] = "text",
) -> None:
    """Compute statistics over files of events, and print them."""
    from streamgauge import app as program
    from streamgauge import view

    shown = tuple(statistic or ()), tuple(every or ()), _names(by), start, stop, order, limit, tz
    wanted = view.View(*shown, format_, output, csv_safe)
    view.check_view(wanted, summary)
    loaded = _load(pack, declarations, config, parameters, where, default=True)
    chosen = view.choose(loaded, wanted)
    view.check_before(loaded, wanted, dead_letters, files)
    given = program.Given(form, time, time_unit, topic, id_, zone, lateness, max_line, _store(store), finish, workers)
    options = program.options_of(loaded, given)
    if not options.store:
        loaded = program.narrowed(loaded, chosen, where)
    _run(files, loaded, options, wanted, dead_letters, "" if quiet else summary)


def _run(
    files: Sequence[str], loaded: Declarations, options: ReportOptions, wanted: View, dead_letters: str, summary: str
) -> None:
    from streamgauge import app as program
    from streamgauge import view

    with view.progress() as on_progress, program.run_report(files, loaded, options, None, on_progress) as found:
        on_progress(None, None)
        view.show(found, wanted, summary)
        view.show_beside(found, dead_letters, summary)
        problems = bool(found.summary["problems"])
    raise typer.Exit(1 if problems else 0)


DataOption = Annotated[str, typer.Option(help="The folder of log and store.")]


@app.command("run")
def run_(
    pack: PackOption = None,
    declarations: DeclarationsOption = None,
    config: ConfigOption = "",
    parameters: SetOption = None,
    data: DataOption = "./streamgauge-data",
    store: Annotated[str, typer.Option(help="The store's path or URL; store.db in the data folder.")] = "",
    host: Annotated[str | None, typer.Option(help="Listen on this address; 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Listen on this port, 0 for a free one; 8080.", min=0)] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen elsewhere than on loopback, no token.")] = False,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read NDJSON from standard input, too.")] = False,
) -> None:
    """Attach to sources and keep statistics of their events, served over HTTP, until a signal comes."""
    from streamgauge import running

    loaded = _load(pack, declarations, config, parameters, "", default=True)
    given = {"host": host, "port": port, "insecure": insecure or None}
    raise typer.Exit(running.run(loaded, data, store, given, stdin))


@app.command()
def serve(
    store: Annotated[str, typer.Option(help="The store's path or URL.")],
    pack: PackOption = None,
    declarations: DeclarationsOption = None,
    config: ConfigOption = "",
    parameters: SetOption = None,
    log: Annotated[str, typer.Option(help="The log's folder, for the messages behind a number.")] = "",
    reader: Annotated[str, typer.Option(help="Whose results: live (of run) or report.")] = "live",
    host: Annotated[str | None, typer.Option(help="Listen on this address; 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Listen on this port, 0 for a free one; 8080.", min=0)] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen elsewhere than on loopback, no token.")] = False,
) -> None:
    """Serve a store that a run or a report writes or wrote; as many at a time as you like."""
    from streamgauge import running

    loaded = _load(pack, declarations, config, parameters, "", default=True)
    given = {"host": host, "port": port, "insecure": insecure or None}
    raise typer.Exit(running.serve(loaded, store, log, reader, given))


@app.command()
@_to_a_pipe
def demo(
    calls: Annotated[int, typer.Option(help="Call records to play.", min=1000, max=10_000_000)] = 200_000,
    seconds: Annotated[float, typer.Option(help="How long the day takes.", min=1, max=86_400)] = 15,
    seed: Annotated[int, typer.Option(help="Another day of the same kind.", min=0, max=2**31)] = 7,
    port: Annotated[int, typer.Option(help="Listen on this port; 0 is a free one.", min=0, max=65_535)] = 0,
) -> None:
    """Play a made-up day of calls and bus messages into a real run, and say what is found in it."""
    from streamgauge.demonstration.stop import Stop

    stop = Stop()
    stop.take_signals()  # before anything is there that a signal could leave behind
    from streamgauge.demonstration import command

    raise typer.Exit(command.run(command.Wanted(calls, seconds, seed, port), stop))


DataOfRun = Annotated[str, typer.Option("--data", help="Read the store in this folder of a run.")]
StoreToRead = Annotated[str, typer.Option("--store", help="Read this store, a path or URL.")]
UrlOption = Annotated[str, typer.Option("--url", help="Ask the program or service there, e.g. http://127.0.0.1:8080.")]
TokenOption = Annotated[
    str, typer.Option("--token", envvar="STREAMGAUGE_TOKEN", show_default=False, help="The token that --url asks for.")
]


@app.command()
@_to_a_pipe
def cells(
    statistic: Annotated[str, typer.Argument(help="A statistic.")],
    every: Annotated[str, typer.Option(help="Length of the windows; the first declared unless told.")] = "",
    key: Annotated[list[str] | None, typer.Option(help="Only this key: NAME=VALUE, NAME__prefix=TEXT.")] = None,
    start: Annotated[str, typer.Option(help="From this time on: ISO 8601, epoch, -1h, today.")] = "",
    stop: Annotated[str, typer.Option(help="Windows that start before this time.")] = "",
    tz: Annotated[str, typer.Option(help="Write times in this zone, and read those without one.")] = "",
    by: Annotated[str | None, typer.Option(help="Roll up to these keys; an empty text for none.")] = None,
    rolling: Annotated[str, typer.Option(help="Each row covers this long up to its end, e.g. 1h.")] = "",
    order: Annotated[str, typer.Option(help="asc or desc by time, or a column; -COLUMN for descending.")] = "",
    limit: Annotated[int | None, typer.Option(help="At most so many rows, 1 to 1000; all unless told.")] = None,
    format_: Annotated[str, typer.Option("--format", "-f", help="table, json, ndjson or csv.")] = "table",
    live: Annotated[bool, typer.Option("--live", help="Show the newest, again each second.")] = False,
    data: DataOfRun = "",
    store: StoreToRead = "",
    url: UrlOption = "",
    token: TokenOption = "",
    pack: PackOption = None,
    declarations: DeclarationsOption = None,
    config: ConfigOption = "",
    parameters: SetOption = None,
) -> None:
    """Show the cells of a running program, or of a store: what REST answers, from a shell."""
    from streamgauge import asking, cells_command

    names = tuple(key or ())
    view = cells_command.CellsView(statistic, every, names, start, stop, tz, by, rolling, order, limit, format_, live)
    cells_command.check_cells(view)
    where = asking.chosen(asking.Where(data, store, url, token))
    loaded = {} if where.url else _load(pack, declarations, config, parameters, "", default=True).statistics
    with asking.asking(where, loaded) as found:
        cells_command.show_cells(found, view, sys.stdout)


letters = typer.Typer(no_args_is_help=True, help="Messages that could not become events.", rich_markup_mode=None)
app.add_typer(letters, name="dead-letters")

ReasonOption = Annotated[str, typer.Option(help="Only those of this reason, e.g. 'not JSON'.")]
SourceOption = Annotated[str, typer.Option(help="Only those of this source.")]


@letters.command("list")
@_to_a_pipe
def list_(
    reason: ReasonOption = "",
    source: SourceOption = "",
    state: Annotated[str, typer.Option(help="Only these: new or replayed.")] = "",
    start: Annotated[str, typer.Option(help="Received at this time or later: ISO 8601, epoch, -1h, today.")] = "",
    stop: Annotated[str, typer.Option(help="Received before this time.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many.")] = 100,
    format_: Annotated[str, typer.Option("--format", "-f", help="table, json or ndjson.")] = "table",
    data: DataOfRun = "",
    store: StoreToRead = "",
    url: UrlOption = "",
    token: TokenOption = "",
) -> None:
    """List dead letters, the oldest first."""
    from streamgauge import asking, letters_command

    wanted = letters_command.LetterQuery(reason, source, state, start, stop)
    with asking.asking(asking.Where(data, store, url, token), {}) as found:
        letters_command.list_letters(found, wanted, limit, format_, sys.stdout)


@letters.command("show")
@_to_a_pipe
def show(
    position: Annotated[int, typer.Argument(metavar="ID", help="Its position.", min=0)],
    format_: Annotated[str, typer.Option("--format", "-f", help="text, json, or raw for the bytes alone.")] = "text",
    data: DataOfRun = "",
    store: StoreToRead = "",
    url: UrlOption = "",
    token: TokenOption = "",
) -> None:
    """Show one dead letter, with the bytes that were kept of it."""
    from streamgauge import asking, letters_command

    with asking.asking(asking.Where(data, store, url, token), {}) as found:
        letters_command.show_letter(found, position, format_, sys.stdout)


@letters.command("replay")
@_to_a_pipe
def replay(
    reason: ReasonOption = "",
    source: SourceOption = "",
    position: Annotated[int | None, typer.Option(help="Only the one at this position.", min=0)] = None,
    format_: Annotated[str, typer.Option("--format", "-f", help="text or json.")] = "text",
    url: UrlOption = "",
    token: TokenOption = "",
) -> None:
    """Append dead letters to the log again, each once: after a fix."""
    from streamgauge import asking, letters_command

    wanted = letters_command.LetterQuery(reason, source, position=position)
    with asking.asking(asking.Where(url=url or asking.DEFAULT_URL, token=token), {}) as found:
        raise typer.Exit(letters_command.replay_letters(found, wanted, format_, sys.stdout))


@app.command()
@_to_a_pipe
def token(
    name: Annotated[str, typer.Argument(help="Whose token it is, as the configuration will call it.")],
    write: Annotated[bool, typer.Option("--write", help="It may send events too, not only read.")] = False,
) -> None:
    """Make a token for the service, and the line of streamgauge.toml that lets it in."""
    from streamgauge.running import token_lines

    for line in token_lines(name, write):
        print(line)


@app.command()
@_to_a_pipe
def check(
    files: Annotated[list[str], typer.Argument(help="TOML or Python files, or folders of them.")],
    pack: PackOption = None,
    config: ConfigOption = "",
    parameters: SetOption = None,
    format_: Annotated[str, typer.Option("--format", "-f", help="text or json.")] = "text",
) -> None:
    """Find every mistake in declarations, with its place and a hint."""
    from streamgauge.explain import check_files

    raise typer.Exit(check_files(files, pack or [], _config(config), _parameters(parameters), format_))


@app.command()
@_to_a_pipe
def explain(
    statistic: Annotated[str, typer.Argument(help="A statistic; without one, what the packs have is listed.")] = "",
    pack: PackOption = None,
    declarations: DeclarationsOption = None,
    config: ConfigOption = "",
    parameters: SetOption = None,
    where: WhereOption = "",
    sql: Annotated[bool, typer.Option("--sql/--no-sql", help="Show the SQL that will run.")] = True,
) -> None:
    """Show what a statistic reads and computes, and the SQL that will run; or what a pack has."""
    from streamgauge.explain import explain_all, explain_statistic

    loaded = _load(pack, declarations, config, parameters, where, default=False)
    lines = explain_statistic(loaded, statistic, sql) if statistic else explain_all(loaded)
    for line in lines:
        print(line)


@app.command()
@_to_a_pipe
def init(
    pack: Annotated[str, typer.Argument(help="A pack: voip or fedora.")],
    output: Annotated[str, typer.Option("--output", "-o", help="The file to write.")] = CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a commented streamgauge.toml to start from."""
    from pathlib import Path

    from streamgauge.explain import starter

    text = starter(pack)
    path = Path(output)
    if path.exists() and not force:
        raise UsageError(f"{output}: is there already; --force writes over it, --output names another")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as e:
        raise UsageError(f"{output}: cannot be written: {e.strerror}") from e
    print(f"wrote {output}; now try: streamgauge report FILE")


def _load(
    pack: Sequence[str] | None,
    declarations: Sequence[str] | None,
    config: str,
    parameters: Sequence[str] | None,
    where: str,
    default: bool,
) -> Declarations:
    from streamgauge import app as program
    from streamgauge.declare import load

    loaded = load(pack or [], declarations or [], _config(config), _parameters(parameters), where)
    if loaded.statistics:
        return loaded
    if default and not declarations and not pack:
        return program.default_declarations(where, loaded.configuration)
    if not default and (loaded.shapes or loaded.packs):
        return loaded
    raise UsageError("no statistic is declared; name a --pack or --declarations")


def _config(given: str) -> str | None:
    """The configuration: the one that was named, else ./streamgauge.toml if there is one."""
    if given and not os.path.exists(given):
        raise UsageError(f"--config {given}: no such file")
    return given or (CONFIG if os.path.exists(CONFIG) else None)


def _parameters(given: Sequence[str] | None) -> dict[str, Any]:
    """``name=value`` texts, the value read as TOML where it is that, else as a text."""
    import tomllib

    result: dict[str, Any] = {}
    for text in given or ():
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise UsageError(f"--set {text!r}: write name=value, e.g. --set min_calls=50")
        if name.strip() in result:
            raise UsageError(f"--set {name.strip()}: is given twice")
        try:
            read = tomllib.loads(f"v = {value}")
            result[name.strip()] = read["v"] if list(read) == ["v"] else value
        except (ValueError, RecursionError):
            result[name.strip()] = value
    return result


def _store(given: str | None) -> str:
    if given == "":
        raise UsageError("--store: is an empty text; name a file, or leave the option out")
    return given or ""


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(n.strip() for n in text.split(",") if n.strip())
