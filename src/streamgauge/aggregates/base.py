"""What an aggregate is: primitives to compute, states to merge, and a way to present them.

An aggregate never sees an event. It names **primitives** (count, sum, min, max, arg_min, arg_max, and count per
sub-key); an engine computes them for a batch, per window and key; each primitive's result is a **state** that can be
merged; ``present`` turns the merged states into values for people. An engine implements the primitives and nothing
else, so a new aggregate is one new file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any, ClassVar

Scalar = int | float | str | bool | None
Value = Scalar | list[Any] | dict[str, Any]
"""What a measure presents: plain JSON."""

Examples = tuple[tuple[str | int | float, ...], ...]
"""Arguments for a constructor, some times over."""


class Kind(StrEnum):
    """What an aggregate takes as its argument."""

    NUMBER = "number"
    """A BIGINT or DOUBLE; the engine gives it as a scaled 64-bit integer."""
    TEXT = "text"
    """Anything, as its text."""
    ANY = "any"
    """Anything, kept as it is: int, float (rounded to the scale), bool or text."""


class Op(StrEnum):
    """The primitives. All ignore rows whose value is null, and rows for which the condition is not true."""

    COUNT = "count"
    """Rows (no value) or non-null values: an int."""
    SUM = "sum"
    """Sum of a 64-bit integer term: an int of any size."""
    MIN = "min"
    """Least: an int or None."""
    MAX = "max"
    """Greatest: an int or None."""
    ARG_MIN = "arg_min"
    """Value of the row that is first by (time, position): ``(time_ms, position, value)`` or None."""
    ARG_MAX = "arg_max"
    """Value of the row that is last by (time, position): ``(time_ms, position, value)`` or None."""
    COUNT_BY = "count_by"
    """Rows per sub-key: three arrays of equal length, ``(sub_keys, counts, first_positions)``, in any order and with
    a sub-key perhaps repeated (several parts of one batch); integer sub-keys as int64 or uint64, texts as a list."""


class Term(StrEnum):
    """What a primitive takes of the argument ``v``; every engine lowers each of these once.

    The integer terms are of the scaled 64-bit integer. HIGH and LOW are ``v >> 32`` (floor) and ``v & (2**32 - 1)``.
    """

    VALUE = "value"
    HIGH_SQUARED = "high_squared"
    HIGH_LOW = "high_low"
    LOW_SQUARED = "low_squared"
    BUCKET = "bucket"
    """The log-linear bucket of v, 64 per octave; see quantiles.bucket_of, which an engine must equal exactly."""
    EDGE = "edge"
    """How many of the ascending ``edges`` are <= v: 0 .. len(edges)."""
    HASH = "hash"
    """The first 8 bytes of md5(text, UTF-8), as an unsigned 64-bit little-endian integer."""
    TEXT = "text"
    """The text itself."""


@dataclass(frozen=True, slots=True)
class Argument:
    """An SQL expression over one event, of our dialect, and what it must yield."""

    sql: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Primitive:
    """One thing for the engine to compute per window and key.

    ``argument`` is None only for COUNT of rows. For COUNT_BY, ``term`` is the sub-key. ``where`` is an SQL condition
    over one event, or the empty string. ``edges`` is for Term.EDGE: ascending plain decimal texts in the argument's own
    unit, to be scaled like it, and compared exactly.
    """

    op: Op
    argument: Argument | None = None
    term: Term = Term.VALUE
    where: str = ""
    edges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """What presenting may need beside the states.

    ``window_s``: length of the window in seconds; ``covered_s``: the part of it that the watermark has passed (equal
    to ``window_s`` once final; None where nothing is known, and then a rate over it is null); ``scales``: for each
    argument of the measure, the decimal digits by which its integers are scaled (0 for a BIGINT).
    """

    window_s: float
    covered_s: float | None
    scales: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Output:
    """One presented column of a measure: ``suffix`` is empty for the measure's main value."""

    suffix: str
    type: str
    """``int``, ``float``, ``text``, ``map`` (text to int), ``list``, ``any``, or ``number``: int where the argument is
    a BIGINT (scale 0), else float; ``Measure.outputs_for`` says which."""
    help: str = ""
    format: str = "number"
    """How a table shows it: ``number`` (a text as it is), ``percent`` (of a share of 1), ``count`` or ``map``."""


