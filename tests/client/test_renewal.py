"""Certificates renewed by the party itself, against a real key server whose clock the test sets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from sealcast.client import KeyServerClient
from sealcast.client.enrolment import enrol, fingerprint_of, meet_operator, new_credential
from sealcast.core.errors import AuthenticationError, RefusedError, UsageError
from sealcast.core.ports import NS_PER_S
from sealcast.device.certified import check_certificates, life_s
from sealcast.device.newkeys import KeyKind
from sealcast.device.vault import Credential, load_vault, open_vault, save_vault
from sealcast.messages import operations
from sealcast.messages.channels import ChannelData
from sealcast.messages.enrolment import Invitation, new_token, token_hash
from sealcast.server.run import serve_keyserver
from sealcast.server.settings import KeyserverSettings
from sealcast.transport.system import SystemClock, SystemRandom
from server.running import free_port, make_state

RANDOM = SystemRandom()
DAY_S = 86_400


class SetClock(SystemClock):
    """A clock whose wall time the test moves."""

    ahead_s = 0

    def wall_ns(self) -> int:
        """Nanoseconds since 1970, moved."""
        return super().wall_ns() + self.ahead_s * NS_PER_S


@contextlib.asynccontextmanager
async def key_server(folder: Path) -> AsyncIterator[tuple[Credential, SetClock]]:
    """Run a key server with one channel; give the operator's credential and the server's clock."""
    port = free_port()
    operator, clock = make_state(folder, port), SetClock()
    listening, stop = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(
        serve_keyserver(
            KeyserverSettings(folder, "127.0.0.1", port, urls=tuple(operator.servers)),
            clock=clock,
            random=RANDOM,
            ready=lambda _: listening.set(),
            stop=stop,
        )
    )
    try:
        await asyncio.wait_for(listening.wait(), 20)
        async with KeyServerClient(operator, RANDOM) as client:
            channel = ChannelData(name="news", group="239.1.2.3", port=5004)
            await client.call(operations.CHANNEL_ADD, channel=channel, senders=[])
        yield operator, clock
    finally:
        stop.set()
        await serving


async def newcomer(operator: Credential, kind: KeyKind = KeyKind.ED25519) -> Credential:
    """Invite a device to the channel, let it enrol, and return its credential."""
    token = new_token(RANDOM)
    async with KeyServerClient(operator, RANDOM) as client:
        await client.call(operations.INVITE, token_hash=token_hash(token), channels=["news"])
    invitation = invitation_of(operator, token)
    credential = new_credential(await meet_operator(invitation), invitation, kind, RANDOM)
    party, _ = await enrol(credential, invitation, None, RANDOM)
    return party


def invitation_of(operator: Credential, token: str) -> Invitation:
    """Return an invitation by this operator."""
    return Invitation(operator.servers[0], token, fingerprint_of(operator.ca_pem))


async def ask(party: Credential, keep: object = None) -> None:
    """Ask for the channel's keys once, as a receiver does."""
    async with KeyServerClient(party, RANDOM, keep) as client:  # type: ignore[arg-type]
        await client.call(operations.KEYS, channel="news")


def test_renewed_in_the_last_third(tmp_path: Path) -> None:
    """A device that asks late in its certificates' life has new ones for the same keys in its vault."""

    async def story() -> None:
        async with key_server(tmp_path / "server") as (operator, clock):
            party = await newcomer(operator)
            save_vault(tmp_path / "tv.vault", party, RANDOM)
            vault = open_vault(tmp_path / "tv.vault")
            clock.ahead_s = 15 * DAY_S
            await ask(party, vault.keep_certificates)
            assert load_vault(vault.path) == party
            clock.ahead_s = 25 * DAY_S
            await ask(party, vault.keep_certificates)
            renewed = load_vault(vault.path)
            assert renewed.certificates != party.certificates
            assert renewed.certificates is not None
            check_certificates(renewed.certificates, party)
            assert msgspec.structs.replace(renewed, certificates=party.certificates) == party
            clock.ahead_s = 50 * DAY_S
            await ask(renewed)

    asyncio.run(story())


def test_an_expired_one_is_told(tmp_path: Path) -> None:
    """Whoever was away until its certificates were over is refused by the key server's clock, and told so."""

    async def story() -> None:
        async with key_server(tmp_path) as (operator, clock):
            party = await newcomer(operator, KeyKind.P256)
            clock.ahead_s = 31 * DAY_S
            with pytest.raises(RefusedError) as refused:
                await ask(party)
            assert refused.value.type == "certificate-expired"

    asyncio.run(story())


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """Where the new certificates cannot be kept, the call is none the worse for it."""
    asked: list[str] = []

    def full(credential: Credential) -> None:
        asked.append(credential.id)
        raise UsageError("no space left on the disk")

    async def story() -> None:
        async with key_server(tmp_path) as (operator, clock):
            party = await newcomer(operator)
            clock.ahead_s = 25 * DAY_S
            await ask(party, full)
            assert asked == [party.id]

    asyncio.run(story())


@pytest.mark.parametrize("kind", [KeyKind.ED25519, KeyKind.P256])
def test_certificates_of_somebody_else(tmp_path: Path, kind: KeyKind) -> None:
    """Certificates for other keys, another name or role, or by another CA are not taken."""

    async def story() -> None:
        async with key_server(tmp_path / "one") as (operator, _):
            party, other = await newcomer(operator, kind), await newcomer(operator, kind)
        async with key_server(tmp_path / "two") as (stranger, _):
            elsewhere = await newcomer(stranger, kind)
        ours, theirs, foreign = party.certificates, other.certificates, elsewhere.certificates
        assert ours is not None
        assert theirs is not None
        assert foreign is not None
        check_certificates(ours, party)
        assert life_s(ours) == pytest.approx(31 * DAY_S, abs=5)
        replace = msgspec.structs.replace
        for wrong in (theirs, foreign, replace(ours, kek=theirs.kek), replace(ours, issuer=foreign.issuer)):
            with pytest.raises(AuthenticationError):
                check_certificates(wrong, party)
        with pytest.raises(AuthenticationError, match=r"is not by the operator's CA|is not one of a CA"):
            check_certificates(replace(ours, issuer=ours.signing), party)
        for changed in (replace(party, id="somebody"), replace(party, role="operator")):
            with pytest.raises(AuthenticationError, match="is not for"):
                check_certificates(ours, changed)

    asyncio.run(story())


def test_the_same_newcomer_again(tmp_path: Path) -> None:
    """A newcomer that asks twice with the same keys has one name, and its keys one registration."""

    async def story() -> None:
        async with key_server(tmp_path) as (operator, _):
            token = new_token(RANDOM)
            async with KeyServerClient(operator, RANDOM) as client:
                await client.call(operations.INVITE, token_hash=token_hash(token), channels=["news"])
            invitation = invitation_of(operator, token)
            credential = new_credential(await meet_operator(invitation), invitation, KeyKind.RSA, RANDOM)
            first, _ = await enrol(credential, invitation, None, RANDOM)
            second, _ = await enrol(credential, invitation, None, RANDOM)
            assert first.id == second.id
            await ask(second)

    asyncio.run(story())
