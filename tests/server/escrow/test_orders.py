"""Shows what becomes of an order through the API: who may say what, and who has which money at each step."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from sealcast.core.errors import FormatError
from sealcast.device.chains import read_escrow
from sealcast.keys.rsakem import PUBLIC_EXPONENT
from sealcast.messages import jose
from sealcast.messages import operations_escrow as operations
from sealcast.messages.encoding import b64url_encode, decode, encode
from sealcast.messages.escrow import (
    TYP_ESCROW_RECEIPT,
    TYP_FAULT,
    EscrowKeyRow,
    Fault,
    KeyDocument,
    NoticeList,
    OrderList,
    OrderRow,
    Receipt,
)
from sealcast.server.escrow import ordering
from server.escrow.inside import EURO, PACKAGE, Inside, Market, Party
from server.running import RANDOM, Reply

PRICE, DEAR = 10 * EURO, 500 * EURO
HALF_A_CENT = 5_000
NOWHERE = b64url_encode(bytes(16))


@dataclass
class Shop:
    """An escrow, two sellers, two buyers, and what orders are about."""

    market: Market
    lead: Inside
    seller: Party
    rival: Party
    buyer: Party
    friend: Party
    film: EscrowKeyRow
    dear: EscrowKeyRow
    payments: int = 0

    def say(self, party: Party | None, operation: Any, order: OrderRow, **fields: Any) -> Reply:
        """Have somebody say something to an order."""
        return self.lead.ask(party, operation, order=order.order, **fields)

    def must(self, party: Party | None, operation: Any, order: OrderRow, **fields: Any) -> OrderRow:
        """Do as `say` and return the order; the escrow must say yes."""
        (row,) = self.lead.must(party, operation, order=order.order, **fields).orders
        assert isinstance(row, OrderRow)
        return row

    def paid(self) -> OrderRow:
        """Return a new order that is paid, of a buyer who had its price paid in."""
        self.payments += 1
        self.lead.pay_in(self.buyer, PRICE, f"bank-{self.payments}")
        return self.lead.place(self.buyer, self.film)

    def issued(self) -> OrderRow:
        """Return a new order that has opened something."""
        order = self.paid()
        modulus = int.from_bytes(
            decode(jose.unverified_payload(self.film.document), KeyDocument).modulus, "big"
        )
        blinded = pow(2 + RANDOM.below(modulus - 3), PUBLIC_EXPONENT, modulus).to_bytes(384, "big")
        assert self.lead.open(self.buyer, order.order, self.film, blinded).status == 200
        return self.lead.show(order)

    def has(self, party: Party | None, /, **fields: Any) -> dict[str, int]:
        """Return what a party has in euros, by account, but for what is nothing."""
        side = self.lead.operator if party is None else self.lead.side(party)
        rows = self.lead.run(side.must(operations.BALANCE, **fields)).balances
        return {each.account: each.balance_micro // EURO for each in rows if each.balance_micro}

    def operate(self, operation: Any, **fields: Any) -> Reply:
        """Ask as the operator."""
        return self.lead.run(self.lead.operator.ask(operation, **fields))

    def fault(self, of: OrderRow, /, what: str = "share", by: Party | None = None, **fields: Any) -> str:
        """Return a device's word that what it was given does not open."""
        party = by or self.buyer
        said = {"order": of.order, "key": of.key, "package": of.package, "device": party.id, **fields}
        fault = Fault(what=what, number=3, **said)  # type: ignore[arg-type]
        return jose.sign(encode(fault), party.signing, kid=party.id, typ=TYP_FAULT)


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """Make the escrow and the parties once; each test has orders of its own."""
    market = Market("lead")
    lead = market.escrows["lead"]
    seller, rival = market.party("ACME", "seller"), market.party("Rival", "seller")
    buyer, friend = market.party("TV-1"), market.party("TV-2")
    for each in (seller, rival):
        lead.admit(each)
    for each in (buyer, friend):
        assert lead.join(each).status == 200
    film, dear = lead.add_key(seller, "film", PRICE), lead.add_key(seller, "premiere", DEAR)
    yield Shop(market, lead, seller, rival, buyer, friend, film, dear)
    market.close()


