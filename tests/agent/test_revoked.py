"""Shows that a device asks a revoked escrow for nothing, and that nobody takes a revocation back."""

from collections.abc import Iterator

import pytest

from agent.agents import Agent, Package, new_jti, new_order, pack, running_agent
from sealcast.core.errors import AuthenticationError, FormatError, RefusedError
from sealcast.device.chains import read_escrow
from sealcast.keyserver.store_certificates import Revoked
from sealpack.makers import WALL_MS, Operator, escrow, operator

SECOND_MS = 1_000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """Run an agent."""
    party = operator().party("TV-0012", "device")
    with running_agent(tmp_path_factory.mktemp("agent"), party) as started:
        yield started


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Return a package that two of two escrows open."""
    return pack(tmp_path_factory.mktemp("package") / "two.sealpack", b"content", 2, threshold=2)


def list_of(*numbers: int, at_ms: int = WALL_MS, by: Operator | None = None) -> bytes:
    """Return a list with the escrows of these numbers."""
    serials = [read_escrow(escrow(each).certificate, operator().ca_pem).serial for each in numbers]
    lines = [Revoked(each, WALL_MS, "keyCompromise") for each in serials]
    return (by or operator()).issuer.crl(lines, at_ms)


def is_asked(running: Agent, package: Package, number: int) -> bool:
    """Whether the device asks an escrow for a share; raises what else it refuses."""
    with running.client() as client:
        try:
            client.blind(package.token, number, new_order(), jti=new_jti())
        except RefusedError as no:
            if no.type != "certificate-revoked" or f"revoked the escrow escrow-{number - 1}" not in no.detail:
                raise
            return False
    return True


def test_a_revoked_escrow_is_asked_for_nothing(running: Agent, package: Package) -> None:
    """The escrow on the list is refused by name, the other one is asked; also after a new start."""
    assert is_asked(running, package, 1)
    with running.client() as client:
        client.tell_revoked(list_of(0))
    assert (is_asked(running, package, 1), is_asked(running, package, 2)) == (False, True)
    running.restart()
    assert (is_asked(running, package, 1), is_asked(running, package, 2)) == (False, True)


def test_a_list_that_does_not_count_changes_nothing(running: Agent, package: Package) -> None:
    """Older, by another operator's CA, or none: the one that is kept stands."""
    with running.client() as client:
        client.tell_revoked(list_of(0, at_ms=WALL_MS + SECOND_MS))
        client.tell_revoked(list_of(at_ms=WALL_MS))
        with pytest.raises(AuthenticationError, match="not by this operator"):
            client.tell_revoked(list_of(at_ms=WALL_MS + 2 * SECOND_MS, by=operator("elsewhere")))
        with pytest.raises(FormatError, match="not a list"):
            client.tell_revoked(b"list")
    assert not is_asked(running, package, 1)
