"""Owns small file systems that a test mounts, fills and removes."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

CHUNK_BYTES = 4_096


class SmallDisk:
    """A file system in memory; `fill` leaves no byte free until `free`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Write until there is no room."""
        with self._filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(CHUNK_BYTES))
        assert shutil.disk_usage(self.folder).free == 0

    def free(self) -> None:
        """Make room again."""
        self._filler.unlink()


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[SmallDisk]:
    """Mount a file system of `size` bytes on a folder made for it; needs root."""
    folder.mkdir(mode=0o700)
    options = f"size={size},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
