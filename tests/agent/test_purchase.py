"""Shows an order's way through the agent: blind, open, unblind, combine; liars and wrong shares are named."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.agents import Agent, Package, asked, buy, new_jti, new_order, pack, running_agent
from sealcast.client.agent import AgentClient
from sealcast.core.errors import AuthenticationError, FormatError, RefusedError
from sealcast.messages import jose
from sealcast.messages.encoding import decode, encode
from sealcast.messages.escrow import TYP_FAULT, Fault, OrderOpenRequest
from sealcast.messages.package import TYP_LICENCE, Licence, header_digest
from sealcast.sealpack.header import sign_header
from sealcast.sealpack.licence import make_licence
from sealpack.makers import RANDOM, WALL_MS, escrow, operator, seller

CONTENT = RANDOM.bytes(100_000)


@pytest.fixture(scope="module")
def party():
    """Return a device."""
    return operator().party("TV-0001", "device")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, party) -> Iterator[Agent]:
    """Run an agent."""
    with running_agent(tmp_path_factory.mktemp("agent"), party) as started:
        yield started


@pytest.fixture
def client(running: Agent) -> Iterator[AgentClient]:
    """Return a connection."""
    with running.client() as connected:
        yield connected


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Return a package of one escrow."""
    return pack(tmp_path_factory.mktemp("package") / "one.sealpack", CONTENT)


def read(client: AgentClient, package: Package, tmp_path: Path) -> bytes:
    """Return all content of a package, through the agent."""
    into = tmp_path / "content"
    with package.path.open("rb") as source, into.open("wb") as sink:
        session = client.open(source.fileno())
        written = client.copy(session.session, 0, session.size, source.fileno(), sink.fileno())
        client.end(session.session)
    assert written.error is None
    return into.read_bytes()


def licence_of(package: Package, party, order: str) -> str:
    """Return a licence for an order, as the seller makes it."""
    return make_licence(
        package.header,
        package.content_key,
        party.certified,
        order=order,
        signing=seller().signing,
        random=RANDOM,
        now_ms=WALL_MS,
    )


def spoiled_licence(token: str, *numbers: int) -> str:
    """Return a licence whose shares of these numbers, or the device's own, the seller commits to wrongly."""
    good, wrong = decode(jose.unverified_payload(token), Licence), numbers or (1,)
    parts = [replace(each, commitment=bytes(32)) if each.number in wrong else each for each in good.parts]
    return jose.sign(encode(replace(good, parts=parts)), seller().signing, kid="studio", typ=TYP_LICENCE)


def test_one_escrow(client: AgentClient, package: Package, party, tmp_path: Path) -> None:
    """The request is signed by the device for that key and order; the content comes out bit for bit."""
    order = new_order()
    blinded = client.blind(package.token, 1, order, jti=new_jti(), nonce="n", receipt="r", lead="l")
    payload = jose.verify(blinded.request, party.signing.public(), typ=jose.TYP_REQUEST)
    request = decode(payload, OrderOpenRequest)
    assert (request.order, request.key) == (order, escrow(0).public.key_id)
    assert (request.nonce, request.receipt, request.lead) == ("n", "r", "l")
    assert request.certificate == party.certificates.signing
    assert (blinded.escrow, request.aud) == ("escrow-0", "example/escrow-0")
    progress = client.unblind(order, 1, escrow(0).open(request.blinded))
    assert (progress.have, progress.threshold, progress.complete) == (1, 1, True)
    assert client.unblind(order, 1, b"again") == progress
    assert read(client, package, tmp_path) == CONTENT
    assert client.fault(order) is None
    with pytest.raises(RefusedError, match="opens on this device already"):
        client.blind(package.token, 1, new_order(), jti=new_jti())


def test_asked_again_the_same(client: AgentClient, tmp_path: Path) -> None:
    """For one order and part c' stays; another order has another, and what is encapsulated never leaves."""
    package, order = pack(tmp_path / "p", b"x"), new_order()
    one, two = (asked(client.blind(package.token, 1, order, jti=new_jti())) for _ in range(2))
    other = asked(client.blind(package.token, 1, new_order(), jti=new_jti()))
    assert one.blinded == two.blinded != other.blinded
    assert one.jti != two.jti
    assert package.header.parts[0].encapsulation not in {one.blinded, other.blinded}


