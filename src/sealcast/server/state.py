"""Owns the files of a key server's state directory: made once by `sealcast init`, read at each start.

```
master.key            32 bytes in base64url: everything at rest is wrapped or sealed under it
server.vault          the server's own secrets, sealed under a key derived from master.key
cluster.vault         what it shares with the other servers of a cluster, sealed likewise (`cluster.secrets`)
ca.key     ca.pem     the operator's CA; only `sealcast init` and `ca renew-server` need the key, which may
                      be kept elsewhere (an operator's own CA leaves ca.pem alone here)
tls.key    tls.pem    the server's certificate
operators/NAME.json   public keys of the people who administer it
peers/NAME.json       public keys of other servers that may ask; a reception manager has its key servers here
keyserver.sqlite      the database (made at the first start)
```
The directory is 0700, each file 0600; nothing is ever written over.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from sealcast.core.errors import AuthenticationError, FormatError, UsageError
from sealcast.core.ports import Random
from sealcast.core.secret import Secret
from sealcast.device.files import OTHERS, read_private, replace_private, write_private
from sealcast.device.vault import Credential
from sealcast.messages import jose
from sealcast.messages.encoding import b64url_decode, b64url_encode, decode, encode
from sealcast.messages.jwk import Jwk, new_sealing_pair, new_signing_pair, thumbprint
from sealcast.server.certificates import (
    Issued,
    alone,
    check_can_have_issuer,
    hosts_of,
    make_ca,
    make_issuer,
    make_server_certificate,
    same_certificate,
)
from sealcast.storage.wrapping import derive_key

MASTER_KEY_BYTES = 32
NONCE_KEY_BYTES = 32
VAULT_LABEL = b"sealcast server vault 1"
DIRECTORY_MODE = 0o700
OPERATOR_ID = "operator"
"""The first operator's name among principals; more are added as files."""

MASTER_KEY = "master.key"
SERVER_VAULT = "server.vault"
CLUSTER_VAULT = "cluster.vault"
CA_KEY, CA_PEM = "ca.key", "ca.pem"
TLS_KEY, TLS_PEM = "tls.key", "tls.pem"
OPERATORS = "operators"
PEERS = "peers"
ESCROW = "escrow.json"
DATABASE, ESCROW_DATABASE = "keyserver.sqlite", "escrow.sqlite"
FILES = (MASTER_KEY, SERVER_VAULT, CLUSTER_VAULT, CA_PEM, TLS_KEY, TLS_PEM, OPERATORS, PEERS, ESCROW)


class ServerSecrets(msgspec.Struct, frozen=True, kw_only=True):
    """What the server itself is known by: the content of server.vault."""

    operator: str
    urls: list[str]
    signing: Jwk
    kek: Jwk
    nonce_key: bytes
    issuer_pem: str
    issuer_key: str

    def __repr__(self) -> str:
        return f"ServerSecrets(of {self.operator})"


class OperatorKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file in operators/ or peers/: the public keys of an administrator or of another server."""

    id: str
    signing: Jwk
    kek: Jwk


class EscrowIdentity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What makes a server an escrow: its id, the certificate of its signing key (PEM), who revokes parties.

    `key_servers` are the addresses at which it asks for the list of revoked certificates.
    """

    id: str
    certificate: str
    key_servers: list[str]


@dataclass(frozen=True, slots=True)
class ServerState:
    """All that a running key server reads from its state directory."""

    directory: Path
    operator: str
    urls: tuple[str, ...]
    master_key: Secret
    nonce_key: Secret
    signing: Jwk
    kek: Jwk
    ca_pem: str
    issuer: Issued
    operators: tuple[OperatorKeys, ...]
    peers: tuple[OperatorKeys, ...] = ()
    escrow: EscrowIdentity | None = None

    @property
    def is_manager(self) -> bool:
        """Whether it is a reception manager's: one below which there are no certificates of parties."""
        return not self.issuer.certificate_pem

    @property
    def is_replica(self) -> bool:
        """Whether it is a replica's: one that knows the issuing CA, and has no key of it."""
        return not self.is_manager and not self.issuer.key_pem and self.escrow is None

    @property
    def peer_id(self) -> str:
        """The name under which other servers know this one: by its signing key, so that no two share it."""
        return "server-" + thumbprint(self.signing).hex()[:12]

    @property
    def certificate_path(self) -> Path:
        """PEM file of the server's certificate."""
        return self.directory / TLS_PEM

    @property
    def certificate_key_path(self) -> Path:
        """PEM file of the server certificate's private key."""
        return self.directory / TLS_KEY

    @property
    def database_path(self) -> Path:
        """Where the database stands unless told otherwise."""
        return self.directory / (DATABASE if self.escrow is None else ESCROW_DATABASE)


