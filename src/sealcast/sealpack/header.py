"""Owns a package's signed header: made by a seller, and believed by whoever trusts the operator's CA.

Checked, in this order: the seller's certificates, the signature, the header's own form, each escrow's
certificate and key document, the form of the shares. No clock is read: a package outlives certificates.
"""

from dataclasses import dataclass

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.device.certified import read_certificate
from sealcast.device.chains import CertifiedParty, read_party
from sealcast.messages import jose
from sealcast.messages.encoding import b64url_decode, b64url_encode, decode, encode
from sealcast.messages.escrow import LeadKey
from sealcast.messages.jwk import HeldPair, Jwk, jwk_of
from sealcast.messages.package import (
    CHUNK_BYTES,
    DIGEST_BYTES,
    PACKAGE_ID_BYTES,
    TYP_PACKAGE,
    VERSION,
    PackageHeader,
)
from sealcast.sealpack.escrowkeys import EscrowKey, read_escrow_key
from sealcast.sealpack.layout import HEADER_BYTES_MAX, Layout
from sealcast.sealpack.sharing import CheckedPart, check_parts

SELLER_ROLE = "seller"


@dataclass(frozen=True, slots=True)
class CheckedHeader:
    """A header that is believed: `token` as it stands in the file, the seller, the escrows, the shares."""

    token: str
    header: PackageHeader
    seller: CertifiedParty
    keys: tuple[EscrowKey, ...]
    parts: tuple[CheckedPart, ...]

    @property
    def package_id(self) -> bytes:
        """The 16 bytes that keys of this package are bound to."""
        return b64url_decode(self.header.id)

    @property
    def lead(self) -> EscrowKey:
        """The key of the escrow that holds the money."""
        return self.keys[0]

    @property
    def layout(self) -> Layout:
        """Where things stand in the file."""
        return Layout(len(self.token), self.header.size)


def sign_header(header: PackageHeader, signing: Jwk | HeldPair) -> str:
    """Return the JWS of a header by its seller; its length does not depend on the root.

    Raises FormatError for one that is longer than a reader takes.
    """
    token = jose.sign(encode(header), signing, kid=header.seller, typ=TYP_PACKAGE)
    if len(token) > HEADER_BYTES_MAX:
        raise FormatError(f"a package's header has at most {HEADER_BYTES_MAX} bytes, not {len(token)}")
    return token


def peek_header(token: str | bytes) -> PackageHeader:
    """Return what a header says, by nobody's word; raises FormatError."""
    header = decode(jose.unverified_payload(token), PackageHeader)
    _check_form(header)
    _check_end(token)
    return header


def check_is_whole(token: str | bytes) -> None:
    """Raise AuthenticationError unless the key that a header itself brings has signed it.

    That finds damage. Who signed it is not known by this: `read_header` says so.
    """
    header = peek_header(token)
    key = jwk_of(read_certificate(header.certificates.signing).public_key())
    jose.verify(token, key, typ=TYP_PACKAGE)


def read_header(token: str | bytes, ca_pem: str) -> CheckedHeader:
    """Return a header that a seller under the operator's CA signed, for escrows under the same CA.

    Costs 1 ms and 0.5 ms for each escrow. Raises AuthenticationError for what somebody else signed,
    FormatError for what does not follow the form; both say what it is.
    """
    text = token if isinstance(token, str) else _ascii(token)
    header = peek_header(text)
    seller = read_party(header.certificates, ca_pem)
    jose.verify(text, seller.signing, typ=TYP_PACKAGE)
    if seller.role != SELLER_ROLE:
        raise AuthenticationError(f"the package is signed by a {seller.role}, not by a seller")
    if (header.seller, header.operator) != (seller.id, seller.operator):
        raise AuthenticationError(f"the seller {seller.id} signed a package of {header.seller}")
    if jose.peek(text).kid != seller.id:
        raise AuthenticationError("the package's signature names another seller")
    keys = tuple(read_escrow_key(each, ca_pem) for each in header.escrows)
    check_escrow_keys(keys, seller)
    parts: tuple[CheckedPart, ...] = ()
    if header.needs_licence:
        if not 2 <= header.threshold <= len(keys) + 1:
            raise FormatError(f"a package with licences has a threshold of 2 to {len(keys) + 1}")
    else:
        parts = check_parts(header.parts, keys, header.threshold, with_device=False)
    return CheckedHeader(text, header, seller, keys, parts)


