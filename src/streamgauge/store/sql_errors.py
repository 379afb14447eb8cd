"""Errors of a database as ours: what, where, and who must act. No password is ever part of one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionError

from streamgauge.errors import StoreError
from streamgauge.store.base import StoreUnavailable

_NOTHING_WRITTEN = "free some room: nothing of the last commit was written, and it can be made again"
_SERVER_GONE = "check that the server runs and that host and port are right; the same can be tried again"
_BESIDE = "who reads a store that nobody writes must be allowed to make files beside it, too"
_SOMEBODY_HAS_IT = "another program is using it; wait until it has ended"

# What passes by itself, or once there is room: the same call may then succeed.
_PASSING = (
    ("disk is full", f"the disk is full; {_NOTHING_WRITTEN}"),
    ("no space left", f"the disk is full; {_NOTHING_WRITTEN}"),
    ("could not extend file", f"the server's disk is full; {_NOTHING_WRITTEN}"),
    ("file too large", f"a file may not grow further; {_NOTHING_WRITTEN}"),
    ("disk i/o error", "the disk failed, or is full; nothing of the last commit was written"),
    ("locked", _SOMEBODY_HAS_IT),
    ("connection refused", _SERVER_GONE),
    ("connection failed", _SERVER_GONE),
    ("connection timeout", _SERVER_GONE),
    ("could not connect", _SERVER_GONE),
    ("connection is lost", _SERVER_GONE),
    ("connection is closed", _SERVER_GONE),
    ("connection is bad", _SERVER_GONE),
    ("server closed the connection", _SERVER_GONE),
    ("terminating connection", _SERVER_GONE),
    ("starting up", _SERVER_GONE),
    ("shutting down", _SERVER_GONE),
    ("too many clients", "the server has no connection left; try again later, or raise its max_connections"),
    ("deadlock detected", "another program writes the same tables; the same can be tried again"),
    ("could not serialize", "the same can be tried again"),
)
# What an operator must mend. Looked at first: a server that cannot be reached says so beside the cause.
_LASTING = (
    ("file is not a database", "it is no streamgauge store; give another path"),
    ("malformed", "the file is damaged; restore it, or give another path to start afresh"),
    ("readonly", f"it cannot be written; check the permissions of the file and its folder: {_BESIDE}"),
    ("read-only transaction", "it cannot be written; give the server that is not a standby"),
    ("unable to open", "check that the folder exists and can be written"),
    ("authentication failed", "check user and password"),
    ("password", "check user and password"),
    ("permission denied", "let the user create and write tables in this database"),
    ("invalid connection option", "check what stands after the ? of the URL"),
    ("does not exist", "create it first, or check the name"),
    ("could not translate host name", "check the host"),
    ("failed to resolve host", "check the host"),
)


def refuse(where: str, problem: str, hint: str) -> NoReturn:
    """Raise a StoreError that finishes its sentence."""
    raise StoreError(f"store {where}: {problem}; {hint}")


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Errors of the database become a StoreError with a hint; a StoreUnavailable where it may pass by itself."""
    try:
        yield
    except DBAPIError as error:
        # From None: the database's own traceback may show the URL that was connected to, or what was written.
        raise _ours(where, " ".join(str(error.orig).split()), error.connection_invalidated) from None
    except NoConnectionError:
        problem = "all of this program's connections are in use"
        raise StoreUnavailable(f"store {where}: {problem}; try again later") from None


def _ours(where: str, problem: str, gone: bool) -> StoreError:
    lowered = problem.lower()
    for mark, hint in _LASTING:
        if mark in lowered:
            return StoreError(f"store {where}: {problem}; {hint}")
    for mark, hint in _PASSING:
        if mark in lowered:
            return StoreUnavailable(f"store {where}: {problem}; {hint}")
    if gone:
        return StoreUnavailable(f"store {where}: {problem}; {_SERVER_GONE}")
    return StoreError(f"store {where}: {problem}; see the database's own message")


def shown(where: URL | str | Path) -> str:
    """A place as it may be printed: without password, and of a server's URL without what follows the ``?``."""
    if isinstance(where, URL):
        return where.set(query={}).render_as_string(hide_password=True)
    text = str(where)
    if "://" not in text:
        return text
    scheme, rest = text.split("://", 1)
    host = rest.split("?", 1)[0]
    return f"{scheme}://" + re.sub(r"^([^/:@]*):.*@", r"\1:***@", host)
