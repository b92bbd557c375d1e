"""Shows who is given what of a blind opening, and that whoever is refused is told why and changes nothing."""

import asyncio
import functools
from collections.abc import Iterator
from dataclasses import replace
from math import gcd
from typing import Any

import msgspec
import pytest

from sealcast.device.chains import read_escrow
from sealcast.escrow import store_keys
from sealcast.keys.rsakem import PUBLIC_EXPONENT
from sealcast.keyserver.store_certificates import Revoked
from sealcast.messages import jose
from sealcast.messages import operations_escrow as operations
from sealcast.messages.encoding import b64url_encode, decode, encode
from sealcast.messages.escrow import (
    TYP_ESCROW_KEY,
    TYP_ESCROW_RECEIPT,
    EscrowKeyRow,
    KeyDocument,
    LeadKey,
    OrderRow,
    Receipt,
)
from sealcast.messages.jwk import new_signing_pair
from server.escrow.inside import EURO, Market, serial
from server.escrow.selling import DEAR, PRICE, Sale, blinded, kinds, modulus_of, opened
from server.running import RANDOM
from storage.places import files


@pytest.fixture(scope="module")
def sale(both_databases: str) -> Iterator[Sale]:
    """Make the escrows and the parties once for each database; each test has orders of its own."""
    _ = both_databases
    _order_id.cache_clear()
    market = Market("lead", "other")
    lead, other = market.escrows["lead"], market.escrows["other"]
    seller, rival, buyer = (
        market.party("ACME", "seller"),
        market.party("Rival", "seller"),
        market.party("TV-1"),
    )
    for each in (lead, other):
        each.admit(seller)
        assert each.join(buyer).status == 200
    lead.admit(rival)
    lead.pay_in(buyer, 1_000 * EURO, "bank-1")
    film = lead.add_key(seller, "film", PRICE)
    upon = LeadKey(escrow="lead", key=film.key)
    keys = (
        film,
        lead.add_key(seller, "premiere", DEAR),
        lead.add_key(rival, "film", PRICE),
        other.add_key(seller, "film", PRICE, upon),
        other.add_key(seller, "premiere", DEAR, upon),
    )
    yield Sale(market, lead, other, seller, buyer, *keys)
    market.close()


def test_a_paid_order_opens_one_number_and_the_same_again(sale: Sale) -> None:
    """A paid order gets m = c'^d and is issued; the same c' gets the same again, another `order-used`."""
    order = sale.paid()
    number, given = blinded(sale.cheap)
    first = sale.lead.open(sale.buyer, order.order, sale.cheap, given)
    assert first.answer.opened == opened(sale.cheap, number)
    assert sale.lead.show(order).state == "issued"
    before = sale.lead.dump()
    again = sale.lead.open(sale.buyer, order.order, sale.cheap, given)
    assert again.answer == first.answer
    reply = sale.lead.open(sale.buyer, order.order, sale.cheap, blinded(sale.cheap)[1])
    assert reply.problem == "order-used"
    assert sale.lead.dump() == before


def test_a_replayed_request_gets_the_same_answer(sale: Sale) -> None:
    """The very bytes of a request, sent again by whoever saw them, get what the device got, and no more."""
    order, side = sale.paid(), sale.lead.side(sale.buyer)
    sale.lead.run(side.fetch_nonce())
    fields = {"key": sale.cheap.key, "certificate": sale.buyer.certificates.signing}
    token = side.token(operations.ORDER_OPEN, order=order.order, blinded=blinded(sale.cheap)[1], **fields)
    replies = [sale.lead.run(side.post(operations.ORDER_OPEN, token)) for _ in range(2)]
    assert replies[0].status == 200
    assert replies[0].answer == replies[1].answer
    assert kinds(sale.lead.show(order)) == ["placed", "paid", "issued"]


