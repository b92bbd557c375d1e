"""Owns what the servers of a cluster have in common, and how the state directory of another one is made.

```
cluster.vault  sealed under a key derived from master.key, beside server.vault:
    name           of this server, on the bus and in journals
    cluster_key    32 bytes: what is on the bus is sealed under it
    publisher      signs what a master publishes: the pair at masters, its public half at replicas
```
All servers sign answers and open requests with the same keys, and take one another's nonces. A second master
has the first one's master key, because they open the same database. A replica has a master key and a database
of its own, and no issuing CA: it certifies nobody.
"""

import string
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from sealcast.core.errors import AuthenticationError, FormatError, UsageError
from sealcast.core.ports import Random
from sealcast.core.secret import Secret
from sealcast.device.files import read_private, write_private
from sealcast.messages import jose
from sealcast.messages.encoding import b64url_encode, decode, encode
from sealcast.messages.jwk import Jwk, new_signing_pair
from sealcast.server.certificates import Issued, make_server_certificate, same_certificate
from sealcast.server.state import (
    CA_KEY,
    CA_PEM,
    CLUSTER_VAULT,
    MASTER_KEY,
    MASTER_KEY_BYTES,
    OPERATORS,
    PEERS,
    SERVER_VAULT,
    TLS_KEY,
    TLS_PEM,
    ServerSecrets,
    ServerState,
    check_absent,
    load_server_state,
    make_directory,
    vault_key,
)
from sealcast.server.state_reception import check_is_key_server
from sealcast.storage.wrapping import derive_key

ClusterRole = Literal["master", "replica"]

CLUSTER_KEY_BYTES = 32
CLUSTER_LABEL = b"sealcast cluster vault 1"
FIRST_NAME = "master"
"""The name of a cluster's first server, unless it is given another."""

NAME_CHARS_MAX = 64
NAME_CHARS = frozenset(string.ascii_letters + string.digits + "-_")
"""Of these the names of servers are made: they are parts of names on the bus, where others have a meaning."""


class ClusterSecrets(msgspec.Struct, frozen=True, kw_only=True):
    """The content of cluster.vault."""

    name: str
    cluster_key: bytes
    publisher: Jwk

    def __repr__(self) -> str:
        return f"ClusterSecrets(of {self.name})"

    @property
    def may_publish(self) -> bool:
        """Whether it is a master's."""
        return self.publisher.is_secret


@dataclass(frozen=True, slots=True)
class NewServer:
    """A server that joins: `hosts` are its names and addresses, `urls` its `https://` addresses."""

    role: ClusterRole
    name: str
    hosts: tuple[str, ...]
    urls: tuple[str, ...]


def load_cluster_secrets(state: ServerState, role: ClusterRole) -> ClusterSecrets:
    """Read the cluster.vault of a state directory; raises UsageError, also if it is not one of that role."""
    path = state.directory / CLUSTER_VAULT
    if not path.exists():
        raise UsageError(f"{path} is missing: this server is not of a cluster; see: sealcast cluster add")
    secrets = _open(path, state.master_key)
    if role == "master" and not secrets.may_publish:
        raise UsageError(f"{state.directory} is a replica's: sealcast serve keyserver --role replica")
    if role == "replica" and not state.is_replica:
        raise UsageError(f"{state.directory} is a master's: sealcast serve keyserver --role master")
    return secrets


def found_cluster(state: ServerState, name: str, random: Random) -> ClusterSecrets:
    """Return the secrets of the cluster of a master, made now if it is the first server of one."""
    path = state.directory / CLUSTER_VAULT
    if path.exists():
        return load_cluster_secrets(state, "master")
    secrets = ClusterSecrets(
        name=_checked(name),
        cluster_key=random.bytes(CLUSTER_KEY_BYTES),
        publisher=new_signing_pair(random),
    )
    write_private(path, _sealed(secrets, state.master_key))
    return secrets


