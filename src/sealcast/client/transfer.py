"""Owns one exchange over HTTPS: post a token, read a bounded answer, trust no CA but the operator's.

It knows nothing of operations and keys. aiohttp lives here and in `forwarding`, and comes by `http`.
`fetch_unverified` is the one place without trust: what it brings is nothing but a certificate to compare with
a fingerprint.
"""

import asyncio
import os
import ssl
from dataclasses import dataclass
from typing import Self

from sealcast.client import limits
from sealcast.client.http import Connection, aiohttp
from sealcast.core.errors import FormatError, UnreachableError
from sealcast.messages.encoding import MESSAGE_BYTES_MAX
from sealcast.messages.problems import HEADER_CERTIFICATE, HEADER_NONCE, MEDIA_TYPE_JOSE

SECONDS_DIGITS_MAX = 12
"""31,000 years; with hundreds of digits it would be no number."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered, not yet believed beyond its TLS."""

    status: int
    body: bytes
    nonce: str | None
    retry_after_s: float | None
    certificate_remaining_s: float | None = None
    peer: bytes | None = None
    """The server's certificate (DER) on the very connection that this came by."""


def trust(ca_pem: str) -> ssl.SSLContext:
    """Return a context that trusts `ca_pem` alone and checks host names; raises FormatError.

    The system's store is never loaded, and there is no switch that turns a check off.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # The common name of a party's certificate is its id: one called as a host must not pass for that host.
    context.hostname_checks_common_name = False
    # An operator's own CA may stand below another one; we trust it alone.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, ValueError) as error:
        raise FormatError("the CA certificate in this credential is not readable: enrol again") from error
    return context


class Transfer:
    """An open set of connections to an operator's servers."""

    def __init__(self, ca_pem: str) -> None:
        """Open nothing yet; raises FormatError if `ca_pem` holds no certificate."""
        self._context = trust(ca_pem)
        self._session = _session(self._context)
        self._streaming: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()
        if self._streaming is not None:
            await self._streaming.close()

    async def post(self, server: str, path: str, token: str) -> Reply:
        """Send `token` and return the reply; raises UnreachableError with one line that names `server`."""
        return await _exchange(self._session, "POST", server, path, token.encode("ascii"))

    async def open(self, server: str, path: str, token: str) -> "Stream":
        """Send `token` and return the reply as a stream, which the caller closes; raises as `post`.

        Streams have connections of their own, so that none of them is in the way of a question.
        """
        if self._streaming is None:
            self._streaming = _session(self._context, limits.STREAMS_MAX)
        return await _open_stream(self._streaming, server, path, token.encode("ascii"))

    async def get(self, server: str, path: str, *, bytes_max: int = MESSAGE_BYTES_MAX) -> Reply:
        """Return what is public at `path`, at most `bytes_max` of it; raises UnreachableError as `post`."""
        return await _exchange(self._session, "GET", server, path, bytes_max=bytes_max)


class Stream:
    """A reply whose body goes on. `reply` is its head; that of a no is whole, and nothing follows."""

    def __init__(self, server: str, response: aiohttp.ClientResponse, reply: Reply) -> None:
        self.reply = reply
        self._server, self._response = server, response

    async def read(self, idle_s: float) -> bytes:
        """Return what came next, b"" at the end; raises UnreachableError if nothing does within `idle_s`."""
        try:
            async with asyncio.timeout(idle_s):
                return await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise UnreachableError(explain(self._server, error)) from error

    def close(self) -> None:
        """End it, and its connection."""
        self._response.close()


