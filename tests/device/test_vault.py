"""The vault: opens for its owner with its own key file, and for nobody else."""

import resource
from pathlib import Path

import pytest

from device.credentials import CREDENTIAL
from sealcast.core.errors import UsageError
from sealcast.device.vault import key_path, load_vault, save_vault
from sealcast.testing import SimRandom


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    """Return a vault just written."""
    path = tmp_path / "SN-0001.vault"
    save_vault(path, CREDENTIAL, SimRandom(2))
    return path


def test_round_trip(vault: Path) -> None:
    """The credential comes back; vault and key file are for their owner only."""
    assert load_vault(vault) == CREDENTIAL
    for path in (vault, key_path(vault)):
        assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_secret_stands_in_it(vault: Path) -> None:
    """Neither the file nor the credential's repr shows a key."""
    text = vault.read_text() + repr(CREDENTIAL)
    for key in (CREDENTIAL.signing, CREDENTIAL.kek):
        assert key.k
        assert key.k not in text
    assert "SN-0001" in repr(CREDENTIAL)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o604, 0o601])
@pytest.mark.parametrize("which", ["vault", "key"])
def test_readable_by_others_is_refused(vault: Path, which: str, mode: int) -> None:
    """Either file with rights for others is refused, with the command that mends it."""
    exposed = vault if which == "vault" else key_path(vault)
    exposed.chmod(mode)
    with pytest.raises(UsageError, match=f"chmod 600 {exposed}"):
        load_vault(vault)


def test_never_overwritten(vault: Path) -> None:
    """A second vault of that name is refused and the first stays as it was."""
    before = vault.read_bytes(), key_path(vault).read_bytes()
    with pytest.raises(UsageError, match="never overwritten"):
        save_vault(vault, CREDENTIAL, SimRandom(3))
    assert (vault.read_bytes(), key_path(vault).read_bytes()) == before


@pytest.mark.parametrize("missing", ["vault", "key"])
def test_half_a_vault_is_not_added_to(vault: Path, missing: str) -> None:
    """If one of the two files exists, neither is written."""
    gone = vault if missing == "vault" else key_path(vault)
    gone.unlink()
    with pytest.raises(UsageError, match="never overwritten"):
        save_vault(vault, CREDENTIAL, SimRandom(3))
    assert not gone.exists()


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """What could not be written whole is not there at all, so that the next try finds the place free."""
    path = tmp_path / "SN-0001.vault"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A limit on the length of files stands for the full disk: the key file fits, the vault does not.
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        with pytest.raises(UsageError, match=f"cannot write {path}"):
            save_vault(path, CREDENTIAL, SimRandom(3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
    save_vault(path, CREDENTIAL, SimRandom(3))


def test_the_wrong_key_file(vault: Path, tmp_path: Path) -> None:
    """A key file of another vault does not open this one."""
    other = tmp_path / "other.vault"
    save_vault(other, CREDENTIAL, SimRandom(3))
    key_path(other).replace(key_path(vault))
    with pytest.raises(UsageError, match="belong to different vaults"):
        load_vault(vault)


@pytest.mark.parametrize("missing", ["vault", "key"])
def test_a_missing_file(vault: Path, missing: str) -> None:
    """An absent file is named, and of the key file where it belongs."""
    gone = vault if missing == "vault" else key_path(vault)
    gone.unlink()
    says = (
        f"cannot read {gone}: No such file" if missing == "vault" else f"{gone} is missing: the key file of"
    )
    with pytest.raises(UsageError, match=says):
        load_vault(vault)


@pytest.mark.parametrize("content", [b"", b"\n", b"not a key", b"\xff\xfe", b"A" * 44, b"A" * 100_000])
@pytest.mark.parametrize("which", ["vault", "key"])
def test_damaged_files(vault: Path, which: str, content: bytes) -> None:
    """Whatever a file holds, one clear line comes out."""
    damaged = vault if which == "vault" else key_path(vault)
    damaged.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        load_vault(vault)
    assert "\n" not in str(raised.value)


def test_a_vault_is_not_named_like_its_key_file(tmp_path: Path) -> None:
    """NAME.key is refused as a vault's name, and no half of a vault is left."""
    with pytest.raises(UsageError, match="name of a key file"):
        save_vault(tmp_path / "a.key", CREDENTIAL, SimRandom(3))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Where nothing can be written, that is said."""
    with pytest.raises(UsageError, match="cannot write"):
        save_vault(tmp_path / "nowhere" / "a.vault", CREDENTIAL, SimRandom(3))
