"""Owns how `sealcast buy` goes from a package to content that opens: the offer, the question, the steps.

Imported by the command when it runs, not for its help.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import typer

from sealcast.agent.sources import package_source
from sealcast.cli import bought, output
from sealcast.cli.escrowasking import Asker
from sealcast.client.agent import AgentClient
from sealcast.client.offer import EscrowOffer, Offer, Part
from sealcast.client.purchase import Escrow, Opening, Purchase
from sealcast.client.revocations import fetch_revoked
from sealcast.core.errors import LocalError, RefusedError, UsageError
from sealcast.device.revoked import read_revoked
from sealcast.ledger.money import format_micro, parse_amount
from sealcast.messages import jose
from sealcast.messages.encoding import decode, encode
from sealcast.messages.enrolment import Certificates
from sealcast.messages.escrow import Fault, OrderRow
from sealcast.sealpack.header import CheckedHeader, read_header
from sealcast.sealpack.layout import PREFIX_BYTES, read_prefix
from sealcast.sealpack.licence import CheckedLicence, read_licence

LICENCE_BYTES_MAX = 256 * 1024
NOT_COVERED = "not-covered"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the buyer said: the package's place, a licence, what is agreed to, and how to print."""

    package: str
    licence: Path | None
    is_sure: bool
    price_max: str | None
    confirms: bool
    json: bool
    request: Path | None
    folder: Path


class LicenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a seller needs to make an order's licence: nothing in it is secret."""

    package: str
    order: str
    device: str
    certificates: Certificates


class Buying:
    """One run of the command."""

    def __init__(self, wish: Wish, asker: Asker, agent: AgentClient) -> None:
        self._wish, self._asker, self._agent = wish, asker, agent
        self._device = agent.presence.id

    def run(self) -> None:
        """Buy; raises typer.Abort for a no, and SealcastError with what to do."""
        checked = read_package(self._wish.package, self._agent.presence.ca_pem)
        licence = None
        if self._wish.licence is not None:
            licence = read_licence(_text(self._wish.licence), checked, device=self._device)
        asyncio.run(self._buy(checked, offer_of(checked, licence)))

    async def _buy(self, checked: CheckedHeader, offer: Offer) -> None:
        async with Purchase(offer, self._agent, self._connect, self._say) as purchase:
            if purchase.is_owned:
                return self._done(offer, None, "it opened here before")
            purchase.revoked = await self._revoked(checked)
            order = await purchase.find()
            if order is None or order.state == "placed":
                self._agree(checked, offer, order)
            order = await self._paid(purchase, order)
            self._remember(offer, order)
            if not offer.parts:
                return self._wait_for_licence(offer, order)
            opening = await purchase.open(order)
            if not opening.is_complete:
                raise LocalError(self._why(opening, order))
            for each in opening.failures:
                self._say(f"{each.escrow} did not open its share: {each.error}")
            order = await (purchase.confirm if self._wish.confirms else purchase.show)(order)
            return self._done(offer, order, "")

    async def _revoked(self, checked: CheckedHeader) -> frozenset[str]:
        """Return which of a package's escrows were revoked, once the agent knows it as well.

        Raises UnreachableError where no key server says: then nothing is asked of any escrow.
        """
        here = self._agent.presence
        der = await fetch_revoked(here.servers, here.ca_pem)
        self._agent.tell_revoked(der)
        found = read_revoked(der, here.certificates.issuer)
        return frozenset(key.id for key in checked.keys if found.has(key.escrow.serial))

    async def _paid(self, purchase: Purchase, order: OrderRow | None) -> OrderRow:
        try:
            return await purchase.pay(order)
        except RefusedError as error:
            if error.type != NOT_COVERED:
                raise
            lead = purchase.offer.lead.id
            raise RefusedError(
                NOT_COVERED,
                f"{error.detail}; pay in at {lead}, then type the same command again",
                error.status,
            ) from error

    def _connect(self, escrow: EscrowOffer) -> AbstractAsyncContextManager[Escrow]:
        return self._asker.client(escrow.servers, escrow.id)

    def _say(self, text: str) -> None:
        if not self._wish.json:
            output.print_line(text)
            sys.stdout.flush()

    def _agree(self, checked: CheckedHeader, offer: Offer, order: OrderRow | None) -> None:
        """Show what is bought, and ask; raises UsageError where nobody can be asked, typer.Abort for a no."""
        price = price_of(offer)
        if self._wish.price_max is not None and offer.lead.price_micro > parse_amount(self._wish.price_max):
            raise UsageError(f"{offer.title} costs {price}, more than --max-price {self._wish.price_max}")
        if not self._wish.json:
            for line in _lines(checked, offer, order):
                output.print_line(line)
            sys.stdout.flush()
        if self._wish.is_sure:
            return
        if sys.stdin.isatty() and sys.stderr.isatty():
            typer.confirm(f"Buy it for {price}?", abort=True, err=True)
        elif self._wish.price_max is None:
            raise UsageError(f"{offer.title} costs {price}; say --yes, or --max-price AMOUNT, to buy it")

    def _remember(self, offer: Offer, order: OrderRow) -> None:
        place = self._wish.package
        record = bought.Bought(
            order=order.order,
            device=self._device,
            escrow=offer.lead.id,
            servers=list(offer.lead.servers),
            title=offer.title,
            package=place if place.startswith(("http://", "https://")) else str(Path(place).resolve()),
        )
        bought.remember(self._wish.folder, record)

    def _wait_for_licence(self, offer: Offer, order: OrderRow) -> None:
        """Write down what the seller needs for the licence, and say what comes next."""
        package = self._wish.package
        name = f"{Path(package).stem}-{order.order}.request.json"
        path, wanted = self._wish.request or Path(name), self._request(offer, order)
        try:
            path.write_bytes(encode(wanted) + b"\n")
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error
        if self._wish.json:
            more = {"opens": False, "needs_licence": True, "request": str(path)}
            output.print_json(self._fields(offer, order) | more)
            return
        output.print_line(f"each order of this package has a licence of its own; {offer.seller} makes it by:")
        output.print_line(f"  sealcast package licence {package} --device {path}")
        output.print_line(f"with it, go on:\n  sealcast buy {package} --licence FILE")

    def _request(self, offer: Offer, order: OrderRow) -> LicenceRequest:
        return LicenceRequest(
            package=offer.package,
            order=order.order,
            device=self._device,
            certificates=self._agent.presence.certificates,
        )

    def _done(self, offer: Offer, order: OrderRow | None, how: str) -> None:
        if self._wish.json:
            output.print_json(self._fields(offer, order) | {"opens": True, "needs_licence": False})
            return
        output.print_line(f"{offer.title} opens on {self._device}" + (f": {how}" if how else "; next:"))
        if how:
            return
        output.print_line(f"  sealcast play {self._wish.package} --output - | ffplay -")
        if order is not None and order.state == "issued":
            output.print_line(f"  sealcast order confirm {order.order}")

    def _fields(self, offer: Offer, order: OrderRow | None) -> dict[str, object]:
        return {
            "package": offer.package,
            "title": offer.title,
            "device": self._device,
            "order": order.order if order is not None else None,
            "state": order.state if order is not None else None,
            "price_micro": offer.lead.price_micro,
            "currency": offer.lead.currency,
            "escrow": offer.lead.id,
        }

    def _why(self, opening: Opening, order: OrderRow) -> str:
        """Return in one line why the package does not open, and what to do."""
        why = "; ".join(f"{each.escrow}: {each.error}" for each in opening.failures)
        said = f"{opening.have} of {opening.threshold} shares are there" + (f" ({why})" if why else "")
        if opening.fault is not None:
            is_key = decode(jose.unverified_payload(opening.fault), Fault).what == "key"
            wrong = "shares give no content key" if is_key else "share is wrong"
            return (
                f"{said}; the device attests that the seller's {wrong}: for the money type"
                f" sealcast order refund {order.order}"
            )
        return f"{said}; type the same command again, or: sealcast order dispute {order.order}"


