"""Shows the arithmetic of openings: right, never on a caller's number, checked; also in a token."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from math import gcd
from pathlib import Path

import pkcs11
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from device.softhsm import PIN, VARIABLE, make_token
from sealcast.core.errors import LocalError, RefusedError, UsageError
from sealcast.core.secret import Secret
from sealcast.device.token import parse_token_uri
from sealcast.escrow import store_keys
from sealcast.keys.rsakem import PUBLIC_EXPONENT, RsaPublic
from sealcast.messages import jose
from sealcast.messages.encoding import b64url_encode, decode
from sealcast.messages.escrow import KeyDocument
from sealcast.messages.jwk import jwk_of, thumbprint
from sealcast.server.escrow.blinding import open_blinded, read_blinded
from sealcast.server.escrow.keyring import Keyring
from sealcast.server.escrow.open_escrow import open_escrow
from sealcast.server.escrow.power import Power, gmp_power, openssl_power
from sealcast.server.escrow.private import Made, SoftKey, make_key
from sealcast.server.escrow.settings import TokenSettings
from sealcast.server.escrow.token import EscrowToken, HeldKey
from sealcast.server.state import load_server_state
from sealcast.testing import SimRandom
from server.escrow.inside import EURO, Market
from server.running import RANDOM

POWERS = {"openssl": openssl_power(), "gmp": gmp_power()}


class Watched:
    """A private key that notes what it is given."""

    def __init__(self, key: SoftKey, change: int = 0) -> None:
        self.key, self.change = key, change
        self.bases: list[int] = []

    def power(self, base: int) -> int:
        """Do as the key does, with a fault if one was asked for."""
        self.bases.append(base)
        return self.key.power(base) ^ self.change


@pytest.fixture(scope="module")
def made() -> Made:
    """Make one key for all tests."""
    return make_key(3_072)


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EscrowToken, Path, str]]:
    """Make a token, and open it."""
    before = os.environ.get(VARIABLE)
    folder = tmp_path_factory.mktemp("escrowtoken")
    uri = make_token(folder, "Escrow")
    opened = EscrowToken(parse_token_uri(uri), Secret(PIN.encode()))
    yield opened, folder, uri
    opened.close()
    os.environ.pop(VARIABLE)
    if before is not None:
        os.environ[VARIABLE] = before


@pytest.mark.parametrize("power", POWERS.values(), ids=POWERS)
def test_both_libraries_give_the_power(power: Power | None) -> None:
    """The constant-time powers agree with Python's, also for small and even numbers."""
    assert power is not None, "libcrypto is missing: apt-get install libssl3"
    random = SimRandom("powers")
    for _ in range(5):
        modulus = random.below(1 << 1_536) | 1 | 1 << 1_535
        base, exponent = random.below(modulus), random.below(modulus) | 1
        assert power(base, exponent, modulus) == pow(base, exponent, modulus)
    assert [power(base, 65_537, 1_000_003) for base in (0, 1, 2)] == [
        pow(base, 65_537, 1_000_003) for base in (0, 1, 2)
    ]


@pytest.mark.parametrize("power", POWERS.values(), ids=POWERS)
def test_an_opening_is_the_root(made: Made, power: Power | None) -> None:
    """m^e = c' for random numbers, and for those next to a prime of the key."""
    key = SoftKey(Secret(made.secret), power)
    prime = key._q
    for number in (RANDOM.below(made.modulus), 2, prime - 5, prime + 5, made.modulus - 2):
        given = pow(number, PUBLIC_EXPONENT, made.modulus)
        read = read_blinded(given.to_bytes(384, "big"), made.modulus)
        assert open_blinded(key, made.modulus, read, RANDOM) == number.to_bytes(384, "big")


def test_the_private_key_never_sees_a_callers_number(made: Made) -> None:
    """For equal requests it works on a different number each time, and on no number that was sent."""
    watched = Watched(SoftKey(Secret(made.secret)))
    given = pow(watched.key._q - 5, PUBLIC_EXPONENT, made.modulus)
    answers = {open_blinded(watched, made.modulus, given, RANDOM) for _ in range(8)}
    assert len(answers) == 1
    assert len({*watched.bases, given}) == 9
    assert all(gcd(base, made.modulus) == 1 for base in watched.bases)


def test_a_fault_of_the_machine_does_not_leave(made: Made) -> None:
    """One flipped bit in a half of the work would tell a prime; it is found, and nothing is given out."""
    faulty = Watched(SoftKey(Secret(made.secret)), change=1 << 77)
    with pytest.raises(LocalError, match="came out wrong"):
        open_blinded(faulty, made.modulus, 12_345, RANDOM)


