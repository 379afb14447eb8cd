"""Pages: a cursor says where the next one begins, and belongs to one query."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from streamgauge.event import MAX_TIME_MS, MIN_TIME_MS
from streamgauge.serve.problems import bad

_WRONG = "cursor: is none that this service gave; take it from `next` or the Link of the page before"
_OTHER = "cursor: belongs to another query; give it with the same parameters, or leave it out to begin anew"
_MOST_OFFSET = 10**6


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: after the cell at (``start_ms``, ``key``), or after ``position``, or at row ``offset``.

    ``range_ms`` is the range that the first page was asked for, as ``-1h`` would mean another one by now.
    """

    range_ms: tuple[int | None, int | None] = (None, None)
    start_ms: int | None = None
    key: str | None = None
    position: int = -1
    offset: int = 0

    @property
    def place(self) -> tuple[int, str] | None:
        """The place of the last cell that is known."""
        return None if self.start_ms is None or self.key is None else (self.start_ms, self.key)

    def text(self, fingerprint: str) -> str:
        """As it stands in a URL."""
        parts = [fingerprint, *self.range_ms, self.start_ms, self.key, self.position, self.offset]
        return base64.urlsafe_b64encode(orjson.dumps(parts)).rstrip(b"=").decode("ascii")


def fingerprint(*parts: object) -> str:
    """What is the same for all pages of a query only."""
    return hashlib.blake2b(repr(parts).encode("utf-8", "backslashreplace"), digest_size=6).hexdigest()


def same_query(path: str, pairs: Iterable[tuple[str, str]], *more: object) -> str:
    """The fingerprint of a request: all but what may differ from page to page."""
    return fingerprint(path, sorted(p for p in pairs if p[0] not in ("cursor", "limit", "fields", "tz")), *more)


def read_cursor(text: str, expected: str) -> Cursor:
    """The cursor of a request; an empty text is the first page. Raises Problem."""
    if not text:
        return Cursor()
    try:
        if len(text) > 100_000:
            raise ValueError
        parts = orjson.loads(base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True))
        found, *rest = parts
    except (ValueError, TypeError, binascii.Error) as e:
        raise bad("cursor", _WRONG) from e
    if not isinstance(found, str) or len(rest) != 6:
        raise bad("cursor", _WRONG)
    if found != expected:
        raise bad("cursor", _OTHER)
    return _checked(*rest)


def _checked(first: Any, last: Any, start: Any, key: Any, position: Any, offset: Any) -> Cursor:
    times = (first, last, start)
    if not all(t is None or (type(t) is int and MIN_TIME_MS <= t <= MAX_TIME_MS) for t in times):
        raise bad("cursor", _WRONG)
    if not (key is None or (isinstance(key, str) and key.isascii() and "\0" not in key)):
        raise bad("cursor", _WRONG)
    if not (type(position) is int and -1 <= position < 2**63 and type(offset) is int and 0 <= offset <= _MOST_OFFSET):
        raise bad("cursor", _WRONG)
    return Cursor((first, last), start, key, position, offset)


def next_url(path: str, pairs: Iterable[tuple[str, str]], cursor: Cursor | None, fingerprint: str) -> str | None:
    """The URL of the next page, relative to the host; None where there is none."""
    if cursor is None:
        return None
    kept = [(name, value) for name, value in pairs if name != "cursor"]
    return f"{path}?{urlencode([*kept, ('cursor', cursor.text(fingerprint))])}"


def link(url: str | None) -> dict[str, str]:
    """The Link header of a page that has a next one."""
    return {} if url is None else {"Link": f'<{url}>; rel="next"'}
