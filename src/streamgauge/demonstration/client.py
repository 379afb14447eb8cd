"""A client of the service like anybody else's: it knows the address, and nothing of the program."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from streamgauge.errors import StreamgaugeError

HOST = "127.0.0.1"
_LATER = (429, 503)


class Refused(StreamgaugeError):
    """The service did not answer, or not with 200."""


class Client:
    """Asks and sends over one connection; for one thread.

    ``wait`` waits for so many seconds and says whether to give up: it is called where the service says "later".
    """

    def __init__(self, port: int, wait: Callable[[float], bool], timeout_s: float = 20.0) -> None:
        self.base = f"http://{HOST}:{port}"
        self._wait = wait
        self._connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)

    def url(self, path: str, query: Mapping[str, Any] | None = None) -> str:
        """The address of what is asked, for people."""
        return self.base + with_query(path, query)

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The document at a path. Raises Refused."""
        return self._ask("GET", with_query(path, query))

    def cells(self, statistic: str, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Every cell that there is, page after page. Raises Refused."""
        following = with_query(f"/v1/statistics/{statistic}/cells", {"limit": 1000, **query})
        while following:
            page = self._ask("GET", following)
            yield from page["cells"]
            following = page["next"] or ""

    def post(self, path: str, body: bytes) -> dict[str, Any]:
        """Send NDJSON; the answer. What is sent must have ids, as it is sent again where no answer came."""
        return self._ask("POST", path, body)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        while True:
            status, text, later_s = self._once(method, path, body)
            if status == 200:
                return dict(json.loads(text))
            if status not in _LATER or self._wait(later_s):
                raise Refused(f"{method} {path} was answered with {status}: {text[:300].decode(errors='replace')}")

    def _once(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes, float]:
        """Status, body, and how long to wait. A connection that was closed in between is opened again, once."""
        try:
            return self._exchange(method, path, body)
        except (OSError, http.client.HTTPException):
            self._connection.close()
        try:
            return self._exchange(method, path, body)
        except (OSError, http.client.HTTPException) as e:
            self._connection.close()
            raise Refused(f"{method} {path} had no answer: {e!r}") from e

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes, float]:
        headers = {"Content-Type": "application/x-ndjson"} if body is not None else {}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read(), float(answer.headers.get("Retry-After", 1))


def with_query(path: str, query: Mapping[str, Any] | None) -> str:
    """A path with its query; colons and commas are left as they are, which is allowed and can be read."""
    return f"{path}?{urlencode(query, safe=':,')}" if query else path