class State(ABC):
    """How one primitive's result is merged and stored. Stateless and shared; states are plain values.

    Laws (testing/laws.py): ``merge`` is associative, ``zero`` is its identity, and merging the states of consecutive
    parts equals the state of the whole. Parts are merged in log order. Two states are the same when ``pack`` says so.

    Where ``bounded``, what does not fit is folded away, and the laws are stated for a fold in log order, each part
    merged into the state of all before it: ``merge(merge(zero, a), b)``. Where two cells are merged (roll-up, rolling
    windows), what the right one has folded away stays folded, and only the totals are those of the whole.
    """

    vector: ClassVar[str] = ""
    """``add``, ``min`` or ``max`` where states are ints that numpy may merge as columns; empty where not. With ``min``
    and ``max`` a state may also be None (of no value), for which a column needs a mask."""
    bounded: ClassVar[bool] = False

    @abstractmethod
    def zero(self) -> Any:
        """The state of no event."""

    @abstractmethod
    def merge(self, a: Any, b: Any) -> Any:
        """The state of a's events followed by b's. May reuse ``a``; never changes ``b``."""

    def load(self, computed: Any) -> Any:
        """The state of what an engine computed for one slice (see Op for its form).

        For COUNT_BY, everything of the slice that goes into one cell must come in one call (base windows joined end
        to end): only then is the first position of a sub-key known, and the result the same for any batch size.
        """
        return computed

    def load_all(self, sub_keys: Any, counts: Any, first_positions: Any, offsets: Sequence[int]) -> list[Any]:
        """``load`` for COUNT_BY over many cells: cell i owns the rows ``offsets[i]`` to ``offsets[i + 1]``."""
        return [
            self.load((sub_keys[start:stop], counts[start:stop], first_positions[start:stop]))
            for start, stop in pairwise(offsets)
        ]

    def pack(self, state: Any) -> Any:
        """The state as msgpack can write it, canonical: equal states give equal bytes."""
        return state

    def unpack(self, packed: Any) -> Any:
        """The state that ``pack`` was given."""
        return packed


class Measure(ABC):
    """A named value of a statistic: an aggregate with its arguments, or a ratio of other measures.

    Subclasses set ``name`` (how declarations call it), ``help`` (one line), ``signature`` (how it is written, for
    messages and docs) and ``examples``: arguments that make one; laws and docs are tested on each of them. A
    constructor takes ``(*arguments, where="")`` and raises DeclarationError where they do not fit.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    signature: ClassVar[str]
    examples: ClassVar[Examples]

    @abstractmethod
    def __init__(self, *arguments: Any, where: str = "") -> None:
        """Check the arguments of a declaration, and keep them."""

    @abstractmethod
    def outputs(self) -> Sequence[Output]:
        """The columns that ``present`` fills, in order. If there is a main value, it is the first, without suffix."""

    @abstractmethod
    def formula(self) -> str:
        """The declaration that makes this measure, e.g. ``sum(billed_ms) FILTER (WHERE sip_code = 200)``."""

    def main(self) -> Output | None:
        """The output without suffix; None where there is none (quantiles)."""
        first = self.outputs()[0]
        return None if first.suffix else first

    def outputs_for(self, scales: Sequence[int]) -> Sequence[Output]:
        """``outputs`` with ``number`` replaced by what it is under these scales: ``int`` or ``float``."""
        number = "float" if any(scales) else "int"
        return tuple(replace(o, type=number) if o.type == "number" else o for o in self.outputs())

    def __repr__(self) -> str:
        return f"<{self.formula()}>"


class Aggregate(Measure):
    """A measure with states of its own."""

    state_version: ClassVar[int] = 1
    """Part of a statistic's version: raise it when the meaning of a stored state changes."""
    counts: ClassVar[bool] = False
    """True for counts, sums and what is made of them alone, which present nothing as 0 (an empty map or list, or bins
    of 0, where they present more than a number). All others present nothing as null. This is the one rule."""

    @abstractmethod
    def arguments(self) -> Sequence[Argument]:
        """The expressions that it reads, in order; ``Context.scales`` follows this order."""

    @abstractmethod
    def primitives(self) -> Sequence[Primitive]:
        """What to compute. One state per primitive."""

    @abstractmethod
    def states(self) -> Sequence[State]:
        """How each primitive's result is merged, in the order of ``primitives``."""

    @abstractmethod
    def present(self, states: Sequence[Any], context: Context) -> Mapping[str, Value]:
        """Values by output suffix. Empty input gives null, except counts and sums, which give 0."""

    def present_all(
        self, columns: Sequence[Sequence[Any]], contexts: Sequence[Context]
    ) -> Mapping[str, Sequence[Value]]:
        """``present`` of many cells at once: a column of values by output suffix.

        ``columns``: for each primitive, the cells' states. Overridden where that is faster, never to say another thing.
        """
        presented = [*map(self.present, zip(*columns, strict=True), contexts)]
        return {output.suffix: [values[output.suffix] for values in presented] for output in self.outputs()}


class Ratio(Measure):
    """A measure over two others: ``proportion`` and ``quotient``. It has no state."""

    numerator: Measure | str
    denominator: Measure | str

    @abstractmethod
    def over(self, numerator: Measure | str, denominator: Measure | str) -> Ratio:
        """The same ratio over other operands; nothing is checked."""

    @abstractmethod
    def refusal(self, operand: Measure) -> str:
        """Why ``operand`` (or what its name stands for) can be neither side; empty where it can."""

    @abstractmethod
    def present_ratio(self, numerator: Value, denominator: Value) -> Mapping[str, Value]:
        """Values by output suffix from the main values of the two measures."""
