"""Shows who becomes known at an escrow: whom the operator certified, under the keys certified."""

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest

from sealcast.keyserver.store_certificates import Revoked
from sealcast.messages import operations_escrow as operations
from sealcast.messages.enrolment import NEWCOMER
from sealcast.messages.jwk import new_signing_pair
from sealcast.server.issuing import Issuer
from sealcast.server.state import load_server_state
from server.escrow.inside import DAYS, Inside, Market, serial
from server.running import RANDOM, make_state


@pytest.fixture(scope="module")
def escrow() -> Iterator[Inside]:
    """Make one escrow for all tests; each has parties of its own."""
    market = Market("lead")
    yield market.escrows["lead"]
    market.close()


def test_devices_and_sellers_join_with_their_certificates(escrow: Inside) -> None:
    """Both are told who they are here; joining again changes nothing, and then they may ask."""
    for name, role in (("TV-1", "device"), ("ACME", "seller")):
        party = escrow.market.party(name, role)  # type: ignore[arg-type] # two of the roles
        assert escrow.ask(party, operations.ORDER_LIST).problem == "not-authenticated"
        joined = escrow.join(party).answer
        assert (joined.id, joined.role, joined.escrow) == (name, role, "lead")
        assert escrow.join(party).status == 200
        assert escrow.must(party, operations.ORDER_LIST).orders == []
    sellers = escrow.must(None, operations.SELLER_LIST).sellers
    assert sellers == []


def test_a_device_that_nobody_identified_does_not_join(escrow: Inside) -> None:
    """Without the operator's word on its person a device is `not-identified`; a seller needs none."""
    device = escrow.market.party("TV-unknown", identified=False)
    assert escrow.join(device).problem == "not-identified"
    assert escrow.join(escrow.market.party("Plain", "seller", identified=False)).status == 200


def test_other_roles_do_not_join(escrow: Inside) -> None:
    """Senders, replicas and operators have nothing to do at an escrow."""
    for role in ("sender", "replica", "operator"):
        party = escrow.market.party(f"a-{role}", role)  # type: ignore[arg-type] # three of the roles
        assert escrow.join(party).problem == "wrong-role"


def test_ids_that_are_not_parties_stay_nobodys(escrow: Inside) -> None:
    """The escrow's own id, an administrator's and those with a meaning cannot be joined under."""
    for name in ("lead", "operator", NEWCOMER, "keyserver"):
        reply = escrow.join(escrow.market.party(name))
        assert reply.problem in {"exists", "bad-request"}, (name, reply.detail)


def test_certificates_of_somebody_else_are_of_no_use(escrow: Inside) -> None:
    """A request signed by another key than that of its certificates, or under another name, is refused."""
    victim, thief = escrow.market.party("TV-victim"), escrow.market.party("TV-thief")
    stolen = replace(thief, certificates=victim.certificates)
    assert escrow.join(stolen).problem == "not-authenticated"
    assert escrow.join(replace(stolen, id=victim.id)).problem == "not-authenticated"
    mixed = msgspec.structs.replace(victim.certificates, kek=thief.certificates.kek)
    assert escrow.join(replace(victim, certificates=mixed)).problem == "not-authenticated"
    assert escrow.ask(victim, operations.ORDER_LIST).problem == "not-authenticated"


