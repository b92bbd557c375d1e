"""Shows how keys come to be: one for each seller and price class, its terms for ever."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from sealcast.core.errors import LocalError
from sealcast.core.secret import Secret
from sealcast.escrow import store_keys
from sealcast.messages import jose
from sealcast.messages import operations_escrow as operations
from sealcast.messages.encoding import decode
from sealcast.messages.escrow import EscrowKeyRow, KeyDocument
from sealcast.server.escrow.keyring import LABEL
from sealcast.storage.wrapping import unwrap
from server.escrow.inside import EURO, Inside, Market, Party

FILM = {"price_class": "film", "price_micro": 5 * EURO, "currency": "EUR"}


@dataclass
class Shop:
    """An escrow with a seller that has one key, and one that has none."""

    escrow: Inside
    seller: Party
    rival: Party
    film: EscrowKeyRow


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """Make it once: keys take a second each."""
    market = Market("lead")
    escrow = market.escrows["lead"]
    seller, rival = market.party("ACME", "seller"), market.party("Rival", "seller")
    escrow.admit(seller)
    escrow.admit(rival, 0)
    (film,) = escrow.must(seller, operations.ESCROW_KEY_ADD, **FILM).keys
    yield Shop(escrow, seller, rival, film)
    market.close()


def test_a_key_is_as_the_escrow_certifies_it(shop: Shop) -> None:
    """Row and document say the same; the key has 3,072 bits, and the name of RFC 7638."""
    document = decode(jose.unverified_payload(shop.film.document), KeyDocument)
    assert (shop.film.bits, len(document.modulus), document.modulus[0] >> 7) == (3_072, 384, 1)
    assert (document.key, document.price_micro, document.seller) == (shop.film.key, 5 * EURO, "ACME")
    assert document.servers == ["https://127.0.0.1:8446"]


def test_asked_again_it_is_the_same_key(shop: Shop) -> None:
    """The same terms get the same key, another price of that class is refused: a price never changes."""
    again = shop.escrow.must(shop.seller, operations.ESCROW_KEY_ADD, **FILM).keys
    assert again == [shop.film]
    dearer = shop.escrow.ask(shop.seller, operations.ESCROW_KEY_ADD, **{**FILM, "price_micro": 6 * EURO})
    assert (dearer.problem, "never changes" in dearer.detail) == ("exists", True)
    foreign = shop.escrow.ask(shop.seller, operations.ESCROW_KEY_ADD, **{**FILM, "currency": "JPY"})
    assert foreign.problem == "exists"


def test_asked_at_the_same_time_it_is_one_key(shop: Shop) -> None:
    """Five requests for one class while it is made get one key, and one is on record."""

    async def ask() -> Any:
        side = shop.escrow.side(shop.seller)
        return await side.ask(operations.ESCROW_KEY_ADD, **{**FILM, "price_class": "song"})

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(ask() for _ in range(5)))

    replies = shop.escrow.run(all_at_once())
    assert len({reply.answer.keys[0].key for reply in replies}) == 1
    listed = shop.escrow.must(shop.seller, operations.ESCROW_KEY_LIST).keys
    assert [row.price_class for row in listed].count("song") == 1


def test_only_admitted_sellers_have_keys(shop: Shop) -> None:
    """Who was not admitted is told so; a device has no keys at all."""
    stranger, device = shop.escrow.market.party("Else", "seller"), shop.escrow.market.party("TV-1")
    for party, problem in ((stranger, "not-admitted"), (device, "wrong-role")):
        assert shop.escrow.join(party).status == 200
        assert shop.escrow.ask(party, operations.ESCROW_KEY_ADD, **FILM).problem == problem
    reply = shop.escrow.ask(None, operations.SELLER_ADMIT, seller="TV-1")
    assert reply.problem == "wrong-role"
    assert shop.escrow.ask(stranger, operations.SELLER_ADMIT, seller="Else").problem == "wrong-role"


@pytest.mark.parametrize(
    "wrong",
    [
        {"currency": "XTS"},
        {"currency": "eur"},
        {"bits": 2_048},
        {"bits": 3_073},
        {"bits": 3_100},
        {"bits": 16_384},
        {"price_micro": -1},
        {"price_micro": 10**16},
        {"price_class": ""},
    ],
    ids=str,
)
def test_terms_that_are_none_are_refused(shop: Shop, wrong: dict[str, Any]) -> None:
    """No such currency, length or price: `bad-request`, and no key is made for it."""
    before = shop.escrow.dump()
    fields = {**FILM, "price_class": "odd", **wrong}
    assert shop.escrow.ask(shop.seller, operations.ESCROW_KEY_ADD, **fields).problem == "bad-request"
    assert shop.escrow.dump() == before


def test_a_seller_sees_and_closes_its_own_keys_alone(shop: Shop) -> None:
    """Another's key is `unknown-key`; under a closed one no order is placed, and it is listed as closed."""
    listing = shop.escrow.must(shop.rival, operations.ESCROW_KEY_LIST).keys
    assert listing == []
    reply = shop.escrow.ask(shop.rival, operations.ESCROW_KEY_CLOSE, key=shop.film.key)
    assert reply.problem == "unknown-key"
    (gift,) = shop.escrow.must(
        shop.rival, operations.ESCROW_KEY_ADD, price_class="gift", price_micro=0, currency="EUR"
    ).keys
    (closed,) = shop.escrow.must(shop.rival, operations.ESCROW_KEY_CLOSE, key=gift.key).keys
    assert (gift.is_open, closed.is_open) == (True, False)
    buyer = shop.escrow.market.party("TV-2")
    assert shop.escrow.join(buyer).status == 200
    fields = {"key": gift.key, "package": "A" * 22}
    assert shop.escrow.ask(buyer, operations.ORDER_PLACE, **fields).problem == "unknown-key"
    every = shop.escrow.must(None, operations.ESCROW_KEY_LIST).keys
    assert {row.seller for row in every} == {"ACME", "Rival"}


def test_a_fee_may_change_for_orders_to_come(shop: Shop) -> None:
    """Admitted again, a seller has the new fee, and keeps its keys."""
    shop.escrow.must(None, operations.SELLER_ADMIT, seller="ACME", fee_per_mille=250)
    (row,) = (
        each for each in shop.escrow.must(None, operations.SELLER_LIST).sellers if each.seller == "ACME"
    )
    assert (row.fee_per_mille, row.keys >= 1) == (250, True)


def test_a_private_key_opens_with_this_escrows_master_key_alone(shop: Shop) -> None:
    """What the database holds of a private key is wrapped: it opens with master.key, under its own name."""
    keys = shop.escrow.run(shop.escrow.server.unit_of_work.run(store_keys.keys))
    first, second = keys[:2]
    assert first.wrapped is not None
    master = shop.escrow.server.keyring._master
    assert len(unwrap(master, LABEL, first.id.encode(), first.wrapped)) == 5 * 192
    for name, key in ((second.id, master), (first.id, Secret(bytes(32)))):
        with pytest.raises(LocalError):
            unwrap(key, LABEL, name.encode(), first.wrapped)