def test_of_two_at_once_one_is_opened(sale: Sale) -> None:
    """Two numbers for one order at the same moment: one is opened, the other `order-used`."""
    order = sale.paid()
    numbers = [blinded(sale.cheap) for _ in range(4)]

    async def ask(given: bytes) -> Any:
        side = sale.lead.side(sale.buyer)
        fields = {"key": sale.cheap.key, "certificate": sale.buyer.certificates.signing}
        return await side.ask(operations.ORDER_OPEN, order=order.order, blinded=given, **fields)

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(ask(given) for _, given in numbers))

    replies = sale.lead.run(all_at_once())
    assert sorted(each.problem for each in replies) == ["", "order-used", "order-used", "order-used"]
    (which,) = (place for place, each in enumerate(replies) if each.status == 200)
    assert replies[which].answer.opened == opened(sale.cheap, numbers[which][0])


def bad_numbers(modulus: int) -> dict[str, tuple[bytes, str]]:
    """Return c' that are none, and how each is refused."""
    size = 384

    def as_bytes(number: int) -> bytes:
        return number.to_bytes(size, "big")

    return {
        "0": (as_bytes(0), "opening-refused"),
        "1": (as_bytes(1), "opening-refused"),
        "n - 1": (as_bytes(modulus - 1), "opening-refused"),
        "n": (as_bytes(modulus), "opening-refused"),
        "n + 2": (as_bytes(modulus + 2), "opening-refused"),
        "2^3072 - 1": (as_bytes((1 << 8 * size) - 1), "opening-refused"),
        "short": (as_bytes(5)[1:], "bad-request"),
        "long": (b"\0" + as_bytes(5), "bad-request"),
        "empty": (b"", "bad-request"),
    }


@pytest.mark.parametrize("name", bad_numbers(1 << 3071))
def test_a_number_that_is_none_is_refused(sale: Sale, name: str) -> None:
    """0, 1, n - 1, n and more, and other lengths than the key's: named, and the order stays as it was."""
    order = _kept_order(sale)
    given, problem = bad_numbers(modulus_of(sale.cheap))[name]
    before = sale.lead.dump()
    reply = sale.lead.open(sale.buyer, order.order, sale.cheap, given)
    assert (reply.problem, "c'" in reply.detail) == (problem, True)
    assert sale.lead.dump() == before


def test_a_number_with_a_factor_of_the_key_is_refused(sale: Sale) -> None:
    """A multiple of a prime of the modulus, which only the escrow could make, is refused unused."""
    order = _kept_order(sale)
    (key,) = (each for each in _private_keys(sale) if each[0] == modulus_of(sale.cheap))
    modulus, prime = key
    assert 1 < gcd(3 * prime, modulus) < modulus
    reply = sale.lead.open(sale.buyer, order.order, sale.cheap, (3 * prime).to_bytes(384, "big"))
    assert (reply.problem, "factor" in reply.detail) == ("opening-refused", True)


def test_what_is_not_paid_opens_nothing(sale: Sale) -> None:
    """An order that is placed is `not-paid`, one that was given back `order-state`, none `unknown-order`."""
    given = blinded(sale.cheap)[1]
    placed = sale.lead.place(sale.buyer, sale.cheap, paid=False)
    assert sale.lead.open(sale.buyer, placed.order, sale.cheap, given).problem == "not-paid"
    refunded = sale.paid()
    sale.lead.must(sale.buyer, operations.ORDER_REFUND, order=refunded.order)
    assert sale.lead.open(sale.buyer, refunded.order, sale.cheap, given).problem == "order-state"
    unknown = b64url_encode(RANDOM.bytes(16))
    assert sale.lead.open(sale.buyer, unknown, sale.cheap, given).problem == "unknown-order"
    assert {sale.lead.show(each).state for each in (placed, refunded)} == {"placed", "refunded"}


def test_a_cheap_order_opens_nothing_dear(sale: Sale) -> None:
    """An order opens under its own key: under no dearer one of its seller, under no other seller's."""
    order = sale.paid()
    before = sale.lead.dump()
    for key in (sale.dear, sale.foreign):
        reply = sale.lead.open(sale.buyer, order.order, key, blinded(key)[1])
        assert (reply.problem, "another key" in reply.detail or "of another key" in reply.detail) == (
            "opening-refused",
            True,
        )
    assert sale.lead.dump() == before