def test_what_has_a_factor_of_the_key_is_refused(made: Made) -> None:
    """A number with a factor in common with n tells that factor by itself."""
    key = SoftKey(Secret(made.secret))
    for number in (key._q, 3 * key._p):
        with pytest.raises(RefusedError, match="factor in common"):
            read_blinded(number.to_bytes(384, "big"), made.modulus)


def test_a_key_shows_no_secret(made: Made) -> None:
    """Neither a fresh key nor one at work tells its numbers to a log."""
    shown = f"{made!r} {SoftKey(Secret(made.secret))!r}"
    assert shown == "Made(3072 bits) SoftKey()"
    with pytest.raises(LocalError):
        SoftKey(Secret(made.secret[:-1]))


def test_a_keys_name_is_its_thumbprint(made: Made) -> None:
    """The name is that of RFC 7638, as everybody works it out from the document."""
    public = rsa.RSAPublicNumbers(PUBLIC_EXPONENT, made.modulus).public_key()
    assert RsaPublic(made.modulus).key_id == b64url_encode(thumbprint(jwk_of(public)))


class TestInAToken:
    """Private keys in SoftHSM2."""

    def test_it_makes_and_opens(self, token: tuple[EscrowToken, Path, str]) -> None:
        """A key made inside opens what was encapsulated to it, and is found by its id."""
        opened, _, _ = token
        ring = Keyring(Secret(bytes(32)), RANDOM, opened)
        fresh = ring.make(3_072)
        assert fresh.wrapped is None
        assert fresh.token_object is not None
        modulus = int.from_bytes(fresh.modulus, "big")
        assert fresh.id == RsaPublic(modulus).key_id
        held = HeldKey(opened, bytes.fromhex(fresh.token_object), modulus)
        number = RANDOM.below(modulus)
        given = pow(number, PUBLIC_EXPONENT, modulus)
        assert open_blinded(held, modulus, given, RANDOM) == number.to_bytes(384, "big")
        with pytest.raises(LocalError, match="token does not open"):
            opened.power(b"nobody's", 5, 384)

    def test_its_private_key_does_not_leave(self, token: tuple[EscrowToken, Path, str]) -> None:
        """The token refuses to show the private exponent."""
        opened, _, _ = token
        opened.make(3_072, b"a-secret")
        key = opened._session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, id=b"a-secret")
        assert (key[pkcs11.Attribute.SENSITIVE], key[pkcs11.Attribute.EXTRACTABLE]) == (True, False)
        with pytest.raises(pkcs11.PKCS11Error):
            _ = key[pkcs11.Attribute.PRIVATE_EXPONENT]

    def test_a_wrong_pin_is_said(self, token: tuple[EscrowToken, Path, str]) -> None:
        """Another PIN opens nothing."""
        # In a process of its own: this one is logged in already, with all its sessions.
        program = (
            "from sealcast.core.secret import Secret\n"
            "from sealcast.device.token import parse_token_uri\n"
            "from sealcast.server.escrow.token import EscrowToken\n"
            f"EscrowToken(parse_token_uri({token[2]!r}), Secret(b'0000'))\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert UsageError.__name__ in done.stderr
        assert "does not take this PIN" in done.stderr


def test_an_escrow_opens_with_a_token(token: tuple[EscrowToken, Path, str]) -> None:
    """With a token the escrow's new keys are made there, and a paid order opens with what never left it."""
    place = TokenSettings(parse_token_uri(token[2]), Secret(PIN.encode()))
    market = Market("lead", token=place)
    lead, buyer, seller = market.escrows["lead"], market.party("TV-1"), market.party("ACME", "seller")
    lead.admit(seller)
    assert lead.join(buyer).status == 200
    lead.pay_in(buyer, 5 * EURO, "bank-1")
    key = lead.add_key(seller, "film", 5 * EURO)
    modulus = int.from_bytes(decode(jose.unverified_payload(key.document), KeyDocument).modulus, "big")
    number = 2 + RANDOM.below(modulus - 3)
    given = pow(number, PUBLIC_EXPONENT, modulus).to_bytes(384, "big")
    order = lead.place(buyer, key)
    assert lead.open(buyer, order.order, key, given).answer.opened == number.to_bytes(384, "big")
    (stored,) = lead.run(lead.server.unit_of_work.run(store_keys.keys))
    assert (stored.wrapped, stored.token_object is None) == (None, False)
    lead.run(lead.server.close())
    without = replace(lead.settings, token=None)
    with pytest.raises(UsageError, match="PKCS#11 token"):
        open_escrow(load_server_state(lead.folder), without, market.clock, RANDOM)
    market.close()
