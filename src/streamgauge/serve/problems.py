"""Errors as RFC 9457 problem documents, which name the parameter and the nearest right one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

from streamgauge.errors import nearest

MEDIA_TYPE = "application/problem+json"

_KNOWN = {
    "bad-request": (400, "this cannot be understood"),
    "bad-parameter": (400, "a parameter cannot be understood"),
    "unknown-parameter": (400, "there is no such parameter"),
    "unauthorized": (401, "a token is needed"),
    "forbidden": (403, "this is not allowed"),
    "not-found": (404, "there is no such thing"),
    "method-not-allowed": (405, "this cannot be done here"),
    "not-acceptable": (406, "there is no such format"),
    "gone": (410, "it is not kept any more"),
    "too-large": (413, "this asks for too much at once"),
    "misdirected": (421, "this is no name of this service"),
    "internal": (500, "the service failed"),
    "no-log": (501, "this service has no log"),
    "no-program": (501, "no program runs here"),
    "store-failing": (503, "the store cannot be read"),
    "busy": (503, "too many requests at once"),
    "too-slow": (503, "this took too long"),
    "not-now": (503, "this cannot be done just now"),
    "not-ready": (503, "the service is not ready"),
}
"""Every kind of problem: its status and its title. Documented in the guide under these names."""

KINDS = tuple(_KNOWN)


class Problem(Exception):
    """What is answered instead of a result. ``detail`` is a whole sentence: what, got, expected, hint.

    ``parameter`` names the one that is wrong, ``nearest`` the right one that it may have meant.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        parameter: str = "",
        nearest: str = "",
        headers: Mapping[str, str] | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.parameter, self.nearest = kind, detail, parameter, nearest
        self.headers = dict(headers or {})
        self.status = status or _KNOWN[kind][0]

    @property
    def title(self) -> str:
        """What kind of problem it is, in words."""
        return _KNOWN[self.kind][1] if self.kind in _KNOWN else HTTPStatus(self.status).phrase

    def document(self) -> dict[str, Any]:
        """The members of the problem document."""
        found = {"type": f"urn:streamgauge:problem:{self.kind}", "title": self.title, "status": self.status}
        extra = {"detail": self.detail, "parameter": self.parameter, "nearest": self.nearest}
        return found | {name: value for name, value in extra.items() if value}

    def response(self) -> Response:
        """The answer."""
        document = {n: _printable(v) if isinstance(v, str) else v for n, v in self.document().items()}
        return Response(orjson.dumps(document), self.status, self.headers, MEDIA_TYPE)


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def bad(parameter: str, detail: str, close: str = "") -> Problem:
    """A parameter whose value cannot be understood; ``detail`` begins with its name."""
    return Problem("bad-parameter", detail, parameter, close)


def unknown(what: str, name: str, known: Iterable[str], parameter: str = "", kind: str = "not-found") -> Problem:
    """Something that does not exist, and the nearest that does."""
    names = list(known)
    close = nearest_of(name, names)
    hint = f"did you mean {close}?" if close else f"known: {', '.join(names) or 'none'}"
    return Problem(kind, f"{what} {name[:200]!r}: {hint}", parameter, close)


def nearest_of(name: str, known: Iterable[str]) -> str:
    """The closest of the names, or the empty text."""
    return nearest(name[:200], known).removeprefix("did you mean ").removesuffix("?")
