from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

import streamgauge
from streamgauge.app import Given, chosen, default_declarations, options_of, size_of
from streamgauge.declare import Declarations
from streamgauge.errors import DeclarationError, UsageError
from tests.declaring import CALLS, QUALITY, declared, written

T0 = 1_700_000_000_000
EVENTS = "".join(
    f'{{"kind": "call", "topic": "cdr", "end": {t}, "time": {t}, "carrier": "{carrier}", "id": "{t}"}}\n'
    for t, carrier in ((T0 + n * 60_000, "ab"[n % 2]) for n in range(10))
)


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "calls.jsonl"
    path.write_text(EVENTS)
    return path


class TestReport:
    def test_a_report_in_python(self, events: Path, tmp_path: Path) -> None:
        with streamgauge.report(events, declarations=written(tmp_path, CALLS, QUALITY)) as report:
            table = report.table("quality", every="1h", by=())
            assert table.column("attempts").to_pylist() == [10]
            assert [r["attempts"] for r in report.rows("quality", every="1h")] == [5, 5]
            assert report.summary["events"] == 10

    def test_without_declarations_events_are_counted_by_topic(self, events: Path) -> None:
        with streamgauge.report(str(events)) as report:
            assert [(r["topic_name"], r["count"]) for r in report.rows("volume")] == [("cdr", 10)]

    def test_standard_input_may_be_given(self) -> None:
        with streamgauge.report("-", stdin=BytesIO(EVENTS.encode())) as report:
            assert report.summary["events"] == 10

    def test_a_condition_is_added(self, events: Path) -> None:
        with streamgauge.report(events, where="body.carrier = 'a'") as report:
            assert sum(r["count"] for r in report.rows("volume")) == 5

    def test_the_configuration_says_how_to_read_and_options_go_first(self, events: Path, tmp_path: Path) -> None:
        config = tmp_path / "streamgauge.toml"
        config.write_text('[report]\ntopic = "body.carrier"\nmax_line = "1KB"\n')
        with streamgauge.report(events, config=config) as report:
            assert {r["topic_name"] for r in report.rows("volume")} == {"a", "b"}
        with streamgauge.report(events, config=config, topic="'all'") as report:
            assert {r["topic_name"] for r in report.rows("volume")} == {"all"}

    def test_an_unknown_statistic(self, events: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"unknown statistic 'qualty'; did you mean quality\?"):
            streamgauge.report(events, declarations=written(tmp_path, CALLS, QUALITY), statistic="qualty")

    def test_mistakes_are_raised(self, events: Path) -> None:
        with pytest.raises(DeclarationError, match="unknown pack 'viop'"):
            streamgauge.report(events, pack="viop")

    def test_an_input_that_is_not_there_is_named(self, events: Path) -> None:
        with streamgauge.report([events, "none.jsonl"]) as report:
            assert report.summary["events"] == 10
            assert [p for p in report.summary["problems"] if "none.jsonl" in p]


@pytest.mark.parametrize(
    ("text", "size"), [("16MB", 16 * 2**20), ("512 kb", 512 * 2**10), ("100", 100), ("1g", 2**30), ("7B", 7)]
)
def test_a_size(text: str, size: int) -> None:
    assert size_of(text, "--max-line") == size


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5MB", "MB", "16MiB", "1e3", "9" * 20])
def test_no_size(text: str) -> None:
    with pytest.raises(UsageError, match=r"--max-line: .* is no size"):
        size_of(text, "--max-line")


class TestOptions:
    def configured(self, **report: object) -> Declarations:
        return Declarations({}, {}, {}, {"report": report})

    def test_defaults(self) -> None:
        options = options_of(self.configured(), Given())
        assert (options.zone, options.max_line, options.workers, options.form) == ("UTC", 16 * 2**20, 2, None)

    def test_what_is_given_goes_before_the_configuration(self) -> None:
        loaded = self.configured(zone="Europe/Paris", input="csv", max_line="1MB", workers=1)
        options = options_of(loaded, Given(zone="Asia/Tokyo"))
        assert (options.zone, options.form, options.max_line, options.workers) == ("Asia/Tokyo", "csv", 2**20, 1)

    def test_a_size_that_is_none_names_its_place(self) -> None:
        with pytest.raises(UsageError, match=r"\[report\]: max_line: 'big' is no size"):
            options_of(self.configured(max_line="big"), Given())


def test_chosen_keeps_the_order_of_the_declarations() -> None:
    loaded = declared(CALLS, QUALITY, QUALITY.replace("statistic.quality", "statistic.other"))
    assert list(chosen(loaded, ["other", "quality"]).statistics) == ["quality", "other"]


def test_the_default_has_a_condition_too() -> None:
    found = default_declarations("body.x = 'y'").statistics["volume"]
    assert found.where is not None
