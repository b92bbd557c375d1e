"""Owns the operations on the registry of parties: add, remove, list, and what keys do for which role."""

from collections.abc import Callable, Iterable
from typing import Protocol

import sqlalchemy as sa

from sealcast.core.errors import FormatError
from sealcast.core.ids import ChannelNumber
from sealcast.core.secret import Secret
from sealcast.keyserver import store_certificates, store_identified, store_principals
from sealcast.keyserver.calls import Call, Principal, Reply
from sealcast.keyserver.store_principals import CERTIFICATE, KEY_PAIR, SYMMETRIC, RegistryEntry
from sealcast.keyserver.values import refusal
from sealcast.keyserver.when import iso_time
from sealcast.messages import jose
from sealcast.messages.answers import Done, RegistryList, RegistryRow
from sealcast.messages.encoding import b64url_decode, decode
from sealcast.messages.jwk import OCT_BYTES, Jwk, jose_key
from sealcast.messages.parties import ID_CHARS_MAX, is_id
from sealcast.messages.requests import (
    ListRequest,
    RegisteredKeys,
    RegistryAddRequest,
    RegistryRemoveRequest,
    Role,
)

REASON_REMOVED = "cessationOfOperation"
"""Why the certificates of a removed party are revoked (RFC 5280 §5.3.1)."""


class Channels(Protocol):
    """Puts parties on channels and takes them off: the allow list, and the channels' senders."""

    def named(self, call: Call, role: str, channels: Iterable[str]) -> tuple[ChannelNumber, ...]:
        """Return the numbers of channels; raises a refusal for one that is not, or not for this role."""
        ...

    def start(self, call: Call, party: str, role: str, numbers: Iterable[ChannelNumber], kek: Jwk) -> None:
        """Put a party, whose KEK is `kek`, on live channels."""
        ...

    def end(self, call: Call, party: str) -> None:
        """Take a party off all channels."""
        ...


class SoldDevices(Protocol):
    """Knows which devices were sold, and which the operator itself has named (S0-3)."""

    def check(self, connection: sa.Connection, serial: str) -> None:
        """Raise the refusal `not-sold` for a device that nobody sold, once devices are sold at all."""
        ...

    def vouch(self, connection: sa.Connection, serial: str, now_ms: int) -> None:
        """Note that the operator named this device itself."""
        ...

    def unvouch(self, connection: sa.Connection, serial: str) -> None:
        """Drop what `vouch` noted, for a device that is registered no more; one that was sold stays so."""
        ...


