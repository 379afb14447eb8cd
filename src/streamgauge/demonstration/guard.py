"""A process that makes a temporary folder, and removes it when whoever started it is gone, however that came.

Started by folder.py as a file, not as a module: it needs nothing of streamgauge, and nothing must be imported for it.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile

PREFIX = "streamgauge-demo-"


def main() -> None:
    """Say the folder's name on standard output, and remove it when standard input ends."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    folder = tempfile.mkdtemp(prefix=PREFIX)
    with contextlib.suppress(BrokenPipeError):
        print(folder, flush=True)
    sys.stdin.read()
    # A second time, for what somebody who was just dying wrote in between.
    for _ in range(2):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
