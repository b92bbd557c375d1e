"""Owns how a reception manager's state directory is made: that of a server, below the key servers' operator.

It has the layout of a key server's (`server.state`), without the CA's key and without an issuing CA, and the
key servers that may ask it in peers/.
"""

from collections.abc import Sequence
from pathlib import Path

from sealcast.core.errors import UsageError
from sealcast.core.ports import Random
from sealcast.core.secret import Secret
from sealcast.device.files import read_private, write_private
from sealcast.messages import jose
from sealcast.messages.encoding import b64url_encode, encode
from sealcast.messages.jwk import new_sealing_pair, new_signing_pair
from sealcast.server.certificates import Issued, make_server_certificate, same_certificate
from sealcast.server.state import (
    CA_KEY,
    CA_PEM,
    MASTER_KEY,
    MASTER_KEY_BYTES,
    NONCE_KEY_BYTES,
    OPERATORS,
    PEERS,
    SERVER_VAULT,
    TLS_KEY,
    TLS_PEM,
    EscrowIdentity,
    OperatorKeys,
    ServerSecrets,
    ServerState,
    check_absent,
    load_server_state,
    make_directory,
    vault_key,
)


def create_reception_state(
    directory: Path,
    key_servers: Sequence[Path],
    *,
    hosts: tuple[str, ...],
    urls: tuple[str, ...],
    random: Random,
    wall_ns: int,
    own_ca: Issued | None = None,
) -> ServerState:
    """Make a reception manager's state directory for the key servers with these state directories.

    `hosts` are the names and addresses under which they reach it. The key of the operator's CA signs its
    certificate: that in the first state directory, or `own_ca`. Raises UsageError if anything does not fit or
    exists; nothing is changed then.
    """
    states = [load_server_state(each) for each in key_servers]
    first = states[0]
    for state in states:
        check_is_key_server(state)
        if (state.operator, state.ca_pem) != (first.operator, first.ca_pem):
            raise UsageError(f"{state.directory} is another operator's than {first.directory}")
    ca = own_ca or ca_of(first.directory)
    if not same_certificate(ca.certificate_pem, first.ca_pem.encode()):
        raise UsageError(f"this is not the CA of {first.directory / CA_PEM}, which the key servers trust")
    check_absent(directory)
    tls = make_server_certificate(ca, hosts, random, wall_ns)
    master = Secret(random.bytes(MASTER_KEY_BYTES))
    secrets = ServerSecrets(
        operator=first.operator,
        urls=list(urls),
        signing=new_signing_pair(random),
        kek=new_sealing_pair(random),
        nonce_key=random.bytes(NONCE_KEY_BYTES),
        issuer_pem="",
        issuer_key="",
    )
    vault = jose.seal_direct(encode(secrets), vault_key(master), typ=jose.TYP_VAULT)
    make_directory(directory)
    (directory / PEERS).mkdir(mode=0o700)
    for name, data in (
        (MASTER_KEY, b64url_encode(master.reveal()).encode() + b"\n"),
        (SERVER_VAULT, vault.encode() + b"\n"),
        (CA_PEM, first.ca_pem.encode()),
        (TLS_KEY, tls.key_pem),
        (TLS_PEM, tls.certificate_pem),
        *((f"{OPERATORS}/{each.id}.json", encode(each) + b"\n") for each in first.operators),
        *((f"{PEERS}/{state.peer_id}.json", encode(peer_keys(state)) + b"\n") for state in states),
    ):
        write_private(directory / name, data)
    return load_server_state(directory)


def peer_keys(state: ServerState) -> OperatorKeys:
    """Return what another server needs to know this one."""
    return OperatorKeys(id=state.peer_id, signing=state.signing.public(), kek=state.kek.public())


def check_is_manager(state: ServerState) -> None:
    """Raise UsageError unless a state directory is a reception manager's."""
    if not state.is_manager:
        raise UsageError(f"{state.directory} is not a reception manager's: sealcast serve {_kind(state)}")
    if not state.peers:
        raise UsageError(f"{state.directory / PEERS} names no key server that may ask")


def check_is_key_server(state: ServerState) -> None:
    """Raise UsageError for the state directory of a reception manager or an escrow."""
    if _kind(state) != "keyserver":
        raise UsageError(f"{state.directory} is not a key server's: sealcast serve {_kind(state)}")


def check_is_escrow(state: ServerState) -> EscrowIdentity:
    """Return which escrow a state directory is of; raises UsageError if it is of none."""
    if state.escrow is None:
        raise UsageError(f"{state.directory} is not an escrow's: sealcast serve {_kind(state)}")
    return state.escrow


def ca_of(directory: Path) -> Issued:
    """Return the operator's CA with its key, kept in a key server's state; raises UsageError."""
    if not (directory / CA_KEY).exists():
        raise UsageError(f"{directory / CA_KEY} is not here; name the CA with --ca-cert and --ca-key")
    return Issued((directory / CA_PEM).read_bytes(), read_private(directory / CA_KEY))


def _kind(state: ServerState) -> str:
    """Return the word for what runs on a state directory."""
    if state.escrow is not None:
        return "escrow"
    return "reception" if state.is_manager else "keyserver"
