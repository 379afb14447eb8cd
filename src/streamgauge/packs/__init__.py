"""The packs that are shipped: the declarations of one domain each, in TOML and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

PACKS: Mapping[str, str] = {"voip": "voip.toml", "fedora": "fedora.toml"}
"""Name of a pack to its file in this package."""


def text(name: str) -> str:
    """The declarations of a shipped pack, as TOML. Raises KeyError for a name that is not in PACKS."""
    return (files(__name__) / PACKS[name]).read_text(encoding="utf-8")
