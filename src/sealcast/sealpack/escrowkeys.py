"""Owns reading an escrow's key as a package has it: by the escrow's word, and the operator's CA behind it."""

from dataclasses import dataclass

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.device.chains import CertifiedEscrow, read_escrow
from sealcast.keys.rsakem import RsaPublic, read_public
from sealcast.messages import jose
from sealcast.messages.encoding import decode
from sealcast.messages.escrow import TYP_ESCROW_KEY, KeyDocument
from sealcast.messages.package import PackageEscrow

DOCUMENT_VERSION = 1
SERVERS_MAX = 16


@dataclass(frozen=True, slots=True)
class EscrowKey:
    """A key that an escrow opens with, believed: who the escrow is, what it says of the key, the key."""

    escrow: CertifiedEscrow
    document: KeyDocument
    public: RsaPublic

    @property
    def id(self) -> str:
        """The escrow's id."""
        return self.escrow.id


def read_escrow_key(packed: PackageEscrow, ca_pem: str) -> EscrowKey:
    """Return a key that an escrow under the operator's CA certified; 0.4 ms.

    Raises AuthenticationError for a document or certificate by anybody else, FormatError for one that does
    not follow its form.
    """
    escrow = read_escrow(packed.certificate, ca_pem)
    document = decode(jose.verify(packed.key, escrow.signing, typ=TYP_ESCROW_KEY), KeyDocument)
    if document.version != DOCUMENT_VERSION:
        raise FormatError(f"a key document of version {document.version}, not {DOCUMENT_VERSION}")
    if (document.escrow, document.operator) != (escrow.id, escrow.operator):
        raise AuthenticationError(f"the escrow {escrow.id} certified a key of {document.escrow}")
    public = read_public(document.modulus, document.exponent)
    if document.key != public.key_id:
        raise FormatError(f"a key of the escrow {escrow.id} has another name than its own")
    if not 0 < len(document.servers) <= SERVERS_MAX or not all(
        url.startswith("https://") and url.isprintable() for url in document.servers
    ):
        raise FormatError(f"a key of the escrow {escrow.id} names no address of it, https://HOST:PORT")
    return EscrowKey(escrow, document, public)
