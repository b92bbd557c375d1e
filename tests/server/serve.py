"""Owns a program that runs a key server: arguments are its state directory, its port, and one for events."""

import asyncio
import sys
from pathlib import Path

from sealcast.core.errors import SealcastError
from sealcast.server.run import serve_keyserver
from sealcast.server.settings import EventSettings, KeyserverSettings
from sealcast.transport.system import SystemClock, SystemRandom


def main() -> int:
    """Serve until SIGTERM; return the exit status."""
    events = EventSettings("127.0.0.1", int(sys.argv[3])) if len(sys.argv) > 3 else None
    settings = KeyserverSettings(Path(sys.argv[1]), "127.0.0.1", int(sys.argv[2]), events=events)
    try:
        asyncio.run(
            serve_keyserver(
                settings,
                clock=SystemClock(),
                random=SystemRandom(),
                ready=lambda url: print(url, flush=True),
            )
        )
    except SealcastError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
