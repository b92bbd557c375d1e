"""Shows what a service manager hears from us, over a socket as systemd opens it."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from sealcast.transport import supervisor


@pytest.mark.parametrize("is_abstract", [False, True])
def test_the_manager_hears(tmp_path: Path, *, is_abstract: bool) -> None:
    """A message arrives at a socket in the file system and at one in Linux's own name space."""
    name = f"@sealcast-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if is_abstract else name)
        manager.settimeout(5)
        assert supervisor.tell(supervisor.READY, {"NOTIFY_SOCKET": name})
        assert manager.recv(64) == b"READY=1"


@pytest.mark.parametrize("name", ["", "relative", "/nowhere/at/all"])
def test_nobody_hears(name: str) -> None:
    """Without a manager, or with one that is gone, nothing is sent and nothing fails."""
    assert not supervisor.tell(supervisor.READY, {"NOTIFY_SOCKET": name})


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
    ],
)
def test_watchdog_settings(environment: dict[str, str], expected: float | None) -> None:
    """The time is taken in microseconds, and only if it is meant for this process."""
    assert supervisor.watchdog_s(environment) == expected


def test_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs come again and again while the loop turns, and none after its end."""
    name = str(tmp_path / "notify")

    async def live(seconds: float) -> None:
        signs = asyncio.create_task(supervisor.give_signs(0.003))
        await asyncio.sleep(seconds)
        signs.cancel()

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        asyncio.run(live(0.05))
        assert [manager.recv(64), manager.recv(64)] == [b"WATCHDOG=1", b"WATCHDOG=1"]
