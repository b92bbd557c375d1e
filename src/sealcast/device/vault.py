"""Owns the vault: a file that holds one party's credential, sealed under a key file or a passphrase.

`NAME.vault` is a JWE (`dir`, A256GCM) of the credential's JSON. Its key stands beside it in `NAME.key` (32
bytes in base64url), or follows from a passphrase as the JWE's header says. Files are 0600, and refused if
others can read them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace

from sealcast.core.errors import AuthenticationError, SealcastError, UsageError
from sealcast.core.ports import Random
from sealcast.core.secret import Secret
from sealcast.device.files import (
    never_overwritten,
    overwrite_left,
    read_private,
    replace_and_overwrite,
    replace_private,
    write_private,
)
from sealcast.device.passphrase import Derivation, derivation_of, derive, new_derivation
from sealcast.device.token import PartyKeys, TokenPlace
from sealcast.messages import jose
from sealcast.messages.encoding import decode, encode
from sealcast.messages.enrolment import Certificates
from sealcast.messages.jwk import Jwk, new_oct_key
from sealcast.messages.requests import Role

UNCHANGING = ("role", "id", "operator", "signing", "kek", "ca_pem", "server_key", "server_kek", "token")
"""What a program that runs on a vault keeps until its end; the rest of the vault may change meanwhile."""

PassphraseFor = Callable[[Path], Secret]
"""Gives the passphrase of an existing vault, or raises UsageError with how to give it."""


class Destroyed(msgspec.Struct, frozen=True, kw_only=True):
    """What a device's withdrawal has left of its secrets: no KEK, and `signing` says no signing key either.

    `outbox` is the name of its outbox, which was made from the key (`device.outbox`).
    """

    outbox: str
    signing: bool = False


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """All that a party needs to be known by, and to know, its operator's key servers.

    `signing` signs its requests, `kek` opens answers to it; `server_key` (Ed25519) verifies the servers'
    answers, `server_kek` (X25519) is what secrets are sealed to on their way there; `ca_pem` is the one CA
    that it trusts. `certificates` stand for `signing` and `kek` where the operator's CA certified them. Where
    the keys are in a PKCS#11 token, `token` says which, and the two are public halves (`device.holder`).
    `destroyed` is there once the device withdrew from its last channel.
    """

    role: Role
    id: str
    operator: str
    signing: Jwk
    kek: Jwk
    ca_pem: str
    servers: list[str]
    server_key: Jwk
    server_kek: Jwk
    certificates: Certificates | None = None
    token: TokenPlace | None = None
    destroyed: Destroyed | None = None

    def __repr__(self) -> str:
        return f"Credential({self.role} {self.id} of {self.operator})"


@dataclass(frozen=True, slots=True)
class Vault:
    """An open vault: the file, what it holds, and the key under which it is written again.

    `keys` are those of an open token, where the credential names one; else None.
    """

    path: Path
    credential: Credential
    key: Jwk
    derivation: Derivation | None
    keys: PartyKeys | None = None

    def __repr__(self) -> str:
        return f"Vault({self.path} of {self.credential!r})"

    @property
    def has_passphrase(self) -> bool:
        """Whether it opens with a passphrase, not with a key file."""
        return self.derivation is not None

    def keep(self, credential: Credential) -> None:
        """Put `credential` in the place of what the file holds, at once and durably; raises UsageError."""
        replace_private(self.path, _sealed(credential, self.key, self.derivation))

    def keep_certificates(self, renewed: Credential) -> None:
        """Put the certificates of `renewed` into the file, and leave all else there as it is by now."""
        self.keep(replace(self.reopen().credential, certificates=renewed.certificates))

    def destroy(self, destroyed: Destroyed) -> "Vault":
        """Take the KEK, and with `destroyed.signing` the signing key, out of the file for good.

        Public halves stay. The old bytes are overwritten as far as the file system lets us; done again, this
        finishes what was interrupted. Raises UsageError where it cannot write.
        """
        kept = self.credential
        left = replace(
            kept,
            kek=_public_part(kept.kek),
            signing=_public_part(kept.signing) if destroyed.signing else kept.signing,
            destroyed=destroyed,
        )
        if left == kept:
            overwrite_left(self.path)
        else:
            replace_and_overwrite(self.path, _sealed(left, self.key, self.derivation))
        return Vault(self.path, left, self.key, self.derivation, self.keys)

    def reopen(self) -> "Vault":
        """Return what the file holds by now, under the same key; no passphrase is asked for again.

        Raises UsageError if it is another party's, or sealed under another key or passphrase.
        """
        token = read_private(self.path).strip()
        try:
            credential = decode(jose.unseal_direct(token, self.key, typ=jose.TYP_VAULT), Credential)
        except SealcastError as error:
            raise UsageError(f"{self.path} does not open as before: restart the program") from error
        for name in UNCHANGING:
            if getattr(credential, name) != getattr(self.credential, name):
                raise UsageError(f"{self.path} is another party's by now ({name}): restart the program")
        return Vault(self.path, credential, self.key, self.derivation, self.keys)


def key_path(vault: Path) -> Path:
    """Return where the key file of a vault stands unless told otherwise."""
    return vault.with_suffix(".key")


def save_vault(path: Path, credential: Credential, random: Random) -> None:
    """Write a new vault and its key file; raises UsageError, and writes neither, if either exists.

    A path that ends in `.key` is refused: the key file has that name.
    """
    new_vault(path, credential, random)


def new_vault(
    path: Path, credential: Credential, random: Random, *, passphrase: Secret | None = None
) -> Vault:
    """Write a new vault, under `passphrase` or else a key file; raises UsageError as `save_vault`."""
    if path == key_path(path):
        raise UsageError(f"{path} is the name of a key file; give the vault another, for instance NAME.vault")
    for taken in (path, key_path(path)):
        if taken.exists():
            raise never_overwritten(taken)
    if passphrase is None:
        vault = Vault(path, credential, new_oct_key(random), None)
        write_private(key_path(path), (vault.key.k or "").encode() + b"\n")
    else:
        how = new_derivation(random)
        vault = Vault(path, credential, derive(passphrase, how), how)
    try:
        write_private(path, _sealed(credential, vault.key, vault.derivation))
    except UsageError:
        if passphrase is None:
            key_path(path).unlink(missing_ok=True)
        raise
    return vault


def remove_vault(path: Path) -> None:
    """Delete a vault that this program has just made, and its key file if it has one."""
    path.unlink(missing_ok=True)
    key_path(path).unlink(missing_ok=True)


def load_vault(path: Path, passphrase_for: PassphraseFor | None = None) -> Credential:
    """Return what a vault holds; raises UsageError as `open_vault`."""
    return open_vault(path, passphrase_for).credential


def open_vault(
    path: Path, passphrase_for: PassphraseFor | None = None, *, allow_destroyed: bool = False
) -> Vault:
    """Open a vault of either kind; raises UsageError (absent, readable by others, wrong key) with what to do.

    `passphrase_for` is asked only if the vault is sealed under a passphrase. One whose keys a withdrawal has
    destroyed is refused, unless `allow_destroyed`.
    """
    token = read_private(path).strip()
    try:
        how = derivation_of(token)
    except SealcastError as error:
        raise UsageError(f"{path} is not a vault of this version: {error}") from error
    if how is None:
        key, failure = _key_in_file(path), f"with {key_path(path)}: they belong to different vaults, or one"
    elif passphrase_for is None:
        raise UsageError(f"{path} is sealed under a passphrase, and none is given")
    else:
        key, failure = derive(passphrase_for(path), how), "with this passphrase: it is wrong, or the file"
    try:
        credential = decode(jose.unseal_direct(token, key, typ=jose.TYP_VAULT), Credential)
    except AuthenticationError as error:
        raise UsageError(f"{path} does not open {failure} is damaged") from error
    except SealcastError as error:
        raise UsageError(f"{path} is not a vault of this version: {error}") from error
    if credential.destroyed is not None and not allow_destroyed:
        raise _withdrawn(path, credential, is_over=credential.destroyed.signing)
    return Vault(path, credential, key, how)


def _withdrawn(path: Path, credential: Credential, *, is_over: bool) -> UsageError:
    """Return the complaint about a vault whose secrets are destroyed."""
    who = f"{path} opens nothing any more: {credential.id} has withdrawn from {credential.operator}"
    if is_over:
        return UsageError(
            f"{who} and its keys are destroyed; to come back, enrol with a new invitation and --output"
        )
    return UsageError(
        f"{who}, its KEK is destroyed and the receipt is to come; type: sealcast withdraw --all"
    )


def _public_part(key: Jwk) -> Jwk:
    """Return what may stay of a destroyed key: the public half, of a symmetric key nothing."""
    return Jwk(kty="oct") if key.kty == "oct" else key.public()


def _key_in_file(path: Path) -> Jwk:
    if not key_path(path).exists():
        raise UsageError(f"{key_path(path)} is missing: the key file of {path} stands beside it")
    return Jwk(kty="oct", k=read_private(key_path(path)).decode(errors="replace").strip())


def _sealed(credential: Credential, key: Jwk, how: Derivation | None) -> bytes:
    token = jose.seal_direct(
        encode(credential), key, typ=jose.TYP_VAULT, derivation=how.as_header() if how is not None else None
    )
    return token.encode() + b"\n"
