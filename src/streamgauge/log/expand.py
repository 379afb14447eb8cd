"""From the names on a command line to the inputs to read."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence


def expand(patterns: Sequence[str], repeated: list[str] | None = None) -> list[str]:
    """The inputs to read, in the given order; the matches of a glob (``**`` too) are sorted and are never folders.

    A pattern that matches nothing stays as it is, to be reported as no such file. ``-`` is standard input. A file
    named twice, also by another name of the same file, is read once; ``repeated`` receives the names left out.
    """
    names: list[str] = []
    seen: set[object] = set()
    for pattern in patterns:
        for name in _matches(pattern):
            key = _same(name)
            if key in seen:
                if repeated is not None:
                    repeated.append(name)
                continue
            seen.add(key)
            names.append(name)
    return names


def _matches(pattern: str) -> list[str]:
    if pattern == "-" or not glob.has_magic(pattern) or os.path.lexists(pattern):
        return [pattern]
    found = sorted(name for name in glob.glob(pattern, recursive=True) if not os.path.isdir(name))
    return found or [pattern]


def _same(name: str) -> object:
    """What is equal for two names of one file."""
    if name == "-":
        return name
    try:
        status = os.stat(name)
    except (OSError, ValueError):
        return name
    return (status.st_dev, status.st_ino)
