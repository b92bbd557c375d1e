"""Shows that orders change by compare-and-set with their receipts, and that what was agreed stays."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

import sealcast.storage.audit  # noqa: F401 - brings its table into the collection
from escrow.shop import BUYER, FEE, HOUSE, KEY, NOW_MS, OTHER, PRICES, SELLER, TREASURY, a_key, place, receipt
from sealcast.core.errors import RefusedError
from sealcast.escrow import store_keys, store_openings, store_orders, store_receipts, store_sellers
from sealcast.escrow.orders import Event, OrderState
from sealcast.escrow.rules import DAY_MS, Actor
from sealcast.escrow.store_openings import Opening
from sealcast.escrow.store_orders import Wanted
from sealcast.escrow.store_receipts import Whose

pytestmark = pytest.mark.usefixtures("both_databases")

OPENING = Opening("escrow-1", "1".ljust(22, "-"), KEY, BUYER, b"\x05" * 384, b"\x06" * 384, NOW_MS)


def test_an_order_is_placed_and_found(connection: sa.Connection) -> None:
    """What is found is what was placed; nothing is found under another id."""
    order = place(connection)
    assert store_orders.find(connection, order.id) == store_orders.get(connection, order.id) == order
    assert (order.number, order.state, order.version) == (1, OrderState.PLACED, 1)
    assert order.until_ms == NOW_MS + DAY_MS
    assert store_orders.find(connection, "?") is None
    with pytest.raises(RefusedError) as no:
        store_orders.get(connection, "?")
    assert (no.value.type, no.value.status) == ("unknown-order", 404)


def test_a_change_counts_for_the_version_that_was_read(connection: sa.Connection) -> None:
    """Of two that read the same order one changes it; the other is refused, and writes nothing."""
    order = place(connection)
    changed = store_orders.change(connection, order, Event.PAY, NOW_MS + 1, HOUSE, reason="because")
    assert changed == store_orders.find(connection, order.id)
    assert (changed.state, changed.version, changed.reason) == (OrderState.PAYING, 2, "because")
    assert (changed.changed_at_ms, changed.until_ms) == (NOW_MS + 1, None)
    for event in (Event.PAY, Event.EXPIRE):
        with pytest.raises(RefusedError, match="changed at the same moment") as no:
            store_orders.change(connection, order, event, NOW_MS + 2, HOUSE)
        assert no.value.type == "order-state"
    assert store_orders.find(connection, order.id) == changed
    assert len(store_receipts.of_order(connection, HOUSE.id, order.id)) == 1


def test_each_step_has_its_receipt(connection: sa.Connection) -> None:
    """Receipts are signed, say what the order was at each step, and are listed for each party alone."""
    order = place(connection)
    place(connection, "2", buyer="TV-2")
    for event in (Event.PAY, Event.OPEN, Event.DISPUTE, Event.CONFIRM):
        order = TREASURY.act(connection, order, event, Actor.BUYER, NOW_MS + 5, reason=f"by {event}")
    said = [receipt(each) for each in store_receipts.of_order(connection, HOUSE.id, order.id)]
    kinds = ["placed", "paid", "issued", "disputed", "confirmed", "released"]
    assert [each.kind for each in said] == kinds
    assert [each.at_ms for each in said] == [NOW_MS] + [NOW_MS + 5] * 5
    assert [each.reason for each in said] == ["", "by pay", "by open", "by dispute", *["by confirm"] * 2]
    terms = order.terms
    for each in said:
        assert (each.escrow, each.operator, each.order) == (HOUSE.id, HOUSE.operator, order.id)
        assert (each.key, each.package, each.currency) == (terms.key, terms.package, "EUR")
        assert (each.buyer, each.seller) == (BUYER, SELLER)
        assert (each.price_micro, each.fee_micro) == (terms.price_micro, terms.fee_micro)
    everything = store_receipts.page(connection, Whose(), 0, 99)
    assert [each.number for each in everything] == list(range(1, 8))
    assert store_receipts.page(connection, Whose(seller=SELLER), 0, 99) == everything
    assert [each.kind for each in store_receipts.page(connection, Whose(buyer=BUYER), 0, 99)] == kinds
    assert [each.order for each in store_receipts.page(connection, Whose(buyer="TV-2"), 0, 99)] == [
        "2".ljust(22, "-")
    ]
    assert store_receipts.page(connection, Whose(seller="nobody"), 0, 99) == []
    page = store_receipts.page(connection, Whose(), 2, 2)
    assert [each.number for each in page] == [3, 4]
    paid = store_receipts.find(connection, HOUSE.id, order.id, "paid", terms.key)
    assert paid is not None
    assert receipt(paid) == said[1]
    assert store_receipts.find(connection, "escrow-2", order.id, "paid", terms.key) is None


def test_pages_of_orders(connection: sa.Connection) -> None:
    """Orders come by number, for whoever they are of, in one state, of one package, behind another."""
    orders = [place(connection, f"{n}", buyer=f"TV-{n % 2}", key=(KEY, OTHER)[n // 4]) for n in range(6)]
    store_orders.change(connection, orders[3], Event.EXPIRE, NOW_MS, HOUSE)

    def numbers(wanted: Wanted, count: int = 99) -> list[int]:
        return [each.number for each in store_orders.page(connection, wanted, count)]

    assert numbers(Wanted()) == [1, 2, 3, 4, 5, 6]
    assert numbers(Wanted(after=2), 2) == [3, 4]
    assert numbers(Wanted(Whose(buyer="TV-1"))) == [2, 4, 6]
    assert numbers(Wanted(Whose(buyer="TV-1"), state="placed")) == [2, 6]
    assert numbers(Wanted(Whose(seller=SELLER), state="expired")) == [4]
    assert numbers(Wanted(Whose(seller="nobody"))) == []
    assert numbers(Wanted(package="another")) == []
    assert store_orders.count_placed(connection, "TV-1") == 2
    assert store_orders.counts_by_key(connection) == {KEY: 4, OTHER: 2}


def test_what_the_sweep_finds(connection: sa.Connection) -> None:
    """States whose time is over, the oldest first, and claims; not what waits, nor what has ended."""
    waiting, first, second, claimed, ended = (place(connection, f"{n}", buyer=f"TV-{n}") for n in range(5))
    store_orders.change(connection, ended, Event.EXPIRE, NOW_MS, HOUSE)
    claimed = store_orders.change(connection, claimed, Event.PAY, NOW_MS, HOUSE)
    assert store_orders.silent(connection, NOW_MS + DAY_MS - 1, 9) == []
    found = store_orders.silent(connection, NOW_MS + DAY_MS, 9)
    assert sorted(found) == sorted([waiting.id, first.id, second.id])
    assert len(store_orders.silent(connection, NOW_MS + DAY_MS, 2)) == 2
    assert store_orders.claimed(connection, 0, 9) == [claimed]
    assert store_orders.claimed(connection, claimed.number, 9) == []


def test_sellers_and_keys(connection: sa.Connection) -> None:
    """A seller's fee changes for orders to come; its keys never, but for being closed."""
    store_sellers.admit(connection, "Bell", 0, NOW_MS + 1)
    store_sellers.admit(connection, SELLER, 50, NOW_MS + 1)
    found = store_sellers.find(connection, SELLER)
    assert found is not None
    assert (found.fee_per_mille, found.admitted_at_ms, found.keys) == (50, NOW_MS, len(PRICES))
    assert [each.id for each in store_sellers.sellers(connection)] == [SELLER, "Bell"]
    assert store_sellers.find(connection, "nobody") is None
    key = store_keys.find(connection, KEY)
    assert key == a_key(KEY, PRICES[KEY])
    assert key == store_keys.of_class(connection, SELLER, KEY)
    assert store_keys.of_class(connection, "Bell", KEY) is None
    assert [each.id for each in store_keys.keys(connection)] == sorted(PRICES)
    assert store_keys.keys(connection, "Bell") == []
    assert store_keys.close(connection, KEY, NOW_MS + 3)
    assert not store_keys.close(connection, KEY, NOW_MS + 4)
    closed = store_keys.find(connection, KEY)
    assert closed is not None
    assert (closed.is_open, closed.closed_at_ms) == (False, NOW_MS + 3)
    assert "02020202" not in repr(closed)


