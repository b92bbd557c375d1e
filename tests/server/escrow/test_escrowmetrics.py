"""Shows what an escrow tells whoever watches it: orders, openings, refusals, who was revoked how long ago."""

from collections.abc import Iterator

import pytest

from server.escrow.inside import EURO, Market
from server.escrow.selling import blinded


@pytest.fixture(scope="module")
def market() -> Iterator[Market]:
    """Make an operator with one escrow."""
    made = Market("lead")
    yield made
    made.close()


def test_metrics_tell_how_it_is(market: Market) -> None:
    """Orders stand by their states, repeats are no openings, a no has its name, and the list its age."""
    lead, seller, buyer = market.escrows["lead"], market.party("ACME", "seller"), market.party("TV-1")
    lead.admit(seller)
    lead.join(buyer)
    lead.pay_in(buyer, 100 * EURO, "bank-1")
    key = lead.add_key(seller, "film", EURO)
    lead.place(buyer, key, paid=False)
    order, given = lead.place(buyer, key), blinded(key)[1]
    lead.place(buyer, key)
    for _ in range(2):
        assert lead.open(buyer, order.order, key, given).status == 200
    assert lead.open(buyer, order.order, key, blinded(key)[1]).problem == "order-used"
    market.let_pass(90)
    lead.run(lead.server.counting.look())
    text = lead.server.public.render_metrics().decode()
    for line in (
        'sealcast_escrow_orders{state="placed"} 1.0',
        'sealcast_escrow_orders{state="paid"} 1.0',
        'sealcast_escrow_orders{state="issued"} 1.0',
        'sealcast_escrow_orders{state="released"} 0.0',
        "sealcast_escrow_opening_seconds_count 1.0",
        "sealcast_escrow_openings_waiting 0.0",
        "sealcast_escrow_revocation_age_seconds 90.0",
        'sealcast_requests_total{operation="order-open",outcome="ok"} 2.0',
        'sealcast_requests_total{operation="order-open",outcome="order-used"} 1.0',
    ):
        assert line in text, line


def test_without_a_list(market: Market) -> None:
    """An escrow that never had a list of revoked certificates says so."""
    lead = market.escrows["lead"]
    (lead.folder / "crl.der").unlink()
    lead.restart()
    assert "sealcast_escrow_revocation_age_seconds -1.0" in lead.server.public.render_metrics().decode()
