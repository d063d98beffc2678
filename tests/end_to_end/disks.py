"""Disks that fill up for real: a small tmpfs where it may be mounted, else the kernel's limit."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MIB = 1024 * 1024


class SmallDisk:
    """A folder on a disk of its own; `mounted` tells whether it is one.

    Without the right to mount, a full disk is played by the kernel's limit on the size of files,
    set on the processes that write there: it fails the same calls, as an I/O error.
    """

    def __init__(self, folder: Path, *, mounted: bool) -> None:
        self.folder = folder
        self.mounted = mounted
        self._ballast = folder / "ballast"

    def fill(self, *pids: int) -> None:
        """Leave no room."""
        if not self.mounted:
            for pid in pids:
                limit_files(pid, 1)
            return
        with self._ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free(self, *pids: int) -> None:
        """Make room again."""
        for pid in () if self.mounted else pids:
            limit_files(pid, resource.RLIM_INFINITY)
        self._ballast.unlink(missing_ok=True)

    def remount(self, mode: str) -> None:
        """Remount it `ro` or `rw`."""
        subprocess.run(["mount", "-o", f"remount,{mode}", self.folder], check=True)


def limit_files(pid: int, size: int) -> None:
    """Let every write of a process beyond `size` bytes of a file fail."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@contextmanager
def small_disk(folder: Path, *, mebibytes: int = 12) -> Iterator[SmallDisk]:
    """Mount a disk at `folder` if that is allowed."""
    folder.mkdir(mode=0o700)
    options = f"size={mebibytes * _MIB},mode=700,uid={os.getuid()}"
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
    )
    try:
        yield SmallDisk(folder, mounted=mounting.returncode == 0)
    finally:
        if mounting.returncode == 0:
            subprocess.run(["umount", "--lazy", folder], check=True)
