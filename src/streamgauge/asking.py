"""Asking for results as REST gives them: of a program that listens somewhere, or of a store, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlencode, urlsplit

from streamgauge.clock import SystemClock
from streamgauge.errors import RetryableError, UsageError

if TYPE_CHECKING:
    from streamgauge.bound import BoundStatistic

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_DATA = "./streamgauge-data"
STORE = "store.db"
"""The store in the data folder of a run."""

ANSWER_S = 60.0
GLANCE_S = 1.0

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Where:
    """Whom to ask; at most one of ``data`` (the folder of a run), ``store`` (a path or URL) and ``url``.

    ``token``: for ``url``; it appears in no message.
    """

    data: str = ""
    store: str = ""
    url: str = ""
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def next(self) -> str:
        """The URL of the next page, without its host; empty at the end."""
        found = re.search('<([^>]*)>; *rel="next"', self.headers.get("link", ""))
        return found[1] if found else ""

    def json(self) -> dict[str, Any]:
        """The document. Raises UsageError where it is none of this program's."""
        try:
            document = json.loads(self.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise UsageError("what answers there is no streamgauge: its answer is no JSON object")
        return document


class Asking(Protocol):
    """Somebody who answers."""

    @property
    def local(self) -> bool:
        """Whether a store is read here, without the program that writes it."""
        ...

    def ask(self, target: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Reply:
        """The answer to a path with its query. Raises RetryableError where nobody answers."""
        ...


def target_of(path: str, pairs: Pairs) -> str:
    """A path with its query."""
    return f"{path}?{urlencode(pairs)}" if pairs else path


def answer(asking: Asking, target: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Reply:
    """A good answer, or one that says that nothing has changed.

    Raises UsageError for what was asked wrongly, RetryableError for what may succeed later.
    """
    reply = asking.ask(target, method, headers)
    if reply.status in (200, 304):
        return reply
    if not reply.headers.get("content-type", "").startswith("application/problem+json"):
        raise UsageError(f"what answers there is no streamgauge: {target.partition('?')[0]} gives {reply.status}")
    problem = reply.json()
    said = str(problem.get("detail") or problem.get("title"))
    if reply.status == 401:
        said += "; give it in STREAMGAUGE_TOKEN"
    if reply.status in (429, 500, 503):
        wait = reply.headers.get("retry-after", "1")
        raise RetryableError(said, float(wait) if wait.isdecimal() else 1.0)
    raise UsageError(said)


class OverHttp:
    """A program or service at a URL. Follows no redirect, so that a token goes nowhere else."""

    local = False

    def __init__(self, url: str, token: str = "", timeout_s: float = ANSWER_S) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1 or parts.query or parts.fragment:
            raise UsageError(f"--url {_shown(url)}: is no address of a service; write it as {DEFAULT_URL}")
        if parts.username or parts.password:
            raise UsageError("--url: holds a name or a password, expected none; give a token in STREAMGAUGE_TOKEN")
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise UsageError("--token: is no token: it has blanks, or characters that are not ASCII")
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, port
        self._prefix, self._timeout_s = parts.path.rstrip("/"), timeout_s
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.url = f"{parts.scheme}://{parts.netloc}{self._prefix}"

    def ask(self, target: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Reply:
        """See Asking.ask."""
        connection = self._connection()
        try:
            connection.request(method, self._prefix + target, headers={**self._headers, **(headers or {})})
            found = connection.getresponse()
            names = {name.lower(): value for name, value in found.getheaders()}
            return Reply(found.status, names, found.read())
        except (OSError, http.client.HTTPException) as error:
            said = str(error) or type(error).__name__
            raise RetryableError(f"{self.url}: does not answer: {said}; is the program running there?") from None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)


class InProcess:
    """A store, read by the very service that would read it for REST, without a socket. Close it."""

    local = True

    def __init__(self, store: str, statistics: Mapping[str, BoundStatistic]) -> None:
        from streamgauge.serve.base import ServeSettings
        from streamgauge.serve.rest import create_app
        from streamgauge.serve.station import StoreStation
        from streamgauge.store.sql_query import SqlReadings

        clock = SystemClock()
        self._readings = SqlReadings.open(store, clock)
        with self._readings.within(10.0) as reads:
            reader = "report" if reads.standing("live") == (0, 0, {}) else "live"
        station = StoreStation(statistics, self._readings, reader)
        self._app = create_app(station, ServeSettings(), clock=clock)
        self._loop = asyncio.Runner()

    def ask(self, target: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Reply:
        """See Asking.ask."""
        return self._loop.run(self._ask(target, method, headers or {}))

    def close(self) -> None:
        """Give the store back."""
        self._loop.close()
        self._readings.close()

    async def _ask(self, target: str, method: str, headers: Mapping[str, str]) -> Reply:
        path, _, query = target.partition("?")
        sent: dict[str, Any] = {"body": b""}

        async def receive() -> dict[str, Any]:
            if "asked" in sent:
                await asyncio.Event().wait()  # nobody goes away; who waits for that is cancelled in the end
            sent["asked"] = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                sent.update(message)
            elif message["type"] == "http.response.body":
                sent["body"] += message.get("body", b"")

        named = {"host": "127.0.0.1", **{name.lower(): value for name, value in headers.items()}}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in named.items()],
        }
        await self._app(scope, receive, send)
        found = {name.decode().lower(): value.decode("latin-1") for name, value in sent["headers"]}
        return Reply(int(sent["status"]), found, sent["body"])


@contextlib.contextmanager
def asking(where: Where, statistics: Mapping[str, BoundStatistic]) -> Iterator[Asking]:
    """Whoever is to be asked. ``statistics`` are for a store, which does not say how its cells are read.

    Raises UsageError where the options do not go together or nothing is there, StoreError for an unusable store.
    """
    found = chosen(where)
    if found.url:
        yield OverHttp(found.url, found.token)
        return
    local = InProcess(found.store or _store_of(found.data), statistics)
    try:
        yield local
    finally:
        local.close()


def chosen(where: Where) -> Where:
    """One of data, store and url. Where none is told: what listens at DEFAULT_URL, else the data in DEFAULT_DATA."""
    told = {"--data": where.data, "--store": where.store, "--url": where.url}
    names = [name for name, value in told.items() if value]
    if len(names) > 1:
        raise UsageError(f"{' and '.join(names)}: give one of them")
    if names:
        return where
    if _listens(DEFAULT_URL):
        return Where(url=DEFAULT_URL, token=where.token)
    if (Path(DEFAULT_DATA) / STORE).is_file():
        return Where(data=DEFAULT_DATA)
    hint = "name --url, --data or --store"
    raise UsageError(f"no streamgauge answers at {DEFAULT_URL}, and there is no {DEFAULT_DATA}/{STORE}; {hint}")


def _listens(url: str) -> bool:
    """Whether it is one of ours that answers there."""
    try:
        return "status" in OverHttp(url, timeout_s=GLANCE_S).ask("/healthz").json()
    except (RetryableError, UsageError):
        return False


def _store_of(data: str) -> str:
    path = Path(data) / STORE
    if not path.is_file():
        hint = "where the run keeps its store elsewhere, name it with --store"
        raise UsageError(f"--data {data}: has no {STORE}; {hint}")
    return str(path)


def _shown(url: str) -> str:
    """A URL without what may be a password."""
    return re.sub("//[^/@]*@", "//", url)[:200]
