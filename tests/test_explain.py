from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from streamgauge import packs as shipped
from streamgauge.declare import load
from streamgauge.errors import UsageError
from streamgauge.explain import WIDTH, check_files, explain_all, explain_statistic, pretty, starter
from streamgauge.statistic import shown
from tests.declaring import CALLS, QUALITY, declared, written


@pytest.mark.parametrize("pack", shipped.PACKS)
class TestPack:
    def test_every_parameter_field_producer_and_statistic_is_listed(self, pack: str) -> None:
        loaded = load([pack])
        lines = list(explain_all(loaded))
        starts = {line.split()[0] for line in lines if line.strip()}
        assert loaded.packs[pack].parameters.keys() <= starts
        for shape in loaded.shapes.values():
            assert shape.shape.fields.keys() <= starts
            assert all(any(f"filled by {p.name}:" in line for line in lines) for p in shape.producers[: shape.active])
        assert all(any(line.startswith(f"statistic {name} ") for line in lines) for name in loaded.statistics)

    def test_lines_are_short_and_of_one_line_each(self, pack: str) -> None:
        loaded = load([pack])
        lines = [*explain_all(loaded), *(x for n in loaded.statistics for x in explain_statistic(loaded, n, sql=False))]
        assert not [line for line in lines if "\n" in line or len(line) > WIDTH]

    def test_every_measure_is_shown_with_its_formula(self, pack: str) -> None:
        loaded = load([pack])
        for name, statistic in loaded.statistics.items():
            text = "\n".join(explain_statistic(loaded, name, sql=False))
            assert all(f"\n  {m} = " in text for m in shown(statistic.spec.measures))
            assert not re.search(r"\b_\d+\b", text)
            assert statistic.version in text


def test_a_long_list_is_shortened_with_its_count() -> None:
    text = "\n".join(explain_all(load(["voip"])))
    assert re.search(r"prefixes = \[\"1\", .*\.\.\.\] \(\d+ in all\)", text)


def test_a_value_that_is_not_the_default_shows_both() -> None:
    text = "\n".join(explain_all(load(["voip"], parameters={"min_calls": 5})))
    assert "min_calls = 5: integer (default 20)" in text


def test_an_expression_over_several_lines_is_put_together_but_not_in_quotes() -> None:
    over = '[shape.call.producer.flat.fields]\ncarrier = """coalesce(\n  body.a,\n  \'( x  )\',\n  body.b)"""\n'
    text = "\n".join(explain_statistic(declared(over, CALLS, QUALITY), "quality", sql=False))
    assert "flat: coalesce(body.a, '( x  )', body.b)" in text


def test_the_sql_is_that_of_every_statement_and_runs_as_it_is_printed() -> None:
    import duckdb

    lines = list(explain_statistic(declared(CALLS, QUALITY), "quality"))
    sql = "\n".join(lines[lines.index("SQL (DuckDB), over the table e of decoded events") + 1 :])
    statements = duckdb.extract_statements(sql)
    assert len(statements) == 2


@pytest.mark.parametrize(
    "sql", ["SELECT 'a  FROM (b' FROM t", 'SELECT "x, y" FROM (SELECT 1, 2) WHERE f(a, (b))', "SELECT ')' , '('", "a)("]
)
def test_sql_is_only_broken_never_changed(sql: str) -> None:
    assert "".join("".join(pretty(sql)).split()) == "".join(sql.split())


def test_an_unknown_statistic_is_refused_with_a_near_match() -> None:
    with pytest.raises(UsageError, match=r"unknown statistic 'qualty'; did you mean quality\?"):
        list(explain_statistic(declared(CALLS, QUALITY), "qualty"))


@pytest.mark.parametrize("pack", shipped.PACKS)
class TestStarter:
    def test_it_loads_as_it_is_and_changes_nothing(self, pack: str, tmp_path: Path) -> None:
        path = tmp_path / "streamgauge.toml"
        path.write_text(starter(pack))
        found, plain = load(config=path), load([pack])
        assert {n: s.version for n, s in found.statistics.items()} == {
            n: s.version for n, s in plain.statistics.items()
        }

    def test_it_loads_with_every_setting_taken_out_of_its_comment(self, pack: str, tmp_path: Path) -> None:
        path = tmp_path / "streamgauge.toml"
        path.write_text(re.sub(r"^#(?=\S| {4})", "", starter(pack), flags=re.MULTILINE))
        found = load(config=path)
        assert found.packs[pack].values == load([pack]).packs[pack].values
        assert "by_hour" in found.statistics
        assert next(iter(found.shapes.values())).producers[0].name == "mine"
        assert set(found.configuration["report"]) >= {"input", "time", "store"}
        assert found.configuration["source"]["files"].path == "/var/log/events-*.jsonl"
        assert found.configuration["serve"]["port"] == 8080
        assert found.configuration["log"] == {"keep": "30d", "max_size": "50GB"}

    def test_every_parameter_alone_loads_with_its_default(self, pack: str, tmp_path: Path) -> None:
        settings = re.findall(r"^#(\S+ = .*(?:\n#    .*)*)", starter(pack).partition("[report]")[0], re.MULTILINE)
        path = tmp_path / "streamgauge.toml"
        for setting in settings:
            path.write_text(f'packs = ["{pack}"]\n[pack.{pack}]\n' + setting.replace("\n#", "\n"))
            assert load(config=path).packs[pack].values == load([pack]).packs[pack].values
        assert len(settings) == len(load([pack]).packs[pack].parameters)


def test_a_starter_of_an_unknown_pack() -> None:
    with pytest.raises(UsageError, match=r"unknown pack 'viop'; did you mean voip\?"):
        starter("viop")


class TestCheck:
    def test_what_is_right_is_listed(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        written(tmp_path, CALLS, QUALITY)
        assert check_files([str(tmp_path)], [], None, {}, "text") == 0
        assert capsys.readouterr().out == "ok: statistics quality; shapes call\n"

    def test_mistakes_are_counted(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        written(tmp_path, CALLS, QUALITY.replace("count()", "cuont()"))
        assert check_files([str(tmp_path)], [], None, {}, "text") == 2
        assert capsys.readouterr().out.splitlines()[-1] == "1 mistake"

    def test_as_json(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        _, path = written(tmp_path, CALLS, QUALITY.replace("count()", "cuont()"))
        check_files([str(tmp_path)], [], None, {}, "json")
        (mistake,) = json.loads(capsys.readouterr().out)
        assert mistake == {
            "where": f"{path}:7",
            "what": "statistic 'quality': measure 'attempts'",
            "got": "cuont()",
            "problem": "unknown aggregate 'cuont'",
            "hint": "did you mean count?",
        }

    def test_a_configuration_among_the_files_goes_with_them(self, tmp_path: Path) -> None:
        paths = written(tmp_path, 'packs = ["voip"]\n', QUALITY.replace("quality", "mine"))
        assert check_files([str(p) for p in paths], [], None, {}, "text") == 0
        assert check_files([str(paths[1])], [], None, {}, "text") == 2
        assert check_files([str(paths[1])], [], str(paths[0]), {}, "text") == 0

    def test_another_form_is_refused(self) -> None:
        with pytest.raises(UsageError, match="is text or json"):
            check_files([], [], None, {}, "xml")
