"""Loading declarations, and that docs/declarations.md says what is true."""

from __future__ import annotations

import contextlib
import copy
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge import declare
from streamgauge import statistic as statistics
from streamgauge.declare import load
from streamgauge.errors import DeclarationError
from streamgauge.parameter import PARAMETER, PARAMETER_TYPES
from streamgauge.tomlshape import FIELD, PRODUCER, SHAPE
from tests.declaring import CALLS, QUALITY, declared, one_line, said, written

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "declarations.md").read_text()
BLOCKS = re.findall(r"^```(toml|python)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def said_of(*paths: Path, **options: Any) -> list[str]:
    try:
        load(files=paths, **options)
    except DeclarationError as e:
        return [one_line(m) for m in e.mistakes]
    return []


class TestPage:
    @pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "toml"])
    def test_every_example_in_toml_loads(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "page.toml"
        path.write_text(text)
        if "packs =" in text:
            expected = 50 if "[pack.voip]" in text else 20
            assert load(config=path).packs["voip"].values["min_calls"] == expected
            return
        packs = ["voip"] if "shape.call.producer" in text and "shape.call.fields" not in text else []
        found = load(packs, [path])
        assert found.statistics or found.shapes

    def test_every_example_in_python_loads(self, tmp_path: Path) -> None:
        path = tmp_path / "page.py"
        path.write_text(next(text for kind, text in BLOCKS if kind == "python"))
        path.write_text(path.read_text().replace("class CarrierQuality", "class MyQuality"))
        found = load(["voip"], [path]).statistics["my_quality"]
        assert found.spec.help == "Attempts, answers and post-dial delay of each carrier."

    @pytest.mark.parametrize(
        "name",
        sorted({*statistics.settings(), *SHAPE, *PRODUCER, *FIELD, *PARAMETER, *PARAMETER_TYPES, *declare.PACK}
               | {*declare.REPORT, *declare.CONFIGURATION, "measures"}),
    )  # fmt: skip
    def test_every_setting_is_mentioned(self, name: str) -> None:
        named = f"`{name}`" in PAGE or f"`[{name}]`" in PAGE
        assert named or re.search(rf"^{name} *=", PAGE, re.MULTILINE)

    def test_every_setting_of_a_statistic_has_an_example(self) -> None:
        examples = "\n".join(text for kind, text in BLOCKS if kind == "toml")
        missing = [s for s in statistics.settings() if not re.search(rf"^{s} *=", examples, re.MULTILINE)]
        assert not missing


class TestFiles:
    def test_a_folder_is_read_in_the_order_of_its_names(self, tmp_path: Path) -> None:
        written(tmp_path, CALLS, QUALITY)
        (tmp_path / "notes.txt").write_text("not a declaration")
        (tmp_path / "c.py").write_text(
            "from streamgauge import *\nclass N(Statistic):\n topic='*'\n every='1h'\n n=count()\n"
        )
        assert list(load(files=[tmp_path]).statistics) == ["quality", "n"]

    def test_a_file_that_is_named_twice_is_read_once(self, tmp_path: Path) -> None:
        paths = written(tmp_path, CALLS, QUALITY)
        assert list(load(files=[*paths, tmp_path, str(tmp_path) + "/./a.toml"]).statistics) == ["quality"]

    def test_two_files_with_the_same_statistic(self) -> None:
        (found,) = said(CALLS, QUALITY, QUALITY)
        assert found.startswith("c.toml:2: statistic 'quality': is declared twice; first at ")

    def test_what_is_not_there_is_said_and_the_rest_is_judged(self, tmp_path: Path) -> None:
        written(tmp_path, CALLS.replace("BIGINT", "BIGNT"))
        (tmp_path / "empty").mkdir()
        found = said_of(tmp_path / "b.toml", tmp_path / "empty", tmp_path / "a.toml")
        assert found[0] == "b.toml: declarations: no such file; did you mean a.toml?"
        assert found[1] == "empty: declarations: this folder holds no .toml and no .py file"
        assert len(found) > 2

    def test_every_mistake_of_every_file_in_one_run(self, tmp_path: Path) -> None:
        paths = written(
            tmp_path,
            "[statistic.a\n",
            "[statistic.b]\nevery = 5\n",
            "import nothing_of_this_name\n",
            '[statistic.d]\ntopic = "x"\nevery = "1h"\nmeasures = { n = "cuont()" }\n',
        )
        (tmp_path / "e.toml").write_bytes(b"x = '\xff'")
        found = said_of(*paths, tmp_path / "e.toml", packs=["viop"])
        starts = [
            "a.toml:1: ",
            "b.toml:1: ",
            "b.toml:1: ",
            "b.toml:2: ",
            "c.py:1: ",
            "d.toml:4: ",
            "e.toml:1: ",
            "pack: ",
        ]
        assert [f[: len(s)] for f, s in zip(found, starts, strict=True)] == starts

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("[statistics.x]\n", "table 'statistics': is unknown; did you mean statistic?"),
            ("packs = ['voip']\n", "table 'packs': is not a declaration; this file holds declarations only"),
            ("[report]\n", "table 'report': is not a declaration"),
            ("statistic = 5\n", "table 'statistic': is 5, expected a table"),
            ("[statistic]\nx = 5\n", "a.toml:2: statistic 'x': is 5, expected a table"),
            ("pack = 5\n", "table 'pack': is 5, expected a table"),
            ("[pack]\nx = 5\n", "pack 'x': is 5, expected a table"),
            ("[pack.x]\nparameters = 5\n", "parameters: is 5, expected a table of parameters"),
        ],
    )
    def test_a_table_that_cannot_be(self, text: str, wanted: str) -> None:
        assert wanted in "\n".join(said(text))

    def test_a_pack_is_a_file_too_and_named_twice_it_is_one(self, tmp_path: Path) -> None:
        (path,) = written(tmp_path, CALLS + QUALITY)
        assert list(load([str(path), str(path)]).statistics) == ["quality"]
        assert "voip" in load(["voip", "voip"]).packs

    def test_a_pack_that_is_declared_twice(self) -> None:
        assert "pack 'x': is declared twice; first at" in said("[pack.x]\nhelp = ''\n", "[pack.x]\nhelp = ''\n")[0]


