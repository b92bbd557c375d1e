"""Owns reading what another escrow attests: its receipt, under its certificate, under the operator's CA."""

from sealcast.core.errors import RemoteError
from sealcast.device.certified import read_certificate
from sealcast.device.chains import read_escrow
from sealcast.keyserver.values import refusal
from sealcast.messages import jose
from sealcast.messages.encoding import decode
from sealcast.messages.escrow import OPENS_UPON, TYP_ESCROW_RECEIPT, OrderOpenRequest, Receipt
from sealcast.server.escrow.revocation import RevokedParties

MS_PER_S = 1_000


def read_lead(
    request: OrderOpenRequest,
    ca_pem: str,
    revoked: RevokedParties,
    *,
    operator: str,
    own_id: str,
    wall_ms: int,
) -> Receipt:
    """Return the receipt that an opening comes with, once another escrow of `operator` vouches for it.

    Raises the refusals `opening-refused`, saying what does not hold, and `certificate-revoked` for an escrow
    that was revoked; two signature checks, 0.3 ms.
    """
    try:
        lead = read_escrow(request.lead or "", ca_pem)
        ends_s = read_certificate(request.lead or "").not_valid_after_utc.timestamp()
        receipt = decode(jose.verify(request.receipt or "", lead.signing, typ=TYP_ESCROW_RECEIPT), Receipt)
    except RemoteError as error:
        raise refusal("opening-refused", f"the other escrow's receipt does not count: {error}") from error
    if ends_s * MS_PER_S <= wall_ms:
        raise refusal("opening-refused", f"the certificate of the escrow {lead.id} has expired")
    if revoked.has(lead.serial):
        raise refusal("certificate-revoked", f"the certificate of the escrow {lead.id} was revoked")
    if {lead.operator, receipt.operator} != {operator} or receipt.escrow != lead.id:
        raise refusal("opening-refused", f"the receipt is not one of {lead.id}, an escrow of {operator}")
    if lead.id == own_id:
        raise refusal("unknown-order", "the receipt is our own, of an order that is not on record")
    if receipt.order != request.order or receipt.kind != OPENS_UPON:
        raise refusal("opening-refused", f"a receipt {OPENS_UPON!r} of this very order is needed")
    return receipt