async def fetch_unverified(server: str, path: str) -> Reply:
    """Return what whoever answers at `server` shows at `path`, without any trust and with nothing sent.

    Raises UnreachableError as `Transfer.post`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with _session(context) as session:
        return await _exchange(session, "GET", server, path)


class _Response(aiohttp.ClientResponse):
    """A response that remembers whose connection it came by."""

    peer: bytes | None = None

    async def start(self, connection: Connection) -> Self:
        """Note the server's certificate, while the connection is still the response's."""
        tls = None if connection.transport is None else connection.transport.get_extra_info("ssl_object")
        self.peer = None if tls is None else tls.getpeercert(binary_form=True)
        await super().start(connection)
        return self


def _session(context: ssl.SSLContext, connections_max: int = limits.SOCKETS_MAX) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(ssl=context, limit=connections_max, keepalive_timeout=limits.KEEPALIVE_S)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        response_class=_Response,
        timeout=aiohttp.ClientTimeout(
            total=limits.ATTEMPT_S_MAX, sock_connect=limits.CONNECT_S_MAX, connect=limits.CONNECT_S_MAX
        ),
    )


async def _exchange(
    session: aiohttp.ClientSession,
    method: str,
    server: str,
    path: str,
    body: bytes | None = None,
    *,
    bytes_max: int = MESSAGE_BYTES_MAX,
) -> Reply:
    """Ask once and read the reply, bounded; whatever goes wrong on the way is an UnreachableError."""
    headers = {"Content-Type": MEDIA_TYPE_JOSE} if body is not None else {}
    url = _url(server, path)
    try:
        async with session.request(
            method, url, data=body, headers=headers, allow_redirects=False
        ) as response:
            return _reply(response, await read_bounded(response.content, server, bytes_max))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise UnreachableError(explain(server, error)) from error


async def _open_stream(session: aiohttp.ClientSession, server: str, path: str, body: bytes) -> Stream:
    """Ask once and read the head of the reply, and of a no its body, all within `ATTEMPT_S_MAX`."""
    url = _url(server, path)
    endless = aiohttp.ClientTimeout(total=None, connect=limits.CONNECT_S_MAX, sock_read=None)
    try:
        async with asyncio.timeout(limits.ATTEMPT_S_MAX):
            response = await session.post(
                url,
                data=body,
                headers={"Content-Type": MEDIA_TYPE_JOSE},
                allow_redirects=False,
                timeout=endless,
            )
            try:
                is_yes = 200 <= response.status < 300
                content = b"" if is_yes else await read_bounded(response.content, server)
            except BaseException:
                response.close()
                raise
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise UnreachableError(explain(server, error)) from error
    return Stream(server, response, _reply(response, content))


def _url(server: str, path: str) -> str:
    if not server.startswith("https://"):
        raise UnreachableError(_not_an_address(server))
    return server.rstrip("/") + path


def _reply(response: aiohttp.ClientResponse, body: bytes) -> Reply:
    headers = response.headers
    return Reply(
        status=response.status,
        body=body,
        nonce=headers.get(HEADER_NONCE),
        retry_after_s=_pause(headers.get("Retry-After")),
        certificate_remaining_s=_seconds(headers.get(HEADER_CERTIFICATE)),
        peer=response.peer if isinstance(response, _Response) else None,
    )


async def read_bounded(
    content: aiohttp.StreamReader, server: str, bytes_max: int = MESSAGE_BYTES_MAX
) -> bytes:
    """Return a whole body; raises FormatError for one that no message of ours can be."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > bytes_max:
            raise FormatError(f"{server} answered with more than {bytes_max} bytes")
    return bytes(body)


def _pause(value: str | None) -> float | None:
    """Return how long to wait, at most `limits.RETRY_AFTER_S_MAX`."""
    asked_s = _seconds(value)
    return None if asked_s is None else min(asked_s, limits.RETRY_AFTER_S_MAX)


def _seconds(value: str | None) -> float | None:
    if value is None or not (value.isascii() and value.isdigit()):
        return None
    return float(value[:SECONDS_DIGITS_MAX])


def explain(server: str, error: Exception) -> str:
    """Say in one line what is wrong with the way to a server."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"{server} is not to be trusted: {_certificate_fault(error.certificate_error)}"
    if isinstance(error, aiohttp.ClientSSLError):
        return f"{server} does not speak TLS 1.3 with us: is it a key server, and is the port right?"
    if isinstance(error, asyncio.TimeoutError):
        return f"{server} does not answer in time: is it running, and does the network reach it?"
    if isinstance(error, aiohttp.InvalidURL | ValueError):
        return _not_an_address(server)
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if cause is not error and isinstance(cause, OSError) and (number := cause.errno):
        reason = os.strerror(number) if number > 0 else "unknown host"
        return f"cannot connect to {server}: {reason}; is it running?"
    # A TLS handshake that breaks off has no number.
    return f"{server} broke off the connection: {str(cause) or type(cause).__name__}"


def _not_an_address(server: str) -> str:
    return f"{server} is not the address of a key server; write for instance https://keys.example:8443"


def _certificate_fault(error: Exception) -> str:
    reason = getattr(error, "verify_message", "") or str(error)
    if "ostname" in reason or "IP address" in reason:
        return (
            f"its certificate is for another host ({reason.rstrip('.')}): use a name given to `init --host`"
        )
    if "expired" in reason or "not yet valid" in reason:
        return f"its certificate is out of date ({reason}): renew it, and look at this machine's clock"
    return f"its certificate is not by this operator's CA ({reason}): is this the operator's server?"
