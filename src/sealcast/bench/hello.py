"""Owns the endpoint that a key server is compared with: `hello` over the same listener and TLS.

Run as `python -m sealcast.bench.hello PORT CERTIFICATE KEY`, until SIGTERM.
"""

import sys
from pathlib import Path
from typing import Any

PATH = "/hello"
BODY = b"hello"
_HEAD = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(BODY))]


async def hello(_scope: Any, _receive: Any, send: Any) -> None:  # noqa: ANN401 - as ASGI has it
    """Answer whatever is asked."""
    await send({"type": "http.response.start", "status": 200, "headers": _HEAD})
    await send({"type": "http.response.body", "body": BODY})


def main() -> None:
    """Serve until told to end."""
    from sealcast.server.listening import Listener  # noqa: PLC0415 - the name above is for others
    from sealcast.server.loops import run  # noqa: PLC0415

    port, certificate, key = sys.argv[1:]

    async def serve() -> None:
        await Listener(hello, "127.0.0.1", int(port), Path(certificate), Path(key)).serve()

    run(serve())


if __name__ == "__main__":
    main()
