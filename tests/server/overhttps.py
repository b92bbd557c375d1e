"""Owns serving an application over real HTTPS, as key servers are reached by one another."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sealcast.server.listening import Listener
from server.running import free_port


@contextlib.asynccontextmanager
async def serving(app: Any, directory: Path) -> AsyncIterator[str]:
    """Serve an application under the certificate of a state directory; give its address."""
    port = free_port()
    listener = Listener(app, "127.0.0.1", port, directory / "tls.pem", directory / "tls.key")
    task = asyncio.create_task(listener.serve())
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.01)
        yield f"https://127.0.0.1:{port}"
    finally:
        listener.stop()
        await task
