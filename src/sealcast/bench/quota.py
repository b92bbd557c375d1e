"""Owns holding a process to a share of a core, by control groups of Linux, version 1 or 2."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from sealcast.core.errors import UsageError

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000


@contextlib.contextmanager
def quota(pid: int, share: float) -> Iterator[None]:
    """Let a process and its threads have `share` of one core for the time.

    Raises UsageError if that cannot be: it needs root, and control groups that are ours to change.
    """
    name = f"sealcast-bench-{os.getpid()}-{pid}"
    is_first_version = (ROOT / "cpu").is_dir()
    group = (ROOT / "cpu" if is_first_version else ROOT) / name
    limit_us = int(share * PERIOD_US)
    settings = (
        {"cpu.cfs_period_us": f"{PERIOD_US}", "cpu.cfs_quota_us": f"{limit_us}"}
        if is_first_version
        else {"cpu.max": f"{limit_us} {PERIOD_US}"}
    )
    try:
        group.mkdir()
    except OSError as error:
        raise UsageError(f"cannot hold a process to a share of a core: {error}; it needs root") from error
    try:
        try:
            for setting, value in settings.items():
                (group / setting).write_text(value)
            (group / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            raise UsageError(f"cannot hold a process to a share of a core: {error}") from error
        yield
    finally:
        with contextlib.suppress(OSError):
            (group.parent / "cgroup.procs").write_text(str(pid))
        group.rmdir()