def add_server(
    master: Path,
    directory: Path,
    new: NewServer,
    *,
    random: Random,
    wall_ns: int,
    own_ca: Issued | None = None,
    first_name: str = FIRST_NAME,
) -> ServerState:
    """Make the state directory of another server of the cluster of the master whose directory is `master`.

    That becomes the first server of a cluster, under `first_name`, if it is of none yet. The key of the
    operator's CA signs the new certificate: that in the master's directory, or `own_ca`. Raises UsageError if
    anything does not fit or exists; nothing is changed then.
    """
    state = load_server_state(master)
    check_is_key_server(state)
    if state.is_replica:
        raise UsageError(f"{master} is a replica's; servers are added from a master's state directory")
    check_absent(directory)
    tls = make_server_certificate(_ca_of(state, own_ca), new.hosts, random, wall_ns)
    _check_name(_checked(new.name), state, first_name)
    first = found_cluster(state, first_name, random)
    is_master = new.role == "master"
    own_master_key = state.master_key if is_master else Secret(random.bytes(MASTER_KEY_BYTES))
    secrets = ClusterSecrets(
        name=new.name,
        cluster_key=first.cluster_key,
        publisher=first.publisher if is_master else first.publisher.public(),
    )
    make_directory(directory)
    (directory / PEERS).mkdir(mode=0o700)
    for name, data in (
        (MASTER_KEY, b64url_encode(own_master_key.reveal()).encode() + b"\n"),
        (SERVER_VAULT, _server_vault(state, new, own_master_key)),
        (CLUSTER_VAULT, _sealed(secrets, own_master_key)),
        (CA_PEM, state.ca_pem.encode()),
        (TLS_KEY, tls.key_pem),
        (TLS_PEM, tls.certificate_pem),
        *((f"{OPERATORS}/{each.id}.json", encode(each) + b"\n") for each in state.operators),
        *((f"{PEERS}/{each.id}.json", encode(each) + b"\n") for each in state.peers),
    ):
        write_private(directory / name, data)
    return load_server_state(directory)


def _server_vault(state: ServerState, new: NewServer, master_key: Secret) -> bytes:
    """Return the new server's own vault: what the first one has, without the issuing key at a replica."""
    secrets = ServerSecrets(
        operator=state.operator,
        urls=list(dict.fromkeys((*state.urls, *new.urls))),
        signing=state.signing,
        kek=state.kek,
        nonce_key=state.nonce_key.reveal(),
        issuer_pem=state.issuer.certificate_pem.decode(),
        issuer_key=state.issuer.key_pem.decode() if new.role == "master" else "",
    )
    return jose.seal_direct(encode(secrets), vault_key(master_key), typ=jose.TYP_VAULT).encode() + b"\n"


def _ca_of(state: ServerState, own_ca: Issued | None) -> Issued:
    key = state.directory / CA_KEY
    if own_ca is None and not key.exists():
        raise UsageError(f"{key} is not here; name the CA with --ca-cert and --ca-key")
    ca = own_ca or Issued(state.ca_pem.encode(), read_private(key))
    if not same_certificate(ca.certificate_pem, state.ca_pem.encode()):
        raise UsageError(f"this is not the CA of {state.directory / CA_PEM}, which every device pins")
    return ca


def _check_name(name: str, state: ServerState, first_name: str) -> None:
    path = state.directory / CLUSTER_VAULT
    taken = _open(path, state.master_key).name if path.exists() else _checked(first_name)
    if name == taken:
        raise UsageError(f"{name} is the name of the server in {state.directory}; choose another with --name")


def _checked(name: str) -> str:
    if not 0 < len(name) <= NAME_CHARS_MAX or not NAME_CHARS.issuperset(name):
        raise UsageError(f"a server's name has 1 to {NAME_CHARS_MAX} letters, digits, - and _, not {name!r}")
    return name


def _sealed(secrets: ClusterSecrets, master: Secret) -> bytes:
    return jose.seal_direct(encode(secrets), _key(master), typ=jose.TYP_VAULT).encode() + b"\n"


def _open(path: Path, master: Secret) -> ClusterSecrets:
    try:
        return decode(
            jose.unseal_direct(read_private(path).strip(), _key(master), typ=jose.TYP_VAULT), ClusterSecrets
        )
    except AuthenticationError as error:
        raise UsageError(
            f"{path} does not open with {MASTER_KEY} beside it: restore the two from the same backup"
        ) from error
    except FormatError as error:
        raise UsageError(f"{path} is not of this version: {error}") from error


def _key(master: Secret) -> Jwk:
    return Jwk(kty="oct", k=b64url_encode(derive_key(master, CLUSTER_LABEL).reveal()))
