"""What holds for every shipped pack: it loads, whatever its parameters, and its page of the docs names all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamgauge import packs
from streamgauge.declare import Declarations, load
from streamgauge.errors import DeclarationError

DOCS = Path(__file__).parents[2] / "docs" / "packs.md"

CHOICES = [
    ("voip", {}),
    ("voip", {"producer": "hangup_events"}),
    ("voip", {"window_by": "start"}),
    ("voip", {"window_by": "answer", "longest_call": "12h"}),
    ("voip", {"expected_replies": [200]}),
    ("voip", {"prefixes": ["33", "331", "4"]}),
    ("fedora", {}),
    ("fedora", {"prefix": "/topic/VirtualTopic"}),
]


@pytest.fixture(scope="module", params=packs.PACKS)
def pack(request: pytest.FixtureRequest) -> tuple[str, Declarations]:
    return request.param, load([request.param])


@pytest.mark.parametrize(("name", "parameters"), CHOICES)
def test_loads_with_any_value_of_its_parameters(name: str, parameters: dict[str, Any]) -> None:
    loaded = load([name], parameters=parameters)
    assert set(loaded.packs) == {name}
    assert loaded.statistics


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"producer": "session"}, "records, hangup_events"),
        ({"window_by": "ended"}, "did you mean end?"),
        ({"min_calls": "20"}, "an integer"),
        ({"expected_replies": [200, "busy"]}, "a list of"),
        ({"expected_replies": []}, "a list of"),
        ({"prefixes": []}, "a list of"),
        ({"min_cals": 5}, "min_calls"),
    ],
)
def test_a_wrong_parameter_is_refused_with_a_hint(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(DeclarationError, match="parameter") as refused:
        load(["voip"], parameters=parameters)
    assert said in str(refused.value)


def test_windows_by_start_wait_for_the_longest_call_and_by_end_do_not() -> None:
    by_end = load(["voip"]).statistics["carrier_quality"]
    by_start = load(["voip"], parameters={"window_by": "start", "longest_call": "2h"}).statistics["carrier_quality"]
    assert (by_end.time, by_end.delay_ms) == ("", 0)
    assert (by_start.time, by_start.delay_ms) == ("start", 7_200_000)
    assert by_end.version != by_start.version


def test_everything_says_what_it_is(pack: tuple[str, Declarations]) -> None:
    name, loaded = pack
    assert loaded.packs[name].help
    assert all(p.help for p in loaded.packs[name].parameters.values())
    assert all(s.spec.help for s in loaded.statistics.values())
    assert all(f.help for s in loaded.shapes.values() for f in s.shape.fields.values())


def test_the_docs_name_every_part(pack: tuple[str, Declarations]) -> None:
    name, loaded = pack
    text = DOCS.read_text()
    wanted = {f"## {name}"}
    wanted |= {f"`{p}`" for p in loaded.packs[name].parameters}
    wanted |= {f"### {s}" for s in loaded.statistics}
    wanted |= {f"`{m.name}`" for s in loaded.statistics.values() for m in s.measures if not m.name.startswith("_")}
    wanted |= {f"`{k}`" for s in loaded.statistics.values() for k, _ in s.by}
    for shape in loaded.shapes.values():
        wanted |= {f"`{f}`" for f in shape.shape.fields}
        wanted |= {f"`{p.name}`" for p in shape.shape.producers}
    assert sorted(w for w in wanted if w not in text) == []


def test_a_pack_is_read_from_the_package_and_not_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert packs.text("voip").startswith("# The voip pack")
    with pytest.raises(KeyError):
        packs.text("sip")
