"""Where no file system may be mounted, a limit of file sizes alone stands for a full disk (test_faults)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.hostile.disks import may_mount

with tempfile.TemporaryDirectory() as _folder:
    collect_ignore = [] if may_mount(Path(_folder) / "try") else ["test_full_disk.py"]
