"""Owns the looks at key servers: over TLS that trusts the operator's CA alone, and by one question."""

import asyncio
import ssl
import struct
from dataclasses import replace
from urllib.parse import urlsplit

from cryptography import x509

from sealcast.client import KeyServerClient
from sealcast.client.limits import CONNECT_S_MAX
from sealcast.core.errors import FormatError, SealcastError
from sealcast.core.ports import NS_PER_S, Clock, Random
from sealcast.device.vault import Credential, Vault
from sealcast.doctor.trust import ServerLook, clock_ahead_ms
from sealcast.messages import operations
from sealcast.messages.answers import Grant
from sealcast.messages.encoding import b64url_decode

NO_REQUEST = "sealcast-doctor"
"""Not a token: the server refuses it before it looks anything up, and its answer tells the time."""

DEFAULT_PORT = 443
NAMES_MAX = 8


async def look_at_server(url: str, credential: Credential, clock: Clock) -> ServerLook:
    """Connect to a key server as every program does, and return what it shows."""
    try:
        look = await _ask_time(url, credential, clock)
        if look.error is None:
            return await _look_at_certificate(look, credential)
    except FormatError as error:
        return ServerLook(url, str(error))
    return look


async def ask_for_keys(
    vault: Vault, channel: str, random: Random
) -> tuple[Grant | None, SealcastError | None]:
    """Ask for a channel's keys, as `receive` does; the key server records what it gives, we keep nothing."""
    try:
        async with KeyServerClient(vault.credential, random, vault.keep_certificates, vault.keys) as client:
            return await client.expect(operations.KEYS, Grant, channel=channel), None
    except SealcastError as error:
        return None, error


def certificate_end_ns(pem: str) -> int:
    """Return until when a certificate is good, in ns of wall time; raises FormatError."""
    try:
        return _end_ns(x509.load_pem_x509_certificate(pem.encode()))
    except ValueError as error:
        raise FormatError("not a certificate in PEM") from error


async def _ask_time(url: str, credential: Credential, clock: Clock) -> ServerLook:
    # aiohttp is slow to import: an examination without a credential is spared it.
    from sealcast.client.transfer import Transfer  # noqa: PLC0415 - see above

    transfer = Transfer(credential.ca_pem)
    try:
        before_ns = clock.wall_ns()
        reply = await transfer.post(url, operations.KEYS.path, NO_REQUEST)
    except SealcastError as error:
        return ServerLook(url, str(error))
    finally:
        await transfer.close()
    if reply.nonce is None:
        return ServerLook(url, f"{url} answers, but not as a key server does: is the address right?")
    server_ms = nonce_time_ms(reply.nonce)
    ahead_ms = None if server_ms is None else clock_ahead_ms(server_ms, before_ns, clock.wall_ns())
    return ServerLook(url, clock_ms=ahead_ms)


def nonce_time_ms(nonce: str) -> int | None:
    """Return the server's wall time in ms that a nonce begins with; None if it does not."""
    try:
        return int(struct.unpack_from(">Q", b64url_decode(nonce))[0])
    except (FormatError, struct.error):
        return None


async def _look_at_certificate(look: ServerLook, credential: Credential) -> ServerLook:
    """Return `look` with the names and the end of the certificate that a verified connection shows."""
    from sealcast.client.transfer import trust  # noqa: PLC0415 - as in _ask_time

    parts = urlsplit(look.url)
    try:
        async with asyncio.timeout(CONNECT_S_MAX):
            _, writer = await asyncio.open_connection(
                parts.hostname, parts.port or DEFAULT_PORT, ssl=trust(credential.ca_pem)
            )
    except (OSError, ssl.SSLError, TimeoutError, ValueError) as error:
        return replace(look, error=f"{look.url} broke off the connection: {error}")
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    certificate = x509.load_der_x509_certificate(shown)
    return replace(look, names=_names(certificate), expires_ns=_end_ns(certificate))


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in extension.value)[:NAMES_MAX]


def _end_ns(certificate: x509.Certificate) -> int:
    return int(certificate.not_valid_after_utc.timestamp()) * NS_PER_S
