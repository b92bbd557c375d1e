"""Owns keys in a PKCS#11 token: made inside it, used inside it, never leaving it, destroyed on withdrawal.

A token device has two P-256 pairs, one to sign (ES256) and one that answers are sealed to (ECDH-ES). The
vault beside it holds their public halves and says where they are. Objects of one device share a CKA_ID of 8
random bytes; PKCS #11 v3.0 §4.9 (CKA_SENSITIVE, CKA_EXTRACTABLE).
"""

import contextlib
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from sealcast.core.errors import LocalError, UsageError
from sealcast.core.ports import Random
from sealcast.core.secret import Secret
from sealcast.device.heldkeys import KeptEcKey, der_signature
from sealcast.messages.jwk import EC_COORDINATE_BYTES, HeldPair, Jwk, jwk_of, native_public_key

if TYPE_CHECKING:
    import pkcs11

SIGNING_LABEL, KEK_LABEL = "sealcast signing", "sealcast kek"
ID_BYTES = 8
HOW_TO_NAME = "write for instance pkcs11:token=TV?module-path=/usr/lib/softhsm/libsofthsm2.so (RFC 7512)"


class TokenPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a device's keys are: PKCS#11 module, the token's serial number and label, the objects' id."""

    module: str
    serial: str
    label: str
    id: str = ""


class TokenKeys:
    """The two pairs of a device in an open token. Calling order: `make_keys` or `open_keys`, use, `close`.

    About 0.4 ms a signature and 1.3 ms an agreement in SoftHSM2. Not for several threads at once.
    """

    def __init__(
        self, place: TokenPlace, session: "pkcs11.Session", signing: HeldPair, kek: HeldPair
    ) -> None:
        self.place = place
        self._session = session
        self.signing, self.kek = signing, kek

    def __repr__(self) -> str:
        return f"TokenKeys({self.place.label} {self.place.id})"

    def is_there(self) -> bool:
        """Whether the token is plugged in and holds the private KEK still; 0.5 ms in SoftHSM2."""
        library = _library()
        try:
            self._session.get_key(
                object_class=library.ObjectClass.PRIVATE_KEY,
                label=KEK_LABEL,
                id=bytes.fromhex(self.place.id),
            )
        except library.exceptions.PKCS11Error:
            return False
        return True

    def destroy(self, *, kek: bool, signing: bool) -> None:
        """Destroy private keys in the token, for good; those that are gone already are no error.

        Raises LocalError if the token does not do it.
        """
        for label, wanted in ((KEK_LABEL, kek), (SIGNING_LABEL, signing)):
            if wanted:
                _destroy(self._session, label, bytes.fromhex(self.place.id))

    def close(self) -> None:
        """End the session; the keys stay in the token. May be called again."""
        with contextlib.suppress(_library().exceptions.SessionHandleInvalid):
            self._session.close()


@dataclass(frozen=True, slots=True)
class PartyKeys:
    """What a party signs with and what answers are sealed to; `token` is the open token that holds them."""

    signing: Jwk | HeldPair
    kek: Jwk | HeldPair
    token: TokenKeys | None = None


def parse_token_uri(text: str) -> TokenPlace:
    """Read a PKCS#11 URI (RFC 7512): `token` or `serial`, and `module-path`; raises UsageError."""
    path, _, query = text.removeprefix("pkcs11:").partition("?")
    pairs = [part.partition("=") for part in path.split(";") if part] + [
        part.partition("=") for part in query.split("&") if part
    ]
    found = {name: unquote(value) for name, _, value in pairs}
    if not text.startswith("pkcs11:") or "module-path" not in found:
        raise UsageError(f"not a PKCS#11 URI with a module-path: {text!r}; {HOW_TO_NAME}")
    if unknown := set(found) - {"token", "serial", "module-path"}:
        raise UsageError(f"{', '.join(sorted(unknown))} in a PKCS#11 URI is not used here; {HOW_TO_NAME}")
    if not found.get("token") and not found.get("serial"):
        raise UsageError(f"the PKCS#11 URI names no token; {HOW_TO_NAME}")
    return TokenPlace(
        module=found["module-path"], serial=found.get("serial", ""), label=found.get("token", "")
    )


