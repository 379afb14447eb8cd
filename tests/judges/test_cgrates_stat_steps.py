"""CGRateS's own tests of its statistics: every figure at every step, from one declaration.

An event that is removed there is checked here by computing afresh over what remains. Their "N/A" (and -1) below the
least number of values is our low mark: the value's n is below ``min_n``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from streamgauge.app import report
from tests.data import data_path

DECLARATION = """
[statistic.steps]
topic = "*"
every = ["1h"]
by = { step = "body.step" }
min_n = 2
[statistic.steps.measures]
calls = "count()"
asr = "proportion(count(body.call.AnswerTime IS NOT NULL), calls)"
usages = "count(body.call.Usage.dur_ns IS NOT NULL)"
acd = "mean(body.call.Usage.dur_ns::BIGINT)"
tcd = "sum(body.call.Usage.dur_ns::BIGINT)"
costs = "count(body.call.Cost IS NOT NULL)"
acc = "mean(body.call.Cost::DOUBLE)"
tcc = "sum(body.call.Cost::DOUBLE)"
pdds = "count(body.call.PDD.dur_ns IS NOT NULL)"
pdd = "mean(body.call.PDD.dur_ns::BIGINT)"
destinations = "count(body.call.Destination IS NOT NULL)"
ddc = "distinct(body.call.Destination)"
distinct_usages = "distinct(body.call.Usage.dur_ns)"
distinct_costs = "distinct(body.call.Cost)"
"""

MEASURES = {  # what they build: our measure, and our count of the values behind it
    ("NewASR", ""): ("asr", "asr_n"),
    ("NewACD", ""): ("acd", "usages"),
    ("NewTCD", ""): ("tcd", "usages"),
    ("NewACC", ""): ("acc", "costs"),
    ("NewTCC", ""): ("tcc", "costs"),
    ("NewPDD", ""): ("pdd", "pdds"),
    ("NewDDC", ""): ("ddc", "destinations"),
    ("NewStatSum", "~*req.Cost"): ("tcc", "costs"),
    ("NewStatAverage", "~*req.Cost"): ("acc", "costs"),
    ("NewStatDistinct", "~*req.Usage"): ("distinct_usages", "usages"),
    ("NewStatDistinct", "~*req.Cost"): ("distinct_costs", "costs"),
}


@dataclass(frozen=True)
class Step:
    """One expected figure: the test and place where it stands, and the events that are there then."""

    name: str
    kind: tuple[str, str]
    least: int
    events: list[dict[str, Any]]
    expected: Any


def steps_of(case: dict[str, Any]) -> Iterator[Step]:
    """The figures that a case expects, in order."""
    kind, least, events = ("", ""), 0, []
    for number, step in enumerate(case["steps"]):
        if "new" in step:
            least, argument = step["args"][0], step["args"][1]
            kind = (step["new"], argument)
        elif "add" in step:
            events = [*events, step["add"]]
        elif "rem" in step:
            last = max(n for n, e in enumerate(events) if e["ID"] == step["rem"])
            events = events[:last] + events[last + 1 :]
        else:
            yield Step(f"{case['test']}/{number}", kind, least, events, step["expect"])


def all_steps() -> list[Step]:
    lines = data_path("voip/cgrates_stat_steps.jsonl").read_text().splitlines()
    return [step for line in lines for step in steps_of(json.loads(line))]


def lines_of(steps: list[Step]) -> str:
    """One line for each event of each step; an event that is not there any more has no line."""
    return "".join(
        json.dumps({"ts": 1_405_347_900, "step": step.name, "call": event.get("Event", {})}) + "\n"
        for step in steps
        for event in step.events
    )


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("steps")
    (folder / "steps.toml").write_text(DECLARATION)
    (folder / "steps.jsonl").write_text(lines_of(all_steps()))
    with report(folder / "steps.jsonl", declarations=folder / "steps.toml", time="body.ts") as found:
        return {row["step"]: row for row in found.rows("steps", "1h")}


def test_every_figure_at_every_step_is_theirs(rows: dict[str, dict[str, Any]]) -> None:
    steps = all_steps()
    assert len({s.name.split("/")[0] for s in steps}) == 17
    wrong = [f"{s.name}: expected {s.expected}, got {ours(s, rows)}" for s in steps if ours(s, rows) != theirs(s)]
    assert wrong == []


def test_a_proportion_of_too_few_is_marked_low(rows: dict[str, dict[str, Any]]) -> None:
    asr = [s for s in all_steps() if s.kind[0] == "NewASR" and s.events]
    assert {rows[s.name]["asr_low"] for s in asr} == {True, False}
    for step in asr:
        assert rows[step.name]["asr_low"] == (theirs(step) is None)


def ours(step: Step, rows: dict[str, dict[str, Any]]) -> float | None:
    """Our figure at a step, to five decimals as they print it; None where it is low, or where nothing is left."""
    if step.name not in rows:
        return None
    measure, count = MEASURES[step.kind]
    row = rows[step.name]
    if row[count] < step.least:
        return None
    return round(row[measure] * (100 if measure == "asr" else 1), 5)


def theirs(step: Step) -> float | None:
    """Their figure as a number: a share in percent, a duration in ns; None for N/A."""
    expected = step.expected["dur_ns"] if isinstance(step.expected, dict) else step.expected
    if expected in ("N/A", -1):
        return None
    if isinstance(expected, str):
        units = {"h": 3600, "m": 60, "s": 1}
        parts = re.findall(r"(\d+)([hms])", expected)
        return float(sum(int(n) * units[u] for n, u in parts) * 10**9) if parts else float(expected.rstrip("%"))
    return float(expected)
