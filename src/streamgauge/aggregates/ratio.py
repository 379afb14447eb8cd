"""What the two ratios share: their operands."""

from __future__ import annotations

from copy import copy

from streamgauge.aggregates.base import Measure, Ratio
from streamgauge.aggregates.declared import check_number_of, condition, refusal


class TwoMeasures(Ratio):
    """Base of the ratios. An operand is a measure, or the name of one of the same statistic."""

    def __init__(self, *arguments: Measure | str, where: str = "") -> None:
        kind = type(self)
        check_number_of(kind, arguments, 2, 2)
        if condition(kind, where):
            hint = "put the condition into its operands"
            raise refusal(f"{kind.name} takes no condition of its own", where, hint)
        self.numerator, self.denominator = (self._operand(a) for a in arguments)

    def over(self, numerator: Measure | str, denominator: Measure | str) -> Ratio:
        """The same ratio over other operands; nothing is checked."""
        other = copy(self)
        other.numerator, other.denominator = numerator, denominator
        return other

    def refusal(self, operand: Measure) -> str:
        """Why ``operand`` can be neither side; empty where it can."""
        main = operand.main()
        if isinstance(operand, Ratio):
            return f"{operand.formula()} is itself a ratio"
        if main is None or main.type not in ("int", "float", "number"):
            return f"{operand.formula()} has no single number"
        return ""

    def formula(self) -> str:
        """Name and operands."""
        sides = (s if isinstance(s, str) else s.formula() for s in (self.numerator, self.denominator))
        return f"{self.name}({', '.join(sides)})"

    def _operand(self, given: object) -> Measure | str:
        if isinstance(given, str) and given.strip():
            return given.strip()
        if not isinstance(given, Measure):
            raise refusal(f"{self.name} takes two measures, or their names", given, f"write {self.signature}")
        if problem := self.refusal(given):
            raise refusal(f"{self.name} cannot take this: {problem}", given.formula(), f"write {self.signature}")
        return given
