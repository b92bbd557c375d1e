"""Owns what an escrow is to its records: its name, the key that signs for it, waits and limits."""

from dataclasses import dataclass, field

from sealcast.escrow.rules import Refunds, Timeouts
from sealcast.messages import jose
from sealcast.messages.encoding import encode
from sealcast.messages.escrow import TYP_ESCROW_RECEIPT, Receipt
from sealcast.messages.jwk import HeldPair, Jwk


@dataclass(frozen=True, slots=True)
class House:
    """An escrow: `certificate` is that of `signing`, in PEM, under the operator's CA."""

    id: str
    operator: str
    signing: Jwk | HeldPair = field(repr=False)
    certificate: str
    timeouts: Timeouts = field(default_factory=Timeouts)
    refunds: Refunds = field(default_factory=Refunds)

    def attest(self, receipt: Receipt) -> str:
        """Return a receipt as the escrow signs it: a JWS, 0.1 ms."""
        return jose.sign(encode(receipt), self.signing, kid=self.id, typ=TYP_ESCROW_RECEIPT)