def test_another_device_opens_nothing(sale: Sale) -> None:
    """Somebody else's order is `not-your-order`, and a certificate that is not the caller's is refused."""
    order, thief = sale.paid(), sale.market.party("TV-thief")
    given = blinded(sale.cheap)[1]
    unknown = sale.lead.open(thief, order.order, sale.cheap, given)
    assert unknown.problem == "not-authenticated"
    assert sale.lead.join(thief).status == 200
    assert sale.lead.open(thief, order.order, sale.cheap, given).problem == "not-your-order"
    borrowed = replace(thief, certificates=sale.buyer.certificates)
    assert sale.lead.open(borrowed, order.order, sale.cheap, given).problem == "opening-refused"
    assert sale.lead.show(order).state == "paid"


def test_a_certificate_that_is_not_the_present_one_opens_nothing(sale: Sale) -> None:
    """Who renewed and joined again shows the new certificate; the old one opens nothing."""
    old = sale.market.party("TV-renewed")
    assert sale.lead.join(old).status == 200
    sale.lead.pay_in(old, PRICE, "bank-renewed")
    order = sale.lead.place(old, sale.cheap)
    sale.market.let_pass(1)
    new = sale.market.certify(old, identified=True)
    given = blinded(sale.cheap)[1]
    early = sale.lead.open(new, order.order, sale.cheap, given)
    assert (early.problem, "joined last" in early.detail) == ("opening-refused", True)
    assert sale.lead.join(new).status == 200
    assert sale.lead.open(old, order.order, sale.cheap, given).problem == "opening-refused"
    assert sale.lead.open(new, order.order, sale.cheap, given).status == 200


def test_a_revoked_device_opens_nothing(sale: Sale) -> None:
    """Once its certificate is on the list, a device that paid is refused, and its money stays held."""
    gone = sale.market.party("TV-gone")
    assert sale.lead.join(gone).status == 200
    sale.lead.pay_in(gone, PRICE, "bank-gone")
    order = sale.lead.place(gone, sale.cheap)
    sale.market.revoke(gone)
    sale.market.let_pass(1)
    sale.market.write_crl()
    sale.lead.read_crl()
    reply = sale.lead.open(gone, order.order, sale.cheap, blinded(sale.cheap)[1])
    assert reply.problem == "certificate-revoked"
    assert sale.lead.show(order).state == "paid"


def test_nothing_is_opened_under_an_old_list(sale: Sale) -> None:
    """While the list of revoked ones is too old, openings are `revocation-unknown`; the rest goes on."""
    order = sale.paid()
    number, given = blinded(sale.cheap)
    sale.market.let_pass(901)
    reply = sale.lead.open(sale.buyer, order.order, sale.cheap, given)
    assert (reply.status, reply.problem) == (503, "revocation-unknown")
    assert sale.lead.place(sale.buyer, sale.cheap).state == "paid"
    sale.market.write_crl()
    sale.lead.read_crl()
    again = sale.lead.open(sale.buyer, order.order, sale.cheap, given)
    assert again.answer.opened == opened(sale.cheap, number)
    sale.other.read_crl()


