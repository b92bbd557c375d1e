"""Shows a device's withdrawal: what is destroyed when, what waits in the outbox, and what comes of a no."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from device.softhsm import PIN, VARIABLE, make_token
from sealcast.client.transfer import Reply
from sealcast.client.withdrawal import Done, Withdrawing
from sealcast.core.errors import (
    AuthenticationError,
    LocalError,
    RefusedError,
    RemoteError,
    SealcastError,
    UnreachableError,
    UsageError,
)
from sealcast.core.secret import Secret
from sealcast.device.holder import keys_of, open_with_keys
from sealcast.device.newkeys import KeyKind
from sealcast.device.outbox import Outbox, outbox_name, read_waiting
from sealcast.device.token import make_keys, parse_token_uri
from sealcast.device.vault import open_vault, save_vault
from sealcast.messages import jose
from sealcast.messages.jwk import new_signing_pair
from server.alone import RANDOM, Alone, prepare

PIN_SECRET = Secret(PIN.encode())


@contextmanager
def site(folder: Path, kind: KeyKind = KeyKind.SYMMETRIC) -> Iterator[Alone]:
    """Give a key server with a device `tv` on two channels, whose vault and outbox are in `folder`."""
    (credential,) = prepare(folder / "server", "tv", kind=kind)
    save_vault(folder / "tv.vault", credential, RANDOM)
    server = Alone(folder / "server")
    yield server
    server.close()


async def leave(folder: Path, server: Alone, channel: str, vault_name: str = "tv.vault") -> Done:
    """Withdraw, or go on with it."""
    vault = open_with_keys(folder / vault_name, None, lambda _: PIN_SECRET, allow_destroyed=True)
    keys = vault.keys or keys_of(vault.credential)
    with Outbox(folder, vault.credential) as outbox:
        withdrawing = Withdrawing(vault, keys, outbox)
        async with server.client(vault.credential, keys) as client:
            waiting = outbox.waiting
            if waiting is None:
                waiting = withdrawing.state(await withdrawing.ask(channel, client))
            return await withdrawing.finish(waiting, client)


def go(folder: Path, server: Alone, channel: str, vault_name: str = "tv.vault") -> Done:
    """Do as `leave`, and wait for it."""
    return asyncio.run(leave(folder, server, channel, vault_name))


@contextmanager
def cut_off(server: Alone, path: str) -> Iterator[None]:
    """Lose every answer to one operation."""
    post = server.post

    async def lost(address: str, asked: str, token: str) -> Reply:
        reply = await post(address, asked, token)
        if asked == path:
            raise UnreachableError("cut off")
        return reply

    server.post = lost  # type: ignore[method-assign]
    yield
    server.post = post  # type: ignore[method-assign]


@pytest.mark.parametrize("kind", [KeyKind.SYMMETRIC, KeyKind.ED25519])
def test_the_last_channel_destroys_both_keys(tmp_path: Path, kind: KeyKind) -> None:
    """Nothing that was sealed to the device opens any more, and its vault says so when it is used."""
    with site(tmp_path, kind) as server:
        before = open_vault(tmp_path / "tv.vault").credential
        recipient = before.kek if kind is KeyKind.SYMMETRIC else before.kek.public()
        sealed = jose.seal(b"keys", recipient, kid="tv", typ=jose.TYP_SEALED_ANSWER)
        done = go(tmp_path, server, "*")
        assert (done.receipt.channels, len(done.receipt.erased), done.is_last) == (["news", "sport"], 6, True)
        left = open_vault(tmp_path / "tv.vault", allow_destroyed=True).credential
        assert not left.kek.k and not left.kek.d and not left.signing.k and not left.signing.d  # noqa: PT018
        with pytest.raises(RemoteError):
            jose.unseal(sealed, left.kek, typ=jose.TYP_SEALED_ANSWER)
        with pytest.raises(
            UsageError, match="has withdrawn from Example Operator and its keys are destroyed"
        ):
            open_vault(tmp_path / "tv.vault")
        assert done.path.stat().st_mode & 0o777 == 0o600
        assert read_waiting(tmp_path, left) is None


def test_one_channel_leaves_the_vault_alone(tmp_path: Path) -> None:
    """With another channel left, not a byte of the vault changes; the next withdrawal is the last."""
    with site(tmp_path) as server:
        vault = (tmp_path / "tv.vault").read_bytes()
        done = go(tmp_path, server, "news")
        assert (done.receipt.channels, done.is_last) == (["news"], False)
        assert (tmp_path / "tv.vault").read_bytes() == vault
        with pytest.raises(RefusedError, match="tv is not subscribed to news"):
            go(tmp_path, server, "news")
        last = go(tmp_path, server, "sport")
        assert (last.receipt.channels, last.is_last, last.receipt.number) == (["sport"], True, 2)
        assert len(list(tmp_path.glob("*.receipt"))) == 2


def test_a_key_server_from_its_backup_takes_it_again(tmp_path: Path) -> None:
    """A server that has forgotten a withdrawal counts from one again; the device gets its receipt."""
    with site(tmp_path) as server:
        server.close()
        shutil.copytree(tmp_path / "server", tmp_path / "backup")
        now = Alone(tmp_path / "server")
        first = go(tmp_path, now, "news")
        now.close()
        before = first.path.read_bytes()
        again = Alone(tmp_path / "backup")
        done = go(tmp_path, again, "news")
        again.close()
        assert (done.receipt.channels, done.receipt.number) == (["news"], first.receipt.number)
        kept = {path.read_bytes() for path in tmp_path.glob("*.receipt*")}
        assert kept == {before, done.path.read_bytes()}


def test_a_lost_answer_costs_one_more_question(tmp_path: Path) -> None:
    """The statement waits with the KEK gone; sent again it is the same one, and gets the first receipt."""
    with site(tmp_path) as server:
        with cut_off(server, "/v1/withdraw"), pytest.raises(UnreachableError):
            go(tmp_path, server, "*")
        with pytest.raises(UsageError, match="its KEK is destroyed and the receipt is to come"):
            open_vault(tmp_path / "tv.vault")
        left = open_vault(tmp_path / "tv.vault", allow_destroyed=True).credential
        waiting = read_waiting(tmp_path, left)
        assert waiting is not None
        assert (left.kek.k, bool(left.signing.k)) == (None, True)
        done = go(tmp_path, server, "*")
        kept = server.unit_of_work.run_blocking(
            lambda c: c.exec_driver_sql("SELECT statement, receipt FROM withdrawals").all()
        )
        assert [tuple(row) for row in kept] == [(waiting.statement, done.path.read_text().strip())]


def test_a_copy_of_the_vault_opens_what_came_before(tmp_path: Path) -> None:
    """A copy made before the withdrawal has the KEK still; the key server refuses who asks with it."""
    with site(tmp_path) as server:
        for suffix in ("vault", "key"):
            shutil.copy2(tmp_path / f"tv.{suffix}", tmp_path / f"copy.{suffix}")
        sealed = jose.seal(
            b"keys", open_vault(tmp_path / "tv.vault").credential.kek, kid="tv", typ=jose.TYP_SEALED_ANSWER
        )
        go(tmp_path, server, "*")
        copy = open_vault(tmp_path / "copy.vault").credential
        assert jose.unseal(sealed, copy.kek, typ=jose.TYP_SEALED_ANSWER) == b"keys"
        with pytest.raises(RefusedError) as refused:
            go(tmp_path, server, "*", "copy.vault")
        assert refused.value.type == "not-subscribed"


def test_a_refused_statement_is_set_aside(tmp_path: Path) -> None:
    """Superseded before it was sent: a warning, and the next try is a withdrawal of its own."""
    with site(tmp_path) as server:
        asyncio.run(_state_and_begin_again(tmp_path, server))
        with pytest.raises(RefusedError, match="warning: the erasure statement of tv is stale") as refused:
            go(tmp_path, server, "*")
        assert refused.value.type == "erasure-refused"
        assert len(list(tmp_path.glob("*-1.refused"))) == 1
        done = go(tmp_path, server, "news")
        assert (done.receipt.channels, done.receipt.number, done.is_last) == (["news", "sport"], 3, True)


async def _state_and_begin_again(folder: Path, server: Alone) -> None:
    """Put a statement into the outbox, then begin another withdrawal in its place."""
    vault = open_vault(folder / "tv.vault")
    keys = keys_of(vault.credential)
    with Outbox(folder, vault.credential) as outbox:
        withdrawing = Withdrawing(vault, keys, outbox)
        async with server.client(vault.credential, keys) as client:
            withdrawing.state(await withdrawing.ask("*", client))
            await withdrawing.ask("*", client)


def test_one_program_at_a_time(tmp_path: Path) -> None:
    """A second withdrawal of the same device waits for its turn; another key pair has another outbox."""
    with site(tmp_path):
        credential = open_vault(tmp_path / "tv.vault").credential
        with Outbox(tmp_path, credential), pytest.raises(UsageError, match="another program is withdrawing"):
            Outbox(tmp_path, credential).__enter__()
        assert outbox_name(replace(credential, signing=credential.kek)) != outbox_name(credential)


def test_a_damaged_outbox_is_told_of(tmp_path: Path) -> None:
    """A statement that cannot be read is never taken for none."""
    with site(tmp_path) as server:
        credential = open_vault(tmp_path / "tv.vault").credential
        path = tmp_path / f"{outbox_name(credential)}.json"
        path.write_text("{")
        path.chmod(0o600)
        with pytest.raises(UsageError, match="is damaged"):
            go(tmp_path, server, "*")


def test_a_receipt_of_another_hand_counts_for_nothing(tmp_path: Path) -> None:
    """Who answers in the server's place cannot have the signing key destroyed: the outbox waits."""
    with site(tmp_path) as server:
        server.desk._signing = new_signing_pair(RANDOM)
        with pytest.raises(AuthenticationError):
            go(tmp_path, server, "*")
        left = open_vault(tmp_path / "tv.vault", allow_destroyed=True).credential
        assert left.signing.k
        assert read_waiting(tmp_path, left) is not None
        assert not list(tmp_path.glob("*.receipt"))