def make_keys(place: TokenPlace, pin: Secret, random: Random) -> TokenKeys:
    """Make a device's two pairs inside a token; raises UsageError (no module, no token, wrong PIN, full)."""
    library = _library()
    session, token = _open(place, pin)
    id_ = random.bytes(ID_BYTES)
    found = TokenPlace(module=place.module, serial=_serial(token), label=token.label, id=id_.hex())
    flags = library.MechanismFlag
    try:
        for label, use in ((SIGNING_LABEL, flags.SIGN | flags.VERIFY), (KEK_LABEL, flags.DERIVE)):
            _generate(session, label, id_, use)
        return TokenKeys(found, session, _pair(session, SIGNING_LABEL, id_), _pair(session, KEK_LABEL, id_))
    except library.exceptions.PKCS11Error as error:
        session.close()
        raise UsageError(f"the token {token.label} makes no P-256 keys: {_reason(error)}") from error


def open_keys(place: TokenPlace, pin: Secret) -> TokenKeys:
    """Open a device's keys in its token; raises UsageError (not plugged in, wrong PIN, keys destroyed)."""
    session, token = _open(place, pin)
    id_ = bytes.fromhex(place.id)
    try:
        return TokenKeys(place, session, _pair(session, SIGNING_LABEL, id_), _pair(session, KEK_LABEL, id_))
    except _library().exceptions.PKCS11Error as error:
        session.close()
        raise UsageError(
            f"the token {token.label} does not hold the keys {place.id} any more: {_reason(error)}"
        ) from error


def look_again(place: TokenPlace) -> None:
    """Have a module find its tokens anew: many see one that was plugged in again only then.

    All its sessions in this process end. Raises UsageError.
    """
    library = _library()
    try:
        library.lib(place.module).reinitialize()
    except (library.exceptions.PKCS11Error, OSError, RuntimeError) as error:
        raise UsageError(
            f"the module {place.module} finds no token: {_reason(error)}; is it plugged in?"
        ) from error


def open_left_keys(place: TokenPlace, pin: Secret, signing: Jwk, kek: Jwk) -> TokenKeys:
    """Open what a withdrawal has left of a device's keys, whose public halves are given; raises UsageError.

    A key that is destroyed raises LocalError when it is used; `destroy` finishes what was interrupted.
    """
    session, _ = _open(place, pin)
    id_, missing = bytes.fromhex(place.id), _library().exceptions.NoSuchKey
    pairs = []
    for label, jwk in ((SIGNING_LABEL, signing), (KEK_LABEL, kek)):
        try:
            pairs.append(_pair(session, label, id_))
        except missing:
            public = native_public_key(jwk)
            if not isinstance(public, ec.EllipticCurvePublicKey):
                session.close()
                raise UsageError("the vault's public keys are not those of a token") from None
            pairs.append(HeldPair(jwk, _HeldKey(_Gone(), public)))
    return TokenKeys(place, session, pairs[0], pairs[1])


def open_session(place: TokenPlace, pin: Secret) -> "pkcs11.Session":
    """Open a session for keys of another kind than a device's; raises UsageError as `open_keys`."""
    session: pkcs11.Session = _open(place, pin)[0]
    return session


class _Gone:
    """Stands in the place of a private key that was destroyed in the token."""

    def __getattr__(self, name: str) -> NoReturn:
        raise LocalError("this key was destroyed in its token")


class _HeldKey(KeptEcKey):
    """A private key whose work is done in the token."""

    place = "its token"

    def __init__(self, object_: Any, public: ec.EllipticCurvePublicKey) -> None:  # noqa: ANN401 - untyped library
        super().__init__(public)
        self._object = object_

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:  # noqa: ANN401
        """Return ECDSA over SHA-256 as DER (FIPS 186-5 §6)."""
        _ = signature_algorithm
        library = _library()
        digest = hashlib.sha256(data).digest()
        return der_signature(self._ask(lambda: self._object.sign(digest, mechanism=library.Mechanism.ECDSA)))

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """Return the agreed secret; it alone leaves the token, for one message (SP 800-56A §5.7.1.2)."""
        _ = algorithm
        library = _library()
        numbers = peer_public_key.public_numbers()
        size = EC_COORDINATE_BYTES
        point = b"\x04" + numbers.x.to_bytes(size, "big") + numbers.y.to_bytes(size, "big")
        attribute = library.Attribute
        template = {attribute.SENSITIVE: False, attribute.EXTRACTABLE: True, attribute.TOKEN: False}

        def agree() -> bytes:
            derived = self._object.derive_key(
                library.KeyType.GENERIC_SECRET,
                size * 8,
                mechanism_param=(library.KDF.NULL, None, point),
                template=template,
            )
            return bytes(derived[attribute.VALUE])

        return self._ask(agree)

    def _ask(self, work: Any) -> bytes:  # noqa: ANN401 - a call into an untyped library
        try:
            return bytes(work())
        except _library().exceptions.PKCS11Error as error:
            raise LocalError(
                f"the token does not do its work: {_reason(error)}; is it plugged in?"
            ) from error