class TestUponAReceipt:
    """An escrow that does not have the order opens upon the receipt of the one that has it."""

    def upon(self, sale: Sale, **fields: Any) -> dict[str, Any]:
        """Return what comes with an opening: the lead's receipt of an order that it has opened."""
        order = sale.paid()
        assert sale.lead.open(sale.buyer, order.order, sale.cheap, blinded(sale.cheap)[1]).status == 200
        receipt = sale.lead.show(order).receipts[-1]
        return {"order": order.order, "receipt": receipt, "lead": sale.cheap.certificate, **fields}

    def ask(self, sale: Sale, given: bytes, key: EscrowKeyRow | None = None, **fields: Any) -> Any:
        """Ask the other escrow."""
        return sale.other.open(sale.buyer, fields.pop("order"), key or sale.there, given, **fields)

    def forged(self, sale: Sale, fields: dict[str, Any], **changes: Any) -> str:
        """Return a receipt with changes, signed by the lead itself as if it were so."""
        receipt = decode(jose.unverified_payload(fields["receipt"]), Receipt)
        house = sale.lead.server
        signing = house.keys._house.signing
        changed = msgspec.structs.replace(receipt, **changes)
        return jose.sign(encode(changed), signing, kid="lead", typ=TYP_ESCROW_RECEIPT)

    def test_it_opens_once(self, sale: Sale) -> None:
        """The same c' is answered again, another is `order-used`, also under another key of that seller."""
        fields = self.upon(sale)
        number, given = blinded(sale.there)
        first = self.ask(sale, given, **fields)
        assert first.answer.opened == opened(sale.there, number)
        assert self.ask(sale, given, **fields).answer == first.answer
        assert self.ask(sale, blinded(sale.there)[1], **fields).problem == "order-used"
        cheaper = {**fields, "receipt": self.forged(sale, fields, price_micro=DEAR)}
        reply = self.ask(sale, blinded(sale.there_dear)[1], sale.there_dear, **cheaper)
        assert reply.problem == "order-used"
        (notice, *_) = reversed(sale.other.must(sale.buyer, operations.NOTICE_LIST).notices)
        assert (notice.order, notice.kind) == (fields["order"], "opened")

    def test_one_price_opens_one_package(self, sale: Sale) -> None:
        """A key that takes orders opens upon none of another escrow, whose price opened a package there."""
        own = sale.other.add_key(sale.seller, "own", PRICE)
        fields, before = self.upon(sale), sale.other.dump()
        assert self.ask(sale, blinded(own)[1], own, **fields).problem == "opening-refused"
        assert sale.other.dump() == before

    def test_a_key_for_further_shares_takes_no_orders(self, sale: Sale) -> None:
        """Orders are placed at the lead; what a key goes with never changes, and is at another escrow."""
        placed = sale.other.ask(sale.buyer, operations.ORDER_PLACE, key=sale.there.key, package="p" * 22)
        assert placed.problem == "unknown-key"
        seller, terms = sale.seller, {"price_micro": PRICE, "currency": "EUR"}
        for upon in (None, LeadKey(escrow="lead", key=sale.dear.key), LeadKey(escrow="third", key="k")):
            again = sale.other.ask(seller, operations.ESCROW_KEY_ADD, price_class="film", upon=upon, **terms)
            assert again.problem == "exists"
        own = LeadKey(escrow="other", key=sale.cheap.key)
        reply = sale.other.ask(seller, operations.ESCROW_KEY_ADD, price_class="loop", upon=own, **terms)
        assert reply.problem == "bad-request"

    def test_a_revoked_lead_is_believed_no_more(self, sale: Sale) -> None:
        """Once the escrow that signed a receipt is on the list, nothing is opened upon it; before, it was."""
        fields, given = self.upon(sale), blinded(sale.there)[1]
        line = Revoked(serial(sale.cheap.certificate), sale.market.wall_ms, "keyCompromise")
        sale.market.revoked.append(line)
        for is_listed in (True, False):
            sale.market.let_pass(1)
            sale.market.write_crl()
            sale.other.read_crl()
            reply = self.ask(sale, given, **fields)
            assert (reply.problem == "certificate-revoked") == is_listed
            assert ("the escrow lead was revoked" in reply.detail) == is_listed
            sale.market.revoked = [each for each in sale.market.revoked if each != line]

    def test_a_receipt_that_is_not_the_one_is_refused(self, sale: Sale) -> None:
        """Forged, of another order, buyer, seller or kind, by no escrow of ours: nothing is opened."""
        fields = self.upon(sale)
        before, given = sale.other.dump(), blinded(sale.there)[1]
        (paid,) = (
            each
            for each in sale.lead.show(sale.paid()).receipts
            if decode(jose.unverified_payload(each), Receipt).kind == "paid"
        )
        receipt = decode(jose.unverified_payload(fields["receipt"]), Receipt)
        strangers = jose.sign(encode(receipt), new_signing_pair(RANDOM), kid="lead", typ=TYP_ESCROW_RECEIPT)
        forged = functools.partial(self.forged, sale, fields)
        wrong = {
            "of a stranger's key": ({"receipt": strangers}, "opening-refused"),
            "no more than paid": ({"receipt": forged(kind="paid")}, "opening-refused"),
            "of another order": ({"receipt": paid}, "opening-refused"),
            "of another buyer": ({"receipt": forged(buyer="TV-2")}, "not-your-order"),
            "of another seller": ({"receipt": forged(seller="Rival")}, "opening-refused"),
            "of a cheaper order": ({"receipt": forged(price_micro=PRICE - 1)}, "opening-refused"),
            "of an order under another key": ({"receipt": forged(key=sale.dear.key)}, "opening-refused"),
            "in other money": ({"receipt": forged(currency="JPY")}, "opening-refused"),
            "of another escrow": ({"receipt": forged(escrow="third")}, "opening-refused"),
            "of another operator": ({"receipt": forged(operator="Else")}, "opening-refused"),
            "under a device's certificate": (
                {"lead": sale.buyer.certificates.signing},
                "opening-refused",
            ),
            "under no certificate": ({"lead": "-----BEGIN"}, "opening-refused"),
            "alone": ({"lead": None}, "unknown-order"),
            "our own": ({"lead": sale.there.certificate}, "opening-refused"),
        }
        for name, (change, problem) in wrong.items():
            reply = self.ask(sale, given, **{**fields, **change})
            assert reply.problem == problem, (name, reply.detail)
        dear = self.ask(sale, blinded(sale.there_dear)[1], sale.there_dear, **fields)
        assert (dear.problem, "costs less" in dear.detail) == ("opening-refused", True)
        assert self.ask(sale, given, sale.cheap, **fields).problem == "unknown-key"
        assert sale.other.dump() == before


