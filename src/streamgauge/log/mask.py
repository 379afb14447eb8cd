"""Hides personal data in a body before it is kept: what stands at a masked path becomes null.

Null, and not a word such as ``***``: it is of no wrong type, whatever reads the path. What is absent stays absent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from streamgauge.expression import Path, parse


def mask_paths(mask: Sequence[str], what: str = "mask") -> tuple[Path, ...]:
    """The paths of a mask (``body.to``). Raises DeclarationError for what is no path."""
    return tuple(path for text in mask for path in _paths(text, what))


def _paths(text: str, what: str) -> list[Path]:
    return sorted(parse(text, columns={}, what=what).paths, key=str)


def masked(line: bytes, paths: Sequence[Path]) -> str | None:
    """The canonical JSON of a body after masking: keys in order, no blanks; None where that cannot be made.

    Never raises: what is nested too deeply, or has a number that no JSON is written for, cannot be masked.
    """
    try:
        body = json.loads(line)
        for path in paths:
            _hide(body, path)
        text = json.dumps(body, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
        text.encode()
    except (ValueError, RecursionError):
        return None
    return text


def _hide(body: Any, path: Path) -> None:
    holder = body
    for key in path.keys[:-1]:
        holder = _child(holder, key)
    last = path.keys[-1]
    if _has(holder, last):
        holder[last] = None


def _child(holder: Any, key: str | int) -> Any:
    return holder[key] if _has(holder, key) else None


def _has(holder: Any, key: str | int) -> bool:
    if isinstance(key, int):
        return isinstance(holder, list) and key < len(holder)
    return isinstance(holder, dict) and key in holder