class TestConfiguration:
    def test_it_names_packs_gives_values_and_may_declare(self, tmp_path: Path) -> None:
        path = tmp_path / "streamgauge.toml"
        path.write_text('packs = ["voip"]\n[pack.voip]\nmin_calls = 3\n[report]\nzone = "UTC"\n' + CALLS_BY_CODEC)
        found = load(config=path)
        assert found.packs["voip"].values["min_calls"] == 3
        assert found.statistics["carrier_quality"].spec.min_n == 3
        assert "by_codec" in found.statistics
        assert found.configuration["report"] == {"zone": "UTC"}

    def test_the_command_line_goes_first(self, tmp_path: Path) -> None:
        path = tmp_path / "streamgauge.toml"
        path.write_text('packs = ["voip"]\n[pack.voip]\nmin_calls = 3\n')
        assert load(config=path, parameters={"min_calls": 4}).packs["voip"].values["min_calls"] == 4

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("packs = 'voip'", "c.toml:1: packs: is 'voip', expected a list of names"),
            ("packs = ['viop']", "pack: unknown pack 'viop'; did you mean voip?"),
            ("[pack.voip]\nmin_calls = 3", "c.toml:1: pack 'voip': is configured but not loaded; load it with --pack"),
            ("packs = ['voip']\n[pack.voip]\nmin_cals = 3", "c.toml:3: pack 'voip': unknown parameter 'min_cals'; did"),
            (
                "packs = ['voip']\n[pack.voip]\nmin_calls = 'x'",
                "c.toml:3: pack 'voip': parameter 'min_calls': is 'x', ex",
            ),
            ("packs = ['voip']\n[pack]\nvoip = 3", "c.toml:3: pack 'voip': is 3, expected a table of parameters"),
            ("[report]\nzone = 'Europe/Pari'", "c.toml:2: [report]: zone: 'Europe/Pari': unknown time zone"),
            ("[report]\nzoen = 'UTC'", "c.toml:2: [report]: unknown setting 'zoen'; did you mean zone?"),
            ("[report]\nworkers = 0", "c.toml:2: [report]: workers: is 0, expected a number of threads, 1 to 64"),
            ("[report]\ntime = 'body.'", "c.toml:2: [report]: time: 'body.'"),
            ("[report]\nlateness = '5'", "c.toml:2: [report]: lateness: '5': not a duration"),
            ("[report]\ninput = 'jsonl'", "did you mean json?"),
            ("report = 5", "table 'report': is 5, expected a table"),
        ],
    )
    def test_a_mistake(self, tmp_path: Path, text: str, wanted: str) -> None:
        path = tmp_path / "c.toml"
        path.write_text(text + "\n")
        found = said_of(config=path)
        assert wanted in "\n".join(found)


