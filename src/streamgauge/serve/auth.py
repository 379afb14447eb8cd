"""Who may come in: tokens, of which only hashes are kept, and the middleware that asks for them."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from streamgauge.errors import UsageError, nearest
from streamgauge.serve.base import ServeSettings, Token
from streamgauge.serve.hosts import check_host, check_origin, check_settings
from streamgauge.serve.problems import Problem

OPEN_PATHS = ("/healthz", "/readyz")
"""What is answered without a token: no more than whether it works."""

_READING = ("GET", "HEAD", "OPTIONS")
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="streamgauge"'}


def new_token() -> tuple[str, str]:
    """A new token, and what to write into the configuration for it: ``sha256:`` and 64 digits.

    It is 32 random bytes, so nobody can try all of them: a slow hash would add nothing.
    """
    token = "sg_" + secrets.token_urlsafe(32)
    return token, "sha256:" + hashed(token)


def hashed(token: str) -> str:
    """The sha256 of a token, in hexadecimal."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def tokens_from(table: Mapping[str, Any]) -> tuple[Token, ...]:
    """The tokens of ``[serve.tokens]``: ``name = { hash = "sha256:...", allow = ["read", "write"] }``.

    ``allow`` is ``["read"]`` unless told. Raises UsageError.
    """
    return tuple(_token(name, value) for name, value in table.items())


def _token(name: str, value: Any) -> Token:
    what = f"[serve.tokens] {name}"
    if not isinstance(value, Mapping):
        raise UsageError(f'{what}: write {{ hash = "sha256:...", allow = ["read"] }}')
    for key in value:
        if key not in ("hash", "allow"):
            raise UsageError(f"{what}: unknown setting {key!r}; {nearest(key, ('hash', 'allow')) or 'hash and allow'}")
    allow = value.get("allow", ["read"])
    allow = [allow] if isinstance(allow, str) else allow
    if not isinstance(allow, list) or not allow or not set(allow) <= {"read", "write"}:
        raise UsageError(f'{what}: allow is a list of "read" and "write"')
    digest = str(value.get("hash", "")).lower()
    if not re.fullmatch("sha256:[0-9a-f]{64}", digest):
        hint = "it is never written down itself: make one with streamgauge token, and copy the line that it prints"
        raise UsageError(f"{what}: hash is not sha256: and the 64 hexadecimal digits of a token's sha256; {hint}")
    return Token(name, digest.removeprefix("sha256:"), "read" in allow, "write" in allow)


class Guard:
    """Middleware in front of everything: the name, the origin, and the token of each request.

    ``scope["state"]["token"]`` is the name of the token that let it in, empty where none was asked for. Raises
    UsageError where the settings would let anybody in.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        check_settings(settings)
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            token = self._admit(scope)
        except Problem as problem:
            await self._refuse(problem, scope, receive, send)
            return
        scope.setdefault("state", {})["token"] = token
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope) -> str:
        headers, settings = Headers(scope=scope), self._settings
        hosts = headers.getlist("host")
        check_host(settings, hosts)
        check_origin(settings, hosts[0], headers.getlist("origin"))
        if not settings.tokens or scope["path"] in OPEN_PATHS:
            return ""
        writes = scope["type"] == "http" and scope["method"] not in _READING
        return _authorized(settings.tokens, headers.get("authorization", ""), writes).name

    async def _refuse(self, problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": problem.detail[:100]})
        else:
            await problem.response()(scope, receive, send)


def _authorized(tokens: tuple[Token, ...], header: str, writes: bool) -> Token:
    kind, _, given = header.partition(" ")
    if kind.lower() != "bearer" or not given.strip():
        raise Problem("unauthorized", "a token is needed: send Authorization: Bearer TOKEN", headers=_CHALLENGE)
    digest = hashed(given.strip())
    # All are compared, each in constant time, so that how long it takes says nothing.
    same = [token for token in tokens if hmac.compare_digest(token.sha256, digest)]
    if not same:
        headers = {"WWW-Authenticate": _CHALLENGE["WWW-Authenticate"] + ', error="invalid_token"'}
        raise Problem("unauthorized", "this token is not known", headers=headers)
    allowed = [token for token in same if (token.write if writes else token.read)]
    if not allowed:
        needed = "write" if writes else "read"
        raise Problem("forbidden", f"token {same[0].name!r} does not allow to {needed}; use one that does")
    return allowed[0]
