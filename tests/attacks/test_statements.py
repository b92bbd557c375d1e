"""Attacks with erasure statements: forged, replayed, stale or another's, none ends or keeps a subscription.

Each leaves an offence and an audit line behind, and nothing else changes.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from attacks import digest
from sealcast.core.errors import RefusedError, RemoteError
from sealcast.device.erasure import make_statement, read_receipt
from sealcast.device.vault import Credential
from sealcast.messages import jose
from sealcast.messages.encoding import b64url_encode, decode, encode
from sealcast.messages.jwk import Jwk, new_oct_key, new_signing_pair
from sealcast.messages.operations import WITHDRAW, WITHDRAWAL
from sealcast.messages.subscribing import ErasureStatement, Receipt, WithdrawalBegun, Withdrawn
from sealcast.server.withdrawing import OFFENCES_OPEN_MAX
from server.alone import RANDOM, Alone, prepare
from server.newcomers import change, rows
from server.withdrawals import offences

GROWS = ("audit", "requests", "offences", "sqlite_sequence")


@dataclass
class Stage:
    """A key server with two devices, the attacker and another, that receive two channels each."""

    folder: Path
    server: Alone
    device: Credential
    other: Credential

    def begin(self, who: Credential, channel: str = "news") -> WithdrawalBegun:
        """Begin a withdrawal."""

        async def once() -> WithdrawalBegun:
            async with self.server.client(who) as client:
                return await client.expect(WITHDRAWAL, WithdrawalBegun, channel=channel)

        return asyncio.run(once())

    def send(self, who: Credential, statement: str) -> str:
        """Send a statement and return the receipt."""

        async def once() -> Withdrawn:
            async with self.server.client(who) as client:
                return await client.expect(WITHDRAW, Withdrawn, statement=statement)

        return asyncio.run(once()).receipt

    def expect_offence(self, kind: str, statement: str, who: Credential | None = None) -> None:
        """Send a statement: it is an offence of that kind, and not a row changes but what says so."""
        who = who or self.device
        before, known = digest.database(self.folder, but=GROWS), offences(self.folder)
        with pytest.raises(RefusedError, match=f"warning: the erasure statement of {who.id} is {kind}") as no:
            self.send(who, statement)
        assert (no.value.type, no.value.status) == ("erasure-refused", 403)
        assert digest.database(self.folder, but=GROWS) == before
        assert offences(self.folder) == [*known, (who.id, kind)]
        assert rows(self.folder, "SELECT who, what FROM audit ORDER BY id DESC LIMIT 1") == [
            (who.id, "offence")
        ]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Return the stage; at the end both devices still withdraw as they should."""
    device, other = prepare(tmp_path / "server", "tv", "other")
    made = Stage(tmp_path / "server", Alone(tmp_path / "server"), device, other)
    yield made
    for who in (device, other):
        begun = made.begin(who, "sport")
        made.send(who, make_statement(who, who.signing, begun))
    made.server.close()


def stated(who: Credential, begun: WithdrawalBegun, **changes: Any) -> str:
    """Return a statement of a device with other fields than it should have, signed as it should be."""
    right = ErasureStatement(
        operator=who.operator,
        device=who.id,
        scope=begun.scope,
        statement_nonce=begun.statement_nonce,
        counter=begun.counter,
        erased=begun.key_ids,
        kek_erased=begun.scope == "*",
    )
    return signed(encode(replace(right, **changes)), who.signing, who.id)


def signed(payload: bytes, key: Jwk, kid: str, typ: str = jose.TYP_ERASURE) -> str:
    """Return any payload as a token."""
    return jose.sign(payload, key, kid=kid, typ=typ)


def test_statement_that_is_none(stage: Stage) -> None:
    """Text, a token of another kind, of another key, changed, or with another layout."""
    begun = stage.begin(stage.device)
    right = make_statement(stage.device, stage.device.signing, begun)
    head, payload, signature = right.split(".")
    key, kid = stage.device.signing, stage.device.id
    other_scope = b64url_encode(b'{"scope":"2"}')
    for statement in (
        "",
        "a.b.c",
        right[:-6] + ("A" if right[-6] != "A" else "B") + right[-5:],
        f"{head}.{other_scope}.{signature}",
        f"{head}.{payload}.",
        signed(encode(begun), key, kid),
        signed(b'{"scope": "*"}', key, kid),
        signed(b"[" * 10_000, key, kid),
        make_statement(stage.device, new_oct_key(RANDOM), begun),
        make_statement(stage.device, new_signing_pair(RANDOM), begun),
        signed(jose.unverified_payload(right), key, kid, typ=jose.TYP_REQUEST),
    ):
        stage.expect_offence("bad", statement)


def test_statement_that_says_something_else(stage: Stage) -> None:
    """Another scope, counter, nonce, keys or indices than the withdrawal has."""
    changes: list[dict[str, Any]] = [
        {"scope": "2"},
        {"scope": "*", "kek_erased": True},
        {"scope": "news"},
        {"scope": "01"},
        {"kek_erased": True},
        {"counter": 2},
        {"counter": 2**63},
        {"statement_nonce": ""},
        {"statement_nonce": "AAAAAAAAAAAAAAAAAAAAAA"},
        {"erased": ["0000000200000001"]},
        {"erased": ["1"]},
        {"last_index": {"2": 1}},
        {"last_index": {"1": -1}},
        {"last_index": {"1": 1 << 48}},
        {"last_index": {"one": 1}},
    ]
    begun = stage.begin(stage.device)
    for fields in changes:
        stage.expect_offence("bad", stated(stage.device, begun, **fields))
    stage.send(stage.device, stated(stage.device, begun))


