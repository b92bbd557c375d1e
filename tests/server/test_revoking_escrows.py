"""Shows how an operator revokes an escrow, whose certificate no key server has issued."""

from collections.abc import Iterator

import pytest
from cryptography import x509

from sealcast.messages import operations
from sealcast.messages.enrolment import CRL_PATH
from sealcast.server.state import load_server_state
from sealpack.makers import escrow as foreign
from server.escrow.inside import escrow_template, serial
from server.inprocess import InProcess, call


@pytest.fixture(scope="module")
def server() -> Iterator[InProcess]:
    """Run a key server of the operator of the escrows."""
    running = InProcess()
    yield running
    running.close()


def certificate_of(name: str) -> str:
    """Return an escrow's certificate (PEM)."""
    identity = load_server_state(escrow_template(name)).escrow
    assert identity is not None
    return identity.certificate


def listed(server: InProcess) -> set[str]:
    """Return the serial numbers on the key server's list."""
    _, _, der = server.run(call(server.operator.app, "GET", CRL_PATH, b""))
    return {f"{each.serial_number:x}" for each in x509.load_der_x509_crl(der)}


def test_a_revoked_escrow_is_on_the_list(server: InProcess) -> None:
    """From its certificate alone, at once, also after a new start, and named in the list of certificates."""
    pem, other = certificate_of("lead"), certificate_of("other")
    assert listed(server) == set()
    fields = {"escrow": pem, "reason": "keyCompromise"}
    (row,) = server.run(server.operator.must(operations.CERTIFICATE_REVOKE, **fields)).certificates
    assert (row.id, row.role, row.state, row.reason) == ("lead", "escrow", "revoked", "keyCompromise")
    assert listed(server) == {serial(pem)}
    server.restart()
    assert (serial(pem) in listed(server), serial(other) in listed(server)) == (True, False)
    rows = server.run(server.operator.must(operations.CERTIFICATE_LIST)).certificates
    assert [each.id for each in rows if each.role == "escrow"] == ["lead"]
    again = server.run(server.operator.ask(operations.CERTIFICATE_REVOKE, **fields))
    assert again.problem == "unknown-certificate"


def test_what_is_no_escrow_of_ours_is_not_revoked(server: InProcess) -> None:
    """Another operator's escrow, the CA itself, what is no certificate, two things at once: `bad-request`."""
    before, ca_pem = listed(server), server.operator.credential.ca_pem
    for fields in (
        {"escrow": foreign(0).certificate},
        {"escrow": ca_pem},
        {"escrow": "-----BEGIN"},
        {"escrow": certificate_of("other"), "id": "TV-1"},
        {},
    ):
        assert (
            server.run(server.operator.ask(operations.CERTIFICATE_REVOKE, **fields)).problem == "bad-request"
        )
    assert listed(server) == before
