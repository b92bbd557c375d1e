"""Owns how a server logs in to NATS: a file with a user and password, or one of NATS' own credentials.

```
user:password                                    one line

-----BEGIN NATS USER JWT-----                    as `nsc generate creds` writes it
eyJ...
------END NATS USER JWT------
-----BEGIN USER NKEY SEED-----
SUA...
------END USER NKEY SEED------
```
A seed is base32 of two bytes that say what it is of, 32 bytes of Ed25519 and a CRC of two.
"""

import base64
import binascii
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealcast.core.errors import UsageError
from sealcast.device.files import read_private

JWT_TITLE, SEED_TITLE = "BEGIN NATS USER JWT", "BEGIN USER NKEY SEED"
SEED_FROM, SEED_TO = 2, 34
"""Where the 32 bytes are in a decoded seed."""


@dataclass(frozen=True, slots=True, repr=False)
class Login:
    """What the client library is told: either a user and password, or a JWT and who signs for it."""

    user: str | None = None
    password: str | None = None
    jwt: Callable[[], bytearray] | None = None
    sign: Callable[[str], bytes] | None = None


def read_login(path: Path | None) -> Login:
    """Read a credentials file, of none the empty login; raises UsageError, also if others can read it."""
    if path is None:
        return Login()
    try:
        text = read_private(path).decode()
        if JWT_TITLE in text:
            return _of_credentials(_line_after(text, JWT_TITLE), _line_after(text, SEED_TITLE))
    except (UnicodeDecodeError, ValueError) as error:
        raise _not_credentials(path) from error
    user, colon, password = text.strip().partition(":")
    if not user or not colon or not password or "\n" in password:
        raise _not_credentials(path)
    return Login(user=user, password=password)


def tls_context(ca: Path | None) -> ssl.SSLContext:
    """Return what a server that speaks TLS is checked with: the CA of a file, else those of the system."""
    try:
        return ssl.create_default_context(cafile=str(ca) if ca is not None else None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{ca} holds no certificate of a CA") from error


def _of_credentials(jwt: str, seed: str) -> Login:
    raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    crc = int.from_bytes(raw[SEED_TO:], "little")
    if len(raw) != SEED_TO + 2 or binascii.crc_hqx(raw[:SEED_TO], 0) != crc:
        raise ValueError("not a seed")
    key = Ed25519PrivateKey.from_private_bytes(raw[SEED_FROM:SEED_TO])

    def sign(nonce: str) -> bytes:
        return base64.b64encode(key.sign(nonce.encode()))

    return Login(jwt=lambda: bytearray(jwt.encode()), sign=sign)


def _line_after(text: str, title: str) -> str:
    lines = text.splitlines()
    found = [at for at, line in enumerate(lines[:-1]) if title in line]
    if not found:
        raise ValueError("a part is missing")
    return lines[found[0] + 1].strip()


def _not_credentials(path: Path) -> UsageError:
    return UsageError(f"{path} holds neither user:password on one line nor credentials as of nsc")