def create_server_state(
    directory: Path,
    *,
    operator_name: str,
    hosts: tuple[str, ...],
    urls: tuple[str, ...],
    random: Random,
    wall_ns: int,
    own_ca: Issued | None = None,
) -> Credential:
    """Make a key server's state directory and return the first operator's credential, to be kept apart.

    `hosts` are the names and addresses under which devices reach the server (loopback is always among
    them), `urls` its `https://` addresses as grants tell them. `own_ca` is the operator's own CA, in place of
    a fresh one; its key signs here and is not kept. Raises UsageError if any of the files exists, or the CA
    does not do; nothing is changed then.
    """
    _check_names(operator_name, urls)
    check_absent(directory)
    if own_ca is not None:
        check_can_have_issuer(own_ca)
        own_ca = alone(own_ca)
    ca = own_ca or make_ca(operator_name, random, wall_ns)
    issuer = make_issuer(ca, operator_name, random, wall_ns)
    tls = make_server_certificate(ca, hosts, random, wall_ns)
    master = Secret(random.bytes(MASTER_KEY_BYTES))
    secrets = ServerSecrets(
        operator=operator_name,
        urls=list(urls),
        signing=new_signing_pair(random),
        kek=new_sealing_pair(random),
        nonce_key=random.bytes(NONCE_KEY_BYTES),
        issuer_pem=issuer.certificate_pem.decode(),
        issuer_key=issuer.key_pem.decode(),
    )
    credential = _operator_credential(secrets, ca.certificate_pem.decode(), random)
    operator = OperatorKeys(id=OPERATOR_ID, signing=credential.signing.public(), kek=credential.kek.public())
    vault = jose.seal_direct(encode(secrets), vault_key(master), typ=jose.TYP_VAULT)
    make_directory(directory)
    for name, data in (
        (MASTER_KEY, b64url_encode(master.reveal()).encode() + b"\n"),
        (SERVER_VAULT, vault.encode() + b"\n"),
        *([(CA_KEY, ca.key_pem)] if own_ca is None else []),
        (CA_PEM, ca.certificate_pem),
        (TLS_KEY, tls.key_pem),
        (TLS_PEM, tls.certificate_pem),
        (f"{OPERATORS}/{OPERATOR_ID}.json", encode(operator) + b"\n"),
    ):
        write_private(directory / name, data)
    return credential


def load_server_state(directory: Path) -> ServerState:
    """Read a state directory; raises UsageError (absent, readable by others, wrong master key)."""
    if not (directory / MASTER_KEY).exists() and not (directory / SERVER_VAULT).exists():
        raise UsageError(f"{directory} holds no key server; make one with: sealcast init")
    if directory.stat().st_mode & OTHERS:
        raise UsageError(f"{directory} can be read by others: chmod 700 {directory}")
    for needed in (CA_PEM, TLS_KEY, TLS_PEM):
        if not (directory / needed).exists():
            raise UsageError(f"{directory / needed} is missing; restore it from your backup")
    master = _read_master_key(directory / MASTER_KEY)
    secrets = _open_vault(directory, master)
    read_private(directory / TLS_KEY)
    return ServerState(
        directory=directory,
        operator=secrets.operator,
        urls=tuple(secrets.urls),
        master_key=master,
        nonce_key=Secret(secrets.nonce_key),
        signing=secrets.signing,
        kek=secrets.kek,
        ca_pem=(directory / CA_PEM).read_text(),
        issuer=Issued(secrets.issuer_pem.encode(), secrets.issuer_key.encode()),
        operators=tuple(_read_operator(path) for path in sorted((directory / OPERATORS).glob("*.json"))),
        peers=tuple(_read_operator(path) for path in sorted((directory / PEERS).glob("*.json"))),
        escrow=_read_escrow(directory / ESCROW),
    )


