"""Owns silence towards unsold devices: the connection ends without any response, a fixed time later.

A server that relayed their request is told to do so, with a status that nobody else gets.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from sealcast.messages import problems
from sealcast.server.pipeline import HttpAnswer
from sealcast.transport.hangup import hang_up

SILENT_S = 1.0
"""From the request to the end of the connection: longer than the work on it, unless the server is overloaded,
so that the work does not show; and far below the patience of a client."""

HELD_MAX = 64
"""Connections held so at one time, some kB each; of more, those that come now end at once."""

SILENT_ABOUT = "not-sold"
BE_SILENT = HttpAnswer(444, b"", problems.MEDIA_TYPE_JOSE, {})
"""What a server that relayed a request is told; of HTTP's numbers one that nobody has defined."""

UNHEARD = HttpAnswer(403, b"", problems.MEDIA_TYPE_JOSE, {})
"""What the HTTP server is given after the connection has ended: it wants an answer, and nobody hears it."""

log = structlog.get_logger("sealcast.server")


@dataclass(slots=True)
class Silence:
    """Whether unsold devices are answered with a reason, or not at all; it changes with a reload."""

    is_on: bool
    is_relay: Callable[[Any, bytes], bool] | None = None
    """Whether a request, by its ASGI scope and body, was relayed by a server of ours."""
    _held: int = field(default=0, init=False)

    def is_for(self, answer: HttpAnswer) -> bool:
        """Whether this answer is not to be given."""
        return self.is_on and answer.no == SILENT_ABOUT

    async def keep(self, scope: Any, body: bytes, began_s: float) -> HttpAnswer:  # noqa: ANN401 - as in `fall`
        """Have nothing answered to whoever made a request that began at `began_s`; return what to say."""
        if self.is_relay is not None and self.is_relay(scope, body):
            return BE_SILENT
        await self.fall(scope, began_s)
        return UNHEARD

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
