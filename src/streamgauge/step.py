"""Named steps of what must survive being killed between any two of them."""

from __future__ import annotations

from collections.abc import Callable

Step = Callable[[str], None]
"""Called with the name of each step as it goes by; a test kills the program there."""


def no_step(name: str) -> None:
    """Nothing happens between two steps."""