def _library() -> Any:  # noqa: ANN401 - untyped library
    try:
        import pkcs11  # noqa: PLC0415 - an extra that only token devices need
        import pkcs11.util.ec  # noqa: PLC0415 - as above
    except ImportError as error:
        raise UsageError("for PKCS#11 tokens: pip install 'sealcast[pkcs11]'") from error
    return pkcs11


def _open(place: TokenPlace, pin: Secret) -> tuple[Any, Any]:
    library = _library()
    try:
        module = library.lib(place.module)
    except (library.exceptions.PKCS11Error, OSError, RuntimeError) as error:
        raise UsageError(f"not a PKCS#11 module: {place.module}: {_reason(error)}") from error
    try:
        token = _find(module, place)
        try:
            return token.open(user_pin=pin.reveal().decode(), rw=True), token
        except library.exceptions.UserAlreadyLoggedIn:
            # A program is logged in with all its sessions or none (PKCS #11 v3.0 §5.6.8).
            return token.open(rw=True), token
    except (
        library.exceptions.PinIncorrect,
        library.exceptions.PinLenRange,
        library.exceptions.PinInvalid,
    ) as error:
        raise UsageError(f"the token {place.label or place.serial} does not take this PIN") from error
    except library.exceptions.PinLocked as error:
        raise UsageError(
            f"the token {place.label or place.serial} is locked after too many wrong PINs"
        ) from error
    except library.exceptions.PKCS11Error as error:
        raise UsageError(f"{place.module} does not open the token: {_reason(error)}") from error


def _find(module: Any, place: TokenPlace) -> Any:  # noqa: ANN401 - untyped library
    """Return the one token of that serial number, or label; raises UsageError."""
    found = [
        token
        for token in module.get_tokens()
        if (_serial(token) == place.serial if place.serial else token.label == place.label)
    ]
    if not found:
        raise UsageError(
            f"there is no token {place.label or place.serial} at {place.module}: is it plugged in?"
        )
    if len(found) > 1:
        raise UsageError(f"{len(found)} tokens are named {place.label}; name one by its serial number")
    return found[0]


def _serial(token: Any) -> str:  # noqa: ANN401 - untyped library
    serial = token.serial
    return (serial.decode("ascii", "replace") if isinstance(serial, bytes) else str(serial)).strip()


def _generate(session: Any, label: str, id_: bytes, use: Any) -> None:  # noqa: ANN401 - untyped library
    library = _library()
    attribute = library.Attribute
    curve = {attribute.EC_PARAMS: library.util.ec.encode_named_curve_parameters("secp256r1")}
    parameters = session.create_domain_parameters(library.KeyType.EC, curve, local=True)
    parameters.generate_keypair(
        store=True,
        label=label,
        id=id_,
        capabilities=use,
        private_template={attribute.SENSITIVE: True, attribute.EXTRACTABLE: False},
    )


def _pair(session: Any, label: str, id_: bytes) -> HeldPair:  # noqa: ANN401 - untyped library
    library = _library()
    private = session.get_key(object_class=library.ObjectClass.PRIVATE_KEY, label=label, id=id_)
    public = session.get_key(object_class=library.ObjectClass.PUBLIC_KEY, label=label, id=id_)
    native = load_der_public_key(library.util.ec.encode_ec_public_key(public))
    if not isinstance(native, ec.EllipticCurvePublicKey):
        raise UsageError("the token's keys are not on P-256")
    jwk: Jwk = jwk_of(native)
    return HeldPair(jwk, _HeldKey(private, native))


def _destroy(session: Any, label: str, id_: bytes) -> None:  # noqa: ANN401 - untyped library
    library = _library()
    attribute = library.Attribute
    try:
        for class_ in (library.ObjectClass.PRIVATE_KEY, library.ObjectClass.PUBLIC_KEY):
            template = {attribute.CLASS: class_, attribute.LABEL: label, attribute.ID: id_}
            for object_ in list(session.get_objects(template)):
                object_.destroy()
    except library.exceptions.PKCS11Error as error:
        raise LocalError(f"the token does not destroy its keys: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return a library's error in a few words: it often has no text but its name."""
    return str(error) or type(error).__name__