CALLS_BY_CODEC = '[statistic.by_codec]\nof = "call"\nevery = "1h"\nby = ["codec"]\nmeasures = { n = "count()" }\n'


class TestPython:
    HEAD = "from streamgauge import Statistic, count, proportion\n"

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("1 / 0\n", "a.py:2: Python declarations: raised ZeroDivisionError: division by zero"),
            ("def f(:\n", "a.py:2: Python declarations: SyntaxError: "),
            ("import sys\nsys.exit(3)\n", "a.py:3: Python declarations: ended the program (SystemExit: 3)"),
            ("def f(): f()\nf()\n", "a.py:2: Python declarations: raised RecursionError"),
            ("raise ValueError\n", "a.py:2: Python declarations: raised ValueError"),
            ("raise ValueError('a\\nb')\n", "a.py:2: Python declarations: raised ValueError: a b"),
            ("class A(Statistic):\n    x = count(1, 2)\n", "a.py:3: measure: count takes 0 to 1 argument"),
            ("class A(Statistic):\n    topic = '*'\n", "a.py:2: statistic 'a': needs 'every'"),
            ("class A(Statistic):\n topic='a b'\n every='1h'\n n=count()\n", "a.py:2: statistic 'a': topic: "),
            ("class A(Statistic):\n topic='*'\n every='1h'\n n=count('body.x >')\n", "a.py:2: statistic 'a': measure"),
            ("class A(Statistic):\n def f(self): pass\n topic='*'\n every='1h'\n n=count()\n", "unknown setting 'f'"),
            ("class A(Statistic):\n name=5\n topic='*'\n every='1h'\n n=count()\n", "statistic 5: not a name"),
        ],
    )  # fmt: skip
    def test_a_mistake(self, text: str, wanted: str) -> None:
        assert any(wanted in line for line in said(self.HEAD + text)), said(self.HEAD + text)

    def test_every_class_is_judged(self) -> None:
        text = self.HEAD + "class A(Statistic):\n    n = count()\nclass B(Statistic):\n    n = count()\n"
        assert {line.split(":")[1] for line in said(text)} == {"2", "4"}

    def test_statistics_are_found_however_they_are_made(self) -> None:
        text = f"""{self.HEAD}
class _Hourly(Statistic):
    topic = "*"
    every = "1h"
    n = count()
class First(_Hourly): pass
Alias = First
made = [type(name, (_Hourly,), {{}}) for name in ("Second", "Third")]
def later():
    class Fourth(_Hourly): pass
later()
print("this must not stand in the output")
"""
        assert list(declared(text).statistics) == ["first", "second", "third", "fourth"]

    def test_what_it_prints_is_no_output(self, capsys: pytest.CaptureFixture[str]) -> None:
        declared("import sys\nprint('hello')\n")
        assert capsys.readouterr() == ("", "hello\n")


