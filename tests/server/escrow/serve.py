"""Owns a program that runs an escrow: arguments are its state directory, its port, a list of revoked ones."""

import asyncio
import sys
from pathlib import Path

from sealcast.core.errors import SealcastError
from sealcast.server.escrow.serve import serve_escrow
from sealcast.server.escrow.settings import EscrowSettings
from sealcast.transport.system import SystemClock, SystemRandom


def main() -> int:
    """Serve until SIGTERM; return the exit status."""
    folder, port, crl = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    settings = EscrowSettings(folder, "127.0.0.1", port, crl_file=crl)
    try:
        asyncio.run(
            serve_escrow(
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