def test_what_an_escrow_keeps_of_an_opening_is_blinded(sale: Sale) -> None:
    """No file of an escrow holds a private prime, or a number whose blinding the device took off."""
    order = sale.paid()
    modulus = modulus_of(sale.cheap)
    z, r = (2 + RANDOM.below(modulus - 3) for _ in range(2))
    given = pow(z * r, PUBLIC_EXPONENT, modulus).to_bytes(384, "big")
    answer = sale.lead.open(sale.buyer, order.order, sale.cheap, given).answer
    assert int.from_bytes(answer.opened, "big") * pow(r, -1, modulus) % modulus == z
    prime = next(prime for found, prime in _private_keys(sale) if found == modulus)
    places = {*sale.lead.folder.rglob("*"), *files(sale.lead.folder / "escrow.sqlite")}
    kept = b"".join(each.read_bytes() for each in places if each.is_file())
    assert given in kept
    for secret in (z.to_bytes(384, "big"), r.to_bytes(384, "big"), prime.to_bytes(192, "big")):
        assert secret not in kept


def test_a_key_document_is_the_escrows_word(sale: Sale) -> None:
    """What a seller is given verifies under the escrow's certificate, and names key, price and payee."""
    escrow = read_escrow(sale.cheap.certificate, sale.market.credential.ca_pem)
    document = decode(jose.verify(sale.cheap.document, escrow.signing, typ=TYP_ESCROW_KEY), KeyDocument)
    assert (escrow.id, document.escrow, document.seller) == ("lead", "lead", "ACME")
    assert (document.key, document.price_micro, document.price_class) == (sale.cheap.key, PRICE, "film")


@functools.cache
def _order_id() -> list[OrderRow]:
    return []


def _kept_order(sale: Sale) -> OrderRow:
    """Return one paid order for all tests that only try in vain."""
    kept = _order_id()
    if not kept:
        kept.append(sale.paid())
    return kept[0]


def _private_keys(sale: Sale) -> list[tuple[int, int]]:
    """Return modulus and one prime of each private key at the lead."""
    keys = sale.lead.run(sale.lead.server.unit_of_work.run(store_keys.keys))
    found = []
    for key in keys:
        private: Any = sale.lead.server.keyring.open(key)
        found.append((int.from_bytes(key.modulus, "big"), private._p))
    return found