# Each line of a file that has every kind of mistake; where it has one, it is as it should be behind the mark.
WRONG = """
shape.ev.time_field = "nowhere"                     ### shape.ev.time_field = "end"
[pack.p.parameters]
good = { type = "integer", default = 5 }
bad = { type = "intger", default = 5 }              ### bad = { type = "integer", default = 5 }
[shape.ev.fields]
word = "VARCHAR"
end = "BIGINT"
typo = "BIGNT"                                      ### typo = "BIGINT"
fine = { type = "DOUBLE", scale = 19 }              ### fine = { type = "DOUBLE", scale = 9 }
Upper = "VARCHAR"                                   ### upper = "VARCHAR"
[shape.ev.producer.one]
topic = "a b"                                       ### topic = "a"
when = "body.x = 1 AND"                             ### when = "body.x = '1'"
time = "now()"                                      ### time = "body.t"
time_unit = "minutes"                               ### time_unit = "ms"
id = "$nothing"                                     ### id = "body.id"
tiem = "body.t"                                     ### # gone
[shape.ev.producer.one.fields]
word = "body.w +"                                   ### word = "body.w"
end = "body.end"                                    ### end = "body.end::BIGINT"
typo = "body.typo::BIGINT"
zzz = "body.w"                                      ### # gone
[shape.ev.producer.two]
family = 5                                          ### family = "two"
[shape.empty.fields]                                ### # gone
[statistic.first]
of = "ev"
every = ["1x", "1h"]                                ### every = ["1m", "1h"]
zone = "Mars/Base"                                  ### zone = "UTC"
where = "wordd = 'x'"                               ### where = "word = 'x'"
time = "word"                                       ### time = "end"
max_keys = 0                                        ### max_keys = 5
nonsense = 1                                        ### # gone
lateness = "soon"                                   ### lateness = "5s"
backlog = "later"                                   ### backlog = "5d"
min_n = "$god"                                      ### min_n = "$good"
[statistic.first.by]
start = "word"                                      ### begin = "word"
which = "wrod"                                      ### which = "word"
[statistic.first.keep]
"1h" = "5"                                          ### "1h" = "5d"
[statistic.first.measures]
n = "count()"
u = "cuont()"                                       ### u = "count()"
open = "count("                                     ### open = "count()"
limit = "count()"                                   ### limited = "count()"
s = "sum(word)"                                     ### s = "sum(end)"
f = "sum(getenv('HOME'))"                           ### f = "sum(body.x::BIGINT)"
ratio = "proportion(u, n)"
r = "proportion(u, missing)"                        ### r = "proportion(u, n)"
q = "quotient(ratio, n)"                                ### q = "quotient(u, n)"
# What follows from a mistake is none.
typed = "sum(typo)"
scaled = "histogram(fine, 0.000000001)"
over = "quotient(open, n)"
unread = "count(body.x::BIGINT > $bad)"
[statistic.second]
topic = "a.["                                       ### topic = "a.*"
every = "1h"
measurez = { n = "count()" }                        ### measures = { n = "count()" }
[statistic.third]
topic = "x"
every = 5                                           ### every = "1h"
keep = { "1h" = "5d" }
[statistic.third.measures]
Bad = "sum(body.x::BIGINT)"                         ### bad = "sum(body.x::BIGINT)"
[statistic.fourth]
of = "evv"                                          ### of = "ev"
every = "1h"
by = { k = 5 }                                      ### by = { k = "word" }
measures = { n = "sum(end)", m = "cuont()" }        ### measures = { n = "sum(end)", m = "count()" }
"""


