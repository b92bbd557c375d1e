"""Shows that a purchase pays once and ends well, wherever it was interrupted, and says what keeps it back."""

import asyncio
from dataclasses import replace

import pytest

from client.shop import PRICE, Shop, Weather
from sealcast.client.purchase import Opening
from sealcast.core.errors import AuthenticationError, RefusedError, UnreachableError
from sealcast.messages.escrow import OrderRow

STEPS_MAX = 40


async def bought(shop: Shop) -> Opening | None:
    """Buy as a program does that has just started; None if the package opens here already."""
    async with shop.purchase() as purchase:
        if purchase.is_owned:
            return None
        order = await purchase.pay(await purchase.find())
        return await purchase.open(order)


async def placed(shop: Shop) -> OrderRow:
    """Return an order that was paid and not opened."""
    async with shop.purchase() as purchase:
        return await purchase.pay(await purchase.find())


@pytest.mark.parametrize(("escrows", "threshold"), [(1, 1), (3, 2), (3, 3)])
def test_a_purchase(escrows: int, threshold: int) -> None:
    """The money is held once, and as many escrows open as are needed, the lead first."""
    shop = Shop(escrows, threshold)
    assert asyncio.run(bought(shop)) == Opening(threshold, threshold, is_complete=True)
    assert len(shop.money.paid) == 1
    assert [bool(house.openings) for house in shop.houses] == [at < threshold for at in range(escrows)]
    assert shop.steps[:2] == [
        f"order {shop.money.paid[0]} is placed",
        f"order {shop.money.paid[0]} is paid; escrow-0 holds the money",
    ]
    assert asyncio.run(bought(shop)) is None


def test_another_package_of_the_same_id_is_another() -> None:
    """Who has bought one does not have another that claims its id; that one takes an order of its own."""
    shop = Shop()
    opened = shop.offer
    assert asyncio.run(bought(shop)) == Opening(1, 1, is_complete=True)
    shop.offer = replace(opened, header="another header")
    assert not shop.purchase().is_owned
    assert asyncio.run(bought(shop)) == Opening(1, 1, is_complete=True)
    assert len(set(shop.money.paid)) == 2
    assert asyncio.run(bought(shop)) is None


@pytest.mark.parametrize("after", [False, True], ids=["asking fails", "the answer is lost"])
def test_interrupted_anywhere_it_goes_on(*, after: bool) -> None:
    """Broken off at any step and typed again, it pays once, for one order, and the package opens."""
    for at in range(STEPS_MAX):
        shop = Shop(3, 2, Weather(at, after=after))
        for _ in range(2):
            try:
                asyncio.run(bought(shop))
                break
            except UnreachableError:
                continue
        assert shop.purchase().is_owned
        assert len(shop.money.paid) == 1
        states = [row.state for row in shop.houses[0].orders.values()]
        assert states.count("issued") == 1
        if shop.weather.calls <= at:
            return
    raise AssertionError("a purchase has fewer steps than that")