class RegistryDesk:
    """Registers, removes and lists parties.

    `is_reserved` tells ids that nobody may have; `forget` drops what is remembered of a party.
    """

    def __init__(
        self,
        *,
        master: Secret,
        kek: Jwk,
        channels: Channels,
        sold: SoldDevices,
        is_reserved: Callable[[str], bool],
        forget: Callable[[str], None],
    ) -> None:
        self._master = master
        self._kek = kek
        self._channels = channels
        self._sold = sold
        self._is_reserved = is_reserved
        self._forget = forget

    def add(self, call: Call, request: RegistryAddRequest) -> Reply:
        """Register a party under the keys sealed to us, and put it on its channels."""
        opened = jose.unseal(request.sealed_keys, self._kek, typ=jose.TYP_SEALED_KEY)
        keys = decode(opened, RegisteredKeys)
        numbers = self._channels.named(call, request.role, request.channels)
        self.register(call, request.id, request.role, keys, numbers)
        call.record("registry-add", f"{request.role} {request.id}")
        return Reply(Done(jti=request.jti))

    def remove(self, call: Call, request: RegistryRemoveRequest) -> Reply:
        """Make a party nobody: its keys are erased, its channels and certificates end."""
        role = store_principals.role_of(call.connection, request.id)
        if role is None:
            raise refusal("unknown-device", f"no party {request.id[:80]!r} is registered; see: registry list")
        self._channels.end(call, request.id)
        self._sold.unvouch(call.connection, request.id)
        store_certificates.revoke(call.connection, call.wall_ms, REASON_REMOVED, principal_id=request.id)
        store_identified.remove(call.connection, request.id)
        store_principals.remove(call.connection, request.id, call.wall_ms)
        call.record("registry-remove", f"{role} {request.id}")
        self._forget(request.id)
        return Reply(Done(jti=request.jti))

    def list(self, call: Call, _: ListRequest) -> Reply:
        """Return all registered parties."""
        rows = [
            RegistryRow(
                id=entry.id, role=entry.role, kind=entry.kind, registered_at=iso_time(entry.registered_at_ms)
            )
            for entry in store_principals.entries(call.connection)
        ]
        return Reply(RegistryList(entries=rows))

    def register(
        self,
        call: Call,
        party: str,
        role: Role,
        keys: RegisteredKeys,
        numbers: Iterable[ChannelNumber],
        *,
        is_certified: bool = False,
        is_own_choice: bool = False,
    ) -> None:
        """Store a party and put it on its channels; everything is checked before the first write.

        Raises the refusals `bad-request` and `exists`, `not-sold` for a device that nobody sold and that
        chose its id itself (`is_own_choice`), and FormatError for keys that do not do for the role.
        """
        check_id(party)
        self.check_free(call, party)
        kind = check_keys(role, keys)
        if role == "seller" and not is_certified:
            raise FormatError("escrows know a seller by its certificates: invite it, or certify its request")
        if is_certified and kind == SYMMETRIC:
            raise FormatError("only a key pair can be certified")
        if role == "device" and is_own_choice:
            self._sold.check(call.connection, party)
        elif role == "device":
            self._sold.vouch(call.connection, party, call.wall_ms)
        entry = RegistryEntry(party, role, CERTIFICATE if is_certified else kind, call.wall_ms)
        store_principals.add(call.connection, entry, keys, self._master)
        self._channels.start(call, party, role, numbers, keys.kek)
        self._forget(party)

    def register_certified(
        self, call: Call, party: str, role: Role, keys: RegisteredKeys, channels: Iterable[str]
    ) -> None:
        """Do as `register` for a party that is certified, with channels by name."""
        numbers = self._channels.named(call, role, channels)
        self.register(call, party, role, keys, numbers, is_certified=True)

    def find(self, call: Call, party: str) -> Principal | None:
        """Return a registered party with its keys."""
        return store_principals.find(call.connection, party, self._master)

    def is_taken(self, call: Call, party: str) -> bool:
        """Whether an id belongs to somebody."""
        return self._is_reserved(party) or store_principals.role_of(call.connection, party) is not None

    def check_free(self, call: Call, party: str) -> None:
        """Raise the refusal `exists` for an id that belongs to somebody."""
        if self.is_taken(call, party):
            raise refusal("exists", f"{party} is registered already")


def check_id(party: str) -> None:
    """Raise the refusal `bad-request` for what cannot be an id."""
    if not is_id(party):
        raise refusal("bad-request", f"an id has 1 to {ID_CHARS_MAX} printable ASCII characters, no spaces")


def check_keys(role: Role, keys: RegisteredKeys) -> str:
    """Check that keys do for a role and return their kind; raises FormatError if not."""
    kinds = {SYMMETRIC if key.kty == "oct" else KEY_PAIR for key in (keys.signing, keys.kek)}
    if keys.signing.signing_algorithm and keys.kek.sealing_algorithm and len(kinds) > 1:
        raise FormatError("both keys are symmetric, or both are public halves")
    for key in (keys.signing, keys.kek):
        _check_usable(key)
    # Some keys only show in use that they are none: the points of small order of X25519 (RFC 7748 §6.1).
    jose.seal(b"", keys.kek, kid=role, typ=jose.TYP_SEALED_ANSWER)
    kind = kinds.pop()
    if role != "device" and kind == SYMMETRIC:
        raise FormatError(f"a {role} signs with a key pair: only devices may have symmetric keys")
    if role == "sender" and keys.signing.crv != "Ed25519":
        raise FormatError("a sender signs with Ed25519: receivers verify its streams")
    return kind


def _check_usable(key: Jwk) -> None:
    if key.kty != "oct" and key.is_secret:
        raise FormatError("send the public half of a key pair, and keep the private one")
    jose_key(key)
    if key.kty == "oct" and len(b64url_decode(key.k or "")) != OCT_BYTES:
        raise FormatError(f"a symmetric key has {OCT_BYTES} bytes")