def test_an_order_opens_once(connection: sa.Connection) -> None:
    """What was opened is found for that order and lead alone, and nothing takes its place, under any key."""
    store_openings.add(connection, OPENING)
    assert store_openings.find(connection, OPENING.lead, OPENING.order) == OPENING
    for lead, order in (("x", OPENING.order), (OPENING.lead, "x")):
        assert store_openings.find(connection, lead, order) is None
    for again in (OPENING, replace(OPENING, key=OTHER)):
        with pytest.raises(sa.exc.IntegrityError), connection.begin_nested():
            store_openings.add(connection, again)


KEPT = (
    ("UPDATE escrow_orders SET price_micro = 1, version = version + 1", "agreed upon"),
    ("UPDATE escrow_orders SET buyer = 'x', version = version + 1", "agreed upon"),
    ("UPDATE escrow_orders SET state = 'released'", "one version at a time"),
    ("UPDATE escrow_orders SET state = 'released', version = version + 2", "one version at a time"),
    ("DELETE FROM escrow_orders", "agreed upon"),
    ("UPDATE escrow_keys SET price_micro = 1", "agreed upon"),
    ("UPDATE escrow_keys SET modulus = document", "agreed upon|datatype|type"),
    ("DELETE FROM escrow_keys", "agreed upon"),
    ("UPDATE escrow_receipts SET kind = 'paid'", "append-only"),
    ("DELETE FROM escrow_receipts", "append-only"),
    ("INSERT INTO escrow_receipts SELECT * FROM escrow_receipts", "append-only"),
    ("UPDATE escrow_openings SET opened = blinded", "append-only"),
    ("DELETE FROM escrow_openings", "append-only"),
    ("INSERT INTO escrow_openings SELECT * FROM escrow_openings", "append-only"),
)


@pytest.mark.parametrize(("statement", "why"), KEPT)
def test_what_was_agreed_stays(engine: sa.Engine, statement: str, why: str) -> None:
    """The database itself refuses to change terms, keys, receipts and openings, and steps out of turn."""
    with engine.begin() as connection:
        place(connection)
        store_openings.add(connection, OPENING)
    with pytest.raises(sa.exc.DBAPIError, match=why), engine.begin() as connection:
        connection.exec_driver_sql(statement)


def test_an_end_is_an_end(engine: sa.Engine) -> None:
    """The database refuses any change of an order that has ended, whoever asks for it."""
    with engine.begin() as connection:
        store_orders.change(connection, place(connection), Event.EXPIRE, NOW_MS, HOUSE)
    statement = "UPDATE escrow_orders SET state = 'placed', version = version + 1"
    with pytest.raises(sa.exc.IntegrityError, match="not after its end"), engine.begin() as connection:
        connection.exec_driver_sql(statement)


def test_fees_are_those_of_the_day(connection: sa.Connection) -> None:
    """A fee that changes is none of an order that was placed before."""
    order = place(connection)
    store_sellers.admit(connection, SELLER, 2 * FEE, NOW_MS)
    found = store_orders.get(connection, order.id)
    assert found.terms.fee_micro == PRICES[KEY] * FEE // 1_000