def test_two_programs_buy_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that buy the same at once settle on one order and pay it once; the other is left to expire."""
    shop = Shop()
    house, expect = shop.houses[0], shop.houses[0].expect

    async def slow(operation, kind, **fields):  # type: ignore[no-untyped-def]
        await asyncio.sleep(0)
        return await expect(operation, kind, **fields)

    monkeypatch.setattr(house, "expect", slow)

    async def both() -> None:
        await asyncio.gather(bought(shop), bought(shop))

    asyncio.run(both())
    assert len(shop.money.paid) == 1
    assert sorted(row.state for row in house.orders.values()) == ["issued", "placed"]


def test_an_escrow_away_or_lying_is_passed_over() -> None:
    """With a share to spare, one that is away or answers wrongly is named, and the others are enough."""
    for field in ("is_away", "lies"):
        shop = Shop(3, 2)
        setattr(shop.houses[1], field, True)
        opening = asyncio.run(bought(shop))
        assert opening is not None
        assert (opening.is_complete, [each.escrow for each in opening.failures]) == (True, ["escrow-1"])


def test_without_enough_shares_it_says_who_is_missing() -> None:
    """Where too few escrows bring theirs, nothing opens; once they do, the same order is enough."""
    shop = Shop(3, 3)
    shop.houses[2].is_away = True
    opening = asyncio.run(bought(shop))
    assert opening is not None
    assert (opening.have, opening.is_complete, opening.failures[0].escrow) == (2, False, "escrow-2")
    shop.houses[2].is_away = False
    opening = asyncio.run(bought(shop))
    assert (opening is not None and opening.is_complete, len(shop.money.paid)) == (True, 1)


def test_at_a_revoked_escrow_nothing_is_bought() -> None:
    """A revoked lead is not even joined; a revoked other one is passed over, if those left are enough."""

    async def bought_without(shop: Shop, *revoked: str) -> Opening:
        async with shop.purchase() as purchase:
            purchase.revoked = frozenset(revoked)
            return await purchase.open(await purchase.pay(await purchase.find()))

    shop = Shop(3, 2)
    for gone in (["escrow-0"], ["escrow-1", "escrow-2"]):
        with pytest.raises(RefusedError, match=f"revoked the escrow {gone[0]}") as no:
            asyncio.run(bought_without(shop, *gone))
        assert no.value.type == "certificate-revoked"
        assert not shop.houses[0].orders
    opening = asyncio.run(bought_without(shop, "escrow-1"))
    assert (opening.is_complete, [each.escrow for each in opening.failures]) == (True, ["escrow-1"])
    assert not shop.houses[1].joined


def test_the_lead_away_leaves_the_order_paid() -> None:
    """Where the lead opens nothing, no other escrow is asked, and the order can still be taken back."""
    shop = Shop(2, 1)
    order = asyncio.run(placed(shop))
    shop.houses[0].is_away = True
    with pytest.raises(UnreachableError, match="escrow-0 is away"):
        asyncio.run(bought(shop))
    assert shop.houses[0].orders[order.order].state == "paid"
    assert not shop.houses[1].joined


def test_a_forged_share_is_the_sellers_fault() -> None:
    """A share that does not fit is told with the device's word, which brings the money back."""
    shop = Shop(1, 1, forged=(1,))
    opening = asyncio.run(bought(shop))
    assert opening is not None
    assert (opening.is_complete, opening.fault) == (False, f"the fault of {shop.money.paid[0]}")
    assert "does not fit its commitment" in str(opening.failures[0].error)


def test_other_terms_are_not_paid() -> None:
    """An escrow that takes another price than it certified gets nothing."""
    shop = Shop()
    shop.houses[0].price = PRICE + 1
    with pytest.raises(AuthenticationError, match="on other terms"):
        asyncio.run(bought(shop))
    assert shop.money.paid == []


def test_an_empty_balance_leaves_the_order_placed() -> None:
    """What the balance does not cover is not paid; once it does, the same order goes on."""
    shop = Shop()
    shop.money.balance = PRICE - 1
    with pytest.raises(RefusedError) as caught:
        asyncio.run(bought(shop))
    assert caught.value.type == "not-covered"
    shop.money.balance = PRICE
    opening = asyncio.run(bought(shop))
    assert (opening is not None and opening.is_complete, len(shop.houses[0].orders)) == (True, 1)


def test_money_that_takes_a_moment_is_waited_for() -> None:
    """A payment under way is asked for again, a few times; then somebody types the command again."""
    shop = Shop()
    shop.houses[0].slow = 3
    opening = asyncio.run(bought(shop))
    assert (opening is not None and opening.is_complete, len(shop.money.paid)) == (True, 1)
    shop = Shop()
    shop.houses[0].slow = 10
    with pytest.raises(UnreachableError, match="is on its way"):
        asyncio.run(bought(shop))
    assert asyncio.run(bought(shop)) is not None
    assert len(shop.money.paid) == 1


def test_a_licence_is_for_its_order() -> None:
    """With a licence its own order goes on; one that is over is refused before anything is asked."""
    shop = Shop()
    order = asyncio.run(placed(shop))

    async def licensed() -> Opening:
        offer = replace(shop.offer, licence="licence", order=order.order)
        async with shop.purchase(offer) as purchase:
            found = await purchase.find()
            assert found is not None
            return await purchase.open(await purchase.pay(found))

    assert asyncio.run(licensed()).is_complete
    asyncio.run(confirmed(shop, order))
    with pytest.raises(RefusedError, match="which is confirmed"):
        asyncio.run(licensed())


async def confirmed(shop: Shop, order: OrderRow) -> OrderRow:
    """Confirm an order."""
    async with shop.purchase() as purchase:
        return await purchase.confirm(order)


def test_another_escrow_at_the_address() -> None:
    """Whoever answers under another name than the package's escrow is told nothing more."""
    shop = Shop()
    shop.houses[0].answers_as = "escrow-9"
    with pytest.raises(AuthenticationError, match="escrow-9 answers there"):
        asyncio.run(bought(shop))
    assert not shop.houses[0].orders
