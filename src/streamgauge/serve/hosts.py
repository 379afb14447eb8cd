"""Under which names the service is reached: a page elsewhere must not talk to it through somebody's browser.

A page of another origin can have its own name resolve to 127.0.0.1 and so reach a service on loopback (DNS rebinding);
the Host header then says that name. Names that are not known are refused, and so are foreign origins.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from streamgauge.errors import UsageError
from streamgauge.serve.base import ServeSettings
from streamgauge.serve.problems import Problem


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there.

    >>> is_loopback("localhost"), is_loopback("127.8.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def check_settings(settings: ServeSettings) -> None:
    """Refuse to listen where anybody could read. Raises UsageError, which says why."""
    if is_loopback(settings.host) or settings.tokens or settings.insecure:
        return
    why = "whoever reaches this address could read every result, and post events"
    hint = "declare [serve] tokens, listen on 127.0.0.1, or give --insecure if something in front asks who comes"
    raise UsageError(f"serve on {settings.host}: {why}; {hint}")


def check_host(settings: ServeSettings, values: list[str]) -> None:
    """Refuse a request under a name that is not ours. Raises Problem."""
    host = _name(values[0]) if len(values) == 1 else None
    if host is not None and _is_ours(settings, host):
        return
    got = f"{values[0][:100]!r} is no name of this service" if len(values) == 1 else "is not given just once"
    hint = "use localhost or 127.0.0.1, or add the name to [serve] hosts"
    raise Problem("misdirected", f"Host: {got}; {hint}", "Host")


def check_origin(settings: ServeSettings, host: str, origins: list[str]) -> None:
    """Refuse what a page of another origin asks. Raises Problem."""
    for origin in origins:
        same = origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")
        if not same and origin not in settings.origins:
            hint = "a page elsewhere may not use this service; add it to [serve] origins if it should"
            raise Problem("forbidden", f"Origin: {origin[:100]!r} is foreign; {hint}", "Origin")


def _is_ours(settings: ServeSettings, name: str) -> bool:
    if name in ("localhost", settings.host.lower()) or name in settings.hosts or "*" in settings.hosts:
        return True
    address = _address(name)
    # An address is no name that somebody else could make resolve to us.
    return address is not None and (address.is_loopback or not is_loopback(settings.host))


def _name(host: str) -> str | None:
    """The host without its port; None where it is no host."""
    try:
        found = urlsplit(f"//{host}")
        name = found.hostname if found.port is None or found.port > 0 else None
    except ValueError:
        return None
    return None if name is None or found.path or found.query or "@" in host else name.removesuffix(".")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
