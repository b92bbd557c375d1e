"""Owns handing on a request of somebody else to another server of the operator, and its answer back.

It opens neither: requests are signed and answers sealed between their ends. As in `transfer`, no CA counts
but the operator's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sealcast.client.http import aiohttp
from sealcast.client.transfer import explain, read_bounded, trust
from sealcast.core.errors import FormatError, UnreachableError
from sealcast.messages.problems import HEADER_CERTIFICATE, HEADER_NONCE

CONNECTIONS_MAX = 64
"""To other servers at one time: what waits longer than a request may is better told so."""

CONNECT_S_MAX = 1.5
"""For a server in the same network; the caller's own patience is `limits.ATTEMPT_S_MAX`."""

KEEPALIVE_S = 60.0
PASSED_ON = (HEADER_NONCE, HEADER_CERTIFICATE, "Retry-After")
"""Headers of an answer that mean something to the caller."""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What the other server answered; `headers` are those that are the caller's business."""

    status: int
    body: bytes
    media_type: str
    headers: dict[str, str]


class Forwarder:
    """Kept-alive connections to the operator's other servers; `close` it at the end."""

    def __init__(self, ca_pem: str) -> None:
        """Open nothing yet; raises FormatError if `ca_pem` holds no certificate."""
        self._context = trust(ca_pem)
        self._session: aiohttp.ClientSession | None = None

    async def forward(
        self, server: str, path: str, body: bytes | None, headers: Mapping[str, str], within_s: float
    ) -> Forwarded:
        """Post `body`, or get what is public if there is none, and return the answer as it is.

        Raises UnreachableError if none comes `within_s`.
        """
        timeout = aiohttp.ClientTimeout(total=within_s, connect=min(within_s, CONNECT_S_MAX))
        method = "GET" if body is None else "POST"
        try:
            async with self._opened().request(
                method,
                server.rstrip("/") + path,
                data=body,
                headers=dict(headers),
                allow_redirects=False,
                timeout=timeout,
            ) as response:
                content = await read_bounded(response.content, server)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise UnreachableError(explain(server, error)) from error
        except FormatError as error:
            raise UnreachableError(str(error)) from error
        passed_on = {name: response.headers[name] for name in PASSED_ON if name in response.headers}
        return Forwarded(response.status, content, response.headers.get("Content-Type", ""), passed_on)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        """Return the session, made in the loop that uses it."""
        if self._session is None:
            connector = aiohttp.TCPConnector(
                ssl=self._context, limit=CONNECTIONS_MAX, keepalive_timeout=KEEPALIVE_S
            )
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            )
        return self._session
