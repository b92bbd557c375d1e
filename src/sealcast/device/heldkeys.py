"""Owns what private keys that are elsewhere have in common, as the `cryptography` library knows keys."""

from typing import ClassVar, NoReturn, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from sealcast.core.errors import LocalError


class KeptKey:
    """What every such key refuses: its private half does not leave where it is, and is copied nowhere."""

    place: ClassVar[str]
    """Where the private half is, in words."""

    def private_bytes(self, *_: object) -> NoReturn:
        """Refuse."""
        raise self._never()

    def private_bytes_raw(self) -> NoReturn:
        """Refuse."""
        raise self._never()

    def private_numbers(self) -> NoReturn:
        """Refuse."""
        raise self._never()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def _never(self) -> LocalError:
        return LocalError(f"this key never leaves {self.place}")


class KeptEcKey(KeptKey, ec.EllipticCurvePrivateKey):
    """Such a key on a curve; its kinds sign and agree where it is."""

    def __init__(self, public: ec.EllipticCurvePublicKey) -> None:
        self._public = public

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public half."""
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        """P-256."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """In bits."""
        return self._public.key_size


def der_signature(raw: bytes) -> bytes:
    """Return r ‖ s, two halves of equal length, as the library has ECDSA signatures: in DER."""
    half = len(raw) // 2
    return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
