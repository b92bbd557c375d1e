"""Shows that what a withdrawal takes out of a vault is not only forgotten: its old bytes are overwritten."""

import os
from pathlib import Path

import pytest

from device.credentials import CREDENTIAL, RANDOM
from sealcast.core.errors import AuthenticationError
from sealcast.core.secret import Secret
from sealcast.device.erasure import make_statement, read_receipt
from sealcast.device.files import overwrite_left
from sealcast.device.passphrase import N_MIN
from sealcast.device.receivers import ReceiverLock, last_indices
from sealcast.device.vault import Destroyed, new_vault, open_vault
from sealcast.messages import jose
from sealcast.messages.encoding import decode, encode
from sealcast.messages.jwk import new_signing_pair
from sealcast.messages.subscribing import ErasureStatement, Receipt, WithdrawalBegun

BEGUN = WithdrawalBegun(
    jti="", statement_nonce="n", counter=3, scope="7", channels=["news"], key_ids=["0000000700000001"]
)


def test_the_old_bytes_are_gone(tmp_path: Path) -> None:
    """Whoever has the old file open reads zeros; no second name of it is left."""
    path = tmp_path / "tv.vault"
    vault = new_vault(path, CREDENTIAL, RANDOM)
    with path.open("rb") as old:
        size = len(old.read())
        vault.destroy(Destroyed(outbox="o"))
        old.seek(0)
        assert old.read() == bytes(size)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["tv.key", "tv.vault"]
    left = open_vault(path, allow_destroyed=True)
    assert left.credential.signing == CREDENTIAL.signing
    assert left.credential.kek.k is None
    over = left.destroy(Destroyed(outbox="o", signing=True))
    assert over.credential.signing.k is None
    assert over.destroy(Destroyed(outbox="o", signing=True)) == over


def test_under_a_passphrase_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vault under a passphrase is written again without asking for it."""
    monkeypatch.setattr("sealcast.device.passphrase.N", N_MIN)
    path, passphrase = tmp_path / "tv.vault", Secret(b"a long passphrase")
    new_vault(path, CREDENTIAL, RANDOM, passphrase=passphrase).destroy(Destroyed(outbox="o"))
    found = open_vault(path, lambda _: passphrase, allow_destroyed=True)
    assert (found.credential.kek.k, found.has_passphrase) == (None, True)


def test_what_a_crash_left_is_found(tmp_path: Path) -> None:
    """Old bytes under another name, and a new file that was never put in place, are overwritten later."""
    path = tmp_path / "tv.vault"
    new_vault(path, CREDENTIAL, RANDOM)
    secret = path.read_bytes()
    handles = []
    for name in (".tv.vault.old", ".tv.vault.4711.new"):
        (tmp_path / name).write_bytes(secret)
        handles.append((tmp_path / name).open("rb"))
    overwrite_left(path)
    for handle in handles:
        assert handle.read() == bytes(len(secret))
        handle.close()
    os.link(path, tmp_path / ".tv.vault.old")
    overwrite_left(path)
    assert path.read_bytes() == secret
    assert sorted(each.name for each in tmp_path.iterdir()) == ["tv.key", "tv.vault"]


def test_a_statement_says_what_was_asked() -> None:
    """It is signed by the device, and says of other channels nothing."""
    signing = new_signing_pair(RANDOM)
    token = make_statement(CREDENTIAL, signing, BEGUN, {7: 99, 8: 1})
    payload = jose.verify(token, signing.public(), typ=jose.TYP_ERASURE)
    assert decode(payload, ErasureStatement) == ErasureStatement(
        operator="example",
        device="SN-0001",
        scope="7",
        statement_nonce="n",
        counter=3,
        erased=["0000000700000001"],
        last_index={"7": 99},
    )


def test_how_far_a_receiver_came_is_known_after_it(tmp_path: Path) -> None:
    """A receiver that knows its channel leaves the index of its last packet behind; the latest one counts."""
    assert last_indices(tmp_path, CREDENTIAL) == {}
    with ReceiverLock(tmp_path, CREDENTIAL, "news") as lock:
        lock.note_last(1)
        assert last_indices(tmp_path, CREDENTIAL) == {}
        for number, index in ((7, 99), (7, 100), (8, 1 << 47)):
            lock.note_channel("news", number)
            lock.note_last(index)
    assert last_indices(tmp_path, CREDENTIAL) == {7: 100, 8: 1 << 47}
    next(tmp_path.glob("*-7.last")).write_text("none")
    assert last_indices(tmp_path, CREDENTIAL) == {8: 1 << 47}


@pytest.mark.parametrize(
    "changes", [{"device": "SN-0002"}, {"operator": "other"}, {"statement_sha256": "00" * 32}]
)
def test_a_receipt_for_something_else(changes: dict[str, str]) -> None:
    """Another device's, another operator's, and that of another statement are no receipts of ours."""
    server = new_signing_pair(RANDOM)
    credential = CREDENTIAL.__class__(
        **{name: getattr(CREDENTIAL, name) for name in CREDENTIAL.__struct_fields__ if name != "server_key"},
        server_key=server.public(),
    )
    right = {
        "operator": "example",
        "device": "SN-0001",
        # SHA-256 of "s".
        "statement_sha256": "043a718774c572bd8a25adbeb1bfcd5c0256ae11cecf9f9c3f925d0e52beaf89",
    }
    for fields in (right, right | changes):
        receipt = Receipt(number=1, channels=["news"], closed_at="", erased=[], **fields)
        token = jose.sign(encode(receipt), server, kid="keyserver", typ=jose.TYP_RECEIPT)
        if fields == right:
            assert read_receipt(token, credential, "s") == receipt
        else:
            with pytest.raises(AuthenticationError):
                read_receipt(token, credential, "s")
