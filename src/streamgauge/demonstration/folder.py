"""A temporary folder that is removed however the program ends."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamgauge.demonstration import guard
from streamgauge.errors import UsageError


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is there until the end of the block, or of this process, also where that is killed.

    A process of its own makes and removes it: no moment is left in which nobody would. Raises UsageError.
    """
    command = [sys.executable, "-I", "-S", guard.__file__]
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    # Ctrl-C goes to all processes of a terminal's session, so it gets one of its own.
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=nowhere, start_new_session=True, encoding="utf-8"
    ) as process:
        name = process.stdout.readline().rstrip("\n") if process.stdout is not None else ""
        if not name:
            raise UsageError(f"no folder can be made in {tempfile.gettempdir()}; set TMPDIR to one that can be written")
        yield Path(name)