class TestEveryMistake:
    """One file with one mistake of each kind."""

    LINES = tuple(tuple(p.strip() for p in line.split("###")) for line in WRONG.strip().splitlines())
    BAD = tuple(n for n, parts in enumerate(LINES, 1) if len(parts) == 2)

    def found(self, folder: Path, mended: tuple[int, ...] = ()) -> list[str]:
        (path,) = written(folder, "\n".join(p[-1 if n in mended else 0] for n, p in enumerate(self.LINES, 1)))
        return said_of(path)

    def test_all_are_said_in_the_order_of_their_lines_and_nothing_that_follows(self, tmp_path: Path) -> None:
        assert tuple(int(line.split(":")[1]) for line in self.found(tmp_path)) == self.BAD
        assert not self.found(tmp_path, self.BAD)

    @pytest.mark.parametrize("number", BAD)
    def test_to_mend_one_leaves_exactly_the_others(self, tmp_path: Path, number: int) -> None:
        others = [line for line in self.found(tmp_path) if not line.startswith(f"a.toml:{number}: ")]
        # A hint may list the names that are there, of which one may just have been mended.
        assert [line.split("; ")[0] for line in self.found(tmp_path, (number,))] == [o.split("; ")[0] for o in others]

    def test_what_cannot_be_read_may_hold_the_shape(self, tmp_path: Path) -> None:
        paths = written(
            tmp_path, CALLS + "x =", QUALITY.replace("6m", "6q").replace('{ carrier = "carrier" }', "['end']")
        )
        assert [line.split(": ")[0] for line in said_of(*paths)] == ["a.toml:16", "b.toml:4"]

    def test_a_python_class_with_a_mistake_of_form_is_judged_to_its_end(self) -> None:
        text = "from streamgauge import *\nclass A(Statistic):\n topic='a b'\n every='1q'\n scale=99\n n=count()\n"
        assert len(said(text)) == 3


SEED = declare.TomlFile.parse(
    CALLS
    + QUALITY
    + """
[pack.mine]
help = "h"
[pack.mine.parameters.least]
type = "integer"
default = 3
choices = []
[statistic.all_settings]
topic = "x.*"
where = "body.a = 'b'"
every = ["6m", "1h"]
by = { carrier = "body.c" }
zone = "UTC"
totals = true
max_keys = 3
scale = 3
min_n = "$least"
keep = { "6m" = "3d" }
backlog = "3d"
lateness = "3s"
[statistic.all_settings.measures]
n = "count(body.x::BIGINT > $least)"
r = "proportion(count(body.a = 'x'), n)"
""",
    "f",
).data


def paths(table: Any, head: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(table, dict):
        return [head]
    return [head, *(p for k, v in table.items() for p in paths(v, (*head, k)))]


JUNK = st.one_of(
    st.booleans(), st.integers(-3, 2**70), st.floats(), st.text(max_size=5), st.just({}), st.just([[]]), st.just([{}]),
    st.sampled_from(["$least", "$x", "6m", "count()", "end", "call", "_1", "BIGINT"]),
    st.lists(st.integers() | st.text(max_size=3), max_size=2),
    st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=3) | st.just({}), max_size=2),
)  # fmt: skip


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.sampled_from(paths(SEED)[1:]), st.text(max_size=4) | st.just("_1"), JUNK), min_size=1, max_size=3
    ),
    st.booleans(),
)
def test_any_table_is_loaded_or_refused(changes: list[tuple[tuple[str, ...], str, Any]], configuration: bool) -> None:
    data = copy.deepcopy(SEED)
    for path, name, junk in changes:
        table: Any = data
        for key in path[:-1]:
            table = table.get(key) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table[path[-1]] = (
                {**table[path[-1]], name: junk} if isinstance(table.get(path[-1]), dict) and name else junk
            )
    toml = declare.TomlFile("f.toml", data, {})
    loader = declare._Loader({}, "")
    with contextlib.suppress(DeclarationError):
        if not configuration:
            for name in loader.table(toml, "pack"):
                loader._pack(toml, name)
        loader._declarations(toml, {n: (p, p.default) for k in loader.packs.values() for n, p in k.parameters.items()})
        loader.finish({})
    assert all(str(m) for m in loader.mistakes)
