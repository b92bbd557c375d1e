"""Owns an escrow's private keys in a PKCS#11 token: made inside it, used inside it, never leaving it.

The token's raw RSA (CKM_RSA_X_509; PKCS #11 v3.0 §6.1.5) is given what `blinding` has blinded, so that what
the token's time or power may tell is of numbers that nobody chose.
"""

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from sealcast.core.errors import LocalError
from sealcast.core.secret import Secret
from sealcast.device.token import TokenPlace, open_session
from sealcast.keys.rsakem import PUBLIC_EXPONENT

if TYPE_CHECKING:
    import pkcs11

LABEL = "sealcast escrow"


class EscrowToken:
    """An open token. Safe for several threads: they take turns, as a token has one user at a time.

    About 4 ms an opening at 3,072 bits in SoftHSM2.
    """

    def __init__(self, place: TokenPlace, pin: Secret) -> None:
        """Log in; raises UsageError (no module, no token, wrong PIN)."""
        self._place = place
        self._session: pkcs11.Session = open_session(place, pin)
        self._turn = threading.Lock()
        self._held: dict[bytes, Any] = {}

    def __repr__(self) -> str:
        return f"EscrowToken({self._place.label})"

    def close(self) -> None:
        """End the session; the keys stay in the token."""
        import pkcs11  # noqa: PLC0415 - an extra that only tokens need

        with self._turn, contextlib.suppress(pkcs11.PKCS11Error):
            self._session.close()

    def make(self, bits: int, id_: bytes) -> int:
        """Make a key that is found under `id_`, and return its modulus; raises LocalError if it does not."""
        import pkcs11  # noqa: PLC0415 - as above

        attribute = pkcs11.Attribute
        try:
            with self._turn:
                public, _ = self._session.generate_keypair(
                    pkcs11.KeyType.RSA,
                    bits,
                    id=id_,
                    label=LABEL,
                    store=True,
                    capabilities=pkcs11.MechanismFlag.ENCRYPT | pkcs11.MechanismFlag.DECRYPT,
                    public_template={attribute.PUBLIC_EXPONENT: PUBLIC_EXPONENT.to_bytes(3, "big")},
                    private_template={attribute.SENSITIVE: True, attribute.EXTRACTABLE: False},
                )
                modulus = int.from_bytes(public[attribute.MODULUS], "big")
                exponent = int.from_bytes(public[attribute.PUBLIC_EXPONENT], "big")
        except pkcs11.PKCS11Error as error:
            raise LocalError(f"the token makes no RSA key of {bits} bits: {_reason(error)}") from error
        if (modulus.bit_length(), exponent) != (bits, PUBLIC_EXPONENT):
            raise LocalError(f"the token made another key than RSA of {bits} bits with e = {PUBLIC_EXPONENT}")
        return modulus

    def power(self, id_: bytes, base: int, size: int) -> int:
        """Return base^d mod n by the key under `id_`, whose modulus has `size` bytes; raises LocalError."""
        import pkcs11  # noqa: PLC0415 - as above

        try:
            with self._turn:
                key = self._held.get(id_) or self._find(id_)
                opened = key.decrypt(base.to_bytes(size, "big"), mechanism=pkcs11.Mechanism.RSA_X_509)
        except pkcs11.PKCS11Error as error:
            raise LocalError(f"the token does not open: {_reason(error)}; is it plugged in?") from error
        return int.from_bytes(opened, "big")

    def _find(self, id_: bytes) -> Any:  # noqa: ANN401 - untyped library
        import pkcs11  # noqa: PLC0415 - as above

        found = self._session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=LABEL, id=id_)
        self._held[id_] = found
        return found


class HeldKey:
    """One private key of a token, as `private.PrivateKey` has it."""

    def __init__(self, token: EscrowToken, id_: bytes, modulus: int) -> None:
        self._token, self._id = token, id_
        self._size = (modulus.bit_length() + 7) // 8

    def power(self, base: int) -> int:
        """Return base^d mod n."""
        return self._token.power(self._id, base, self._size)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
