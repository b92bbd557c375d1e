"""Owns the operations on the registry of devices and senders."""

from collections.abc import Callable

from sealcast.core.errors import FormatError
from sealcast.core.secret import Secret
from sealcast.keyserver import store_principals
from sealcast.keyserver.calls import Call, Reply
from sealcast.keyserver.store_principals import KEY_PAIR, SYMMETRIC, RegistryEntry
from sealcast.keyserver.values import refusal
from sealcast.keyserver.when import iso_time
from sealcast.messages import jose
from sealcast.messages.answers import Done, RegistryList, RegistryRow
from sealcast.messages.encoding import b64url_decode, decode
from sealcast.messages.jwk import OCT_BYTES, Jwk, jose_key
from sealcast.messages.requests import ListRequest, RegisteredKeys, RegistryAddRequest

ID_CHARS_MAX = 128
"""As long as a `kid` may be (`messages.jose`)."""


class RegistryDesk:
    """Registers and lists devices and senders; `is_reserved` tells ids that belong to the server itself."""

    def __init__(self, *, master: Secret, kek: Jwk, is_reserved: Callable[[str], bool]) -> None:
        self._master = master
        self._kek = kek
        self._is_reserved = is_reserved

    def add(self, call: Call, request: RegistryAddRequest) -> Reply:
        """Register a device or sender under the keys sealed to us."""
        _check_id(request.id)
        if self._is_reserved(request.id) or store_principals.role_of(call.connection, request.id):
            raise refusal("exists", f"{request.id} is registered already")
        opened = jose.unseal(request.sealed_keys, self._kek, typ=jose.TYP_SEALED_KEY)
        keys = decode(opened, RegisteredKeys)
        entry = RegistryEntry(request.id, request.role, _kind(request, keys), call.wall_ms)
        store_principals.add(call.connection, entry, keys, self._master)
        call.record("registry-add", f"{request.role} {request.id}")
        return Reply(Done(jti=request.jti))

    def list(self, call: Call, _: ListRequest) -> Reply:
        """Return all registered devices and senders."""
        rows = [
            RegistryRow(
                id=entry.id, role=entry.role, kind=entry.kind, registered_at=iso_time(entry.registered_at_ms)
            )
            for entry in store_principals.entries(call.connection)
        ]
        return Reply(RegistryList(entries=rows))


def _check_id(principal_id: str) -> None:
    if not 0 < len(principal_id) <= ID_CHARS_MAX or not all("!" <= char <= "~" for char in principal_id):
        raise refusal("bad-request", f"an id has 1 to {ID_CHARS_MAX} printable ASCII characters, no spaces")


def _kind(request: RegistryAddRequest, keys: RegisteredKeys) -> str:
    """Check that the keys do for the role and return their kind; raises FormatError if not."""
    kinds = {SYMMETRIC if key.kty == "oct" else KEY_PAIR for key in (keys.signing, keys.kek)}
    if keys.signing.signing_algorithm and keys.kek.sealing_algorithm and len(kinds) > 1:
        raise FormatError("both keys are symmetric, or both are public halves")
    for key in (keys.signing, keys.kek):
        _check_usable(key)
    kind = kinds.pop()
    if request.role == "sender" and kind == SYMMETRIC:
        raise FormatError("a sender signs with a key pair: receivers verify its streams")
    return kind


def _check_usable(key: Jwk) -> None:
    if key.kty != "oct" and key.is_secret:
        raise FormatError("send the public half of a key pair, and keep the private one")
    jose_key(key)
    if key.kty == "oct" and len(b64url_decode(key.k or "")) != OCT_BYTES:
        raise FormatError(f"a symmetric key has {OCT_BYTES} bytes")
