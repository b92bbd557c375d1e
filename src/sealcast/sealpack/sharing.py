"""Owns shares of a content key: for escrows and a device, each with its commitment; putting them together.

```
K ── Shamir, threshold t ──► share x ─┬─ for an escrow: AES-KWP under what RSA-KEM gives (`keys.rsakem`)
                                      └─ for a device: JWE to its KEK, in a licence only
commitment x = SHA-256(package id ‖ x u8 ‖ share of 66 bytes), in what the seller signed
```
commitment of K = SHA-256("sealcast content key 1" ‖ package id ‖ K), in what the seller signed
A share that does not fit its commitment is known at once, with its number and whose it is; the others may do.
Shares that all fit and give another key, or none, are the seller's doing.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.core.ports import Random
from sealcast.core.secret import Secret
from sealcast.device.chains import CertifiedParty
from sealcast.keys.rsakem import encapsulate, unwrap_share, wrap_share
from sealcast.keys.shamir import SHARE_BYTES, combine, split
from sealcast.messages import jose
from sealcast.messages.jwk import HeldPair, Jwk
from sealcast.messages.package import DIGEST_BYTES, SharePart
from sealcast.sealpack.chunks import CONTENT_KEY_BYTES
from sealcast.sealpack.escrowkeys import EscrowKey

TYP_SHARE = "sealcast-share"
KEY_LABEL = b"sealcast content key 1"
WRAPPED_BYTES = 80
"""A share of 66 bytes under AES-KWP: padded to 72, and 8 more (RFC 5649 §4.1)."""


@dataclass(frozen=True, slots=True)
class CheckedPart:
    """A part that follows its form; `key` is that of the escrow that opens it, None for the device's own."""

    part: SharePart
    key: EscrowKey | None

    @property
    def number(self) -> int:
        """The number of the share."""
        return self.part.number

    @property
    def whose(self) -> str:
        """Whom a complaint about this share names."""
        return "the device's share" if self.key is None else f"the share of the escrow {self.key.id}"

    @property
    def encapsulation(self) -> bytes:
        """What the escrow opens, blinded, as long as its modulus; FormatError for a device's part."""
        if self.part.encapsulation is None:
            raise FormatError(f"share {self.number} is the device's, no escrow opens it")
        return self.part.encapsulation


@dataclass(frozen=True, slots=True)
class Gathered:
    """What several shares gave: K, if there were as many good ones as the threshold, and the wrong parts.

    `is_broken`: there are as many, each as the seller committed to it, and they give no K or another one
    than the seller committed to. Nobody but the seller can have made them so.
    """

    content_key: Secret | None
    good: int
    wrong: tuple[CheckedPart, ...]
    is_broken: bool = False


def commitment(package_id: bytes, number: int, share: Secret) -> bytes:
    """Return the 32 bytes that a seller signs of a share."""
    return hashlib.sha256(package_id + bytes((number,)) + share.reveal()).digest()


def key_commitment(content_key: Secret, package_id: bytes) -> bytes:
    """Return the 32 bytes that a seller signs of a content key: it is random, so they tell nothing of it."""
    return hashlib.sha256(KEY_LABEL + package_id + content_key.reveal()).digest()


def parts_for_escrows(
    content_key: Secret, package_id: bytes, keys: Sequence[EscrowKey], *, threshold: int, random: Random
) -> list[SharePart]:
    """Return a part for each escrow, numbered from 1; any `threshold` of them open. Raises FormatError."""
    shares = split(content_key, threshold, range(1, len(keys) + 1), random)
    return _escrow_parts(keys, package_id, shares, first=1, random=random)


def parts_for_order(
    content_key: Secret,
    package_id: bytes,
    keys: Sequence[EscrowKey],
    device: CertifiedParty,
    *,
    threshold: int,
    random: Random,
) -> list[SharePart]:
    """Return fresh shares for one order: 1 for the device, from 2 on one for each escrow."""
    shares = split(content_key, threshold, range(1, len(keys) + 2), random)
    own = SharePart(
        number=1,
        commitment=commitment(package_id, 1, shares[1]),
        sealed=jose.seal(shares[1].reveal(), device.kek, kid=device.id, typ=TYP_SHARE),
    )
    return [own, *_escrow_parts(keys, package_id, shares, first=2, random=random)]


def check_parts(
    parts: Sequence[SharePart], keys: Sequence[EscrowKey], threshold: int, *, with_device: bool
) -> tuple[CheckedPart, ...]:
    """Return parts that follow their form: one for each escrow, and with `with_device` one for the device.

    Raises FormatError saying what does not fit.
    """
    if len({part.number for part in parts}) != len(parts):
        raise FormatError("two shares of the same number")
    places = [part.escrow for part in parts if part.escrow is not None]
    if sorted(places) != list(range(len(keys))) or len(parts) != len(keys) + with_device:
        raise FormatError("the shares are not one for each escrow" + " and one for the device" * with_device)
    if not 1 <= threshold <= len(parts):
        raise FormatError(f"{len(parts)} shares cannot have a threshold of {threshold}")
    return tuple(_checked(part, keys) for part in parts)


