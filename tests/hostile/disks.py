"""Disks that are full: a small file system of our own where that may be mounted, else a limit of file sizes."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def may_mount(folder: Path) -> bool:
    """Whether a file system can be mounted here."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0 or _mount(folder, "size=64k").returncode != 0:
        return False
    _unmount(folder)
    return True


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of so many megabytes at this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    done = _mount(folder, f"size={megabytes}m")
    assert done.returncode == 0, done.stderr
    try:
        yield folder
    finally:
        _unmount(folder)


def fill(folder: Path) -> Path:
    """Take all the room that is left in a small file system; the file that takes it."""
    path = folder / "filling"
    with path.open("ab", buffering=0) as stream:
        for size in (1 << 16, 4096, 512):
            try:
                while True:
                    stream.write(bytes(size))
            except OSError:
                continue
    return path


def at_most(size: int) -> Callable[[], None]:
    """What makes a process that it may write no file longer than this (before it is executed)."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    return limit


def unlimit(pid: int) -> None:
    """Give a process room again."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _mount(folder: Path, options: str) -> subprocess.CompletedProcess[str]:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
