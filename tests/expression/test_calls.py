from __future__ import annotations

import pytest

from streamgauge.errors import DeclarationError
from streamgauge.expression import Call, parse_call, split_args


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("count()", Call("count")),
        (" Count( * ) ", Call("count")),
        ("quantiles(pdd_18x_ms, 0.5, 0.95)", Call("quantiles", ("pdd_18x_ms", "0.5", "0.95"))),
        ("sum(billed_ms) FILTER (WHERE sip_code = 200)", Call("sum", ("billed_ms",), "sip_code = 200")),
        ("sum(a) filter(where b IN (1, 2))", Call("sum", ("a",), "b IN (1, 2)")),
        (
            "proportion(count(answer IS NOT NULL AND billed_s = 0), answered)",
            Call("proportion", ("count(answer IS NOT NULL AND billed_s = 0)", "answered")),
        ),
        ("top(carrier, 10)", Call("top", ("carrier", "10"))),
        ("latest(body.state)", Call("latest", ("body.state",))),
        ("count(a = ',)' AND body.\"x,(\" = 'it''s')", Call("count", ("a = ',)' AND body.\"x,(\" = 'it''s'",))),
        ("sum(body.items[0]::BIGINT, x)", Call("sum", ("body.items[0]::BIGINT", "x"))),
    ],
)
def test_a_measure_is_taken_apart(text: str, call: Call) -> None:
    assert parse_call(text, what="measure") == call


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is empty at 1"),
        ("answered", "needs its parentheses at 9"),
        ("5", "begins with the name of an aggregate at 1"),
        ("sum(", "a parenthesis is not closed at 4"),
        ("sum(a", "a parenthesis is not closed at 4"),
        ("sum(a]", "brackets do not match at 6"),
        ("sum(a,,b)", "an argument is missing at 7"),
        ("sum(a,)", "an argument is missing at 7"),
        ("sum(a) x", "only FILTER (WHERE condition) may stand at 8"),
        ("sum(a) FILTER (b)", "only FILTER (WHERE condition) may stand at 8"),
        ("sum(a) FILTER (WHERE )", "the condition is missing at 22"),
        ("sum(a) FILTER (WHERE b) c", "nothing may stand after the FILTER at 25"),
        ("sum('a)", "a quote is not closed"),
        ("sum(a) -- c", "a comment is not allowed"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(DeclarationError) as raised:
        parse_call(text, what="measure 'm'", where="my.toml:3")
    assert problem in str(raised.value)
    assert str(raised.value).startswith("my.toml:3: measure 'm'")


def test_arguments_are_split_at_their_own_commas() -> None:
    assert split_args("", what="x") == ()
    assert split_args("a, b(c, d), 'e,f'", what="x") == ("a", "b(c, d)", "'e,f'")
