from __future__ import annotations

import pytest

from streamgauge.bound import BoundStatistic
from tests.declaring import CALLS, QUALITY, declared, said


def quality(text: str = QUALITY, calls: str = CALLS) -> BoundStatistic:
    return declared(calls, text).statistics["quality"]


def changed(old: str, new: str) -> str:
    assert old in QUALITY
    return QUALITY.replace(old, new)


BASE = quality().version


class TestVersion:
    @pytest.mark.parametrize(
        "text",
        [
            changed('by = { carrier = "carrier" }', "by = ['carrier']"),
            changed("answer IS NOT NULL", " ( answer  is not null ) "),
            changed('every = ["6m", "1h"]', 'every = ["1h", "6m"]'),
            changed('every = ["6m", "1h"]', 'help = "told"\nkeep = { "6m" = "90d" }\nevery = ["6m", "1h"]\nmin_n = 5'),
            changed('every = ["6m", "1h"]', 'time = "end"\ndelay = "4h"\nevery = ["6m", "1h"]'),
            changed('asr = "proportion(answered, attempts)"', ""),
            changed("asr =", "answer_rate ="),
            QUALITY.replace('of = "call"\nevery = ["6m", "1h"]', 'every = ["6m", "1h"]\nof = "call"'),
        ],
    )
    def test_is_the_same_for_the_same_meaning(self, text: str) -> None:
        assert quality(text).version == BASE

    @pytest.mark.parametrize(
        "text",
        [
            changed('by = { carrier = "carrier" }', ""),
            changed('"carrier" }', '"lower(carrier)" }'),
            changed('every = ["6m", "1h"]', 'every = ["6m"]'),
            changed('every = ["6m", "1h"]', 'zone = "Europe/Paris"\nevery = ["6m", "1h"]'),
            changed('every = ["6m", "1h"]', 'where = "answer > 5"\nevery = ["6m", "1h"]'),
            changed('every = ["6m", "1h"]', 'time = "answer"\nevery = ["6m", "1h"]'),
            changed('every = ["6m", "1h"]', 'lateness = "5s"\nevery = ["6m", "1h"]'),
            changed('every = ["6m", "1h"]', 'totals = true\nevery = ["6m", "1h"]'),
            changed('every = ["6m", "1h"]', 'max_keys = 5\nevery = ["6m", "1h"]'),
            changed("answer IS NOT NULL", "answer IS NULL"),
            changed("attempts =", 'talk = "sum(answer)"\nattempts ='),
        ],
    )
    def test_is_another_for_another_meaning(self, text: str) -> None:
        assert quality(text).version != BASE

    @pytest.mark.parametrize(
        ("old", "new", "same"),
        [
            ("body.carrier", "body.trunk", False),
            ("body.answer::BIGINT", "CAST(body.answer AS BIGINT)", True),
            ("body.c::DOUBLE", "body.d::DOUBLE", True),
            ("what it cost", "its price", True),
            ("body.kind = 'call'", "body.kind = 'cdr'", False),
            ('time_unit = "ms"', 'time_unit = "s"', False),
        ],
    )
    def test_depends_on_the_fields_it_reads_and_on_no_other(self, old: str, new: str, same: bool) -> None:
        assert old in CALLS
        assert (quality(calls=CALLS.replace(old, new)).version == BASE) is same

    def test_a_scale_is_part_of_it_where_a_double_is_read(self) -> None:
        text = changed("count()", "sum(cost)")
        text = text.replace('asr = "proportion(answered, attempts)"', "")
        assert quality(text).version != quality(text, CALLS.replace("scale = 3", "scale = 4")).version


class TestExpressions:
    def test_a_field_that_is_a_word_of_the_language_needs_no_quotes_alone(self) -> None:
        found = quality(changed('by = { carrier = "carrier" }', "by = ['end']"))
        assert found.by[0][1].names == {"end"}

    def test_the_scale_is_that_of_the_field_unless_told(self) -> None:
        text = changed("count()", "sum(cost)").replace('asr = "proportion(answered, attempts)"', "")
        assert quality(text).primitives[0].scale == 3
        assert quality(text.replace('of = "call"', 'of = "call"\nscale = 1')).primitives[0].scale == 1

    def test_an_additional_condition_holds_with_its_own(self) -> None:
        text = changed('of = "call"', "of = \"call\"\nwhere = \"carrier = 'a' OR carrier = 'b'\"")
        found = declared(CALLS, text, where="answer > 5 OR answer < 3").statistics["quality"]
        assert found.where is not None
        assert found.where.normal == "(((carrier = 'a') OR (carrier = 'b')) AND ((answer > 5) OR (answer < 3)))"

    @pytest.mark.parametrize("where", ["answer > 5) OR (TRUE", "answer >", "body.x > 5", "anwser > 5", "'a'"])
    def test_an_additional_condition_with_a_mistake_is_said_once(self, where: str) -> None:
        other = QUALITY.replace("statistic.quality", "statistic.other")
        (found,) = said(CALLS, QUALITY, other, where=where)
        assert found.startswith("--where, over shape 'call': ")


