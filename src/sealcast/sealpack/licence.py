"""Owns licences: the shares of one order's content key, one of them for the device, signed by the seller.

The seller keeps K for this in NAME.sealkey beside the package: a JWE to the seller's own KEK.
"""

from dataclasses import dataclass

import msgspec

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.core.ports import Random
from sealcast.core.secret import Secret
from sealcast.device.chains import CertifiedParty
from sealcast.messages import jose
from sealcast.messages.encoding import decode, encode
from sealcast.messages.jwk import HeldPair, Jwk
from sealcast.messages.package import TYP_LICENCE, VERSION, Licence, PackageId
from sealcast.sealpack.chunks import CONTENT_KEY_BYTES
from sealcast.sealpack.header import CheckedHeader
from sealcast.sealpack.sharing import CheckedPart, check_parts, key_commitment, parts_for_order

TYP_PACKAGE_KEY = "sealcast-package-key"
LICENSED_ROLE = "device"


@dataclass(frozen=True, slots=True)
class CheckedLicence:
    """A licence that is believed: the seller of the package signed it, for this package, order and device."""

    token: str
    licence: Licence
    parts: tuple[CheckedPart, ...]

    @property
    def own(self) -> CheckedPart:
        """The device's part."""
        return next(part for part in self.parts if part.key is None)


class KeptKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a `.sealkey` holds."""

    version: int
    package: PackageId
    content_key: bytes

    def __repr__(self) -> str:
        return f"KeptKey(of {self.package})"


def make_licence(
    package: CheckedHeader,
    content_key: Secret,
    device: CertifiedParty,
    *,
    order: str,
    signing: Jwk | HeldPair,
    random: Random,
    now_ms: int,
) -> str:
    """Return the JWS of a licence for one order of one device, with shares of a polynomial of its own.

    `signing` is the seller's key. Raises FormatError for a package that has its shares in itself, for another
    package's content key, or for a party that is no device of the package's operator.
    """
    if not package.header.needs_licence:
        raise FormatError("this package has its shares in itself and takes no licences")
    if device.role != LICENSED_ROLE or device.operator != package.seller.operator:
        raise FormatError(f"{device.id} is no device of {package.seller.operator}")
    header = package.header
    if header.key_commitment not in {None, key_commitment(content_key, package.package_id)}:
        raise FormatError("this is the content key of another packing than the one that the header is of")
    licence = Licence(
        version=VERSION,
        package=header.id,
        seller=header.seller,
        device=device.id,
        order=order,
        created_at_ms=now_ms,
        threshold=header.threshold,
        parts=parts_for_order(
            content_key,
            package.package_id,
            package.keys,
            device,
            threshold=header.threshold,
            random=random,
        ),
    )
    return jose.sign(encode(licence), signing, kid=header.seller, typ=TYP_LICENCE)


def read_licence(
    token: str, package: CheckedHeader, *, order: str | None = None, device: str | None = None
) -> CheckedLicence:
    """Return a licence by the package's seller, for this package and, where given, this order and device.

    Raises AuthenticationError for another's signature, FormatError for a licence of something else.
    """
    licence = decode(jose.verify(token, package.seller.signing, typ=TYP_LICENCE), Licence)
    header = package.header
    if licence.version != VERSION:
        raise FormatError(f"a licence of version {licence.version}, and this program reads {VERSION}")
    if (licence.package, licence.seller) != (header.id, header.seller):
        raise FormatError(f"the licence is for the package {licence.package}, not for {header.id}")
    if not header.needs_licence:
        raise FormatError("this package has its shares in itself and takes no licences")
    if device is not None and licence.device != device:
        raise FormatError(f"the licence is for the device {licence.device}, not for {device}")
    if order is not None and licence.order != order:
        raise FormatError(f"the licence is for the order {licence.order}, not for {order}")
    if licence.threshold != header.threshold:
        raise FormatError(
            f"the licence has a threshold of {licence.threshold}, and the package {header.threshold}"
        )
    parts = check_parts(licence.parts, package.keys, licence.threshold, with_device=True)
    return CheckedLicence(token, licence, parts)


def seal_content_key(content_key: Secret, package: str, kek: Jwk, seller: str) -> str:
    """Return what a `.sealkey` holds: K of one package, for its seller alone."""
    kept = KeptKey(version=VERSION, package=package, content_key=content_key.reveal())
    return jose.seal(encode(kept), kek, kid=seller, typ=TYP_PACKAGE_KEY)


def open_content_key(token: str | bytes, package: str, kek: Jwk | HeldPair) -> Secret:
    """Return K of a package from its `.sealkey`; raises AuthenticationError or FormatError."""
    kept = decode(jose.unseal(token, kek, typ=TYP_PACKAGE_KEY), KeptKey)
    if kept.version != VERSION or len(kept.content_key) != CONTENT_KEY_BYTES:
        raise FormatError("not a kept content key of this version")
    if kept.package != package:
        raise AuthenticationError(f"the kept content key is of the package {kept.package}, not of {package}")
    return Secret(kept.content_key)
