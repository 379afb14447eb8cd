"""Errors, by who must act: the author of a declaration, the operator, or nobody (retry)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a declaration, said so that its author can mend it without reading our code.

    ``what`` names the thing (``statistic 'carrier_quality': measure 'pdd'``), ``where`` its file and line
    (``my.toml:12``, or empty), ``got`` the text found, ``problem`` what is wrong with it, ``hint`` how to mend it.
    """

    what: str
    problem: str
    where: str = ""
    got: str = ""
    hint: str = ""

    def __str__(self) -> str:
        parts = [p for p in (self.where, self.what, repr(self.got) if self.got else "", self.problem) if p]
        return ": ".join(parts) + (f"; {self.hint}" if self.hint else "")


class StreamgaugeError(Exception):
    """Base of every error that streamgauge raises on purpose."""

    exit_code = 1


class DeclarationError(StreamgaugeError):
    """The author of a declaration must act. Carries every mistake found, not only the first."""

    exit_code = 2

    def __init__(self, mistakes: Mistake | Iterable[Mistake]) -> None:
        self.mistakes: tuple[Mistake, ...] = (mistakes,) if isinstance(mistakes, Mistake) else tuple(mistakes)
        super().__init__("\n".join(str(m) for m in self.mistakes))


class UsageError(StreamgaugeError):
    """The operator gave a command or an option that cannot be carried out."""

    exit_code = 2


class InputError(StreamgaugeError):
    """An input cannot be read (no such file, truncated, not of any known form). The others still are."""


class StoreError(StreamgaugeError):
    """The store cannot be used as it is (newer schema, foreign file, read-only, made with other declarations).

    The operator must act, and nothing was reported: so the exit code is that of a mistake in the command.
    """

    exit_code = 2


class RetryableError(StreamgaugeError):
    """Nobody must act: the same call may succeed later, at the soonest after ``retry_after_s`` seconds."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean NAME?`` for the closest of ``known``, or the empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else ""
