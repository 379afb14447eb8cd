"""What an HTTP client is told that did not get what it asked for: a problem document (RFC 9457)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

PROBLEM_TYPE = "application/problem+json"


@dataclass(eq=False)
class Problem(Exception):
    """A refusal: raised wherever it is found, and made the answer in one place.

    ``detail`` finishes the sentence. ``parameter`` names what is to be mended (a query parameter or a header),
    ``hint`` how. ``retry_after_s`` None: the same request will be refused again.
    """

    status: HTTPStatus
    detail: str
    parameter: str = ""
    hint: str = ""
    retry_after_s: float | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    closes: bool = False
    """The rest of the request is not read, so that the connection cannot be used again."""

    def __str__(self) -> str:
        return f"{self.status.value} {self.detail}"

    def body(self) -> bytes:
        """The document."""
        document: dict[str, Any] = {"type": "about:blank", "title": self.status.phrase, "status": self.status.value}
        document["detail"] = self.detail
        for name, value in (("parameter", self.parameter), ("hint", self.hint)):
            if value:
                document[name] = value
        return json.dumps({**document, **self.more}).encode()

    def headers(self) -> dict[str, str]:
        """What the answer's headers say of it."""
        headers: dict[str, str] = {}
        if self.retry_after_s is not None:
            headers["retry-after"] = str(max(1, math.ceil(self.retry_after_s)))
        if self.status is HTTPStatus.UNSUPPORTED_MEDIA_TYPE and self.parameter == "content-encoding":
            headers["accept-encoding"] = "gzip, deflate, zstd"
        if self.closes:
            headers["connection"] = "close"
        return headers