def test_order_is_of_one_package(client: AgentClient, tmp_path: Path) -> None:
    """An order that was begun for one package blinds nothing of another."""
    first, second, order = pack(tmp_path / "a", b"a"), pack(tmp_path / "b", b"b"), new_order()
    client.blind(first.token, 1, order, jti=new_jti())
    with pytest.raises(RefusedError, match="another package") as refused:
        client.blind(second.token, 1, order, jti=new_jti())
    assert refused.value.type == "order-used"


@pytest.mark.parametrize("kind", ["another number", "zero", "too long"])
def test_lying_escrow(client: AgentClient, tmp_path: Path, kind: str) -> None:
    """A wrong m is found out, the escrow named, and the right one still opens afterwards."""
    package, order = pack(tmp_path / "p", b"x"), new_order()
    blinded = asked(client.blind(package.token, 1, order, jti=new_jti())).blinded
    right = escrow(0).open(blinded)
    wrong = {
        "another number": right[:-1] + bytes((right[-1] ^ 1,)),
        "zero": bytes(384),
        "too long": right + b"0",
    }
    with pytest.raises(AuthenticationError, match="escrow escrow-0 answered wrongly for share 1"):
        client.unblind(order, 1, wrong[kind])
    assert client.fault(order) is None
    assert client.unblind(order, 1, right).complete


def test_two_of_three(client: AgentClient, tmp_path: Path) -> None:
    """Below the threshold nothing opens; any two escrows of three open it."""
    for numbers in ((1, 2), (3, 1)):
        package, order = pack(tmp_path / f"p{numbers}", CONTENT, 3, threshold=2), new_order()
        first, second = numbers
        assert not buy(client, package, {first: escrow(first - 1)}, order).complete
        with pytest.raises(RefusedError, match="no key to this package"):
            read(client, package, tmp_path)
        assert buy(client, package, {second: escrow(second - 1)}, order).complete
        assert read(client, package, tmp_path) == CONTENT


def test_wrong_share_is_named(client: AgentClient, party, tmp_path: Path) -> None:
    """A share that does not fit is named and others do instead; where they cannot, the device says so."""
    enough = pack(tmp_path / "enough", CONTENT, 3, threshold=2, spoil_share=2)
    order = new_order()
    with pytest.raises(AuthenticationError, match="share 2, the share of the escrow escrow-1"):
        buy(client, enough, {2: escrow(1)}, order)
    assert client.fault(order) is None
    assert buy(client, enough, {1: escrow(0), 3: escrow(2)}, order).complete
    assert client.fault(order) is None

    lost, order = pack(tmp_path / "lost", CONTENT, 2, threshold=2, spoil_share=2), new_order()
    with pytest.raises(AuthenticationError, match="share 2"):
        buy(client, lost, {1: escrow(0), 2: escrow(1)}, order)
    with pytest.raises(AuthenticationError, match="found wrong before"):
        client.unblind(order, 2, b"")
    word = client.fault(order)
    assert word is not None
    fault = decode(jose.verify(word, party.signing.public(), typ=TYP_FAULT), Fault)
    assert fault == Fault(
        order=order,
        key=lost.header.lead.document.key,
        package=lost.header.header.id,
        what="share",
        number=2,
        device="TV-0001",
    )


