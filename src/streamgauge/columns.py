"""The columns that an expression may name, also where some declarations of them were refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from streamgauge.errors import DeclarationError
from streamgauge.expression import Expression, SqlType
from streamgauge.expression.scan import RESERVED

ANY = tuple(t for t in SqlType if t is not SqlType.NULL)
"""The types that a field may have."""

_NAME = re.compile(r'"(?P<quoted>[^"]+)"|(?<![.\w$])(?P<bare>[A-Za-z_]\w*)(?P<used>\s*[.(])?')
_MOST = 3
"""So many columns of unknown type are tried with every type of each; more of them with the same type for all."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns with their types. ``unsure`` are those that may have several; where ``open``, more may be there."""

    known: Mapping[str, SqlType]
    unsure: Mapping[str, tuple[SqlType, ...]] = field(default_factory=dict)
    open: bool = False

    def is_name(self, text: str) -> bool:
        """Whether the text is the name of a column, or may be one, and nothing else."""
        return text in self.known or (self.open and text.isidentifier())

    def may_be(self, name: str, type_: SqlType) -> bool:
        """Whether there may be a column of this name and type."""
        if name in self.unsure:
            return type_ in self.unsure[name]
        return self.known[name] is type_ if name in self.known else self.open

    def judge(self, text: str, check: Callable[[Mapping[str, SqlType]], Expression]) -> Expression | None:
        """What ``check`` makes of ``text`` with these columns; None where that depends on what is not known.

        Raises DeclarationError with the mistakes that are there whatever the unsure columns are.
        """
        named = self._named(text)
        if not named:
            return check(self.known)
        common: set[object] | None = None
        for types in _readings(named):
            try:
                check({**self.known, **types})
            except DeclarationError as e:
                common = set(e.mistakes) if common is None else common & set(e.mistakes)
                found = e.mistakes
            else:
                return None
            if not common:
                return None
        raise DeclarationError(m for m in found if m in (common or ()))

    def _named(self, text: str) -> dict[str, tuple[SqlType, ...]]:
        named = {}
        for match in _NAME.finditer(text):
            name = match["quoted"] or match["bare"]
            if name in self.unsure:
                named[name] = self.unsure[name]
            elif self.open and not match["used"] and name not in self.known:
                named |= {name: ANY} if match["quoted"] or _may_be_column(name) else {}
        return named


def _may_be_column(name: str) -> bool:
    return name.upper() not in RESERVED and name.upper() not in ("SELECT", "BODY")


def _readings(named: Mapping[str, tuple[SqlType, ...]]) -> Iterator[dict[str, SqlType]]:
    if len(named) <= _MOST:
        yield from (dict(zip(named, types, strict=True)) for types in product(*named.values()))
    else:
        for n in range(len(ANY)):
            yield {name: types[n % len(types)] for name, types in named.items()}
