"""Owns the device that an agent holds: its vault or token, looked for at each use, let go of when it is gone.

```
attached ── vault file, its key file or the token is gone ──► detached: keys dropped, every use refused
detached ── they are back, with the same device in them ──► attached
```
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from sealcast.core.errors import RefusedError, SealcastError, UsageError
from sealcast.device.certified import check_certificates
from sealcast.device.token import PartyKeys, TokenPlace, look_again
from sealcast.device.vault import Credential, Vault, key_path
from sealcast.messages.enrolment import Certificates
from sealcast.messages.jwk import Jwk

DETACHED = "detached"
Opener = Callable[[], Vault]
"""Opens the vault, and the token that it names; raises UsageError. Called again when the device is back."""

log = structlog.get_logger("sealcast.agent")


@dataclass(frozen=True, slots=True)
class Held:
    """The device, while it is there; certificates as its vault has them now."""

    credential: Credential
    keys: PartyKeys
    certificates: Certificates

    def __repr__(self) -> str:
        return f"Held({self.credential!r})"


class Holding:
    """Holds one device for an agent. Not for several threads at once: the agent's desk has a lock."""

    def __init__(self, opener: Opener) -> None:
        """Open the device; raises UsageError for one that cannot buy (another role, no certified pairs)."""
        self._opener = opener
        self._held: Held | None = None
        self._stamp: tuple[object, ...] | None = None
        self._token: TokenPlace | None = None
        vault = opener()
        self._paths = _paths(vault)
        self._identity = _identity(vault.credential)
        self._take(vault)

    @property
    def is_held(self) -> bool:
        """Whether the device was there when it was last looked for."""
        return self._held is not None

    def is_in_place(self) -> bool:
        """Whether its files stand where they stood: 5 µs, and nothing is changed; of a token, no word."""
        return self._held is not None and all(path.exists() for path in self._paths)

    def look(self) -> bool:
        """Look for the device, let go of it if it is gone or take it again; return whether it is there."""
        try:
            self.present()
        except RefusedError:
            return False
        return True

    def present(self) -> Held:
        """Return the device; raises RefusedError `detached` where it is not there.

        Costs 7 µs for a vault, 0.5 ms for a token; as much as opening it where the vault has changed.
        """
        stamp = _stamp(self._paths)
        token = self._held.keys.token if self._held is not None else None
        if stamp is None or (token is not None and not token.is_there()):
            self._let_go()
            raise RefusedError(DETACHED, f"the device is not there: {self._paths[0]} or its token is gone")
        if self._held is None or stamp != self._stamp:
            self._let_go(quietly=self._held is not None)
            self._take(self._open_again())
        if self._held is None:
            raise RefusedError(DETACHED, "the device is not there")
        return self._held

    def close(self) -> None:
        """Let go of the device; it may be taken again."""
        self._let_go(quietly=True)

    def _open_again(self) -> Vault:
        try:
            if self._token is not None:
                look_again(self._token)
            vault = self._opener()
        except SealcastError as error:
            raise RefusedError(DETACHED, f"the device does not open again: {error}") from error
        if _identity(vault.credential) != self._identity:
            raise RefusedError(DETACHED, f"{self._paths[0]} is another device's by now")
        return vault

    def _take(self, vault: Vault) -> None:
        credential = vault.credential
        if credential.role != "device" or credential.certificates is None:
            raise UsageError(
                f"{vault.path} is of a {credential.role} that cannot buy: it takes a device with certified"
                " key pairs, as sealcast enrol makes it (--keys ed25519 or p256)"
            )
        check_certificates(credential.certificates, credential)
        keys = vault.keys or PartyKeys(credential.signing, credential.kek)
        self._stamp, self._token = _stamp(self._paths), credential.token
        self._held = Held(credential, keys, credential.certificates)

    def _let_go(self, *, quietly: bool = False) -> None:
        held, self._held = self._held, None
        if held is not None:
            if held.keys.token is not None:
                held.keys.token.close()
            if not quietly:
                log.warning("the device is gone: nothing opens until it is back", device=held.credential.id)


def _paths(vault: Vault) -> tuple[Path, ...]:
    """Return the files without which the device is not there."""
    return (vault.path,) if vault.has_passphrase else (vault.path, key_path(vault.path))


def _stamp(paths: tuple[Path, ...]) -> tuple[object, ...] | None:
    """Return what changes when a file is replaced; None if one is gone."""
    try:
        found = [path.stat() for path in paths]
    except OSError:
        return None
    return tuple((each.st_ino, each.st_dev, each.st_mtime_ns, each.st_size) for each in found)


def _identity(credential: Credential) -> tuple[str, str, Jwk, Jwk]:
    """Return who a device is, without anything secret; a symmetric key has no public half."""
    if credential.signing.kty == "oct" or credential.kek.kty == "oct":
        raise UsageError(
            f"{credential.id} has symmetric keys and cannot buy: enrol with --keys ed25519 or p256"
        )
    return credential.operator, credential.id, credential.signing.public(), credential.kek.public()
