"""Owns Ed25519 (RFC 8032) and X25519 (RFC 7748): libsodium where it is installed, OpenSSL elsewhere.

Both know the same signatures and agree on the same secrets. libsodium verifies in half the time, signs and
agrees in two thirds to three quarters of it. It also refuses public keys of small order that sign: nobody
makes one by chance, and what is signed under them says nothing.
"""

from functools import cache
from types import ModuleType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from sealcast.core.errors import FormatError

SIGNATURE_BYTES = 64
KEY_BYTES = 32


@cache
def sodium() -> ModuleType | None:
    """Return libsodium's functions, None where it is not installed; loaded with the first key."""
    try:
        from nacl import bindings  # noqa: PLC0415 - some milliseconds that only those with such keys need
    except ImportError:
        return None
    return bindings


class Ed25519:
    """One key that signs and verifies, or its public half, which verifies.

    The private half of one that `is_held` is elsewhere, signs there, and is asked for nothing else.
    """

    __slots__ = ("_private", "_public", "_secret", "_sodium", "_verifying")

    def __init__(self, key: Ed25519PrivateKey | Ed25519PublicKey, *, is_held: bool = False) -> None:
        self._private = key if isinstance(key, Ed25519PrivateKey) else None
        self._public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
        self._sodium = sodium()
        self._verifying = self._public.public_bytes_raw()
        self._secret = b""
        if self._private is not None and not is_held:
            self._secret = self._private.private_bytes_raw() + self._verifying

    def sign(self, data: bytes) -> bytes:
        """Return a signature, 64 bytes; raises FormatError without the private half."""
        if self._private is None:
            raise FormatError("this key has no private half")
        if self._sodium is None or not self._secret:
            return self._private.sign(data)
        signed: bytes = self._sodium.crypto_sign(data, self._secret)
        return signed[:SIGNATURE_BYTES]

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Whether a signature is by this key."""
        if len(signature) != SIGNATURE_BYTES:
            # libsodium takes both in one: another length would be another message.
            return False
        if self._sodium is not None:
            return _is_signed(self._sodium, signature + data, self._verifying)
        try:
            self._public.verify(signature, data)
        except InvalidSignature:
            return False
        return True


def agree_anew(theirs: X25519PublicKey, raw: bytes) -> tuple[bytes, bytes]:
    """Return the public half of a fresh key and the secret that it has with `theirs`, whose bytes are `raw`.

    Raises ValueError for a public key of small order.
    """
    library = sodium()
    if library is None:
        mine = X25519PrivateKey.generate()
        return mine.public_key().public_bytes_raw(), mine.exchange(theirs)
    private = library.randombytes(KEY_BYTES)
    try:
        return library.crypto_scalarmult_base(private), library.crypto_scalarmult(private, raw)
    except RuntimeError as error:
        raise ValueError("a public key that agrees on nothing") from error


def _is_signed(library: ModuleType, signed: bytes, verifying: bytes) -> bool:
    from nacl.exceptions import BadSignatureError  # noqa: PLC0415 - as above

    try:
        library.crypto_sign_open(signed, verifying)
    except BadSignatureError:
        return False
    return True
