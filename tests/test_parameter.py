from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.errors import DeclarationError
from streamgauge.expression import SqlType, parse
from streamgauge.parameter import PARAMETER_TYPES, Parameter, Substitution, parameter_from
from tests.declaring import CALLS, declared, mistakes, said

GOOD: dict[str, Any] = {
    "integer": 20,
    "number": 0.5,
    "text": "it's",
    "word": "end",
    "boolean": True,
    "integers": [200, 404],
    "texts": ["1", "20"],
}


def put(type_: str, value: Any) -> Substitution:
    return Substitution({"p": (Parameter("p", type_, value), value)})


def test_every_type_has_an_example_here() -> None:
    assert tuple(GOOD) == PARAMETER_TYPES


@pytest.mark.parametrize("type_", PARAMETER_TYPES)
def test_a_value_of_its_type_is_taken_and_one_of_another_is_not(type_: str) -> None:
    parameter = Parameter("p", type_, GOOD[type_])
    assert parameter.check(GOOD[type_], "pack 'x'", "") == GOOD[type_]
    for other in ({}, None, [[]], [], math.nan):
        with pytest.raises(DeclarationError, match=r"parameter 'p'.*expected"):
            parameter.check(other, "pack 'x'", "")


def test_true_is_no_integer() -> None:
    with pytest.raises(DeclarationError, match="is true, expected an integer"):
        Parameter("p", "integer", 1).check(True, "pack 'x'", "")


def test_a_choice_that_is_none_is_refused_with_a_near_match() -> None:
    parameter = Parameter("window_by", "word", "end", choices=("end", "start", "answer"))
    with pytest.raises(DeclarationError, match=r"is 'strat', expected one of end, start, answer; did you mean start\?"):
        parameter.check("strat", "pack 'voip'", "my.toml:3")


@pytest.mark.parametrize(
    ("type_", "value", "sql"),
    [
        ("integer", 20, "20"),
        ("integer", -5, "(-5)"),
        ("number", 0.5, "0.5"),
        ("text", "it's", "'it''s'"),
        ("word", "end", "end"),
        ("boolean", False, "FALSE"),
    ],
)
def test_a_parameter_in_an_expression_is_a_literal(type_: str, value: Any, sql: str) -> None:
    assert put(type_, value).expression("x = $p", "what", "") == f"x = {sql}"


def test_a_list_keeps_its_parentheses_after_in_and_is_several_arguments_elsewhere() -> None:
    codes = put("integers", [1, 2])
    assert codes.expression("a NOT in  $p OR prefix_of(b, $p)", "what", "") == "a NOT in  (1, 2) OR prefix_of(b, 1, 2)"


def test_a_dollar_in_quotes_is_a_dollar() -> None:
    text = """body."$p" = '$p' AND regexp_matches(body.x, '^it''s $p$')"""
    assert put("integer", 1).expression(text, "what", "") == text


def test_an_unknown_name_is_said_with_its_character() -> None:
    with pytest.raises(DeclarationError, match=r"unknown parameter \$q at 5; known: p"):
        put("integer", 1).expression("x = $q", "what", "")


def test_a_setting_is_the_value_itself() -> None:
    substitution = put("integers", [1, 2])
    assert substitution.setting("$p", "what", "") == [1, 2]
    assert substitution.setting({"a": "$p", "b": "x"}, "what", "") == {"a": [1, 2], "b": "x"}


COLUMNS = {"topic": SqlType.VARCHAR}


@given(st.text())
def test_a_text_can_say_nothing_but_itself(value: str) -> None:
    sql = put("text", value).expression("topic = $p", "what", "")
    try:
        found = parse(sql, columns=COLUMNS, what="x")
    except DeclarationError:
        return  # NUL, a lone surrogate, 10 000 characters: refused is fine
    assert found.tree.op == "="
    assert found.tree.args[1].value == value


@given(st.text())
def test_a_word_is_a_name_or_refused(value: str) -> None:
    try:
        Parameter("p", "word", "end").check(value, "pack", "")
    except DeclarationError:
        return
    assert value.isidentifier()
    assert value.islower()


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (5, "is 5, expected a table"),
        ({"type": "integer"}, "needs a type and a default"),
        ({"type": "int", "default": 1}, "type: is 'int', expected one of"),
        ({"type": "integer", "default": "1"}, "is '1', expected an integer"),
        ({"type": "word", "default": "a", "choices": "a"}, "choices: is 'a', expected a list of texts"),
        ({"type": "integer", "default": 1, "hlep": ""}, "did you mean help?"),
    ],
)
def test_a_parameter_declared_wrongly(raw: Any, problem: str) -> None:
    with pytest.raises(DeclarationError) as error:
        parameter_from("pack 'x'", "f:1", "p", raw)
    assert problem in str(error.value)


def test_a_table_of_the_pack_is_said_where_it_stands() -> None:
    assert said('[pack.x]\nhelp = 5\n[pack.x.parameters]\nBad = { type = "text", default = "" }\n') == [
        "a.toml:2: pack 'x': help: is 5, expected a text",
        "a.toml:4: pack 'x': parameter 'Bad': not a name; lower case letters, digits and _, starting with a letter",
    ]


PACK = """
[pack.mine.parameters.least]
type = "integer"
default = 3
[pack.mine.parameters.carriers]
type = "texts"
default = ["north"]
[statistic.some]
of = "call"
every = "1h"
min_n = "$least"
where = "carrier IN $carriers"
[statistic.some.measures]
n = "count(cost > $least)"
"""


def test_parameters_stand_in_expressions_and_settings() -> None:
    found = declared(CALLS, PACK, parameters={"least": 7}).statistics["some"]
    assert found.spec.min_n == 7
    assert found.where is not None
    assert found.where.normal == "(carrier IN ('north'))"
    assert found.primitives[0].where is not None
    assert "7" in found.primitives[0].where.normal


def test_another_value_is_another_version() -> None:
    versions = {
        declared(CALLS, PACK, parameters={"mine.carriers": carriers}).statistics["some"].version
        for carriers in (["north"], ["north", "south"])
    }
    assert len(versions) == 2


def test_unknown_and_wrong_parameters_are_all_said_and_make_no_second_mistake() -> None:
    found = said(CALLS, PACK, parameters={"leest": 1, "mine.carriers": [], "voip.x": 1})
    assert found == [
        "pack 'mine': parameter 'carriers': is [], expected a list of at least one text; the default is ['north']",
        "parameter: unknown parameter 'leest'; did you mean least?",
        "parameter: unknown parameter 'voip.x'; known: least, carriers",
    ]


def test_a_hostile_parameter_is_a_text() -> None:
    hostile = "x') OR TRUE --"
    found = declared(CALLS, PACK, parameters={"carriers": [hostile]}).statistics["some"]
    assert found.where is not None
    assert found.where.normal == "(carrier IN ('x'') OR TRUE --'))"


def test_parameters_of_another_file_are_not_known_here() -> None:
    other = PACK.replace("[pack.mine.parameters.least]", "[pack.mine.parameters.most]")
    assert any("unknown parameter $least" in m.problem for m in mistakes(CALLS, other))