@pytest.fixture
def token_uri(tmp_path: Path) -> Iterator[str]:
    """Return the URI of a fresh PKCS#11 token."""
    before = os.environ.get(VARIABLE)
    yield make_token(tmp_path / "softhsm", "TV")
    if before is None:
        del os.environ[VARIABLE]
    else:
        os.environ[VARIABLE] = before


def test_keys_in_a_token_are_destroyed_there(tmp_path: Path, token_uri: str) -> None:
    """Interrupted behind the KEK's end, the token's signing key carries on, and goes with the receipt."""
    token = make_keys(parse_token_uri(token_uri), PIN_SECRET, RANDOM)
    (credential,) = prepare(tmp_path / "server", "tv", token=token)
    token.close()
    save_vault(tmp_path / "tv.vault", credential, RANDOM)
    server = Alone(tmp_path / "server")
    sealed = jose.seal(b"keys", credential.kek, kid="tv", typ=jose.TYP_SEALED_ANSWER)
    with cut_off(server, "/v1/withdraw"), pytest.raises(UnreachableError):
        go(tmp_path, server, "*")
    vault = open_with_keys(tmp_path / "tv.vault", None, lambda _: PIN_SECRET, allow_destroyed=True)
    assert vault.keys is not None
    with pytest.raises(SealcastError):
        jose.unseal(sealed, vault.keys.kek, typ=jose.TYP_SEALED_ANSWER)
    jose.sign(b"still", vault.keys.signing, kid="tv", typ=jose.TYP_REQUEST)
    assert go(tmp_path, server, "*").is_last
    vault = open_with_keys(tmp_path / "tv.vault", None, lambda _: PIN_SECRET, allow_destroyed=True)
    assert vault.keys is not None
    with pytest.raises(LocalError, match="destroyed in its token"):
        jose.sign(b"no more", vault.keys.signing, kid="tv", typ=jose.TYP_REQUEST)
    server.close()
