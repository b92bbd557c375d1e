"""Shows what an escrow thinks of when orders are placed: ids that can be typed, prices that went back."""

from collections.abc import Iterator

import pytest

from sealcast.core.errors import UsageError
from sealcast.escrow.rules import DAY_MS, Refunds
from sealcast.messages import operations_escrow as operations
from sealcast.messages.escrow import EscrowKeyRow
from sealcast.server.escrow.ordering import ORDER_ID_BYTES, new_order_id
from sealcast.testing import SimRandom
from server.escrow.inside import EURO, PACKAGE, Inside, Market, Party


class Scripted(SimRandom):
    """Gives what would begin with a hyphen first, and then what would not."""

    def __init__(self) -> None:
        super().__init__(1)
        self._first = [b"\xf8", b"\xfb", b"\xf7"]

    def bytes(self, count: int) -> bytes:
        """Return bytes that begin as the script says."""
        return self._first.pop(0) + super().bytes(count - 1)


def test_an_orders_id_is_no_option_of_a_command() -> None:
    """An id that would begin with a hyphen is not given out: `order refund ORDER` could not be typed."""
    made = new_order_id(Scripted())
    assert (made[0], len(made)) == ("9", 22)
    assert ORDER_ID_BYTES == 16


LIMIT, DAYS, PRICE = 2, 3, 5 * EURO


@pytest.fixture(scope="module")
def market() -> Iterator[Market]:
    """Open a market whose escrow bears two refunds within three days."""
    opened = Market("lead", refunds=Refunds(LIMIT, DAYS * DAY_MS))
    yield opened
    opened.close()


def keys(escrow: Inside) -> tuple[EscrowKeyRow, EscrowKeyRow]:
    """Return the keys of a seller's two price classes."""
    seller = escrow.market.party("ACME", "seller")
    escrow.admit(seller)
    return escrow.add_key(seller, "film", PRICE), escrow.add_key(seller, "series", PRICE)


def take_back(escrow: Inside, buyer: Party, key: EscrowKeyRow) -> None:
    """Have a buyer pay and take the price back."""
    escrow.must(buyer, operations.ORDER_REFUND, order=escrow.place(buyer, key).order)


def test_a_price_goes_back_so_often(market: Market) -> None:
    """The third time in three days is refused by name, of that buyer and class alone, and until then."""
    escrow = market.escrows["lead"]
    film, series = keys(escrow)
    buyer, other = market.party("TV-1"), market.party("TV-2")
    for each in (buyer, other):
        assert escrow.join(each).status == 200
        escrow.pay_in(each, 10 * PRICE, f"bank-{each.id}")
    take_back(escrow, buyer, film)
    early = [escrow.place(buyer, film, paid=False) for _ in range(2)]
    escrow.must(buyer, operations.ORDER_PAY, order=early[0].order)
    paid = escrow.ask(buyer, operations.ORDER_PAY, order=early[1].order)
    placed = escrow.ask(buyer, operations.ORDER_PLACE, key=film.key, package=PACKAGE)
    for reply in (paid, placed):
        assert (reply.status, reply.problem) == (403, "too-many-refunds")
        assert "2 orders of TV-1 for film were paid and went back" in reply.detail
        assert "within 3 days: this escrow takes 2" in reply.detail
    assert escrow.ask(buyer, operations.ORDER_PAY, order=early[0].order).status == 200
    escrow.must(buyer, operations.ORDER_REFUND, order=early[0].order)
    assert escrow.ask(buyer, operations.ORDER_PAY, order=early[1].order).problem == "too-many-refunds"
    take_back(escrow, buyer, series)
    take_back(escrow, other, film)
    market.let_pass(DAYS * 86_400)
    again = market.certify(buyer, identified=True)
    assert escrow.join(again).status == 200
    take_back(escrow, again, film)


def test_a_limit_is_one() -> None:
    """No refund at all, or within no time, is no limit that an escrow could keep to."""
    for wrong in ({"most": 0}, {"within_ms": 0}):
        with pytest.raises(UsageError, match="limit of refunds"):
            Refunds(**wrong)