def test_statement_of_another_device(stage: Stage) -> None:
    """Caught on its way and sent as one's own, it is an offence, and the other's withdrawal goes on."""
    theirs = make_statement(stage.other, stage.other.signing, stage.begin(stage.other))
    stage.expect_offence("foreign", theirs)
    stage.send(stage.other, theirs)
    stage.expect_offence("foreign", theirs)


def test_statement_in_another_devices_name(stage: Stage) -> None:
    """Signed with one's own key, under one's own name or the other's, about the other's subscription."""
    begun = stage.begin(stage.other)
    device, other = stage.device, stage.other
    stage.expect_offence("foreign", make_statement(device, device.signing, begun))
    stage.expect_offence("foreign", stated(device, begun, device=other.id))
    stage.expect_offence("foreign", signed(b"{}", device.signing, other.id))
    stage.send(other, make_statement(other, other.signing, begun))


def test_statement_for_another_operator(stage: Stage) -> None:
    """What a device says to another operator counts for nothing here."""
    begun = stage.begin(stage.device)
    stage.expect_offence("foreign", stated(stage.device, begun, operator="Another Operator"))


def test_stale_statement(stage: Stage) -> None:
    """A later withdrawal takes the place of one that is open, whatever their scopes; counters only rise."""
    first = stage.begin(stage.device)
    statement = make_statement(stage.device, stage.device.signing, first)
    second = stage.begin(stage.device, "*")
    assert (first.counter, second.counter) == (1, 2)
    stage.expect_offence("stale", statement)
    stage.expect_offence("stale", stated(stage.device, second, counter=1))
    stage.expect_offence("stale", stated(stage.device, second, counter=-1))


def test_replayed_statement(stage: Stage) -> None:
    """Sent again it gets its receipt while the device is out, and a warning once it has come back."""
    statement = make_statement(stage.device, stage.device.signing, stage.begin(stage.device))
    receipt = stage.send(stage.device, statement)
    assert stage.send(stage.device, statement) == receipt
    add = "INSERT INTO subscriptions (channel, device, added_at_ms) VALUES (?, 'tv', 0)"
    change(stage.folder, add, 3)
    assert stage.send(stage.device, statement) == receipt, "another channel is another matter"
    change(stage.folder, add, 1)
    stage.expect_offence("replayed", statement)


def test_second_statement_under_a_used_nonce(stage: Stage) -> None:
    """One nonce is good for one statement: nobody adds to what it said."""
    begun = stage.begin(stage.device)
    stage.send(stage.device, stated(stage.device, begun, erased=[]))
    stage.expect_offence("replayed", stated(stage.device, begun))
    assert rows(stage.folder, "SELECT count(*) FROM erasures") == [(0,)]


def test_statement_beside_a_request_of_another_device(stage: Stage) -> None:
    """Each device has its own record: what one closed, another cannot have a receipt for."""
    statement = make_statement(stage.other, stage.other.signing, stage.begin(stage.other))
    receipt = stage.send(stage.other, statement)
    assert receipt == stage.send(stage.other, statement)
    stage.expect_offence("foreign", statement)


def test_forged_receipt(stage: Stage) -> None:
    """A receipt is the server's word: under another key, or of another kind, a device takes it for none."""
    begun = stage.begin(stage.device)
    statement = make_statement(stage.device, stage.device.signing, begun)
    right = jose.unverified_payload(stage.send(stage.device, statement))
    forged: list[Callable[[], str]] = [
        lambda: signed(right, new_signing_pair(RANDOM), "keyserver", jose.TYP_RECEIPT),
        lambda: signed(right, stage.device.signing, "keyserver", jose.TYP_RECEIPT),
        lambda: signed(right, stage.server.state.signing, "keyserver", jose.TYP_ANSWER),
        lambda: signed(encode(_other(right)), stage.server.state.signing, "keyserver", jose.TYP_RECEIPT),
    ]
    for each in forged:
        with pytest.raises(RemoteError):
            read_receipt(each(), stage.device, statement)


def _other(payload: bytes) -> Receipt:
    return replace(decode(payload, Receipt), device="other")


def test_flood_of_statements(stage: Stage) -> None:
    """Offences on record of one device are bounded, and each of them is answered with the warning."""
    token = make_statement(stage.device, stage.device.signing, stage.begin(stage.device))

    async def flood() -> None:
        async with stage.server.client(stage.device) as client:
            for number in range(OFFENCES_OPEN_MAX + 10):
                with pytest.raises(RefusedError, match="warning"):
                    await client.expect(WITHDRAW, Withdrawn, statement=f"{token}{number}")

    asyncio.run(flood())
    assert offences(stage.folder) == [("tv", "bad")] * OFFENCES_OPEN_MAX
