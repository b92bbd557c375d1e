"""Shows that a share comes back blindly, that the escrow sees nothing of it, and that lies are found out."""

import base64
import hashlib
import json

import pytest
from joserfc.jwk import RSAKey

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.core.secret import Secret
from sealcast.keys.rsakem import (
    RsaPublic,
    blind,
    encapsulate,
    read_public,
    unblind,
    unwrap_share,
    wrap_share,
)
from sealcast.testing import SimRandom
from sealpack.makers import escrow

RANDOM = SimRandom(4)
ID = bytes(range(16))
SHARE = Secret(bytes(range(66)))


@pytest.fixture(scope="module")
def public() -> RsaPublic:
    """Return the public half of an escrow's key."""
    return escrow().public


def test_a_share_comes_back(public: RsaPublic) -> None:
    """What was encapsulated is opened by the escrow without its seeing c or z, and the share unwraps."""
    z, encapsulation = encapsulate(public, RANDOM)
    wrapped = wrap_share(z, ID, 1, SHARE)
    asked = blind(public, encapsulation, RANDOM)
    answer = escrow().open(asked.blinded)
    assert encapsulation not in {asked.blinded, answer}
    assert Secret(answer) != z
    found = unblind(public, encapsulation, asked.r, answer)
    assert found == z
    assert unwrap_share(found, ID, 1, wrapped) == SHARE
    assert (len(encapsulation), len(asked.blinded), len(asked.r), len(wrapped)) == (384, 384, 384, 80)


def test_the_same_is_asked_differently(public: RsaPublic) -> None:
    """Two questions about one encapsulation have nothing in common."""
    _, encapsulation = encapsulate(public, RANDOM)
    assert len({blind(public, encapsulation, RANDOM).blinded for _ in range(8)}) == 8


def test_every_question_is_possible(public: RsaPublic) -> None:
    """For any two encapsulations and a question about one, there is an r that makes it about the other."""
    _, one = encapsulate(public, RANDOM)
    z, other = encapsulate(public, RANDOM)
    asked = blind(public, one, RANDOM)
    root = int.from_bytes(escrow().open(asked.blinded), "big")
    r = root * pow(int.from_bytes(z.reveal(), "big"), -1, public.modulus) % public.modulus
    again = int.from_bytes(other, "big") * pow(r, public.exponent, public.modulus) % public.modulus
    assert public.pack(again) == asked.blinded


def test_a_lying_escrow_is_found_out(public: RsaPublic) -> None:
    """An answer that is another power, no number or of another length is refused."""
    _, encapsulation = encapsulate(public, RANDOM)
    asked = blind(public, encapsulation, RANDOM)
    right = int.from_bytes(escrow().open(asked.blinded), "big")
    lies = [right + 1, public.modulus - right, 0, 1, public.modulus - 1, public.modulus]
    for lie in (*map(public.pack, lies), b"", bytes(385)):
        with pytest.raises(AuthenticationError):
            unblind(public, encapsulation, asked.r, lie)


def test_a_share_is_of_one_package_and_number(public: RsaPublic) -> None:
    """What is wrapped opens for no other package, number or z."""
    z, _ = encapsulate(public, RANDOM)
    wrapped = wrap_share(z, ID, 1, SHARE)
    other, _ = encapsulate(public, RANDOM)
    for key, package_id, number in ((z, bytes(16), 1), (z, ID, 2), (other, ID, 1)):
        with pytest.raises(AuthenticationError, match=f"share {number} does not open"):
            unwrap_share(key, package_id, number, wrapped)
    with pytest.raises(AuthenticationError):
        unwrap_share(z, ID, 1, wrapped[:-1])


@pytest.mark.parametrize("name", ["0", "1", "n - 1", "n", "short", "long", "p"])
def test_what_hides_nothing_is_not_blinded(public: RsaPublic, name: str) -> None:
    """An encapsulation that is its own power, shares a factor or has another length is refused."""
    n = public.modulus
    bad = {
        "0": public.pack(0),
        "1": public.pack(1),
        "n - 1": public.pack(n - 1),
        "n": public.pack(n),
        "short": bytes(383),
        "long": b"\0" + public.pack(5),
        "p": public.pack(escrow().private.private_numbers().p),
    }[name]
    with pytest.raises(FormatError):
        blind(public, bad, RANDOM)


def test_which_keys_are_taken(public: RsaPublic) -> None:
    """A modulus that is short, long, even or padded, or another exponent, is refused."""
    n = public.pack(public.modulus)
    assert read_public(n, 65_537) == public
    for modulus, exponent in (
        (n[1:], 65_537),
        (b"\0" + n, 65_537),
        (n[:-1] + bytes((n[-1] & 0xFE,)), 65_537),
        (n, 3),
        (n * 3, 65_537),
        (b"", 65_537),
    ):
        with pytest.raises(FormatError, match="escrow's key"):
            read_public(modulus, exponent)


def test_the_name_of_a_key_is_its_thumbprint(public: RsaPublic) -> None:
    """The key's name is what RFC 7638 says, by another program and by hand on the RFC's own key."""
    native = escrow().private.public_key()
    assert RSAKey(native, native).thumbprint() == public.key_id
    canonical = json.dumps({"e": "AQAB", "kty": "RSA", "n": "AQAB"}, separators=(",", ":"))
    expected = hashlib.sha256(canonical.encode()).hexdigest()
    assert base64.urlsafe_b64decode(RsaPublic(65_537).key_id + "=").hex() == expected


def test_secrets_do_not_show(public: RsaPublic) -> None:
    """What stays is in no representation of what leaves."""
    z, encapsulation = encapsulate(public, RANDOM)
    asked = blind(public, encapsulation, RANDOM)
    assert "384 bytes" in repr(asked)
    assert repr(asked.r.reveal()) not in repr(asked)
    assert "384 bytes" in repr(z)
