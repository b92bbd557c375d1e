"""Owns how secrets stand in the database: wrapped under a key of their own, derived from the master key.

```
master key (32) ── HKDF-SHA256, info = label ‖ name ──► row key (32) ── AES-KWP ──► wrapped secret
```
HKDF is RFC 5869 without salt (the master key is uniform), AES-KWP is RFC 5649. A row moved under another
name does not open.
"""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

from sealcast.core.errors import LocalError
from sealcast.core.secret import Secret

ROW_KEY_BYTES = 32


def derive_key(master: Secret, info: bytes) -> Secret:
    """Return the 32-byte key that `info` names under `master` (RFC 5869)."""
    return Secret(HKDF(SHA256(), ROW_KEY_BYTES, salt=None, info=info).derive(master.reveal()))


def wrap(master: Secret, label: bytes, name: bytes, secret: Secret) -> bytes:
    """Return `secret` wrapped for the row `name` of the kind `label`: its length rounded up to 8, plus 8."""
    return aes_key_wrap_with_padding(derive_key(master, label + name).reveal(), secret.reveal())


def unwrap(master: Secret, label: bytes, name: bytes, wrapped: bytes) -> Secret:
    """Open what `wrap` made; raises LocalError if it was made under another master key, kind or name."""
    try:
        return Secret(aes_key_unwrap_with_padding(derive_key(master, label + name).reveal(), wrapped))
    except (InvalidUnwrap, ValueError) as error:
        raise LocalError(
            "a key in the database does not open: the database and master.key are not from the same server"
        ) from error