def receipts(order: OrderRow) -> list[Receipt]:
    """Return what was attested of an order."""
    return [decode(jose.unverified_payload(each), Receipt) for each in order.receipts]


def problem(reply: Reply) -> tuple[str, int]:
    """Return the name of a no, and its status."""
    return reply.problem, reply.status


def test_a_sale(shop: Shop) -> None:
    """The price goes from the buyer to the escrow and, but for the fee, to the seller; all is attested."""
    before, earned = shop.has(shop.buyer), shop.has(shop.seller).get("seller:ACME", 0)
    own = shop.has(None)
    order = shop.issued()
    assert (order.price_micro, order.fee_micro, order.seller) == (PRICE, PRICE // 10, "ACME")
    assert shop.has(shop.buyer) == before
    assert shop.has(None).get("held", 0) == own.get("held", 0) + 10
    order = shop.must(shop.buyer, operations.ORDER_CONFIRM, order)
    assert (order.state, order.until_ms) == ("released", None)
    assert shop.has(shop.seller) == {"seller:ACME": earned + 9}
    assert shop.has(None).get("held", 0) == own.get("held", 0)
    assert shop.has(None)["escrow:fee"] == own.get("escrow:fee", 0) + 1
    kinds = ["placed", "paid", "issued", "confirmed", "released"]
    assert [each.kind for each in receipts(order)] == kinds
    assert {(each.order, each.buyer, each.price_micro) for each in receipts(order)} == {
        (order.order, "TV-1", PRICE)
    }
    page = shop.lead.must(shop.seller, operations.NOTICE_LIST)
    escrow = read_escrow(page.certificate, shop.market.keys.ca_pem)
    assert (escrow.id, escrow.operator) == ("lead", receipts(order)[0].operator)
    for token in order.receipts:
        jose.verify(token, escrow.signing, typ=TYP_ESCROW_RECEIPT)


def test_each_party_gets_its_notices(shop: Shop) -> None:
    """Buyer, seller and operator list the receipts of their orders, page by page; others get none."""
    order = shop.must(shop.buyer, operations.ORDER_CONFIRM, shop.issued())
    for party in (shop.buyer, shop.seller, None):
        notices: list[str] = []
        after: int | None = 0
        while after is not None:
            page: NoticeList = shop.lead.must(party, operations.NOTICE_LIST, after=after, limit=3)
            notices += [each.receipt for each in page.notices if each.order == order.order]
            after = page.next
        assert notices == order.receipts
    for party in (shop.friend, shop.rival):
        assert shop.lead.must(party, operations.NOTICE_LIST).notices == []


def test_told_again(shop: Shop) -> None:
    """The same request under its jti places one order, and each step told twice is one step."""
    first, second = (
        shop.lead.must(shop.buyer, operations.ORDER_PLACE, key=shop.film.key, package=PACKAGE, jti="again")
        for _ in range(2)
    )
    assert first == second
    shop.lead.pay_in(shop.buyer, PRICE, "once")
    for operation in (operations.ORDER_PAY, operations.ORDER_REFUND):
        steps = [shop.must(shop.buyer, operation, first.orders[0]) for _ in range(2)]
        assert steps[0] == steps[1]
    assert steps[0].state == "refunded"
    reply = shop.say(shop.buyer, operations.ORDER_PAY, first.orders[0])
    assert problem(reply) == ("order-state", 409)


def test_who_opened_nothing_takes_the_price_back(shop: Shop) -> None:
    """A buyer's own word is enough before an opening, and none after it; the seller's always is."""
    order = shop.must(shop.buyer, operations.ORDER_REFUND, shop.paid(), reason="not this one")
    assert (order.state, order.reason) == ("refunded", "not this one")
    order = shop.issued()
    reply = shop.say(shop.buyer, operations.ORDER_REFUND, order)
    assert problem(reply) == ("order-state", 409)
    assert "sealcast order dispute" in reply.detail
    assert shop.lead.show(order) == order
    has = shop.has(shop.buyer)["buyer:TV-1"]
    assert shop.must(shop.seller, operations.ORDER_REFUND, order).state == "refunded"
    assert shop.has(shop.buyer)["buyer:TV-1"] == has + 10
    assert problem(shop.say(shop.buyer, operations.ORDER_CONFIRM, order)) == ("order-state", 409)


def test_not_covered(shop: Shop) -> None:
    """What a buyer cannot pay stays placed, and is said to be so."""
    order = shop.lead.place(shop.buyer, shop.dear, paid=False)
    assert problem(shop.say(shop.buyer, operations.ORDER_PAY, order)) == ("not-covered", 402)
    assert shop.lead.show(order) == order


@pytest.mark.parametrize(("outcome", "state"), [("release", "released"), ("refund", "refunded")])
def test_a_dispute(shop: Shop, outcome: str, state: str) -> None:
    """The operator ends it one way or the other, or the buyer does; nobody else, and only a dispute."""
    order = shop.issued()
    fields = {"outcome": outcome, "reason": "heard both"}
    assert problem(shop.say(None, operations.ORDER_RESOLVE, order, **fields)) == ("order-state", 409)
    order = shop.must(shop.buyer, operations.ORDER_DISPUTE, order, reason="it is another film")
    assert (order.state, order.reason) == ("disputed", "it is another film")
    for party in (shop.buyer, shop.seller):
        assert problem(shop.say(party, operations.ORDER_RESOLVE, order, **fields)) == ("wrong-role", 403)
    assert problem(shop.say(shop.seller, operations.ORDER_CONFIRM, order)) == ("wrong-role", 403)
    order = shop.must(None, operations.ORDER_RESOLVE, order, **fields)
    assert (order.state, order.reason) == (state, "heard both")
    again = shop.must(shop.buyer, operations.ORDER_DISPUTE, shop.issued())
    assert shop.must(shop.buyer, operations.ORDER_CONFIRM, again).state == "released"


def test_a_device_says_that_a_share_is_wrong(shop: Shop) -> None:
    """Its signed word gives the price back at once; of a chunk, which anybody may spoil, it does not."""
    order = shop.issued()
    word = shop.fault(order, "chunk")
    assert problem(shop.say(shop.buyer, operations.ORDER_REFUND, order, fault=word))[0] == "order-state"
    order = shop.must(shop.buyer, operations.ORDER_DISPUTE, order, fault=word)
    assert order.reason == "the device says: chunk 3 is wrong"
    order = shop.must(shop.buyer, operations.ORDER_REFUND, order, fault=shop.fault(order))
    assert (order.state, order.reason) == ("refunded", "share 3 does not fit what the seller signed")
    word = shop.fault(order := shop.issued(), "key")
    order = shop.must(shop.buyer, operations.ORDER_REFUND, order, fault=word)
    assert (order.state, order.reason[:36]) == ("refunded", "3 shares fit what the seller signed,")


def test_a_word_that_is_not_the_devices(shop: Shop) -> None:
    """Signed by another, of another kind, or on another order, package or device, it changes nothing."""
    order = shop.issued()
    wrong = {
        "signed by another": shop.fault(order, by=shop.friend),
        "in another's name": shop.fault(order, device="TV-2"),
        "on another order": shop.fault(order, order=NOWHERE),
        "under another key": shop.fault(order, key=shop.dear.key),
        "on another package": shop.fault(order, package=b64url_encode(bytes(15) + b"\x01")),
        "of another kind": jose.sign(b"{}", shop.buyer.signing, kid="TV-1", typ=jose.TYP_REQUEST),
        "a receipt": order.receipts[0],
        "nothing": "a.b.c",
    }
    for name, word in wrong.items():
        for operation in (operations.ORDER_REFUND, operations.ORDER_DISPUTE):
            reply = shop.say(shop.buyer, operation, order, fault=word)
            assert problem(reply) == ("bad-request", 400), name
    assert shop.lead.show(order) == order


def test_other_peoples_orders(shop: Shop) -> None:
    """Neither another buyer nor another seller sees an order or says anything to it."""
    order = shop.issued()
    for operation in (
        operations.ORDER_SHOW,
        operations.ORDER_PAY,
        operations.ORDER_CONFIRM,
        operations.ORDER_REFUND,
        operations.ORDER_DISPUTE,
    ):
        assert problem(shop.say(shop.friend, operation, order)) == ("not-your-order", 403)
    for operation in (operations.ORDER_SHOW, operations.ORDER_REFUND):
        assert problem(shop.say(shop.rival, operation, order)) == ("not-your-order", 403)
    assert shop.lead.show(order) == order
    nobody = msgspec.structs.replace(order, order=NOWHERE)
    assert problem(shop.say(shop.buyer, operations.ORDER_SHOW, nobody)) == ("unknown-order", 404)
    assert shop.lead.must(shop.rival, operations.ORDER_LIST).orders == []


def test_lists(shop: Shop) -> None:
    """Each party lists its own orders by number, page by page, in one state or of one package."""
    orders = [shop.paid(), shop.lead.place(shop.buyer, shop.film, paid=False)]
    first = orders[0].number - 1
    for party in (shop.buyer, shop.seller, None):
        page = shop.lead.must(party, operations.ORDER_LIST, after=first, limit=1)
        assert (page.orders, page.next) == (orders[:1], orders[0].number)
        page = shop.lead.must(party, operations.ORDER_LIST, after=page.next, limit=1)
        assert (page.orders, page.next) == (orders[1:], None)
        page = shop.lead.must(party, operations.ORDER_LIST, after=first, state="paid")
        assert page.orders == orders[:1]
        assert shop.lead.must(party, operations.ORDER_LIST, package=NOWHERE[:-1] + "Q").orders == []
    assert shop.lead.must(shop.friend, operations.ORDER_LIST).orders == []


def test_keys_that_take_no_orders(shop: Shop) -> None:
    """A key that is not known, or closed, is refused; orders that were placed under it go on."""
    fields = {"package": PACKAGE}
    reply = shop.lead.ask(shop.buyer, operations.ORDER_PLACE, key="another", **fields)
    assert problem(reply) == ("unknown-key", 404)
    key = shop.lead.add_key(shop.seller, "old", PRICE)
    shop.lead.pay_in(shop.buyer, PRICE, "old")
    order = shop.lead.place(shop.buyer, key, paid=False)
    shop.lead.must(shop.seller, operations.ESCROW_KEY_CLOSE, key=key.key)
    reply = shop.lead.ask(shop.buyer, operations.ORDER_PLACE, key=key.key, **fields)
    assert problem(reply) == ("unknown-key", 404)
    assert shop.must(shop.buyer, operations.ORDER_PAY, order).state == "paid"


def test_so_many_and_no_more(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A buyer with too many orders that are not paid places none until one is paid, or has expired."""
    waiting = shop.market.party("TV-3")
    assert shop.lead.join(waiting).status == 200
    monkeypatch.setattr(ordering, "PLACED_MAX", 2)
    orders = [shop.lead.place(waiting, shop.film, paid=False) for _ in range(2)]
    fields = {"key": shop.film.key, "package": PACKAGE}
    assert problem(shop.lead.ask(waiting, operations.ORDER_PLACE, **fields)) == ("busy", 503)
    shop.lead.pay_in(waiting, PRICE, "waiting")
    shop.must(waiting, operations.ORDER_PAY, orders[0])
    assert shop.lead.place(waiting, shop.film, paid=False).state == "placed"


def test_reasons_are_lines(shop: Shop) -> None:
    """A reason with control characters, or one that is too long, is refused before anything happens."""
    order = shop.paid()
    for reason in ("a\x00b", "a\nb", "\x1b[2J", "x" * 501):
        reply = shop.say(shop.buyer, operations.ORDER_REFUND, order, reason=reason)
        assert problem(reply) == ("bad-request", 400)
    assert shop.lead.show(order) == order


def test_money_in_and_out(shop: Shop) -> None:
    """Each payment counts once by its reference; coins are whole; nobody is paid out more than he has."""
    party = shop.market.party("TV-4")
    assert shop.lead.join(party).status == 200
    into = {"buyer": "TV-4", "amount_micro": 5 * EURO, "currency": "EUR", "reference": "in-4"}
    out = {"party": "TV-4", "amount_micro": 3 * EURO, "currency": "EUR", "reference": "out-4"}

    def refused(operation: Any, fields: dict[str, Any], **other: Any) -> str:
        return shop.operate(operation, **{**fields, **other}).problem

    for _ in range(2):
        assert shop.operate(operations.DEPOSIT, **into).status == 200
    assert shop.has(party) == {"buyer:TV-4": 5}
    assert refused(operations.DEPOSIT, into, amount_micro=EURO) == "exists"
    assert refused(operations.DEPOSIT, into, buyer="TV-1") == "exists"
    assert refused(operations.DEPOSIT, into, buyer="nobody") == "unknown-device"
    assert refused(operations.DEPOSIT, into, buyer="ACME") == "unknown-device"
    for amount in (0, HALF_A_CENT):
        assert refused(operations.DEPOSIT, into, amount_micro=amount, reference="in-5") == "bad-request"
    assert refused(operations.DEPOSIT, into, currency="EUX", reference="in-5") == "bad-request"
    assert refused(operations.DEPOSIT, into, reference="not an id") == "bad-request"
    for _ in range(2):
        assert shop.operate(operations.PAYOUT, **out).status == 200
    assert shop.has(None, party="TV-4") == {"buyer:TV-4": 2}
    assert refused(operations.PAYOUT, out, reference="out-5") == "not-covered"
    assert refused(operations.PAYOUT, out, amount_micro=EURO) == "exists"
    assert (
        refused(operations.PAYOUT, out, amount_micro=2 * EURO, currency="CHF", reference="x") == "not-covered"
    )
    assert refused(operations.PAYOUT, out, party="a b", reference="out-6") == "bad-request"
    for operation, fields in ((operations.DEPOSIT, into), (operations.PAYOUT, out)):
        for each in (shop.buyer, shop.seller):
            assert problem(shop.lead.run(shop.lead.side(each).ask(operation, **fields))) == (
                "wrong-role",
                403,
            )
    reply = shop.lead.run(shop.lead.side(shop.buyer).ask(operations.BALANCE, party="TV-4"))
    assert problem(reply) == ("wrong-role", 403)
    assert shop.has(party, party="TV-4") == {"buyer:TV-4": 2}


def test_sellers_are_paid_out(shop: Shop) -> None:
    """A seller is paid out what its orders brought, and no more."""
    shop.must(shop.buyer, operations.ORDER_CONFIRM, shop.issued())
    has = shop.has(shop.seller)["seller:ACME"]
    fields = {"party": "ACME", "currency": "EUR"}
    reply = shop.operate(operations.PAYOUT, amount_micro=(has + 1) * EURO, reference="seller-1", **fields)
    assert problem(reply) == ("not-covered", 402)
    reply = shop.operate(operations.PAYOUT, amount_micro=has * EURO, reference="seller-1", **fields)
    assert reply.status == 200
    assert shop.has(shop.seller) == {}


@pytest.mark.parametrize("id_", ["../../../../home/ada/.ssh/x", "A" * 22 + "\n", "A" * 21 + "\x1b", ""])
def test_an_escrow_names_no_files(shop: Shop, id_: str) -> None:
    """An order's id, by which programs call files, is read as one or not at all, whoever says it."""
    order = msgspec.structs.replace(shop.paid(), order=id_)
    with pytest.raises(FormatError):
        decode(encode(OrderList(orders=[order])), OrderList)


def test_silence(shop: Shop) -> None:
    """States that nobody speaks in end by themselves, each its own way, also across a restart."""
    placed, paid = shop.lead.place(shop.buyer, shop.film, paid=False), shop.paid()
    issued, disputed = shop.issued(), shop.issued()
    shop.must(shop.buyer, operations.ORDER_DISPUTE, disputed)
    orders = (placed, paid, issued, disputed)

    def states_after(days: int) -> list[str]:
        shop.market.let_pass(days * 86_400)
        shop.lead.run(shop.lead.server.sweeper.sweep())
        return [shop.lead.show(each).state for each in orders]

    assert states_after(0) == ["placed", "paid", "issued", "disputed"]
    assert states_after(1) == ["expired", "paid", "issued", "disputed"]
    shop.lead.restart()
    assert states_after(6) == ["expired", "refunded", "released", "disputed"]
    assert states_after(23) == ["expired", "refunded", "released", "released"]
    assert shop.has(None).get("held", 0) == 0
