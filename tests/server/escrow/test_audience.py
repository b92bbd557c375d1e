"""Shows that what is signed for one escrow counts at no other, and that an escrow proves which one it is."""

from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec.structs import replace

from sealcast.client.escrowplace import read_place
from sealcast.core.errors import AuthenticationError
from sealcast.messages import jose
from sealcast.messages import operations_escrow as operations
from sealcast.messages.encoding import decode, encode
from sealcast.messages.escrow import PLACE_PATH, EscrowPlaceAnswer
from sealcast.messages.operation import Operation
from sealcast.server.state import load_server_state
from server.escrow.inside import EURO, URL, Market, Party
from server.inprocess import call
from server.running import Reply


@pytest.fixture(scope="module")
def market() -> Iterator[Market]:
    """Open a market with two escrows, at which nothing is for sale yet."""
    opened = Market("lead", "other")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def buyer(market: Market) -> Party:
    """Return a device that both escrows know."""
    party = market.party("TV-1")
    assert [each.join(party).status for each in market.escrows.values()] == [200, 200]
    return party


def relayed(market: Market, party: Party | None, operation: Operation, **fields: object) -> Reply:
    """Have a party ask the one escrow, which gives the request to the other with a nonce of that."""
    asked, other = market.escrows["lead"], market.escrows["other"]
    sides = [each.operator if party is None else each.side(party) for each in (asked, other)]
    market.runner.run(sides[1].fetch_nonce())
    token = sides[0].token(operation, nonce=sides[1].nonce, **fields)
    return market.runner.run(sides[1].post(operation, token))


def test_what_one_escrow_was_asked_another_does_not_do(market: Market, buyer: Party) -> None:
    """A relayed confirmation, list, joining or deposit is refused, and the refusal names both escrows."""
    order, money = "A" * 22, {"buyer": buyer.id, "amount_micro": EURO, "currency": "EUR", "reference": "bank"}
    for party, operation, fields in (
        (buyer, operations.ORDER_CONFIRM, {"order": order}),
        (buyer, operations.ORDER_LIST, {}),
        (buyer, operations.ESCROW_JOIN, {"certificates": buyer.certificates}),
        (None, operations.DEPOSIT, money),
    ):
        reply = relayed(market, party, operation, **fields)
        assert (reply.status, reply.problem) == (403, "wrong-escrow")
        assert "signed for the escrow lead; this is the escrow other of" in reply.detail


def test_who_names_no_escrow_is_refused(market: Market, buyer: Party) -> None:
    """A request to the operator alone, or to an escrow of another operator, counts at none."""
    for audience in (market.credential.operator, "elsewhere/other", "other"):
        reply = market.escrows["other"].ask(buyer, operations.ORDER_LIST, aud=audience)
        assert (reply.status, reply.problem) == (403, "wrong-escrow")
        assert "no escrow; this is the escrow other of" in reply.detail


def place_of(market: Market, name: str) -> tuple[bytes, bytes]:
    """Return what an escrow says of its place, and its TLS certificate (DER)."""
    escrow = market.escrows[name]
    status, _, body = market.runner.run(call(escrow.server.app, "GET", PLACE_PATH, b""))
    assert status == 200
    pem = load_server_state(escrow.folder).certificate_path.read_bytes()
    return body, x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def test_an_escrow_proves_which_one_it_is(market: Market) -> None:
    """Its word on its TLS key is believed over that key; another escrow that shows it is found out."""
    ca_pem = market.credential.ca_pem
    (body, tls), (_, others) = place_of(market, "lead"), place_of(market, "other")
    assert read_place(URL, body, tls, ca_pem).id == "lead"
    with pytest.raises(AuthenticationError, match="it is the escrow lead, and has not its TLS key"):
        read_place(URL, body, others, ca_pem)


def test_an_escrow_does_not_sign_for_another(market: Market) -> None:
    """What one signs of another's place is not believed, under either certificate."""
    ca_pem = market.credential.ca_pem
    (body, _), (others, tls) = place_of(market, "lead"), place_of(market, "other")
    said, own = decode(body, EscrowPlaceAnswer), decode(others, EscrowPlaceAnswer)
    with pytest.raises(AuthenticationError):
        read_place(URL, encode(replace(own, certificate=said.certificate)), tls, ca_pem)
    key = load_server_state(market.escrows["other"].folder).signing
    forged = jose.unverified_payload(own.place).replace(b'"other"', b'"lead"')
    token = jose.sign(forged, key, kid="lead", typ="sealcast-escrow-place")
    with pytest.raises(AuthenticationError, match="the escrow other signed where lead is"):
        read_place(URL, encode(replace(own, place=token)), tls, ca_pem)