@pytest.mark.parametrize(
    ("count", "changed"),
    [(2, {"is_mixed": True}), (3, {"is_mixed": True}), (2, {"is_mixed": True, "key_commitment": None})]
    + [(each, {"key_commitment": bytes(32)}) for each in (1, 2)],
    ids=["two of two", "two of three", "of before commitments to keys", "another key", "another key, shared"],
)
def test_shares_that_give_no_key(client: AgentClient, party, tmp_path: Path, count: int, changed) -> None:
    """Each share fits what the seller signed, together they do not: the device says so, and opens no more."""
    threshold = min(count, 2)
    package, order = pack(tmp_path / "p", CONTENT, count, threshold=threshold, **changed), new_order()
    asked_of = {number: escrow(number - 1) for number in range(count - threshold + 1, count + 1)}
    progress = buy(client, package, asked_of, order)
    assert (progress.have, progress.threshold, progress.complete) == (threshold, threshold, False)
    for _ in range(2):
        word = client.fault(order)
        assert word is not None
        fault = decode(jose.verify(word, party.signing.public(), typ=TYP_FAULT), Fault)
        assert (fault.order, fault.what, fault.number) == (order, "key", threshold)
        assert (fault.key, fault.package) == (package.header.lead.document.key, package.header.header.id)
    for ask in (
        lambda: client.blind(package.token, 1, order, jti=new_jti()),
        lambda: client.unblind(order, count, b""),
    ):
        with pytest.raises(RefusedError, match="the device has attested") as no:
            ask()
        assert no.value.type == "fault-attested"


def test_a_share_of_another_polynomial_is_done_without(client: AgentClient, tmp_path: Path) -> None:
    """Two shares that do not belong together keep nobody from the content that a third one gives."""
    package, order = pack(tmp_path / "p", CONTENT, 3, threshold=2, is_mixed=True), new_order()
    assert not buy(client, package, {1: escrow(0), 3: escrow(2)}, order).complete
    assert buy(client, package, {2: escrow(1)}, order).complete
    assert read(client, package, tmp_path) == CONTENT
    assert client.fault(order) is None


def test_an_order_is_for_one_package(client: AgentClient, tmp_path: Path) -> None:
    """What an order has opened keeps it: no c' and no word on a fault of another package under that order.

    The seller of the other one may be a friend of the buyer, with a wrong share and the first one's id.
    """
    order = new_order()
    first, second = pack(tmp_path / "first", CONTENT), pack(tmp_path / "second", CONTENT)
    assert buy(client, first, {1: escrow(0)}, order).complete
    with pytest.raises(RefusedError, match="has opened another package") as no:
        client.blind(second.token, 1, order, jti=new_jti())
    assert no.value.type == "order-used"
    assert client.fault(order) is None


def test_licence(client: AgentClient, party, tmp_path: Path) -> None:
    """2-of-2, device and escrow: a licence of the order opens, one of another order or device does not."""
    package, order = pack(tmp_path / "p", CONTENT, 1, threshold=2, is_licensed=True), new_order()
    with pytest.raises(FormatError, match="needs a licence"):
        client.blind(package.token, 2, order, jti=new_jti())
    with pytest.raises(FormatError, match="for the order"):
        client.blind(package.token, 2, order, jti=new_jti(), licence=licence_of(package, party, new_order()))
    stranger = operator().party("TV-0002", "device")
    with pytest.raises(FormatError, match="for the device TV-0002"):
        client.blind(package.token, 2, order, jti=new_jti(), licence=licence_of(package, stranger, order))
    assert buy(client, package, {2: escrow(0)}, order, licence_of(package, party, order)).complete
    assert read(client, package, tmp_path) == CONTENT


def test_device_share_is_wrong(client: AgentClient, party, tmp_path: Path) -> None:
    """A licence whose share for the device is wrong is found out before an escrow is asked for anything.

    The order was not opened: the price comes back without the device's word, or another licence opens.
    """
    package, order = pack(tmp_path / "p", CONTENT, 1, threshold=2, is_licensed=True), new_order()
    good = licence_of(package, party, order)
    with pytest.raises(AuthenticationError, match="the device's share") as no:
        client.blind(package.token, 2, order, jti=new_jti(), licence=spoiled_licence(good))
    assert "take the price back" in str(no.value)
    assert client.fault(order) is None
    assert buy(client, package, {2: escrow(0)}, order, good).complete


def test_keys_of_before_make_no_fault(client: AgentClient, party, tmp_path: Path) -> None:
    """Who has opened the content, and is certified anew with other keys, gets no word for the money.

    Under the new keys the licence's share for the device opens no more, which is not the seller's doing.
    """
    package, order = pack(tmp_path / "p", CONTENT, 1, threshold=2, is_licensed=True), new_order()
    licence = licence_of(package, party, order)
    assert buy(client, package, {2: escrow(0)}, order, licence).complete
    with running_agent(tmp_path, operator().party("TV-0001", "device")) as later, later.client() as anew:
        with pytest.raises(AuthenticationError, match="the device's share"):
            anew.blind(package.token, 2, order, jti=new_jti(), licence=licence)
        assert anew.fault(order) is None


