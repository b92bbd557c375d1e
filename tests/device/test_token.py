"""Shows that a device's keys can be made in a PKCS#11 token, work there, and never leave it."""

import os
from collections.abc import Iterator

import pkcs11
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from msgspec.structs import replace

from device.credentials import CREDENTIAL
from device.softhsm import MODULE, PIN, VARIABLE, make_token
from sealcast.core.errors import AuthenticationError, LocalError, UsageError
from sealcast.core.secret import Secret
from sealcast.device.csr import make_csr
from sealcast.device.holder import keys_of
from sealcast.device.token import TokenKeys, make_keys, open_keys, parse_token_uri
from sealcast.messages import jose
from sealcast.messages.jwk import native_private_key
from sealcast.transport.system import SystemRandom

GOOD_PIN = Secret(PIN.encode())


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URI of a fresh token."""
    before = os.environ.get(VARIABLE)
    yield make_token(tmp_path_factory.mktemp("softhsm"), "TV")
    if before is None:
        del os.environ[VARIABLE]
    else:
        os.environ[VARIABLE] = before


@pytest.fixture
def token(uri: str) -> Iterator[TokenKeys]:
    """Return fresh keys in the token, which nobody has open else."""
    keys = make_keys(parse_token_uri(uri), GOOD_PIN, SystemRandom())
    yield keys
    keys.close()


def test_signs_and_unseals_as_any_key(token: TokenKeys) -> None:
    """What the token signs verifies with its public half; what is sealed to that opens with the token."""
    signed = jose.sign(b"a request", token.signing, kid="TV-1", typ=jose.TYP_REQUEST)
    assert jose.verify(signed, token.signing.public(), typ=jose.TYP_REQUEST) == b"a request"
    sealed = jose.seal(b"an answer", token.kek.public(), kid="TV-1", typ=jose.TYP_SEALED_ANSWER)
    assert jose.unseal(sealed, token.kek, typ=jose.TYP_SEALED_ANSWER) == b"an answer"


def test_certificate_request_by_the_token(token: TokenKeys) -> None:
    """A CSR is signed inside the token and is for its public half."""
    request = x509.load_pem_x509_csr(make_csr(token.signing).encode())
    assert request.is_signature_valid
    held = native_private_key(token.signing)
    assert request.public_key() == held.public_key()


def test_keys_never_leave(token: TokenKeys) -> None:
    """Neither our object nor the token itself gives a private key away: sensitive, never extractable."""
    held = native_private_key(token.kek)
    assert isinstance(held, ec.EllipticCurvePrivateKey)
    with pytest.raises(LocalError, match="never leaves"):
        held.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(LocalError, match="never leaves"):
        held.private_numbers()
    private = list(token._session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY}))
    assert len(private) >= 2
    for key in private:
        assert key[pkcs11.Attribute.SENSITIVE]
        assert key[pkcs11.Attribute.ALWAYS_SENSITIVE]
        assert key[pkcs11.Attribute.NEVER_EXTRACTABLE]
        with pytest.raises(pkcs11.exceptions.PKCS11Error):
            _ = key[pkcs11.Attribute.VALUE]


def test_two_devices_in_one_token(uri: str, token: TokenKeys) -> None:
    """Each device finds its own keys, by the id in its vault, also after the session was closed."""
    other = make_keys(parse_token_uri(uri), GOOD_PIN, SystemRandom())
    other.close()
    again = open_keys(other.place, GOOD_PIN)
    assert again.signing.public() == other.signing.public() != token.signing.public()
    assert again.kek.public() == other.kek.public() != again.signing.public()


def test_destroyed_for_good(uri: str) -> None:
    """A destroyed KEK opens nothing more while the signing key still signs; without both nothing is found."""
    keys = make_keys(parse_token_uri(uri), GOOD_PIN, SystemRandom())
    sealed = jose.seal(b"a key", keys.kek.public(), kid="TV-1", typ=jose.TYP_SEALED_ANSWER)
    keys.destroy(kek=True, signing=False)
    with pytest.raises(AuthenticationError, match="does not open"):
        jose.unseal(sealed, keys.kek, typ=jose.TYP_SEALED_ANSWER)
    assert jose.sign(b"a receipt?", keys.signing, kid="TV-1", typ=jose.TYP_REQUEST)
    keys.destroy(kek=True, signing=True)
    keys.close()
    with pytest.raises(UsageError, match="does not hold the keys"):
        open_keys(keys.place, GOOD_PIN)


def test_wrong_pin(token: TokenKeys) -> None:
    """A wrong PIN is one clear line."""
    token.close()
    with pytest.raises(UsageError, match="does not take this PIN"):
        open_keys(token.place, Secret(b"0000"))


@pytest.mark.usefixtures("uri")
def test_no_such_token_or_module() -> None:
    """A token that is not plugged in, and a module that is none, are told apart."""
    with pytest.raises(UsageError, match="no token GONE"):
        make_keys(parse_token_uri(f"pkcs11:token=GONE?module-path={MODULE}"), GOOD_PIN, SystemRandom())
    with pytest.raises(UsageError, match="not a PKCS#11 module"):
        make_keys(parse_token_uri("pkcs11:token=TV?module-path=/no/such.so"), GOOD_PIN, SystemRandom())


def test_vault_of_another_token(token: TokenKeys) -> None:
    """A vault goes with the keys that it was made for, and needs a PIN to be given."""
    credential = replace(
        CREDENTIAL,
        signing=token.signing.public(),
        kek=token.kek.public(),
        token=token.place,
    )
    assert keys_of(credential, lambda _: GOOD_PIN).signing.public() == token.signing.public()
    with pytest.raises(UsageError, match="no PIN is given"):
        keys_of(credential)
    with pytest.raises(UsageError, match="other keys"):
        keys_of(replace(credential, kek=token.signing.public()), lambda _: GOOD_PIN)


@pytest.mark.parametrize(
    "text",
    [
        "token=TV?module-path=/m.so",
        "pkcs11:token=TV",
        "pkcs11:?module-path=/m.so",
        "pkcs11:token=TV;slot-id=1?module-path=/m.so",
    ],
)
def test_no_such_uri(text: str) -> None:
    """A URI without a module or a token, or with what is not used, is refused with an example."""
    with pytest.raises(UsageError, match="RFC 7512"):
        parse_token_uri(text)


def test_uri_with_escapes() -> None:
    """Percent-encoded labels and serial numbers are read."""
    place = parse_token_uri("pkcs11:token=My%20TV;serial=ab12?module-path=/a%2Fb.so")
    assert (place.label, place.serial, place.module) == ("My TV", "ab12", "/a/b.so")
