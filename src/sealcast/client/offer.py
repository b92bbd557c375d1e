"""Owns what a package offers to a buyer: its escrows and prices, the shares that they open, its name."""

from dataclasses import dataclass

from sealcast.messages.package import header_digest


@dataclass(frozen=True, slots=True)
class EscrowOffer:
    """An escrow of a package: where it is, the key that it opens with, and what its key document says."""

    id: str
    servers: tuple[str, ...]
    certificate: str
    key: str
    price_class: str
    price_micro: int
    currency: str


@dataclass(frozen=True, slots=True)
class Part:
    """A share that an escrow opens: its number, and the escrow's place in the offer."""

    number: int
    escrow: int


@dataclass(frozen=True, slots=True)
class Offer:
    """What is for sale, from a package's header that was verified; `header` is its JWS.

    The first escrow is the lead. `parts` are those of the header, or of the licence where there is one
    (`licence`, its JWS, for the order `order`); none where a licence is still to come.
    """

    header: str
    package: str
    title: str
    seller: str
    escrows: tuple[EscrowOffer, ...]
    threshold: int
    parts: tuple[Part, ...]
    licence: str | None = None
    order: str | None = None

    @property
    def digest(self) -> str:
        """The name of the header."""
        return header_digest(self.header)

    @property
    def lead(self) -> EscrowOffer:
        """The escrow that holds the money, whose price counts."""
        return self.escrows[0]
