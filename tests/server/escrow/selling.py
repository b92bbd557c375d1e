"""Owns a sale for tests of openings: two escrows with keys of one seller, a buyer, numbers to be opened."""

from dataclasses import dataclass

from sealcast.keys.rsakem import PUBLIC_EXPONENT
from sealcast.messages import jose
from sealcast.messages.encoding import decode
from sealcast.messages.escrow import EscrowKeyRow, KeyDocument, OrderRow, Receipt
from server.escrow.inside import EURO, Inside, Market, Party
from server.running import RANDOM

PRICE, DEAR = 5 * EURO, 50 * EURO


@dataclass
class Sale:
    """Two escrows, a seller with keys at both, another seller, and a buyer with money at the first."""

    market: Market
    lead: Inside
    other: Inside
    seller: Party
    buyer: Party
    cheap: EscrowKeyRow
    dear: EscrowKeyRow
    foreign: EscrowKeyRow
    there: EscrowKeyRow
    there_dear: EscrowKeyRow

    def paid(self) -> OrderRow:
        """Return a new order under the cheap key that is paid."""
        return self.lead.place(self.buyer, self.cheap)


def modulus_of(key: EscrowKeyRow) -> int:
    """Return a key's modulus as its document tells it."""
    return int.from_bytes(decode(jose.unverified_payload(key.document), KeyDocument).modulus, "big")


def blinded(key: EscrowKeyRow) -> tuple[int, bytes]:
    """Return a number and what an escrow sees of it: its e-th power."""
    modulus = modulus_of(key)
    number = 2 + RANDOM.below(modulus - 3)
    return number, pow(number, PUBLIC_EXPONENT, modulus).to_bytes(384, "big")


def kinds(order: OrderRow) -> list[str]:
    """Return what was attested of an order."""
    return [decode(jose.unverified_payload(each), Receipt).kind for each in order.receipts]


def opened(key: EscrowKeyRow, number: int) -> bytes:
    """Return what an escrow has to answer."""
    return number.to_bytes((modulus_of(key).bit_length() + 7) // 8, "big")
