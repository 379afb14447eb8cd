"""What holds for every registered measure: names, formulas, and documentation that cannot rot."""

from __future__ import annotations

import doctest
import importlib
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from streamgauge import aggregates
from streamgauge.aggregates import REGISTRY, Measure, Ratio
from streamgauge.errors import DeclarationError
from streamgauge.measures import measure_from

DOCS = Path(__file__).parents[2] / "docs" / "aggregates.md"
MEASURES = list(REGISTRY.values())


def sections() -> Mapping[str, str]:
    parts = re.split(r"^## (.+)$", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", REGISTRY)
def test_a_measure_is_documented_under_its_own_heading(name: str) -> None:
    section = sections()[name]
    for line in ("Formula", "Nothing", "State", "Source", "Outputs"):
        assert f"**{line}.**" in section
    assert "```" in section
    assert f"{name}(" in section


EXAMPLES = re.findall(r'^\w+ *= "(.+)"$', DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_documented_example_is_a_measure(text: str) -> None:
    assert measure_from(text, what="docs").formula() == text


def test_every_measure_has_a_documented_example() -> None:
    assert {text.partition("(")[0] for text in EXAMPLES} == set(REGISTRY)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)
def test_the_documentation_names_every_output(measure: type[Measure]) -> None:
    for suffix in (o.suffix for o in measure(*measure.examples[0]).outputs()):
        assert f"`{suffix}`" in sections()[measure.name] or not suffix


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)
def test_the_class_says_its_null_rule_and_has_an_example_that_runs(measure: type[Measure]) -> None:
    text = measure.__doc__ or ""
    assert "Null rule:" in text
    assert re.search(r"\bstate\b", text, re.IGNORECASE)
    module = importlib.import_module(measure.__module__)
    found = doctest.DocTestFinder().find(measure, measure.__name__, globs=dict(vars(module)))
    assert sum(len(test.examples) for test in found) > 0
    assert sum(doctest.DocTestRunner().run(test).failed for test in found) == 0


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)
def test_the_name_in_lower_case_is_the_class(measure: type[Measure]) -> None:
    assert getattr(aggregates, measure.name) is measure
    assert getattr(aggregates, measure.__name__) is measure
    assert measure.__module__ == f"streamgauge.aggregates.{measure.name}"


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)
def test_a_formula_starts_with_the_name_and_tells_the_condition(measure: type[Measure]) -> None:
    for example in measure.examples:
        made = measure(*example)
        assert made.formula().startswith(f"{measure.name}(")
        assert repr(made) == f"<{made.formula()}>"
        if not issubclass(measure, Ratio):
            assert measure(*example, where="a = 1").formula() == f"{made.formula()} FILTER (WHERE a = 1)"


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)
def test_too_many_arguments_are_a_mistake_of_the_declaration(measure: type[Measure]) -> None:
    arguments = ("a", "b", 0.5, "c", "d")
    with pytest.raises(DeclarationError) as caught:
        measure(*arguments)
    (mistake,) = caught.value.mistakes
    assert mistake.what == "measure"
    assert measure.name in mistake.problem
    assert measure.signature in mistake.hint


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)
def test_a_condition_reaches_every_primitive(measure: type[Measure]) -> None:
    if not issubclass(measure, Ratio):
        made = measure(*measure.examples[0], where="direction = 'outbound'")
        assert isinstance(made, aggregates.Aggregate)
        assert {p.where for p in made.primitives()} == {"direction = 'outbound'"}
        assert len(made.primitives()) == len(made.states())
        assert {p.argument for p in made.primitives()} - {None} == set(made.arguments())
