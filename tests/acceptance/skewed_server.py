"""Owns a key server whose clock is wrong: arguments are the operator's folder and by how many seconds."""

import asyncio
import sys
import tomllib
from pathlib import Path

from sealcast.config.schema import parse_listen
from sealcast.core.ports import NS_PER_S
from sealcast.server.run import serve_keyserver
from sealcast.server.settings import KeyserverSettings
from sealcast.transport.system import SystemClock, SystemRandom


class SkewedClock(SystemClock):
    """A clock whose wall time is off by so many seconds."""

    def __init__(self, off_s: int) -> None:
        self._off_ns = off_s * NS_PER_S

    def wall_ns(self) -> int:
        """Nanoseconds since 1970, and so many more."""
        return super().wall_ns() + self._off_ns


def main() -> None:
    """Serve until SIGTERM."""
    folder, off_s = Path(sys.argv[1]), int(sys.argv[2])
    configured = tomllib.loads((folder / "sealcast.toml").read_text())["keyserver"]
    host, port = parse_listen(configured["listen"])
    asyncio.run(
        serve_keyserver(
            KeyserverSettings(folder / "keyserver", host, port, urls=tuple(configured["urls"])),
            clock=SkewedClock(off_s),
            random=SystemRandom(),
            ready=lambda url: print(url, flush=True),
        )
    )


if __name__ == "__main__":
    main()