def renew_server_certificate(
    directory: Path,
    random: Random,
    wall_ns: int,
    *,
    hosts: tuple[str, ...] = (),
    own_ca: Issued | None = None,
) -> tuple[str, ...]:
    """Replace tls.pem and tls.key by fresh ones for `hosts`, or those of the present ones, and return them.

    The key of the operator's CA is ca.key, unless `own_ca` is given. A running server takes the new ones on
    SIGHUP. Raises UsageError if the CA is not the one that devices pin, or its key is not there.
    """
    ca_pem = (directory / CA_PEM).read_bytes()
    if own_ca is None:
        if not (directory / CA_KEY).exists():
            raise UsageError(f"{directory / CA_KEY} is not here; name the CA with --ca-cert and --ca-key")
        ca = Issued(ca_pem, read_private(directory / CA_KEY))
    else:
        ca = own_ca
        if not same_certificate(ca.certificate_pem, ca_pem):
            raise UsageError(f"this is not the CA of {directory / CA_PEM}, which every device pins")
    names = hosts or hosts_of((directory / TLS_PEM).read_bytes())
    tls = make_server_certificate(ca, names, random, wall_ns)
    for name, data in ((TLS_KEY, tls.key_pem), (TLS_PEM, tls.certificate_pem)):
        replace_private(directory / name, data)
    return names


def _operator_credential(secrets: ServerSecrets, ca_pem: str, random: Random) -> Credential:
    role: Literal["operator"] = "operator"
    return Credential(
        role=role,
        id=OPERATOR_ID,
        operator=secrets.operator,
        signing=new_signing_pair(random),
        kek=new_sealing_pair(random),
        ca_pem=ca_pem,
        servers=secrets.urls,
        server_key=secrets.signing.public(),
        server_kek=secrets.kek.public(),
    )


def _check_names(operator_name: str, urls: tuple[str, ...]) -> None:
    if not operator_name.strip() or not operator_name.isprintable() or len(operator_name) > 64:
        raise UsageError("the operator's name has 1 to 64 printable characters")
    for url in urls:
        if not url.startswith("https://"):
            raise UsageError(f"not an https:// address of this server: {url!r}")


def check_absent(directory: Path) -> None:
    """Refuse, before anything is written, if any of the files is there."""
    for name in (*FILES, CA_KEY, DATABASE, ESCROW_DATABASE):
        if (directory / name).exists():
            raise UsageError(f"{directory / name} exists and is never overwritten; choose another directory")


def make_directory(directory: Path) -> None:
    """Make a state directory, or take an empty place in one that is there; raises UsageError."""
    try:
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        directory.chmod(DIRECTORY_MODE)
        (directory / OPERATORS).mkdir(mode=DIRECTORY_MODE)
    except OSError as error:
        raise UsageError(f"cannot make {directory}: {error.strerror}") from error


def vault_key(master: Secret) -> Jwk:
    """Return the key of server.vault."""
    return Jwk(kty="oct", k=b64url_encode(derive_key(master, VAULT_LABEL).reveal()))


def _read_master_key(path: Path) -> Secret:
    try:
        key = b64url_decode(read_private(path).decode("ascii").strip())
    except (FormatError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a master key; restore it from your backup") from error
    if len(key) != MASTER_KEY_BYTES:
        raise UsageError(
            f"{path} is not a master key of {MASTER_KEY_BYTES} bytes; restore it from your backup"
        )
    return Secret(key)


def _open_vault(directory: Path, master: Secret) -> ServerSecrets:
    path = directory / SERVER_VAULT
    try:
        data = jose.unseal_direct(read_private(path).strip(), vault_key(master), typ=jose.TYP_VAULT)
        return decode(data, ServerSecrets)
    except AuthenticationError as error:
        raise UsageError(
            f"{path} does not open with {directory / MASTER_KEY}: restore the two from the same backup"
        ) from error
    except FormatError as error:
        raise UsageError(f"{path} is not of this version: {error}") from error


def _read_operator(path: Path) -> OperatorKeys:
    try:
        keys = decode(read_private(path), OperatorKeys)
    except FormatError as error:
        raise UsageError(f"{path} holds no public keys of a party: {error}") from error
    if keys.signing.is_secret or keys.kek.is_secret:
        raise UsageError(f"{path} holds secret keys; put the public halves there")
    return keys


def _read_escrow(path: Path) -> EscrowIdentity | None:
    if not path.exists():
        return None
    try:
        return decode(read_private(path), EscrowIdentity)
    except FormatError as error:
        raise UsageError(f"{path} does not say which escrow this is: {error}") from error