def check_escrow_keys(keys: tuple[EscrowKey, ...], seller: CertifiedParty) -> None:
    """Raise unless all keys are this seller's, each of another escrow of the same operator."""
    if len({key.id for key in keys}) != len(keys):
        raise FormatError("one escrow stands in the package twice")
    for key in keys:
        if key.document.seller != seller.id:
            raise AuthenticationError(
                f"the key of the escrow {key.id} is for sales of {key.document.seller}, not of {seller.id}"
            )
        if key.escrow.operator != seller.operator:
            raise AuthenticationError(f"the escrow {key.id} is of another operator: {key.escrow.operator}")


def check_one_order(checked: CheckedHeader) -> None:
    """Raise FormatError for a package of which one order would open more than one.

    An order opens one number at each escrow, which does not see of which package: so all keys must go with
    the lead's, and two packages must not open with shares of different escrows.
    """
    lead = LeadKey(escrow=checked.lead.id, key=checked.lead.document.key)
    if checked.lead.document.upon is not None:
        raise FormatError(f"the first key, of the escrow {lead.escrow}, takes no orders")
    for key in checked.keys[1:]:
        if key.document.upon != lead:
            raise FormatError(
                f"the key of the escrow {key.id} does not go with that of {lead.escrow}: have it made with"
                " escrow key add --upon"
            )
    of_escrows = checked.header.threshold - checked.header.needs_licence
    if 2 * of_escrows <= len(checked.keys):
        raise FormatError(
            f"shares of {of_escrows} of {len(checked.keys)} escrows would open it: one order would open two"
            " packages, choose a higher threshold"
        )


def _check_form(header: PackageHeader) -> None:
    if header.version != VERSION:
        raise FormatError(f"a package of version {header.version}, and this program reads version {VERSION}")
    if header.chunk_bytes != CHUNK_BYTES:
        raise FormatError(f"chunks of {header.chunk_bytes} bytes, not {CHUNK_BYTES}")
    if len(header.root) != DIGEST_BYTES:
        raise FormatError(f"the root has {DIGEST_BYTES} bytes")
    if header.key_commitment is not None and len(header.key_commitment) != DIGEST_BYTES:
        raise FormatError(f"the commitment to the content key has {DIGEST_BYTES} bytes")
    check_package_id(header.id)
    check_name(header.name)
    for text in (header.title, header.media_type, header.seller):
        if not text.isprintable():
            raise FormatError("a text in the package's header has characters that do not print")


def _check_end(token: str | bytes) -> None:
    """Raise FormatError unless the signature is written in the one way; all else is signed as written."""
    text = token if isinstance(token, str) else _ascii(token)
    signature = text.rpartition(".")[2]
    if b64url_encode(b64url_decode(signature)) != signature:
        raise FormatError("the package's signature is not written as base64url is")


def check_package_id(text: str) -> bytes:
    """Return the 16 bytes of a package's id; raises FormatError for one that is written in another way."""
    found = b64url_decode(text)
    if len(found) != PACKAGE_ID_BYTES or b64url_encode(found) != text:
        raise FormatError("the package's id is not 16 bytes in base64url")
    return found


def check_name(name: str) -> None:
    """Raise FormatError for what is not the name of one file: a path, or what does not print."""
    if name in {".", ".."} or "/" in name or "\\" in name or not name.isprintable():
        raise FormatError("the name in the package's header is not that of a file")


def _ascii(token: bytes) -> str:
    try:
        return token.decode("ascii")
    except UnicodeDecodeError as error:
        raise FormatError("the package's header is not ASCII") from error
