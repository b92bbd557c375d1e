"""Owns silence towards unsold devices: the connection ends without any response, a fixed time later."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import structlog

from sealcast.server.pipeline import HttpAnswer
from sealcast.transport.hangup import hang_up

SILENT_S = 1.0
"""From the request to the end of the connection: longer than the work on it, unless the server is overloaded,
so that the work does not show; and far below the patience of a client."""

HELD_MAX = 64
"""Connections held so at one time, some kB each; of more, those that come now end at once."""

SILENT_ABOUT = "not-sold"
log = structlog.get_logger("sealcast.server")


@dataclass(slots=True)
class Silence:
    """Whether unsold devices are answered with a reason, or not at all; it changes with a reload."""

    is_on: bool
    _held: int = field(default=0, init=False)

    def is_for(self, answer: HttpAnswer) -> bool:
        """Whether this answer is not to be given."""
        return self.is_on and answer.no == SILENT_ABOUT

    async def fall(self, scope: Any, began_s: float) -> None:  # noqa: ANN401 - an ASGI scope
        """End the connection of a request that began at `began_s` of the loop's clock."""
        if self._held < HELD_MAX:
            self._held += 1
            try:
                await asyncio.sleep(SILENT_S - (asyncio.get_running_loop().time() - began_s))
            finally:
                self._held -= 1
        (host, port), (_, own_port) = scope["client"], scope["server"]
        if not await asyncio.to_thread(hang_up, (host, int(port)), int(own_port)):
            log.debug("the connection of an unsold device had ended before")
