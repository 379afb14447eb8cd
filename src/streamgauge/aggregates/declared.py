"""What the aggregates share: checking their arguments, writing their formula back, and unscaling integers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from streamgauge.aggregates.base import Aggregate, Argument, Context, Kind, Measure, Value
from streamgauge.errors import DeclarationError, Mistake

Given = str | int | float | Decimal
"""An argument in a declaration: the text of an SQL expression, or a number."""

MOST_DECIMALS = 18
"""A literal may have so many digits after the point: no field can be scaled further in 64 bits."""


def refusal(problem: str, got: object = "", hint: str = "") -> DeclarationError:
    """The error for a measure that cannot be made; whoever knows its name says it in place of ``measure``."""
    return DeclarationError(Mistake(what="measure", problem=problem, got=str(got), hint=hint))


def check_number_of(measure: type[Measure], given: Sequence[object], least: int, most: int | None) -> None:
    """Raise DeclarationError unless ``least <= len(given) <= most``."""
    if least <= len(given) and (most is None or len(given) <= most):
        return
    takes = str(least) if least == most else f"at least {least}" if most is None else f"{least} to {most}"
    plural = "" if takes in ("1", "at least 1") else "s"
    problem = f"{measure.name} takes {takes} argument{plural}, not {len(given)}"
    raise refusal(problem, hint=f"write {measure.signature}")


def expression(measure: type[Measure], given: object) -> str:
    """The SQL text of an argument that is an expression. Raises DeclarationError if it is none."""
    if isinstance(given, Measure):
        problem = f"{measure.name} takes an expression over one event, not another measure"
        raise refusal(problem, given.formula(), "only proportion and quotient take measures")
    if isinstance(given, bool) or not isinstance(given, (str, int, float, Decimal)):
        raise refusal(f"{measure.name} takes the text of an SQL expression", repr(given), f"write {measure.signature}")
    text = given.strip() if isinstance(given, str) else plain(number(measure, given, "a number"))
    if not text:
        raise refusal(f"{measure.name} was given an empty expression", hint=f"write {measure.signature}")
    return text


def condition(measure: type[Measure], where: object) -> str:
    """The SQL text of ``where``; empty for none. Raises DeclarationError if it is no text."""
    if not isinstance(where, str):
        raise refusal(f"where of {measure.name} must be the text of an SQL condition", repr(where))
    return where.strip()


def number(measure: type[Measure], given: object, role: str) -> Decimal:
    """A literal as the exact decimal that was written. Raises DeclarationError if it is no finite number.

    ``role`` completes the message: ``a quantile``, ``an edge``.
    """
    if isinstance(given, bool) or not isinstance(given, (int, float, Decimal)):
        raise refusal(f"{role} of {measure.name} must be a number", given, f"write {measure.signature}")
    value = Decimal(repr(float(given))) if isinstance(given, float) else Decimal(given)
    if not value.is_finite() or (value and not -20 <= value.adjusted() <= 20):
        raise refusal(f"{role} of {measure.name} is out of range", given)
    if len(plain(value).partition(".")[2]) > MOST_DECIMALS:
        raise refusal(f"{role} of {measure.name} has more than {MOST_DECIMALS} decimals", given)
    return value


def whole(measure: type[Measure], given: object, role: str, least: int, most: int) -> int:
    """A literal that is a whole number from ``least`` to ``most``. Raises DeclarationError if it is not."""
    value = number(measure, given, role)
    if value != int(value) or not least <= value <= most:
        raise refusal(f"{role} of {measure.name} must be a whole number from {least} to {most}", given)
    return int(value)


def plain(value: Decimal) -> str:
    """The shortest plain text of a decimal: no exponent, no zeros at the end, no negative zero.

    >>> plain(Decimal("1E+2")), plain(Decimal("0.50")), plain(Decimal("-0"))
    ('100', '0.5', '0')
    """
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def both(first: str, second: str) -> str:
    """The condition that holds where both do; an empty one always holds."""
    return f"({first}) AND ({second})" if first and second else first or second


def scale_of(context: Context) -> int:
    """The scale of a measure's only argument."""
    return context.scales[0] if context.scales else 0


def unscaled(value: int, scale: int) -> int | float:
    """What a scaled integer stands for: itself where the scale is 0, else the nearest double.

    >>> unscaled(1_250_000, 6), unscaled(3, 0)
    (1.25, 3)
    """
    # Python's quotient of two integers is the double nearest to the exact one, reduced or not.
    return value if scale == 0 else value / 10**scale


def unscaled_all(column: Sequence[Any], contexts: Sequence[Context]) -> Sequence[Value]:
    """What the scaled integers of many cells of one measure stand for; None stays."""
    scale = scale_of(contexts[0]) if contexts else 0
    return column if scale == 0 else [None if value is None else unscaled(value, scale) for value in column]


def root(value: Fraction) -> float:
    """The double nearest to the square root of an exact rational >= 0.

    The integer root of 2**(2k) times the value has over 64 bits; its last bit is set where the root is not exact, so
    that the conversion to a double rounds once and correctly.

    >>> root(Fraction(9, 4)), root(Fraction(2))
    (1.5, 1.4142135623730951)
    """
    if value == 0:
        return 0.0
    k = max(0, 66 - (value.numerator.bit_length() - value.denominator.bit_length()) // 2)
    whole_part, rest = divmod(value.numerator << 2 * k, value.denominator)
    result = math.isqrt(whole_part)
    if rest or result * result != whole_part:
        result |= 1
    return math.ldexp(float(result), -k)


class Single(Aggregate):
    """Base of the aggregates over one expression, with ``where`` and perhaps numbers after it."""

    kind = Kind.NUMBER
    most: int | None = 1
    least = 1

    def __init__(self, *arguments: Given, where: str = "") -> None:
        check_number_of(type(self), arguments, self.least, self.most)
        self.argument = Argument(expression(type(self), arguments[0]), self.kind)
        self.where = condition(type(self), where)
        self.literals = self.checked(arguments[1:])

    def checked(self, given: Sequence[Given]) -> tuple[str, ...]:
        """Keep the numbers after the expression; their texts, for the formula. Raises DeclarationError."""
        return ()

    def arguments(self) -> Sequence[Argument]:
        """The one expression."""
        return (self.argument,)

    def formula(self) -> str:
        """Name, expression and numbers, with the condition as a FILTER."""
        return called(self.name, (self.argument.sql, *self.literals), self.where)


def called(name: str, arguments: Sequence[str], where: str) -> str:
    """The text of a measure: ``sum(x) FILTER (WHERE y > 0)``."""
    return f"{name}({', '.join(arguments)})" + (f" FILTER (WHERE {where})" if where else "")
