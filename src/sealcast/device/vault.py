"""Owns the vault: a file that holds one party's credential, sealed under a key file beside it.

`NAME.vault` is a JWE (`dir`, A256GCM) of the credential's JSON; `NAME.key` the 32-byte key in base64url.
Both are 0600 and refused if others can read them.
"""

import os
import stat
from pathlib import Path

import msgspec

from sealcast.core.errors import AuthenticationError, SealcastError, UsageError
from sealcast.core.ports import Random
from sealcast.messages import jose
from sealcast.messages.encoding import decode, encode
from sealcast.messages.enrolment import Certificates
from sealcast.messages.jwk import Jwk, new_oct_key
from sealcast.messages.requests import Role

PRIVATE_MODE = 0o600
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """All that a party needs to be known by, and to know, its operator's key servers.

    `signing` signs its requests, `kek` opens answers to it; `server_key` (Ed25519) verifies the servers'
    answers, `server_kek` (X25519) is what secrets are sealed to on their way there; `ca_pem` is the one CA
    that it trusts. `certificates` stand for `signing` and `kek` where the operator's CA certified them.
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

    def __repr__(self) -> str:
        return f"Credential({self.role} {self.id} of {self.operator})"


def key_path(vault: Path) -> Path:
    """Return where the key file of a vault stands unless told otherwise."""
    return vault.with_suffix(".key")


def save_vault(path: Path, credential: Credential, random: Random) -> None:
    """Write a new vault and its key file; raises UsageError, and writes neither, if either exists.

    A path that ends in `.key` is refused: the key file has that name.
    """
    if path == key_path(path):
        raise UsageError(f"{path} is the name of a key file; give the vault another, for instance NAME.vault")
    for taken in (path, key_path(path)):
        if taken.exists():
            raise _never_overwritten(taken)
    key = new_oct_key(random)
    write_private(key_path(path), (key.k or "").encode() + b"\n")
    write_private(path, jose.seal_direct(encode(credential), key, typ=jose.TYP_VAULT).encode() + b"\n")


def load_vault(path: Path) -> Credential:
    """Open a vault; raises UsageError (absent, readable by others, wrong key) with what to do."""
    token = read_private(path).strip()
    if not key_path(path).exists():
        raise UsageError(f"{key_path(path)} is missing: the key file of {path} stands beside it")
    key_text = read_private(key_path(path)).decode(errors="replace").strip()
    try:
        data = jose.unseal_direct(token, Jwk(kty="oct", k=key_text), typ=jose.TYP_VAULT)
        return decode(data, Credential)
    except AuthenticationError as error:
        raise UsageError(
            f"{path} does not open with {key_path(path)}: they belong to different vaults, or one is damaged"
        ) from error
    except SealcastError as error:
        raise UsageError(f"{path} is not a vault of this version: {error}") from error


def write_private(path: Path, data: bytes) -> None:
    """Create a file of mode 0600 durably; raises UsageError if it exists or cannot be written."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
    except FileExistsError as error:
        raise _never_overwritten(path) from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_private(path: Path, data: bytes) -> None:
    """Put a file of mode 0600 in the place of `path` durably, at once: a reader sees the old or the new.

    Raises UsageError if it cannot be written; the old file stands then.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        write_private(new, data)
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def read_private(path: Path) -> bytes:
    """Read a file that nobody else may read; raises UsageError naming the command that mends it."""
    try:
        mode = path.stat().st_mode
        if mode & OTHERS:
            raise UsageError(f"{path} can be read by others: chmod 600 {path}")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def _never_overwritten(path: Path) -> UsageError:
    return UsageError(f"{path} exists and is never overwritten; move it away or choose another name")