@pytest.mark.parametrize(
    ("old", "new", "line", "wanted"),
    [
        ('of = "call"', 'of = "cal"', 3, "unknown shape 'cal'; did you mean call?"),
        ('"6m", "1h"', '"6min", "1h"', 4, "every: '6min': not a window length; did you mean 6m?"),
        ('"6m", "1h"', '"60s", "1m"', 4, "every: '1m': the same windows as '60s'"),
        ('"6m", "1h"', '"6m", "6m"', 4, "names a window length twice"),
        ('every = ["6m", "1h"]', 'every = "6m"\nzone = "Europe/Pariss"', 5, "zone: 'Europe/Pariss': unknown time zone"),
        ('every = ["6m", "1h"]', 'every = "6m"\nkeep = { "1h" = "3d" }', 5,
         "keep: keeps '1h', which is not one of its windows; there are 6m"),
        ('every = ["6m", "1h"]', 'every = "6m"\nkeep = { "6m" = "3x" }', 5, "keep 6m: '3x': not a duration"),
        ('every = ["6m", "1h"]', 'every = "6m"\nbacklog = "7"', 5, "backlog: '7': not a duration"),
        ('every = ["6m", "1h"]', 'every = "6m"\nlateness = "1mo"', 5, "a month is no fixed duration"),
        ('every = ["6m", "1h"]', 'every = "6m"\ntime = "carrier"', 5, "time: 'carrier': is not a BIGINT field"),
        ('every = ["6m", "1h"]', 'every = "6m"\ntime = "anser"', 5, "did you mean answer?"),
        ('"carrier" }', '"carier" }', 5, "key 'carrier': 'carier'"),
        ('"carrier" }', '"" }', 5, "key 'carrier': is empty"),
        ("answer IS NOT NULL", "anser IS NOT NULL", 8, "measure 'answered': 'anser IS NOT NULL'"),
        ("answer IS NOT NULL", "answer", 8, "a condition"),
        ("count()", "sum(carrier)", 7, "needs a number, but this is VARCHAR; write (carrier)::BIGINT or ::DOUBLE"),
        ("proportion(answered, attempts)", "proportion(answred, attempts)", 9,
         "'proportion(answred, attempts)': unknown measure 'answred'; did you mean answered?"),
        ("proportion(answered, attempts)", "proportion(answered, asr)", 9, "name counts or sums"),
        ("proportion(answered, attempts)", "proportion(count(anser = 1), attempts)", 9, "measure 'asr': 'anser = 1'"),
        ("proportion(answered, attempts)", "quotient(asr, attempts)", 9, "is itself a ratio; name counts or sums"),
        ("count()", "histogram(cost, 0.0005)", 7, "edge 0.0005 has more digits than the field's scale of 3"),
    ],
)  # fmt: skip
def test_a_mistake_with_its_line_and_a_hint(old: str, new: str, line: int, wanted: str) -> None:
    found = said(CALLS, changed(old, new))
    assert any(wanted in each and each.startswith(f"b.toml:{line}: statistic 'quality'") for each in found), found


def test_two_ratios_over_each_other_are_refused() -> None:
    text = changed("proportion(answered, attempts)", "quotient(rsa, attempts)") + 'rsa = "quotient(asr, attempts)"\n'
    assert len([f for f in said(CALLS, text) if "is itself a ratio" in f]) == 2


def test_all_mistakes_of_a_statistic_are_said_at_once() -> None:
    text = changed('"6m", "1h"', '"6x"').replace('"carrier" }', '"carier" }').replace("answer IS", "anser IS")
    assert [int(f.split(":")[1]) for f in said(CALLS, text)] == [4, 5, 8]