def open_escrow_share(checked: CheckedPart, package_id: bytes, z: Secret) -> Secret:
    """Return an escrow's share from z, as `keys.rsakem.unblind` gave it.

    z is right, so what does not open, or does not fit its commitment, is the seller's doing: raises
    AuthenticationError naming the share.
    """
    try:
        share = unwrap_share(z, package_id, checked.number, checked.part.wrapped or b"")
    except AuthenticationError as error:
        raise _is_wrong(checked) from error
    return _fitting(checked, package_id, share)


def open_device_share(checked: CheckedPart, package_id: bytes, kek: Jwk | HeldPair) -> Secret:
    """Return the device's own share; raises AuthenticationError naming it, FormatError for another part."""
    if checked.part.sealed is None:
        raise FormatError(f"share {checked.number} is not the device's")
    try:
        share = Secret(jose.unseal(checked.part.sealed, kek, typ=TYP_SHARE))
    except AuthenticationError as error:
        raise _is_wrong(checked) from error
    return _fitting(checked, package_id, share)


def fits(checked: CheckedPart, package_id: bytes, share: Secret) -> bool:
    """Whether a share is the one that the seller committed to."""
    return len(share) == SHARE_BYTES and hmac.compare_digest(
        commitment(package_id, checked.number, share), checked.part.commitment
    )


def gather(
    parts: Sequence[CheckedPart],
    package_id: bytes,
    threshold: int,
    shares: Mapping[int, Secret],
    committed: bytes | None = None,
) -> Gathered:
    """Put shares together, by their numbers; those that do not fit are named and left out.

    `committed` is the header's commitment to the content key; without one any key of the right length does.
    Where the first shares give none, all others of the threshold are tried: 0.1 ms each, 24,310 at most.
    """
    given = [part for part in parts if part.number in shares]
    good = [part.number for part in given if fits(part, package_id, shares[part.number])]
    wrong = tuple(part for part in given if part.number not in good)
    if len(good) < threshold:
        return Gathered(None, len(good), wrong)
    for chosen in combinations(good, threshold):
        key = _combined({number: shares[number] for number in chosen})
        if key is not None and committed in {None, key_commitment(key, package_id)}:
            return Gathered(key, len(good), wrong)
    return Gathered(None, len(good), wrong, is_broken=True)


def _combined(shares: Mapping[int, Secret]) -> Secret | None:
    """Return what shares give, None for what is no content key; each fits what the seller signed."""
    try:
        return combine(shares, CONTENT_KEY_BYTES)
    except (AuthenticationError, FormatError):
        return None


def _escrow_parts(
    keys: Sequence[EscrowKey], package_id: bytes, shares: Mapping[int, Secret], *, first: int, random: Random
) -> list[SharePart]:
    """Return a part for each escrow, in their order, with the shares numbered from `first` on."""
    parts = []
    for place, key in enumerate(keys):
        number = first + place
        z, encapsulation = encapsulate(key.public, random)
        part = SharePart(
            number=number,
            commitment=commitment(package_id, number, shares[number]),
            escrow=place,
            encapsulation=encapsulation,
            wrapped=wrap_share(z, package_id, number, shares[number]),
        )
        parts.append(part)
    return parts


def _checked(part: SharePart, keys: Sequence[EscrowKey]) -> CheckedPart:
    if len(part.commitment) != DIGEST_BYTES:
        raise FormatError(f"the commitment of share {part.number} has {DIGEST_BYTES} bytes")
    if part.escrow is None:
        if part.sealed is None or (part.encapsulation, part.wrapped) != (None, None):
            raise FormatError(f"share {part.number} is neither an escrow's nor the device's")
        return CheckedPart(part, None)
    key = keys[part.escrow]
    if part.sealed is not None or part.encapsulation is None or len(part.wrapped or b"") != WRAPPED_BYTES:
        raise FormatError(f"share {part.number} is neither an escrow's nor the device's")
    key.public.read(part.encapsulation, f"the encapsulation of share {part.number}")
    return CheckedPart(part, key)


def _fitting(checked: CheckedPart, package_id: bytes, share: Secret) -> Secret:
    if not fits(checked, package_id, share):
        raise _is_wrong(checked)
    return share


def _is_wrong(checked: CheckedPart) -> AuthenticationError:
    return AuthenticationError(
        f"share {checked.number}, {checked.whose}, is not the one that the seller committed to"
    )
