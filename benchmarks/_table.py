"""The rows of the table in docs/performance.md, from what ``make bench`` printed (standard input)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any


def number(value: float) -> str:
    """Three digits, and thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def row(claim: dict[str, Any]) -> str:
    """One line of Markdown: claim, ours, peer, ratio, must, aim, verdict."""
    sign = "at most " if claim["less"] else "at least "
    peer = "" if claim["peer"] is None else f"{number(claim['peer'])} {claim['unit']}"
    # A claim without a peer is about the figure itself.
    ratio = number(claim["ratio"]) if peer else ""
    ours = f"{number(claim['ours'])} {claim['unit']}"
    bounds = f"{sign}{claim['must']:g} | {sign}{claim['aim']:g}"
    return f"| {claim['claim']} | {ours} | {peer} | {ratio} | {bounds} | {claim['verdict']} |"


def rows(lines: Iterable[str]) -> Iterator[str]:
    """The table, and under it where and when it was measured."""
    yield "| claim | streamgauge | compared with | ratio or difference | must | aim | reached |"
    yield "|---|---|---|---|---|---|---|"
    measured: dict[str, None] = {}
    for line in lines:
        if line.startswith('{"claim"'):
            claim = json.loads(line)
            measured[f"{claim['machine']}; {claim['versions']}; {claim['date']}"] = None
            yield row(claim)
    yield ""
    yield from (f"Measured on {where}." for where in measured)


if __name__ == "__main__":
    for text in rows(sys.stdin):
        print(text)
