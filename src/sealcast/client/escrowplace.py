"""Owns finding out which escrow answers at an address, so that what is signed for it counts at no other.

```
GET /v1/escrow ─► certificate under the operator's CA? ─► place signed by its key?
                                                       ─► `tls` the key of this very connection?
```
An escrow that would pass for another one fails at the last step: it has not that one's TLS key.
"""

import hmac
from collections.abc import Sequence

from cryptography import x509

from sealcast.client.transfer import Transfer
from sealcast.core.errors import AuthenticationError, FormatError, SealcastError, UnreachableError
from sealcast.device.certified import spki_digest
from sealcast.device.chains import CertifiedEscrow, read_escrow
from sealcast.messages import jose
from sealcast.messages.encoding import decode
from sealcast.messages.escrow import PLACE_PATH, TYP_ESCROW_PLACE, EscrowPlace, EscrowPlaceAnswer


async def find_escrow(servers: Sequence[str], ca_pem: str) -> CertifiedEscrow:
    """Return which escrow the first of `servers` is that answers; one exchange, two signature checks.

    Raises UnreachableError, AuthenticationError for one that passes for another, FormatError for what is no
    escrow.
    """
    why: SealcastError = UnreachableError("no address of an escrow is given")
    transfer = Transfer(ca_pem)
    try:
        for server in servers:
            try:
                reply = await transfer.get(server, PLACE_PATH)
            except UnreachableError as error:
                why = error
                continue
            if reply.status != 200 or reply.peer is None:
                raise FormatError(f"{server} does not say which escrow it is: is it one?")
            return read_place(server, reply.body, reply.peer, ca_pem)
    finally:
        await transfer.close()
    raise why


def read_place(server: str, body: bytes, peer: bytes, ca_pem: str) -> CertifiedEscrow:
    """Return which escrow said `body` over TLS under the certificate `peer`; raises as `find_escrow`."""
    answer = decode(body, EscrowPlaceAnswer)
    escrow = read_escrow(answer.certificate, ca_pem)
    place = decode(jose.verify(answer.place, escrow.signing, typ=TYP_ESCROW_PLACE), EscrowPlace)
    if (place.escrow, place.operator) != (escrow.id, escrow.operator):
        raise AuthenticationError(f"the escrow {escrow.id} signed where {place.escrow} is")
    if not hmac.compare_digest(place.tls, spki_digest(x509.load_der_x509_certificate(peer))):
        raise AuthenticationError(f"{server} says that it is the escrow {escrow.id}, and has not its TLS key")
    return escrow