def test_a_wrong_share_of_an_escrow_is_attested_beside_the_devices(
    client: AgentClient, party, tmp_path: Path
) -> None:
    """Where an escrow's share is wrong as well and too few are left, the word is on that share."""
    package, order = pack(tmp_path / "p", CONTENT, 2, threshold=2, is_licensed=True), new_order()
    bad = spoiled_licence(licence_of(package, party, order), 1, 3)
    assert not buy(client, package, {2: escrow(0)}, order, bad).complete
    assert client.fault(order) is None
    with pytest.raises(AuthenticationError, match="share 3, the share of the escrow escrow-1"):
        buy(client, package, {3: escrow(1)}, order, bad)
    word = client.fault(order)
    assert word is not None
    fault = decode(jose.unverified_payload(word), Fault)
    assert (fault.what, fault.number) == ("share", 3)


def test_a_word_outlives_another_purchase(party, tmp_path: Path) -> None:
    """What the device attests of one order it still attests after another one opened, and a new start."""
    package, orders = (
        pack(tmp_path / "p", CONTENT, 1, threshold=2, is_licensed=True),
        [new_order(), new_order()],
    )
    first, second = (licence_of(package, party, each) for each in orders)
    with running_agent(tmp_path, party) as started:
        with started.client() as client:
            with pytest.raises(AuthenticationError, match="share 2"):
                buy(client, package, {2: escrow(0)}, orders[0], spoiled_licence(first, 2))
            assert buy(client, package, {2: escrow(0)}, orders[1], second).complete
            assert client.fault(orders[0]) is not None
        started.restart()
        with started.client() as client:
            assert client.fault(orders[0]) is not None


def test_foreign_package(client: AgentClient, tmp_path: Path) -> None:
    """A package under another operator's CA, or with a header that was changed, is blinded for nobody."""
    package = pack(tmp_path / "p", b"x")
    stranger = operator("elsewhere").party("studio", "seller")
    forged = sign_header(replace(package.header.header, certificates=stranger.certificates), stranger.signing)
    for token in (forged, package.token[:-8] + "AAAAAAAA"):
        with pytest.raises(AuthenticationError):
            client.blind(token, 1, new_order(), jti=new_jti())
    with pytest.raises(FormatError):
        client.blind("no.header.this", 1, new_order(), jti=new_jti())


def test_unknown_order_and_share(client: AgentClient, tmp_path: Path) -> None:
    """What was never blinded is not unblinded, and a share that is not there not blinded."""
    package, order = pack(tmp_path / "p", b"x"), new_order()
    with pytest.raises(RefusedError, match="nothing of the order"):
        client.unblind(order, 1, bytes(384))
    with pytest.raises(FormatError, match="no share 9"):
        client.blind(package.token, 9, order, jti=new_jti())


def test_list_and_forget(client: AgentClient, tmp_path: Path) -> None:
    """What opens and what waits is listed; forgotten, a package opens no more and its session has ended."""
    package, order = pack(tmp_path / "p", CONTENT, 2, threshold=2, title="Forgettable"), new_order()
    buy(client, package, {1: escrow(0)}, order)
    rows = [row for row in client.entitlements() if row.order == order]
    assert [(row.title, row.have, row.threshold, row.complete) for row in rows] == [
        ("Forgettable", 1, 2, False)
    ]
    buy(client, package, {2: escrow(1)}, order)
    (row,) = [row for row in client.entitlements() if row.order == order]
    assert (row.complete, row.digest) == (True, header_digest(package.token))
    with package.path.open("rb") as source, (tmp_path / "sink").open("wb") as sink:
        session = client.open(source.fileno())
        client.forget(row.package)
        written = client.copy(session.session, 0, 10, source.fileno(), sink.fileno())
        assert written.count == 0
        assert isinstance(written.error, RefusedError)
        with pytest.raises(RefusedError, match="no key to this package"):
            client.open(source.fileno())
    assert order not in {each.order for each in client.entitlements()}
