"""Whose results may be read: every read of results takes a Scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Scope:
    """What a reader of results may see: everything, or what belongs to these owners and to nobody else.

    >>> Scope.all.sees("anyone"), Scope(frozenset({"north"})).sees("south"), Scope(frozenset()).sees("")
    (True, False, False)
    """

    owners: frozenset[str] | None
    all: ClassVar[Scope]

    @property
    def everything(self) -> bool:
        """Whether nothing is hidden; what has no owner is seen by such a reader only."""
        return self.owners is None

    def sees(self, owner: str) -> bool:
        """Whether what belongs to ``owner`` (empty: to nobody) may be seen."""
        return self.owners is None or (owner != "" and owner in self.owners)


Scope.all = Scope(None)