def read_package(place: str, ca_pem: str) -> CheckedHeader:
    """Return the header of a package at a path or address; raises FormatError, AuthenticationError."""
    with package_source(place) as source:
        header_bytes = read_prefix(os.pread(source.head, PREFIX_BYTES, 0))
        return read_header(os.pread(source.head, header_bytes, PREFIX_BYTES), ca_pem)


def offer_of(checked: CheckedHeader, licence: CheckedLicence | None) -> Offer:
    """Return what a verified package offers, with the shares of a licence where it has none itself."""
    header = checked.header
    found = checked.parts if licence is None else licence.parts
    places = {key.public.key_id: at for at, key in enumerate(checked.keys)}
    return Offer(
        header=checked.token,
        package=header.id,
        title=header.title,
        seller=header.seller,
        escrows=_escrows(checked),
        threshold=header.threshold,
        parts=tuple(
            Part(part.number, places[part.key.public.key_id]) for part in found if part.key is not None
        ),
        licence=None if licence is None else licence.token,
        order=None if licence is None else licence.licence.order,
    )


def price_of(offer: Offer) -> str:
    """Return a price as people write it."""
    return f"{format_micro(offer.lead.price_micro)} {offer.lead.currency}"


def _escrows(checked: CheckedHeader) -> tuple[EscrowOffer, ...]:
    pairs = zip(checked.keys, checked.header.escrows, strict=True)
    return tuple(
        EscrowOffer(
            id=key.id,
            servers=tuple(key.document.servers),
            certificate=packed.certificate,
            key=key.public.key_id,
            price_class=key.document.price_class,
            price_micro=key.document.price_micro,
            currency=key.document.currency,
        )
        for key, packed in pairs
    )


def _lines(checked: CheckedHeader, offer: Offer, order: OrderRow | None) -> Sequence[str]:
    header = checked.header
    lead, *others = offer.escrows
    lines = [
        offer.title,
        f"  content  {header.name}, {header.size:,} bytes",
        f"  seller   {offer.seller}",
        f"  price    {price_of(offer)} ({lead.price_class})",
        f"  escrow   {lead.id} at {lead.servers[0]}, which holds the money",
        *(f"  escrow   {each.id} at {each.servers[0]}" for each in others),
    ]
    if order is not None:
        lines.append(f"  order    {order.order}, {order.state}")
    return lines


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > LICENCE_BYTES_MAX or not data.isascii():
        raise UsageError(f"{path} is no licence")
    return data.decode().strip()