def test_another_operators_certificates_count_for_nothing(
    escrow: Inside, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A CA of the same name elsewhere certifies nobody here."""
    folder = tmp_path_factory.mktemp("other") / "server"
    make_state(folder, 8443)
    theirs = Issuer(load_server_state(folder).issuer, escrow.market.keys.operator, RANDOM, days=DAYS)
    party = escrow.market.party("TV-elsewhere")
    issued = theirs.certify(
        id=party.id,
        role="device",
        signing=party.signing.public(),
        kek=party.kek.public(),
        wall_ms=escrow.market.wall_ms,
        is_identified=True,
    )
    reply = escrow.join(replace(party, certificates=issued.certificates))
    assert (reply.problem, "issuing CA" in reply.detail) == ("not-authenticated", True)


def test_expired_and_revoked_certificates_do_not_join(escrow: Inside) -> None:
    """A certificate past its end, or on the list, makes nobody known."""
    market = escrow.market
    gone = market.party("TV-stolen")
    market.revoke(gone)
    market.let_pass(1)
    market.write_crl()
    escrow.read_crl()
    assert escrow.join(gone).problem == "certificate-revoked"
    old = market.party("TV-old")
    market.let_pass((DAYS + 1) * 86_400)
    assert escrow.join(old).problem == "certificate-expired"


def test_an_id_goes_to_other_keys_once_the_first_are_revoked(escrow: Inside) -> None:
    """While a device's certificates are good nobody has its id; after, whom the operator certified anew."""
    market = escrow.market
    first = market.party("TV-again")
    assert escrow.join(first).status == 200
    second = market.party("TV-again")
    assert escrow.join(second).problem == "exists"
    market.revoke(first)
    market.let_pass(1)
    market.write_crl()
    escrow.read_crl()
    assert escrow.ask(first, operations.ORDER_LIST).problem == "certificate-revoked"
    assert escrow.join(second).status == 200
    assert escrow.must(second, operations.ORDER_LIST).orders == []
    assert escrow.ask(first, operations.ORDER_LIST).problem == "not-authenticated"


def test_renewed_certificates_take_the_place_of_the_old(escrow: Inside) -> None:
    """Who joins with newer certificates stands by them, whatever older ones come later."""
    market = escrow.market
    old = market.party("TV-renewed")
    assert escrow.join(old).status == 200
    market.let_pass(86_400)
    new = market.certify(old, identified=True)
    assert escrow.join(new).status == 200
    assert escrow.join(old).status == 200
    market.let_pass(86_400 * (DAYS - 0.5))
    assert escrow.must(new, operations.ORDER_LIST).orders == []


def test_revocations_are_known_after_a_restart(escrow: Inside) -> None:
    """The last list is kept: a restarted escrow knows who was revoked before it reads another."""
    market = escrow.market
    gone = market.party("TV-gone")
    assert escrow.join(gone).status == 200
    market.revoke(gone)
    market.let_pass(1)
    market.write_crl()
    escrow.read_crl()
    market.crl.unlink()
    escrow.restart()
    assert escrow.ask(gone, operations.ORDER_LIST).problem == "certificate-revoked"
    assert escrow.join(gone).problem == "certificate-revoked"
    market.write_crl()


def test_a_list_that_is_not_the_operators_changes_nothing(escrow: Inside) -> None:
    """Forged, cut, of the future or older than ours: each is refused or passed over, and ours stands."""
    market, revoked = escrow.market, escrow.server.watch._revoked
    market.let_pass(1)
    market.write_crl()
    escrow.read_crl()
    before = revoked.this_update_ms, revoked.serials
    innocent = market.party("TV-innocent")
    line = [Revoked(serial(innocent.certificates.signing), market.wall_ms, "unspecified")]
    stranger = market.issuer.crl(line, market.wall_ms + 1_000)
    forged = bytearray(stranger)
    forged[-1] ^= 1
    for data, kind in (
        (bytes(forged), "AuthenticationError"),
        (stranger[:-10], "FormatError"),
        (market.issuer.crl(line, market.wall_ms + 3_600_000), "AuthenticationError"),
    ):
        with pytest.raises(Exception, match=r"list of revoked certificates") as raised:
            revoked.take(data, market.wall_ms)
        assert type(raised.value).__name__ == kind
    assert revoked.take(market.issuer.crl(line, market.wall_ms - 1_000), market.wall_ms) == frozenset()
    assert (revoked.this_update_ms, revoked.serials) == before
    assert escrow.join(innocent).status == 200


def test_a_signature_by_a_fresh_key_is_none(escrow: Inside) -> None:
    """A known party's name under another key gets nothing, before and after it joined."""
    party = escrow.market.party("TV-named")
    assert escrow.join(party).status == 200
    other = replace(party, signing=new_signing_pair(RANDOM))
    assert escrow.ask(other, operations.ORDER_LIST).problem == "not-authenticated"
    assert escrow.join(other).problem == "not-authenticated"
