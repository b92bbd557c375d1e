"""The vault under a passphrase: opens with it alone, is replaced whole, and a hostile file takes nothing."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

import pytest
from msgspec.structs import replace

from device.credentials import CREDENTIAL
from sealcast.core.errors import UsageError
from sealcast.core.secret import Secret
from sealcast.device.passphrase import Derivation, derivation_of, passphrase_of
from sealcast.device.vault import Vault, key_path, load_vault, new_vault, open_vault, save_vault
from sealcast.messages.enrolment import Certificates
from sealcast.testing import SimRandom

WORDS = "correct horse battery staple"


def given(text: str = WORDS) -> Secret:
    """Return a passphrase as if typed."""
    return passphrase_of(text, is_new=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    """Return a vault under a passphrase; it costs half a second, so the tests have one together."""
    path = tmp_path_factory.mktemp("vault") / "SN-0001.vault"
    return new_vault(path, CREDENTIAL, SimRandom(2), passphrase=given())


def test_round_trip(made: Vault) -> None:
    """It opens with its passphrase, has no key file, is for its owner only and shows nothing secret."""
    opened = open_vault(made.path, lambda _: given())
    assert opened.credential == CREDENTIAL
    assert opened.has_passphrase
    assert not key_path(made.path).exists()
    assert made.path.stat().st_mode & 0o777 == 0o600
    for text in (made.path.read_text(), repr(made)):
        for secret in (WORDS, CREDENTIAL.signing.k, CREDENTIAL.kek.k, made.key.k):
            assert secret
            assert secret not in text


def test_the_wrong_passphrase(made: Vault) -> None:
    """Another passphrase does not open it, nor does none at all; each is said in one line."""
    with pytest.raises(UsageError, match="does not open with this passphrase: it is wrong, or"):
        open_vault(made.path, lambda _: given("correct horse battery stable"))
    with pytest.raises(UsageError, match="is sealed under a passphrase"):
        load_vault(made.path)


def test_a_passphrase_is_not_asked_for_in_vain(tmp_path: Path) -> None:
    """A vault with a key file opens without any."""

    def ask(_: Path) -> Secret:
        raise AssertionError("nobody should be asked")

    save_vault(tmp_path / "a.vault", CREDENTIAL, SimRandom(3))
    assert load_vault(tmp_path / "a.vault", ask) == CREDENTIAL


@pytest.mark.parametrize("kind", ["passphrase", "key file"])
def test_replaced_under_the_same_key(tmp_path: Path, made: Vault, kind: str) -> None:
    """New certificates go into a vault of either kind at once; nothing else in it changes."""
    path = tmp_path / "a.vault"
    if kind == "passphrase":
        path.write_bytes(made.path.read_bytes())
        path.chmod(0o600)
    else:
        save_vault(path, CREDENTIAL, SimRandom(3))
    vault = open_vault(path, lambda _: given())
    fresh = replace(CREDENTIAL, certificates=Certificates(signing="s", kek="k", issuer="i"))
    files = {each.name for each in tmp_path.iterdir()}
    vault.keep_certificates(replace(fresh, servers=["https://elsewhere:8443"]))
    assert load_vault(path, lambda _: given()) == fresh
    assert path.stat().st_mode & 0o777 == 0o600
    assert {each.name for each in tmp_path.iterdir()} == files


def test_a_vault_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    """Where the new file cannot be written, that is said and the old one stands."""
    save_vault(tmp_path / "a.vault", CREDENTIAL, SimRandom(3))
    vault = open_vault(tmp_path / "a.vault")
    (tmp_path / "gone").mkdir()
    moved = Vault(tmp_path / "gone" / "b" / "a.vault", vault.credential, vault.key, None)
    with pytest.raises(UsageError, match="cannot write"):
        moved.keep(CREDENTIAL)
    assert load_vault(tmp_path / "a.vault") == CREDENTIAL


@pytest.mark.parametrize(
    "hostile",
    [
        {"n": 1 << 30},
        {"n": 1 << 14},
        {"n": (1 << 17) + 1},
        {"n": -1},
        {"n": 1.5},
        {"r": 1 << 20},
        {"r": 0},
        {"p": 1 << 20},
        {"p": 0},
        {"salt": "AA"},
        {"salt": "A" * 100_000},
        {"salt": "*" * 22},
        {"salt": None},
        {"more": 1},
    ],
    ids=str,
)
def test_hostile_parameters(tmp_path: Path, made: Vault, hostile: dict[str, object]) -> None:
    """Parameters that would take memory or time, or none at all, are refused before anything is derived."""
    head, _, rest = made.path.read_text().partition(".")
    header = json.loads(urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    header["scrypt"] |= hostile
    path = tmp_path / "a.vault"
    path.write_text(urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=") + "." + rest)
    path.chmod(0o600)
    with pytest.raises(UsageError, match="is not a vault of this version"):
        open_vault(path, lambda _: given())


def test_other_parameters_within_bounds(made: Vault) -> None:
    """The parameters are read from the vault, not assumed: a header with others says others."""
    derivation = derivation_of(made.path.read_bytes())
    assert derivation is not None
    assert (derivation.n, derivation.r, derivation.p) == (1 << 17, 8, 1)
    assert derivation == Derivation(**derivation.as_header())  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "\n", "short", "a" * 1_025])
def test_a_passphrase_that_will_not_do(text: str) -> None:
    """A new passphrase that is empty, short or endless is refused."""
    with pytest.raises(UsageError):
        passphrase_of(text, is_new=True)


def test_an_old_passphrase_may_be_short() -> None:
    """What was once accepted goes on opening; only a new one has to be long."""
    assert passphrase_of("short\n", is_new=False) == Secret(b"short")


def test_composed_characters() -> None:
    """A passphrase is the same from a keyboard that composes its characters otherwise."""
    assert passphrase_of("Füße über alles", is_new=True) == passphrase_of(
        "Fu\u0308ße u\u0308ber alles", is_new=True
    )
