"""Owns the files that `sealcast ca` reads and writes, and the revocation list it fetches.

Imported by commands when they run, not for their help.
"""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key

from sealcast.client.transfer import Transfer
from sealcast.config.load import Loaded
from sealcast.config.places import state_dir
from sealcast.core.errors import FormatError, UnreachableError, UsageError
from sealcast.device.certified import read_certificate
from sealcast.device.vault import Credential
from sealcast.messages.encoding import decode
from sealcast.messages.enrolment import CRL_PATH
from sealcast.messages.jwk import Jwk, jwk_of

if TYPE_CHECKING:
    from sealcast.server.certificates import Issued

FILE_BYTES_MAX = 1 << 16
"""A key or a certificate request has some thousand bytes."""

HTTP_OK = 200


def read_text(path: Path) -> str:
    """Read a small text file; raises UsageError."""
    return _read(path).decode("ascii", "replace")


def read_public_key(path: Path) -> Jwk:
    """Read a public key in PEM (SubjectPublicKeyInfo) or as a JWK; raises UsageError for what is none."""
    data = _read(path)
    try:
        key = decode(data, Jwk) if data.lstrip().startswith(b"{") else jwk_of(load_pem_public_key(data))
    except (FormatError, ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path} is no public key in PEM or JWK form of a kind that is used here") from error
    if key.is_secret:
        raise UsageError(f"{path} holds a secret key; give the public half, and keep the other where it is")
    return key


class _Certified(msgspec.Struct):
    """What an escrow's own file and those of its keys have in common."""

    certificate: str


def escrow_certificate(path: Path) -> str:
    """Return an escrow's certificate (PEM) from its state's file, a file of its keys, or PEM.

    Raises UsageError for a file that has none.
    """
    data = _read(path)
    try:
        is_json = data.lstrip().startswith(b"{")
        text = decode(data, _Certified).certificate if is_json else data.decode("ascii")
        read_certificate(text)
    except (FormatError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} has no escrow's certificate: give its escrow.json, a file of its keys, or PEM"
        ) from error
    return text


def check_free(path: Path) -> None:
    """Raise UsageError if `write` would: to be asked before what cannot be done twice."""
    if path.exists() or not path.parent.is_dir():
        raise UsageError(f"{path} exists, or its folder does not; choose another name")


def write(path: Path, data: bytes) -> None:
    """Write a public file that is not there yet; raises UsageError."""
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise UsageError(f"{path} exists and is never overwritten; choose another name") from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def own_ca(certificate: Path | None, key: Path | None) -> "Issued | None":
    """Read the operator's own CA, if one is named; raises UsageError."""
    # Commands that only ask the server do without the packages that a server needs.
    from sealcast.server.certificates import Issued  # noqa: PLC0415 - see above

    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UsageError("a CA takes both --ca-cert and --ca-key")
    return Issued(_read(certificate), _read(key))


def state_folder(loaded: Loaded) -> Path:
    """Return the folder of the key server's state on this machine."""
    configured = loaded.settings.keyserver.state
    return Path(configured) if configured else state_dir(os.environ) / "keyserver"


def fetch_crl(credential: Credential) -> bytes:
    """Return the revocation list in DER from the first key server that answers; raises UnreachableError."""
    return asyncio.run(_fetch_crl(credential))


def crl_pem(der: bytes) -> str:
    """Return a revocation list in PEM; raises FormatError for what is none."""
    try:
        return x509.load_der_x509_crl(der).public_bytes(Encoding.PEM).decode()
    except ValueError as error:
        raise FormatError("the key server sent something else than a revocation list") from error


async def _fetch_crl(credential: Credential) -> bytes:
    fault: UnreachableError | None = None
    transfer = Transfer(credential.ca_pem)
    try:
        for server in credential.servers:
            try:
                reply = await transfer.get(server, CRL_PATH)
            except UnreachableError as error:
                fault = fault or error
                continue
            if reply.status == HTTP_OK:
                crl_pem(reply.body)
                return reply.body
            fault = fault or UnreachableError(f"{server} answered HTTP {reply.status} to {CRL_PATH}")
    finally:
        await transfer.close()
    raise fault or UnreachableError("no key server is known")


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise UsageError(f"{path} is too large for a key or a certificate")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
